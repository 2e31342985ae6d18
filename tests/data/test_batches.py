"""Token files and batches: every pair once, little filling, an order that two numbers decide."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.batch import BOS, EOS
from regard.data import Batches, Corpus, Tokenizer, build_corpus, fingerprint, made_of

DRAW = np.random.default_rng(0)
PAIRS = [
    (DRAW.integers(4, 50, n).tolist(), DRAW.integers(4, 50, max(1, n + int(DRAW.integers(-2, 3)))).tolist())
    for n in DRAW.poisson(12, 3000) + 1
]
CORPUS = Corpus.in_memory(PAIRS)


def test_every_pair_comes_once_an_epoch_as_it_is() -> None:
    seen = []
    for batch in Batches(CORPUS, 600, seed=1).epoch(0):
        for i, row in enumerate(batch.rows.tolist()):
            seen.append(row)
            source, target = PAIRS[row]
            assert batch.source[i, : batch.source_lengths[i]].tolist() == [*source, EOS]
            assert batch.target[i, : batch.target_lengths[i]].tolist() == [BOS, *target, EOS]
        assert len(batch) == 1 or (batch.source.numel() <= 600 and batch.target[:, 1:].numel() <= 600)
    assert sorted(seen) == list(range(len(PAIRS)))


def test_little_is_filled_up() -> None:
    batches = list(Batches(CORPUS, 1000, seed=1).epoch(0))
    real = sum(int(b.target_lengths.sum()) for b in batches)
    assert real > 0.97 * sum(b.target.numel() for b in batches)
    sources = sum(int(b.source_lengths.sum()) for b in batches)
    assert sources > 0.85 * sum(b.source.numel() for b in batches)


def test_seed_and_epoch_decide_and_a_start_skips() -> None:
    def rows(seed: int, epoch: int, start: int = 0) -> list[list[int]]:
        return [b.rows.tolist() for b in Batches(CORPUS, 600, seed).epoch(epoch, start)]

    assert rows(1, 0) == rows(1, 0)
    assert rows(1, 0) != rows(1, 1) and rows(1, 0) != rows(2, 0)
    assert rows(1, 3, start=5) == rows(1, 3)[5:]
    assert Batches(CORPUS, 600, 1).count(3) == len(rows(1, 3))
    ordered = [r for b in Batches(CORPUS, 600, 1, shuffle=False).epoch(0) for r in b.rows.tolist()]
    assert [len(PAIRS[r][1]) for r in ordered] == sorted(len(t) for _, t in PAIRS)


def test_a_pair_longer_than_the_budget_goes_alone() -> None:
    corpus = Corpus.in_memory([([4] * 3, [5] * 2), ([4] * 90, [5]), ([4] * 2, [5] * 3)])
    sizes = [len(b) for b in Batches(corpus, 20, 0, shuffle=False).epoch(0)]
    assert sum(sizes) == 3 and 1 in sizes
    assert list(Batches(Corpus.in_memory([]), 20, 0).epoch(0)) == []


def test_token_files_are_made_once_of_what_they_say(tmp_path: Path) -> None:
    text = tmp_path / "t"
    text.write_text("x")
    lines = [(1, "a b", "A B"), (2, "b " * 30, "B"), (4, "c", "C C")]
    source = Tokenizer.train("words", (s for _, s, _ in lines), 100)
    target = Tokenizer.train("words", (t for _, _, t in lines), 100)

    def build(mark: str) -> Corpus:
        return build_corpus(iter(lines), source, target, tmp_path / "corpus", fingerprint=mark, max_length=20)

    first = build(fingerprint([text], 1))
    assert len(first) == 2 and first.too_long == [2] and first.rows.tolist() == [0, 3]
    for i, (_, s, t) in enumerate((lines[0], lines[2])):
        assert source.decode(first.source(i).tolist()) == s and target.decode(first.target(i).tolist()) == t
    made = (tmp_path / "corpus" / "ids.bin").stat().st_ino
    assert len(build(fingerprint([text], 1))) == 2
    assert (tmp_path / "corpus" / "ids.bin").stat().st_ino == made
    text.write_text("y")
    assert fingerprint([text], 1) != fingerprint([text], 2)
    build(fingerprint([text], 1))
    assert (tmp_path / "corpus" / "ids.bin").stat().st_ino != made
    (tmp_path / "corpus" / "corpus.json").write_text('{"finger')  # cut off
    assert build("m").too_long == [2]
    batch = next(Batches(first, 100, 0).epoch(0))
    assert batch.source.dtype == torch.long and sorted(batch.rows.tolist()) == [0, 3]


@pytest.mark.parametrize("name", ["ids.bin", "starts.npy", "source_lengths.npy", "dtype.json", "corpus.json"])
def test_token_files_that_were_cut_are_made_again(tmp_path: Path, name: str) -> None:
    tokenizer = Tokenizer.train("words", ["a b c"], 100)
    lines = [(n, "a b", "c " * n) for n in range(1, 9)]
    folder = tmp_path / "corpus"

    def build() -> Corpus:
        return build_corpus(iter(lines), tokenizer, tokenizer, folder, fingerprint="x", max_length=20)

    build()
    content = (folder / name).read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"[]"):
        (folder / name).write_bytes(damaged)
        assert made_of(folder) is None
        assert [len(build().target(i)) for i in range(8)] == list(range(1, 9))
    (folder / name).unlink()
    assert made_of(folder) is None and len(build()) == 8 and made_of(folder) == "x"


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=60),
    st.integers(1, 200),
    st.booleans(),
)
def test_a_batch_is_cut_where_one_more_pair_would_break_the_budget(
    sizes: list[tuple[int, int]], budget: int, shuffle: bool
) -> None:
    """Against the definition, one pair after the other."""
    corpus = Corpus.in_memory([([4] * s, [5] * t) for s, t in sizes])
    found = [batch.rows.tolist() for batch in Batches(corpus, budget, 0, shuffle=shuffle).epoch(2)]
    assert sorted(row for batch in found for row in batch) == list(range(len(sizes)))

    def area(rows: list[int]) -> int:
        return len(rows) * max(max(sizes[row]) + 1 for row in rows)

    assert all(area(batch) <= budget or len(batch) == 1 for batch in found)
    if not shuffle:
        for batch, after in pairwise(found):
            assert area([*batch, after[0]]) > budget
            assert all(sizes[row][::-1] <= sizes[after[0]][::-1] for row in batch)


@pytest.mark.parametrize(
    ("pairs", "budget", "sizes"),
    [
        # Every pair takes 7 positions.
        ([(6, 6)] * 10, 35, [5, 5]),
        ([(6, 6)] * 10, 34, [4, 4, 2]),
        ([(6, 6)] * 10, 36, [5, 5]),
        # 2, 2 and 3 positions: the pair that makes the rectangle wider makes it full, too.
        ([(1, 1), (1, 1), (2, 2)], 9, [3]),
        ([(1, 1), (1, 1), (2, 2)], 8, [2, 1]),
        # Sources of 5 positions fill it; targets of 2 would not.
        ([(4, 1)] * 5, 15, [3, 2]),
        # One pair alone is the whole budget, or more than it.
        ([(10, 3), (3, 10)], 11, [1, 1]),
        ([(11, 3), (3, 11)], 11, [1, 1]),
    ],
)
def test_a_batch_may_fill_its_budget_exactly(pairs: list[tuple[int, int]], budget: int, sizes: list[int]) -> None:
    corpus = Corpus.in_memory([([4] * s, [5] * t) for s, t in pairs])
    assert [len(b) for b in Batches(corpus, budget, 0, shuffle=False).epoch(0)] == sizes
    assert sorted(len(b) for b in Batches(corpus, budget, 0).epoch(0)) == sorted(sizes)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regard.errors import RegardError

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    tokenizer = Tokenizer.train("words", ["a"], 10)
    with pytest.raises(RegardError, match="No space left on device"):
        build_corpus(iter([(1, "a", "a")]), tokenizer, tokenizer, tmp_path / "c", fingerprint="x", max_length=9)
