"""Searches against the enumeration of everything that can be said, over a decoder that is a table."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from regard.batch import BOS, EOS, PAD, UNK
from regard.decoding import Constraints, Hypothesis, beam_search, greedy, sample
from regard.decoding.sampling import likely
from regard.errors import RegardError, UsageError
from regard.state import Memory, State

V = 7  # the four special tokens and three more
WORDS = (UNK, 4, 5, 6)


@dataclass(frozen=True)
class Said(State):
    prefix: Tensor


class Table:
    """Logits drawn at random for each source and each prefix: no structure for a search to lean on."""

    def __init__(self, spread: float = 2.0) -> None:
        self.spread = spread

    def logits(self, source: int, prefix: tuple[int, ...]) -> Tensor:
        number = source + 1
        for token in prefix:
            number = number * 31 + token
        return torch.randn(V, generator=torch.Generator().manual_seed(number)) * self.spread

    def start(self, memory: Memory) -> Said:
        return Said(torch.empty(len(memory), 0, dtype=torch.long))

    def __call__(self, tokens: Tensor, state: Said, memory: Memory) -> tuple[Tensor, Said]:
        assert len(tokens) == len(state.prefix) and len(tokens) % len(memory) == 0
        width = len(tokens) // len(memory)
        after = Said(torch.cat((state.prefix, tokens), dim=1))
        rows = []
        for i, prefix in enumerate(after.prefix.tolist()):
            assert prefix[0] == BOS
            rows.append(self.logits(int(memory.values[i // width, 0, 0]), tuple(prefix)))
        return torch.stack(rows)[:, None], after


def sources(*numbers: int) -> Memory:
    return Memory(torch.tensor(numbers, dtype=torch.float)[:, None, None], torch.ones(len(numbers), dtype=torch.long))


def forced(decoder: Table, source: int, ids: tuple[int, ...] | list[int]) -> list[float]:
    """The log-probability of each token and of the end."""
    gains = []
    for i, token in enumerate((*ids, EOS)):
        gains.append(float(torch.log_softmax(decoder.logits(source, (BOS, *ids[:i])), -1)[token]))
    return gains


def everything(decoder: Table, source: int, longest: int, penalty: float) -> list[tuple[int, ...]]:
    """All that can be said, best first."""
    all_ids = [ids for n in range(longest + 1) for ids in itertools.product(WORDS, repeat=n)]
    return sorted(all_ids, key=lambda ids: -sum(forced(decoder, source, ids)) / (len(ids) + 1) ** penalty)


def check_scores(decoder: Table, source: int, hypothesis: Hypothesis) -> None:
    expected = forced(decoder, source, hypothesis.ids)
    assert hypothesis.log_probabilities == pytest.approx(expected, abs=1e-5)
    assert hypothesis.score == pytest.approx(sum(expected), abs=1e-4)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("longest", [1, 3])
def test_a_beam_wide_enough_finds_the_best_of_everything_in_order(longest: int, penalty: float) -> None:
    decoder = Table()
    found = beam_search(
        decoder, sources(1, 2, 3), Constraints(max_length=longest), beam=90, nbest=5, length_penalty=penalty
    )
    for source, hypotheses in zip((1, 2, 3), found, strict=True):
        assert [tuple(h.ids) for h in hypotheses] == everything(decoder, source, longest, penalty)[:5]
        for hypothesis in hypotheses:
            check_scores(decoder, source, hypothesis)


def test_an_exact_search_stops_only_when_nothing_can_overtake() -> None:
    """With a beam of half of everything, the exact rule may only do better, and its scores stay true."""
    decoder, constraints = Table(1.0), Constraints(max_length=5)
    quick = beam_search(decoder, sources(*range(12)), constraints, beam=4)
    exact = beam_search(decoder, sources(*range(12)), constraints, beam=4, exact=True)
    ranks = [
        (h[0].score / (len(h[0].ids) + 1), e[0].score / (len(e[0].ids) + 1)) for h, e in zip(quick, exact, strict=True)
    ]
    assert all(e >= h - 1e-6 for h, e in ranks)


class Hasty(Table):
    """At the first two steps the end has a chance of 0.3 and token 4 of 0.6; after 4 4 the end is sure."""

    def logits(self, source: int, prefix: tuple[int, ...]) -> Tensor:
        chances = torch.full((V,), 1e-6)
        if prefix[1:] == (4, 4):
            chances[EOS] = 1.0
        else:
            chances[EOS], chances[4], chances[5] = 0.3, 0.6, 0.1
        return chances.log()


@pytest.mark.parametrize("exact", [True, False])
def test_hypotheses_that_ended_early_do_not_hide_a_better_one_that_lives(exact: bool) -> None:
    """Per token: ln 0.3 = -1.2 of the empty one, ln(0.6 · 0.3) / 2 = -0.86 of "4", and 2 ln 0.6 / 3 = -0.34 of "4 4"."""
    [[best]] = beam_search(Hasty(), sources(1), Constraints(max_length=5), beam=2, exact=exact)
    assert best.ids == [4, 4]
    assert best.score / 3 == pytest.approx(-0.3406, abs=1e-3)


def test_a_beam_of_one_is_greedy_and_greedy_takes_the_likeliest() -> None:
    decoder, memory = Table(), sources(*range(10))
    by_greedy = greedy(decoder, memory, Constraints(max_length=6))
    assert by_greedy == beam_search(decoder, memory, Constraints(max_length=6), beam=1, length_penalty=0.0)
    for source, [h] in enumerate(by_greedy):
        check_scores(decoder, source, h)
        for i, token in enumerate((*h.ids, EOS)):
            logits = decoder.logits(source, (BOS, *h.ids[:i]))
            logits[[PAD, BOS]] = -torch.inf
            if i < 6:
                assert token == int(logits.argmax())


@pytest.mark.parametrize("how", ["greedy", "beam", "sample"])
def test_a_batch_equals_one_at_a_time(how: str) -> None:
    decoder = Table()
    lengths = torch.tensor([1, 6, 3, 5, 2, 4])

    def run(numbers: list[int], longest: Tensor, first: int = 0) -> list[list[Hypothesis]]:
        limits = Constraints(max_length=longest)
        if how == "greedy":
            return greedy(decoder, sources(*numbers), limits)
        if how == "beam":
            return beam_search(decoder, sources(*numbers), limits, beam=3, nbest=3)
        return sample(decoder, sources(*numbers), limits, count=2, seed=5, numbers=range(first, first + len(numbers)))

    together = run([7, 8, 9, 10, 11, 12], lengths)
    for i, found in enumerate(together):
        [alone] = run([7 + i], lengths[i : i + 1], i)
        assert [h.ids for h in alone] == [h.ids for h in found]
        assert all(len(h.ids) <= lengths[i] for h in found)


def stuck(ids: list[int], ngram: int) -> bool:
    """Whether any of the three words would repeat what was said."""
    said = [ids[i : i + ngram] for i in range(len(ids) - ngram + 1)]
    return ngram > 0 and all([*ids[len(ids) - ngram + 1 :], word] in said for word in (4, 5, 6))


def test_what_can_only_repeat_itself_ends() -> None:
    """6 was followed by each of the three words, so that 6 4 6 6 5 6 cannot go on without a pair said twice."""
    limits, prefix = Constraints(9, 9, 2, allow_unknown=False), [[6, 4, 6, 6, 5, 6]]
    decoder, memory = Table(), sources(2)
    for found in (
        greedy(decoder, memory, limits, prefix=prefix),
        beam_search(decoder, memory, limits, beam=3, prefix=prefix),
        sample(decoder, memory, limits, prefix=prefix),
    ):
        [[h]] = found
        assert h.ids == prefix[0]
        check_scores(decoder, 2, h)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_constraints_hold_in_every_search(data: st.DataObject) -> None:
    longest = data.draw(st.integers(2, 7))
    shortest = data.draw(st.integers(0, longest))
    ngram = data.draw(st.sampled_from([0, 0, 2, 3]))
    prefix = [data.draw(st.lists(st.sampled_from((4, 5, 6)), max_size=2)) for _ in range(3)]
    limits = Constraints(longest, shortest, ngram, allow_unknown=False)
    decoder, memory = Table(), sources(1, 2, 3)
    for found in (
        greedy(decoder, memory, limits, prefix=prefix),
        beam_search(decoder, memory, limits, beam=4, nbest=2, prefix=prefix),
        sample(decoder, memory, limits, seed=data.draw(st.integers(0, 9)), prefix=prefix),
    ):
        for source, start, hypotheses in zip((1, 2, 3), prefix, found, strict=True):
            assert hypotheses
            for h in hypotheses:
                check_scores(decoder, source, h)
                assert h.ids[: len(start)] == start
                assert shortest <= len(h.ids) <= longest or stuck(h.ids, ngram)
                assert not {PAD, BOS, EOS, UNK} & set(h.ids)
                if ngram:
                    grams = [tuple(h.ids[i : i + ngram]) for i in range(len(h.ids) - ngram + 1)]
                    free = [g for i, g in enumerate(grams) if i + ngram > len(start)]
                    assert all(grams.count(g) == 1 for g in free)


def test_draws_follow_the_models_chances() -> None:
    decoder, count = Table(1.0), 3000
    [draws] = sample(decoder, sources(4), Constraints(max_length=1), count=count, seed=3)
    logits = decoder.logits(4, (BOS,))
    logits[[PAD, BOS]] = -torch.inf
    for temperature, found in (
        (1.0, draws),
        (0.5, sample(decoder, sources(4), Constraints(max_length=1), count=count, temperature=0.5)[0]),
    ):
        expected = torch.softmax(logits / temperature, -1)
        for token in (EOS, *WORDS):
            seen = sum((h.ids[0] if h.ids else EOS) == token for h in found) / count
            assert seen == pytest.approx(float(expected[token]), abs=4 * (0.25 / count) ** 0.5)
    again = sample(decoder, sources(4), Constraints(max_length=1), count=20, seed=3)[0]
    assert again == draws[:20]
    assert sample(decoder, sources(4), Constraints(max_length=5), temperature=0.0) == greedy(
        decoder, sources(4), Constraints(max_length=5)
    )


@given(st.integers(0, 1000), st.integers(1, 8), st.floats(0.05, 1.0))
@settings(max_examples=60, deadline=None)
def test_top_k_and_top_p_keep_the_right_set(seed: int, k: int, p: float) -> None:
    logits = torch.randn(1, 8, generator=torch.Generator().manual_seed(seed))
    order = logits[0].argsort(descending=True).tolist()
    assert set(likely(logits, k, 1.0)[0].isfinite().nonzero()[:, 0].tolist()) == set(order[:k])
    chances = torch.softmax(logits[0], -1)
    wanted, reached = set(), 0.0
    for token in order:
        if reached >= p:
            break
        wanted.add(token)
        reached += float(chances[token])
    kept = set(likely(logits, 0, p)[0].isfinite().nonzero()[:, 0].tolist())
    assert kept == wanted or abs(reached - p) < 1e-5


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda d, m: beam_search(d, m, beam=0), "at least 1"),
        (lambda d, m: beam_search(d, m, beam=2, nbest=3), "raise beam or lower nbest"),
        (lambda d, m: beam_search(d, m, length_penalty=-1.0), "length_penalty is -1"),
        (lambda d, m: sample(d, m, temperature=-1.0), "temperature is -1"),
        (lambda d, m: sample(d, m, top_p=1.5), r"top_p is 1\.5"),
        (lambda d, m: sample(d, m, top_k=-3), "top_k is -3"),
        (lambda d, m: sample(d, m, count=0), "count is 0"),
        (lambda d, m: greedy(d, m, prefix=[[4]]), "1 prefixes for 2 sources"),
        (lambda d, m: Constraints(max_length=0), "max_length is 0"),
        (lambda d, m: Constraints(max_length=2, min_length=3), "min_length is above max_length"),
        (lambda d, m: Constraints(no_repeat_ngram=-1), "no_repeat_ngram is -1"),
    ],
)
def test_impossible_wishes_are_one_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        call(Table(), sources(1, 2))


def test_a_broken_model_is_named() -> None:
    class Broken(Table):
        def logits(self, source: int, prefix: tuple[int, ...]) -> Tensor:
            return torch.full((V,), torch.nan)

    with pytest.raises(RegardError, match="NaN"):
        greedy(Broken(), sources(1))
