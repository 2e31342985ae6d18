"""BPE-dropout: how often each way to cut a token comes, against an enumeration of all merges that may fail."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from regard.batch import EOS, PAD
from regard.config import recipe_of
from regard.data import Batches, Corpus, MergeDropout, Tokenizer
from regard.data.merges import halves_of
from regard.errors import UsageError

# a b c d e = 0 … 4; ab = 5, cd = 6, abcd = 7, abcde = 8; "ab" comes from a second merge too, which never happens.
VOCABULARY = {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "ab": 5, "cd": 6, "abcd": 7, "abcde": 8}
MERGES = [["a", "b"], ["c", "d"], ["ab", "cd"], ["abcd", "e"]]


def cut(token: int, failed: dict[int, bool], halves: np.ndarray) -> tuple[int, ...]:
    """What is left of a token when those merges fail."""
    if halves[token, 0] < 0:
        return (token,)
    left, right = (cut(int(half), failed, halves) for half in halves[token])
    whole = len(left) == 1 and len(right) == 1 and not failed[token]
    return (token,) if whole else left + right


def test_every_cut_comes_as_often_as_its_merges_fail() -> None:
    halves, rate = halves_of(VOCABULARY, MERGES), 0.3
    expected: Counter[tuple[int, ...]] = Counter()
    for fails in product([True, False], repeat=4):
        chance = np.prod([rate if fail else 1 - rate for fail in fails])
        expected[cut(8, dict(zip((5, 6, 7, 8), fails, strict=True)), halves)] += float(chance)  # type: ignore[assignment]
    assert abs(expected[(8,)] - 0.7**4) < 1e-12
    many = 40_000
    ids, owners = MergeDropout(halves, rate)(np.full(many, 8), np.arange(many), np.random.default_rng(1))
    assert (np.diff(owners) >= 0).all()
    pieces = np.split(ids, np.flatnonzero(np.diff(owners)) + 1)
    seen = Counter(tuple(int(i) for i in piece) for piece in pieces)
    assert sum(seen.values()) == many and seen.keys() == expected.keys()
    for way, share in expected.items():
        assert seen[way] / many == pytest.approx(share, abs=5 * (share / many) ** 0.5), way


def test_nothing_is_cut_that_was_not_merged() -> None:
    halves = halves_of(VOCABULARY, MERGES)
    ids, owners = MergeDropout(halves, 0.99)(np.array([0, 4, 8]), np.array([0, 0, 1]), np.random.default_rng(1))
    assert ids[:2].tolist() == [0, 4] and owners[:2].tolist() == [0, 0]
    assert ids[2:].tolist() == [0, 1, 2, 3, 4] and set(owners[2:].tolist()) == {1}
    for empty in MergeDropout(halves, 0.5)(np.array([], dtype=int), np.array([], dtype=int), np.random.default_rng(1)):
        assert empty.size == 0


LINES = [
    "lower newer wider",
    "слово словарь словом",
    "北京 北京 大学",
    "🙂🙂 café café",
    "newest lowest widest lower newer",
]


def corpus() -> tuple[Tokenizer, Corpus]:
    tokenizer = Tokenizer.train("bpe", LINES * 5, 120)
    ids = tokenizer.encode_batch(LINES)
    return tokenizer, Corpus.in_memory(list(zip(ids, ids[::-1], strict=True)))


def test_whatever_is_cut_spells_the_same_text() -> None:
    tokenizer, pairs = corpus()
    halves = tokenizer.halves()
    assert halves is not None and (halves >= 0).any()
    dropout = MergeDropout(halves, 0.4)
    lengths = set()
    for number in range(5):
        for batch in Batches(pairs, 64, 1, dropouts=(dropout, dropout)).epoch(number):
            for row, source, length in zip(batch.rows, batch.source, batch.source_lengths, strict=True):
                assert source[length - 1] == EOS and (source[length:] == PAD).all()
                assert tokenizer.decode(source[: length - 1].tolist()) == LINES[int(row)]
                lengths.add((int(row), int(length)))
    assert len(lengths) > len(LINES)  # not always cut alike


def test_an_epoch_that_is_gone_on_with_is_cut_as_if_it_had_not_been_left() -> None:
    tokenizer, pairs = corpus()
    halves = tokenizer.halves()
    assert halves is not None

    def batches() -> Batches:
        dropout = MergeDropout(halves, 0.4)
        return Batches(pairs, 4, 3, dropouts=(dropout, None))

    whole, rest = list(batches().epoch(2)), list(batches().epoch(2, start=2))
    assert len(whole) > 3
    for a, b in zip(whole[2:], rest, strict=True):
        assert a.source.tolist() == b.source.tolist() and a.target.tolist() == b.target.tolist()


def test_other_tokenizers_have_no_merges() -> None:
    for kind in ("words", "characters", "unigram"):
        assert Tokenizer.train(kind, LINES * 5, 60).halves() is None


def test_what_it_does_not_go_with_is_said(tmp_path: Path) -> None:
    data = {"source": "a", "target": "b", "bpe_dropout": 0.1, "alignment": "c"}
    with pytest.raises(UsageError, match="bpe_dropout cuts the words anew that alignment links"):
        recipe_of({"data": data}, "here")
    with pytest.raises(UsageError, match="bpe_dropout"):
        recipe_of({"data": {"bpe_dropout": 1.0}}, "here")
