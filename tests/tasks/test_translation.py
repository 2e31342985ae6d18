"""The loss of the task against PyTorch's, R-Drop against its formula, and searches that keep the order of their inputs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from regard import build
from regard.batch import BOS, EOS, Batch, rectangle
from regard.config import DataPart, DecodingPart, recipe_of
from regard.data import Tokenizer
from regard.errors import UsageError
from regard.evaluation import Bleu, Ter
from regard.models import EncoderDecoder
from regard.tasks import captioning
from regard.tasks.translation import Looking, Search, loss, metrics, metrics_by_name, search

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


KINDS = {
    "transformer": {"dim": 16, "heads": 2, "feed_forward": 16},
    "copying": {"dim": 16, "heads": 2, "feed_forward": 16, "copy_source": True},
    "lexical": {"dim": 16, "heads": 2, "feed_forward": 16, "lexical": True},
    "exact-hard": {"kind": "recurrent", "decoder": "exact-hard", "embedding": 6, "hidden": 8},
}


@pytest.mark.parametrize("kind", KINDS)
def test_r_drop_is_the_mean_loss_and_a_quarter_alpha_of_both_divergences(kind: str) -> None:
    def network_of(dropout: float) -> EncoderDecoder:
        torch.manual_seed(2)
        part = recipe_of({"model": KINDS[kind] | {"dropout": dropout}}).model
        return build.encoder_decoder(part, 11, 11, shared=kind == "copying", max_length=30).train()

    pairs = batch()
    network = network_of(0.0)
    plain, still = (loss(network, pairs, smoothing=0.1, r_drop=r) for r in (0.0, 3.0))
    assert float(still.total.detach()) == pytest.approx(
        float(plain.total.detach()), rel=1e-5
    )  # without dropout nothing is apart
    network = network_of(0.3)
    torch.manual_seed(9)
    found = loss(network, pairs, smoothing=0.0, r_drop=3.0)
    torch.manual_seed(9)
    (first, labels), (second, _) = network.log_probabilities(pairs), network.log_probabilities(pairs)
    apart = kl_div(first, second, log_target=True, reduction="sum") + kl_div(
        second, first, log_target=True, reduction="sum"
    )
    likelihoods = [float(-side.gather(1, labels[:, None]).sum().detach()) for side in (first, second)]
    assert float(apart.detach()) > 1e-3
    assert float(found.likelihood) == pytest.approx(0.5 * sum(likelihoods), rel=1e-5)
    expected = 0.5 * sum(likelihoods) + 0.25 * 3.0 * float(apart.detach())
    assert float(found.total.detach()) == pytest.approx(expected, rel=1e-4)
    found.total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


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


def test_ratios_of_any_size_are_lengths() -> None:
    [short, _] = search(model(), SOURCES[:2], Search(beam=1, max_length=5))
    [long, _] = search(
        model(), SOURCES[:2], Search(beam=1, max_length=5, max_length_ratio=1e300, min_length_ratio=1e38)
    )
    assert len(long[0].ids) == 5 >= len(short[0].ids)


@pytest.mark.parametrize("search", [Search, captioning.Search])
def test_no_search_has_what_is_no_number_for_it(search: Any) -> None:
    wrong = [math.nan, math.inf, -1, "a"]
    more: dict[str, list[Any]] = {"beam": [0], "count": [0], "length_penalty": [51], "no_repeat_ngram": [0.5]}
    if search is Search:
        more |= {"coverage_penalty": [], "min_length_ratio": [], "max_length_ratio": [0]}
    for name, values in more.items():
        for value in [*wrong, *values]:
            with pytest.raises(UsageError, match=f"^{'nbest' if name == 'count' else name} is "):
                search(**{name: value})
    for value in wrong:
        with pytest.raises(UsageError, match=r"^temperature is "):
            search(sampling={"temperature": value})


WORDS, CHARACTERS, BPE = (Tokenizer.train(kind, ["a b", "a b"], 50) for kind in ("words", "characters", "bpe"))
TEXT = [["A man is cooking."], ["Two dogs."]]
THAI = [["เขาไม่ชอบอาหารที่ร้านนี้"]]


def names(tokenizers: tuple[Tokenizer, Tokenizer], references: Any = TEXT, **data: Any) -> list[str]:
    return [m.name for m in metrics(DataPart(**data), *tokenizers, references)]


def test_metrics_of_older_runs_follow_the_tokenizers() -> None:
    assert names((WORDS, WORDS)) == ["BLEU", "chrF2", "TER", "exact match"]
    assert names((CHARACTERS, WORDS)) == ["WER", "PER"]
    assert names((CHARACTERS, CHARACTERS)) == ["WER", "CER"]
    assert names((CHARACTERS, BPE)) == ["WER", "PER"]


def test_metrics_follow_what_lines_are() -> None:
    text = ["BLEU", "chrF2", "TER", "exact match"]
    assert names((CHARACTERS, BPE), spelling=False) == text
    assert names((CHARACTERS, CHARACTERS), spelling=False) == [*text, "CER"]
    assert names((CHARACTERS, WORDS), spelling=True) == ["WER", "PER"]
    assert names((BPE, BPE), spelling=True) == names((WORDS, CHARACTERS), spelling=True) == ["WER", "CER"]


def test_metrics_follow_the_language_of_the_target() -> None:
    found = metrics(DataPart(target_language="zh"), BPE, BPE, TEXT)
    assert found[0] == Bleu(tokenize="zh") and found[2] == Ter(asian=True)
    assert metrics(DataPart(), BPE, BPE, [["男人正在做饭。"]])[0] == Bleu(tokenize="zh")
    assert metrics(DataPart(target_language="zh"), BPE, BPE, TEXT, "13a")[0] == Bleu(tokenize="13a")
    assert names((BPE, BPE), THAI) == ["BLEU", "chrF2", "exact match", "CER"]
    assert names((BPE, CHARACTERS), THAI, spelling=False) == ["BLEU", "chrF2", "exact match", "CER"]
    with pytest.raises(UsageError, match="tokenize is of runs that are scored by BLEU"):
        metrics(DataPart(spelling=True), CHARACTERS, WORDS, TEXT, "13a")


def test_what_a_snapshot_may_be_chosen_by() -> None:
    text = metrics_by_name(DataPart(), WORDS, WORDS, TEXT)
    assert list(text) == ["bleu", "chrf", "ter", "exact-match"] and text["chrf"].name == "chrF2"
    spelling = metrics_by_name(DataPart(spelling=True), CHARACTERS, CHARACTERS, TEXT)
    assert list(spelling) == ["wer", "cer", "bleu", "chrf", "ter", "exact-match"]
    assert spelling["bleu"] == Bleu()


def looking_model(**changes: Any) -> EncoderDecoder:
    torch.manual_seed(2)
    tree = {"kind": "recurrent", "embedding": 6, "hidden": 8, "dropout": 0.0} | changes
    return build.encoder_decoder(recipe_of({"model": tree}).model, 10, 11, shared=False, max_length=30)


@pytest.mark.parametrize("heads", [False, True])
def test_losses_of_the_weights_are_added_in_training_alone(heads: bool) -> None:
    pairs = batch()
    network = (model() if heads else looking_model()).train()
    weights = network.look(pairs).mean(dim=2)  # [B, L, T, S]
    coverage = stochastic = 0.0
    for i, (read, said) in enumerate(
        zip(pairs.source_lengths.tolist(), (pairs.target_lengths - 1).tolist(), strict=True)
    ):
        for layer in weights[i].tolist():
            for s in range(read):
                seen = 0.0
                for t in range(said):
                    coverage += min(layer[t][s], seen)
                    seen += layer[t][s]
                stochastic += (1 - seen) ** 2
    plain = loss(network, pairs, smoothing=0.1)
    for asked, expected in ((Looking(coverage=0.5), 0.5 * coverage), (Looking(doubly_stochastic=2.0), 2 * stochastic)):
        found = loss(network, pairs, smoothing=0.1, looking=asked)
        assert float((found.total - plain.total).detach()) == pytest.approx(expected, rel=1e-4)
        assert float(found.likelihood) == pytest.approx(float(plain.likelihood), rel=1e-5)
        assert float(loss(network.eval(), pairs, smoothing=0.1, looking=asked).total.detach()) == pytest.approx(
            float(plain.total.detach()), rel=1e-5
        )
        network.train()


def test_guided_alignment_speaks_to_one_head_of_one_layer() -> None:
    pairs, network = batch(), model().train()
    links = torch.zeros(len(pairs), pairs.target.shape[1] - 1, pairs.source.shape[1])
    links[:, 0, 0] = 1.0
    looking = Looking(guided=1.0, guided_layer=1, guide=lambda _: links)
    found = loss(network, pairs, smoothing=0.0, looking=looking)
    plain = loss(network, pairs, smoothing=0.0)
    weights = network.look(pairs)[:, 1, 0]
    assert float((found.total - plain.total).detach()) == pytest.approx(-float(weights[:, 0, 0].log().sum()), rel=1e-4)
    with pytest.raises(UsageError, match="layers 0 to 2"):
        loss(network, pairs, smoothing=0.0, looking=Looking(guided=1.0, guided_layer=9, guide=lambda _: links))


def test_guided_attention_goes_where_it_is_told() -> None:
    """A few steps of training by links that no likelihood would choose: every step looks at the first token."""
    pairs = batch()
    network = looking_model().train()
    links = torch.zeros(len(pairs), pairs.target.shape[1] - 1, pairs.source.shape[1])
    for i, said in enumerate((pairs.target_lengths - 1).tolist()):
        links[i, :said, 0] = 1.0
    looking = Looking(guided=1.0, guide=lambda _: links)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss(network, pairs, smoothing=0.0, looking=looking).total.backward()
        optimizer.step()
    weights = network.eval().look(pairs)[:, 0, 0]
    assert (weights[links > 0] > 0.8).all()


def test_hard_attention_moves_its_baseline_and_refuses_r_drop() -> None:
    pairs, network = batch(), looking_model(attention={"normalize": "hard"}).train()
    decoder: Any = network.decoder
    found = loss(network, pairs, smoothing=0.0)
    mean = -float(found.likelihood) / found.tokens
    assert float(decoder.attend.normalize.baseline) == pytest.approx(0.1 * mean, rel=1e-5)
    found.total.backward()
    assert decoder.attend.score.v.grad.abs().sum() > 0
    with pytest.raises(UsageError, match="set r_drop = 0"):
        loss(network, pairs, smoothing=0.0, r_drop=1.0)


def test_several_readings_are_one_mean_and_leave_the_baseline_alone() -> None:
    pairs, network = batch(), looking_model(attention={"normalize": "hard"}).train()
    decoder: Any = network.decoder
    torch.manual_seed(7)
    each = [float(loss(network, pairs, smoothing=0.1).likelihood) for _ in range(3)]
    before = decoder.attend.normalize.baseline.clone()
    torch.manual_seed(7)
    found = loss(network, pairs, smoothing=0.1, looking=Looking(samples=3, reward=0.0, entropy=0.0))
    assert float(found.likelihood) == pytest.approx(sum(each) / 3) and found.tokens == pairs.target_tokens
    assert decoder.attend.normalize.baseline == before
    torch.manual_seed(7)
    judged = loss(network, pairs, smoothing=0.1, looking=Looking(samples=3, reward=1.0, entropy=0.0))
    assert float(judged.total.detach()) != pytest.approx(float(found.total.detach()), abs=1e-3)
    # Readings that chose alike have nothing to be judged by.
    one = replace(pairs, source=pairs.source[:, :1], source_lengths=torch.ones_like(pairs.source_lengths))
    network = looking_model(attention={"normalize": "hard"}, dropout=0.0).train()
    totals = [loss(network, one, smoothing=0.1, looking=Looking(samples=2, reward=r)).total for r in (0.0, 50.0)]
    assert float(totals[0].detach()) == pytest.approx(float(totals[1].detach()), rel=1e-6)


def test_the_coverage_penalty_prefers_what_looks_at_all_of_the_source() -> None:
    """Among the beam's hypotheses the first is the one that the formula of Wu et al. 2016 ranks first."""
    network = looking_model(dropout=0.0).eval()
    how = Search(beam=5, count=5, length_penalty=0.7)
    plain = search(network, SOURCES, how)
    ranked = search(network, SOURCES, replace(how, coverage_penalty=3.0))
    moved = False
    for source, before, after in zip(SOURCES, plain, ranked, strict=True):
        assert sorted(h.ids for h in before) == sorted(h.ids for h in after)
        ranks = []
        for h in after:
            s, t = [*source, EOS], [BOS, *h.ids, EOS]
            one = Batch(
                torch.tensor([s]), torch.tensor([len(s)]), torch.tensor([t]), torch.tensor([len(t)]), torch.tensor([0])
            )
            covered = network.look(one)[0, 0, 0].sum(0)[:-1]
            ranks.append(h.score / (len(h.ids) + 1) ** 0.7 + 3.0 * float(covered.clamp(max=1).log().sum()))
        assert ranks == sorted(ranks, reverse=True)
        moved = moved or [h.ids for h in before] != [h.ids for h in after]
    assert moved
