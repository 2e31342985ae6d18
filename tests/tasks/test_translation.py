"""The loss of the task against PyTorch's, R-Drop against its formula, and searches that keep the order of their inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from regard import build
from regard.batch import BOS, EOS, Batch, rectangle
from regard.config import DecodingPart, recipe_of
from regard.data import Tokenizer
from regard.models import EncoderDecoder
from regard.tasks.translation import Search, loss, metrics, search

SOURCES = [[4, 5, 6, 7], [8], [9, 4, 4], [5, 5], [6, 7, 8, 9, 4, 5]]


def model(dropout: float = 0.0) -> EncoderDecoder:
    torch.manual_seed(2)
    part = recipe_of({"model": {"dim": 16, "heads": 2, "feed_forward": 16, "dropout": dropout}}).model
    return build.encoder_decoder(part, 10, 11, shared=False, max_length=30)


def batch() -> Batch:
    source, lengths = rectangle([[*s, EOS] for s in SOURCES])
    target, target_lengths = rectangle([[BOS, *s[::-1], 10, EOS] for s in SOURCES])
    return Batch(source, lengths, target, target_lengths, torch.arange(len(SOURCES)))


def test_the_loss_is_pytorchs_over_real_positions() -> None:
    network, pairs = model().eval(), batch()
    logits = network(pairs).detach()
    total = likelihood = 0.0
    for i, length in enumerate(pairs.target_lengths.tolist()):
        rows, labels = logits[i, : length - 1], pairs.target[i, 1:length]
        total += float(cross_entropy(rows, labels, reduction="sum", label_smoothing=0.1))
        likelihood += float(cross_entropy(rows, labels, reduction="sum"))
    found = loss(network, pairs, smoothing=0.1)
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-5)
    assert float(found.likelihood) == pytest.approx(likelihood, rel=1e-5)
    assert found.tokens == pairs.target_tokens == sum(len(s) + 2 for s in SOURCES)


def test_r_drop_is_the_mean_loss_and_a_quarter_alpha_of_both_divergences() -> None:
    pairs = batch()
    network = model().train()
    plain, still = (loss(network, pairs, smoothing=0.1, r_drop=r) for r in (0.0, 3.0))
    assert float(still.total.detach()) == pytest.approx(
        float(plain.total.detach()), rel=1e-5
    )  # without dropout nothing is apart
    network = model(0.3).train()
    torch.manual_seed(9)
    found = loss(network, pairs, smoothing=0.0, r_drop=3.0)
    torch.manual_seed(9)
    first, second = (network.output(network.features(pairs)[0]).log_softmax(-1) for _ in range(2))
    labels = network.features(pairs)[1]
    apart = kl_div(first, second, log_target=True, reduction="sum") + kl_div(
        second, first, log_target=True, reduction="sum"
    )
    mean = 0.5 * sum(float(-side.gather(1, labels[:, None]).sum().detach()) for side in (first, second))
    assert float(found.total.detach()) == pytest.approx(mean + 0.25 * 3.0 * float(apart.detach()), rel=1e-4)
    found.total.backward()


@pytest.mark.parametrize("changes", [{"beam": 1}, {"beam": 3, "count": 2}, {"sampling": {"seed": 4}}])
def test_results_come_in_the_order_of_the_inputs(changes: dict[str, Any]) -> None:
    network = model().eval()
    whole = search(network, SOURCES, Search(**changes))
    assert [len(h) for h in whole] == [changes.get("count", 1)] * len(SOURCES)
    for tokens in (1, 20):  # each alone, or a few together
        parts = search(network, SOURCES, Search(**changes, batch_tokens=tokens))
        assert [[h.ids for h in each] for each in parts] == [[h.ids for h in each] for each in whole]
    if "sampling" not in changes:  # whose draws follow the number of the input
        backwards = search(network, SOURCES[::-1], Search(**changes))
        assert [h[0].ids for h in backwards[::-1]] == [h[0].ids for h in whole]
    assert search(network, [], Search(**changes)) == []


def test_lengths_follow_the_source() -> None:
    part = DecodingPart(max_length_ratio=1.0, max_length_extra=1, min_length_ratio=1.0, beam=2)
    for source, [found] in zip(SOURCES, search(model(), SOURCES, Search.of(part, 100)), strict=True):
        assert len(source) + 1 <= len(found.ids) <= len(source) + 2  # the end of the source counts


def test_metrics_follow_the_tokenizers() -> None:
    words, characters = (Tokenizer.train(kind, ["a b", "a b"], 50) for kind in ("words", "characters"))
    assert [m.name for m in metrics(words, words)] == ["BLEU", "chrF2", "TER", "exact match"]
    assert [m.name for m in metrics(characters, words)] == ["WER", "PER"]
    assert [m.name for m in metrics(characters, characters)] == ["WER", "CER"]
