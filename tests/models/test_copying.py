"""The pointer-generator: a mixture of two distributions, the same in teaching and in searching."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from regard import build
from regard.attention import capture
from regard.batch import BOS, EOS, Batch, rectangle
from regard.config import recipe_of
from regard.decoding import Constraints, beam_search
from regard.errors import UsageError
from regard.models import EncoderDecoder

SIZE = 12
PARTS: dict[str, dict[str, Any]] = {
    "recurrent": {"kind": "recurrent", "embedding": 6, "hidden": 8, "dropout": 0.0},
    "recurrent-local": {
        "kind": "recurrent", "embedding": 6, "hidden": 8, "dropout": 0.0,
        "attention": {"score": "general", "scope": {"kind": "local-predictive", "window": 2}},
    },
    "recurrent-coverage": {
        "kind": "recurrent", "embedding": 6, "hidden": 8, "dropout": 0.0, "attention": {"score": "coverage"},
    },
    "transformer": {
        "kind": "transformer", "dim": 12, "heads": 3, "feed_forward": 16, "encoder_layers": 1, "decoder_layers": 2,
    },
    "transformer-local": {
        "kind": "transformer", "dim": 12, "heads": 3, "feed_forward": 16, "encoder_layers": 1, "decoder_layers": 2,
        "cross_attention": {"scope": {"kind": "local-monotonic", "window": 1}},
    },
}  # fmt: skip
parts = pytest.mark.parametrize("name", PARTS)
SOURCES, TARGETS = [[4, 5, 6, 5], [7, 8], [9, 9, 9]], [[5, 4], [8, 8, 7], [10]]


def made(name: str, shared: bool = True) -> EncoderDecoder:
    torch.manual_seed(6)
    part = recipe_of({"model": PARTS[name] | {"copy_source": True}}).model
    model = build.encoder_decoder(part, SIZE, SIZE, shared=shared, max_length=20).double().eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def batch_of() -> Batch:
    source, source_lengths = rectangle([[*s, EOS] for s in SOURCES])
    target, target_lengths = rectangle([[BOS, *t, EOS] for t in TARGETS])
    return Batch(source, source_lengths, target, target_lengths, torch.arange(3))


@parts
@torch.no_grad()
def test_it_is_the_mixture_of_equation_9(name: str) -> None:
    model, batch = made(name), batch_of()
    decoder: Any = model.decoder
    with capture(model, model.sights()[-1:]) as seen:
        found = model(batch)
    weights = seen.steps(model.sights()[-1])
    weights = weights.mean(1) if weights.ndim == 4 else weights
    memory = model.encode(batch.source, batch.source_lengths)
    features, _ = decoder.features(batch.target[:, :-1], decoder.start(memory), memory)
    g = torch.sigmoid(features @ decoder.gate.weight[0] + decoder.gate.bias)
    own = torch.softmax(decoder.output(features), -1)
    for i, source in enumerate(SOURCES):
        for t in range(len(TARGETS[i]) + 1):
            p: Tensor = g[i, t] * own[i, t]
            total = weights[i, t].sum()
            for s, token in enumerate([*source, EOS]):
                p[token] += (1 - g[i, t]) * weights[i, t, s] / total
            torch.testing.assert_close(found[i, t].exp(), p, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones_like(found[..., 0]))


@parts
@torch.no_grad()
def test_steps_and_several_hypotheses_say_the_same(name: str) -> None:
    model, batch = made(name), batch_of()
    decoder: Any = model.decoder
    memory = model.encode(batch.source, batch.source_lengths)
    limits = Constraints(max_length=6)
    for i in range(3):
        alone = memory.select(torch.tensor([i]))
        for h in beam_search(decoder, alone, limits, beam=3, nbest=3)[0]:
            tokens = torch.tensor([[BOS, *h.ids]])
            logits, _ = decoder(tokens, decoder.start(alone), alone)
            said = [*h.ids, EOS][: len(h.ids) + h.finished]
            score = sum(float(logits[0, t, token]) for t, token in enumerate(said))
            assert h.score == pytest.approx(score, rel=1e-5)


@parts
def test_what_the_words_cannot_say_is_copied(name: str) -> None:
    """With the gate shut, only source tokens have a chance."""
    model, batch = made(name), batch_of()
    decoder: Any = model.decoder
    with torch.no_grad():
        decoder.gate.weight.zero_()
        decoder.gate.bias.fill_(-60.0)
    chances = model(batch).exp()
    for i, source in enumerate(SOURCES):
        strange = [token for token in range(SIZE) if token not in (*source, EOS)]
        assert (chances[i, : len(TARGETS[i]) + 1][:, strange] < 1e-9).all()


def test_vocabularies_have_to_be_shared() -> None:
    with pytest.raises(UsageError, match=r"set data\.shared_vocabulary = true"):
        made("recurrent", shared=False)
