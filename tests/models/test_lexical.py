"""Translation by a lexicon: a mixture over source tokens, and which of them said what."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch

from regard import build
from regard.attention import capture
from regard.batch import BOS, EOS, Batch, rectangle
from regard.config import recipe_of
from regard.decoding import Constraints, beam_search, greedy
from regard.errors import UsageError
from regard.models import EncoderDecoder
from regard.tasks.translation import loss

PARTS: dict[str, dict[str, Any]] = {
    "luong": {
        "kind": "recurrent", "embedding": 6, "hidden": 8, "decoder": "luong", "input_feeding": False, "dropout": 0.0,
        "attention": {"score": "general"},
    },
    "bahdanau": {"kind": "recurrent", "embedding": 6, "hidden": 8, "dropout": 0.0},
    "transformer": {
        "kind": "transformer", "dim": 12, "heads": 3, "feed_forward": 16, "encoder_layers": 1, "decoder_layers": 2,
        "dropout": 0.0,
    },
}  # fmt: skip
parts = pytest.mark.parametrize("name", PARTS)
SOURCES, TARGETS = [[4, 5, 6, 5], [7, 8], [9, 9, 9]], [[5, 4], [8, 8, 7], [10]]


def made(part: dict[str, Any], sizes: tuple[int, int] = (11, 13)) -> EncoderDecoder:
    torch.manual_seed(6)
    chosen = recipe_of({"model": part | {"lexical": True}}).model
    model = build.encoder_decoder(chosen, *sizes, shared=False, max_length=20)
    return model.double().eval()


def batch_of(sources: list[list[int]], targets: list[list[int]]) -> Batch:
    source, source_lengths = rectangle([[*s, EOS] for s in sources])
    target, target_lengths = rectangle([[BOS, *t, EOS] for t in targets])
    return Batch(source, source_lengths, target, target_lengths, torch.arange(len(sources)))


@parts
@torch.no_grad()
def test_each_token_is_said_by_a_source_token(name: str) -> None:
    model, batch = made(PARTS[name]), batch_of(SOURCES, TARGETS)
    decoder: Any = model.decoder
    with capture(model, model.sights()[-1:]) as seen:
        found = model(batch).exp()
    weights = seen.steps(model.sights()[-1])
    weights = weights.mean(1) if weights.ndim == 4 else weights
    size = decoder.words.weight.shape[1]
    top = model.aligned(batch)[:, -1, 0]
    gained = model.likelihood(batch).split([len(t) + 1 for t in TARGETS])
    for i, source in enumerate(SOURCES):
        lexicon = [
            torch.softmax(decoder.table.weight @ (decoder.words.weight[x] * math.sqrt(size)) + decoder.table.bias, 0)
            for x in (*source, EOS)
        ]
        for t, token in enumerate([*TARGETS[i], EOS]):
            p = sum(weights[i, t, s] * chances for s, chances in enumerate(lexicon))
            torch.testing.assert_close(found[i, t], p)
            assert float(gained[i][t]) == pytest.approx(math.log(float(p[token])))  # type: ignore[index]
            said = [float(weights[i, t, s] * chances[token] / p[token]) for s, chances in enumerate(lexicon)]  # type: ignore[index]
            if max(said) == said[-1]:  # it was nothing but the end
                said = [0.0] * len(said)
            assert top[i, t, : len(said)].tolist() == pytest.approx(said, rel=1e-5)


@parts
def test_the_loss_is_the_likelihood_and_every_part_of_use_learns(name: str) -> None:
    model, batch = made(PARTS[name]).train(), batch_of(SOURCES, TARGETS)
    found = loss(model, batch, smoothing=0.0)
    log_p, labels = model.log_probabilities(batch)
    assert float(found.total.detach()) == pytest.approx(-float(log_p.gather(1, labels[:, None]).sum().detach()))
    found.total.backward()
    decoder: Any = model.decoder
    attend = decoder.sights[-1]
    for part in (decoder.words, decoder.table, model.encoder, decoder.decoder.embedding, attend.score):
        assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in part.parameters())


@parts
@pytest.mark.parametrize("beam", [1, 3])
def test_a_search_goes_through_the_lexicon_once_and_says_what_teaching_says(name: str, beam: int) -> None:
    """Sources that end sooner leave the batch, and the lexicon with them."""
    model = made(PARTS[name])
    decoder: Any = model.decoder
    asked: list[int] = []
    decoder.table.register_forward_hook(lambda *_: asked.append(1))
    batch = batch_of(SOURCES, TARGETS)
    limits = Constraints(torch.tensor([7, 2, 5]), torch.tensor([5, 1, 2]))
    with torch.inference_mode():
        memory = model.encode(batch.source, batch.source_lengths)
        assert not asked
        if beam == 1:
            found = greedy(decoder, memory, limits)
        else:
            found = beam_search(decoder, memory, limits, beam=beam, nbest=beam)
    assert len(asked) == 1
    assert len({len(hypotheses[0].ids) for hypotheses in found}) > 1
    for source, hypotheses in zip(SOURCES, found, strict=True):
        for h in hypotheses:
            with torch.inference_mode():
                expected = model.likelihood(batch_of([source], [h.ids])).tolist()
            assert h.log_probabilities == pytest.approx(expected, abs=1e-5)


def test_it_finds_which_word_says_which_in_sentences_whose_order_is_by_chance() -> None:
    """Word x is said as x + 5, in another order each time: only the lexicon can know which said which."""
    draw = random.Random(3)
    model = made(PARTS["luong"] | {"embedding": 16, "hidden": 24}, (12, 17)).float().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

    def some(count: int) -> tuple[list[list[int]], list[list[int]]]:
        sources = [draw.sample(range(4, 12), 3) for _ in range(count)]
        targets = [[x + 5 for x in draw.sample(source, 3)] for source in sources]
        return sources, targets

    for _ in range(200):
        found = loss(model, batch_of(*some(32)), smoothing=0.0)
        optimizer.zero_grad()
        (found.total / found.tokens).backward()
        optimizer.step()
    sources, targets = some(50)
    top = model.eval().aligned(batch_of(sources, targets))[:, -1, 0].argmax(-1)
    right = sum(
        source[s] + 5 == word
        for i, (source, target) in enumerate(zip(sources, targets, strict=True))
        for s, word in zip(top[i, :3].tolist(), target, strict=True)
    )
    assert right >= 0.95 * 150


def test_it_is_one_way_to_say_what_is_looked_at() -> None:
    with pytest.raises(UsageError, match="choose one"):
        recipe_of({"model": {"dim": 8, "copy_source": True, "lexical": True}})
    with pytest.raises(UsageError, match="has no attention"):
        recipe_of({"model": {"decoder": "fixed-initial", "lexical": True}})
