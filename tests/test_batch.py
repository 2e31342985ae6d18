"""Batches: rectangles against plain loops, lengths that decide alone what is real, and the ids all sides agree on."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.batch import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, Batch, of_like_length, rectangle, within
from regard.data import Batches, Corpus, Tokenizer
from regard.data.tokenizer import Kind

# Targets say 4, 2 and 1 tokens after BOS. An id that looks like PAD stands in the middle and at an end.
BATCH = Batch(
    source=torch.tensor([[7, PAD, 9, 11, EOS], [5, EOS, PAD, PAD, PAD], [PAD, PAD, EOS, PAD, PAD]]),
    source_lengths=torch.tensor([5, 2, 3]),
    target=torch.tensor([[BOS, 13, PAD, 17, EOS], [BOS, PAD, EOS, PAD, PAD], [BOS, EOS, PAD, PAD, PAD]]),
    target_lengths=torch.tensor([5, 3, 2]),
    rows=torch.tensor([19, 23, 29]),
)


@given(st.lists(st.lists(st.integers(0, 6), max_size=7), max_size=5))
def test_a_rectangle_holds_every_sequence_and_fill(sequences: list[list[int]]) -> None:
    ids, lengths = rectangle(sequences)
    width = max((len(s) for s in sequences), default=0)
    assert ids.shape == (len(sequences), width) and ids.dtype == lengths.dtype == torch.long
    assert lengths.tolist() == [len(s) for s in sequences]
    for row, sequence in zip(ids.tolist(), sequences, strict=True):
        assert row == sequence + [PAD] * (width - len(sequence))


def test_pairs_get_their_ends() -> None:
    found = Batch.of([[7, PAD, 9, 11], [5], [PAD, PAD]], [[13, PAD, 17], [PAD], []])
    for field in fields(Batch)[:4]:
        assert torch.equal(getattr(found, field.name), getattr(BATCH, field.name))
    assert found.rows.tolist() == [0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30), st.integers(1, 200), st.integers(1, 6))
def test_pairs_of_like_length_go_together(sizes: list[tuple[int, int]], area: int, rows: int) -> None:
    found = list(of_like_length(sizes, area=area, rows=rows))
    flat = [i for together in found for i in together]
    assert sorted(flat) == list(range(len(sizes))) and [sizes[i] for i in flat] == sorted(sizes)
    for together in found:
        largest = max((sizes[i][0] + 1) * (sizes[i][1] + 1) for i in together)
        assert 1 <= len(together) <= rows and (len(together) == 1 or len(together) * largest <= area)


def test_a_rectangle_of_nothing_and_of_one_row() -> None:
    ids, lengths = rectangle([])
    assert ids.shape == (0, 0) and lengths.shape == (0,) and ids.dtype == lengths.dtype == torch.long
    ids, lengths = rectangle([[5, 3, 11]])
    assert ids.tolist() == [[5, 3, 11]] and lengths.tolist() == [3]
    ids, lengths = rectangle([[], []])
    assert ids.shape == (2, 0) and lengths.tolist() == [0, 0]


def test_ids_that_look_like_fill_are_counted() -> None:
    ids, lengths = rectangle([[PAD, 5, PAD], [PAD]])
    assert ids.tolist() == [[PAD, 5, PAD], [PAD, PAD, PAD]]
    assert lengths.tolist() == [3, 1]
    assert within(lengths, 3).tolist() == [[True, True, True], [True, False, False]]


@given(st.lists(st.integers(0, 9), max_size=7), st.integers(0, 11))
def test_within_is_true_below_the_length(lengths: list[int], size: int) -> None:
    """Also for a size below the longest, which is what is left when a decoder reads one token less."""
    found = within(torch.tensor(lengths, dtype=torch.long), size)
    assert found.shape == (len(lengths), size) and found.dtype == torch.bool
    assert found.tolist() == [[t < n for t in range(size)] for n in lengths]


def test_within_takes_back_what_the_rectangle_filled() -> None:
    sequences = [[5, PAD, 7], [], [11, 13, 17, 19, PAD], [23]]
    ids, lengths = rectangle(sequences)
    assert ids[within(lengths, 5)].tolist() == [i for s in sequences for i in s]


def test_target_tokens_are_those_a_decoder_says() -> None:
    assert BATCH.target_tokens == 4 + 2 + 1 and isinstance(BATCH.target_tokens, int)
    assert BATCH.target_tokens == int(within(BATCH.target_lengths - 1, 4).sum())
    assert len(BATCH) == 3


def test_target_tokens_add_up_to_the_corpus() -> None:
    pairs = [([5] * s, [PAD] * t) for s, t in [(1, 0), (2, 3), (7, 5), (3, 11), (1, 1)]]
    batches = list(Batches(Corpus.in_memory(pairs), 13, 0).epoch(0))
    assert len(batches) > 1
    assert sum(b.target_tokens for b in batches) == sum(t + 1 for t in (0, 3, 5, 11, 1))  # each with its end


@pytest.mark.parametrize("device", ["meta", torch.device("meta")])
def test_to_moves_every_field(device: torch.device | str) -> None:
    moved = BATCH.to(device)
    for field in fields(Batch):
        before, after = getattr(BATCH, field.name), getattr(moved, field.name)
        assert after.device.type == "meta" and before.device.type == "cpu"
        assert after.shape == before.shape and after.dtype == before.dtype


def test_to_keeps_every_field_in_its_place() -> None:
    moved = BATCH.to("cpu")
    for field in fields(Batch):
        torch.testing.assert_close(getattr(moved, field.name), getattr(BATCH, field.name))


def test_masks_are_made_where_the_lengths_are() -> None:
    assert within(BATCH.source_lengths.to("meta"), 5).device.type == "meta"


@pytest.mark.parametrize("kind", get_args(Kind))
def test_special_tokens_are_the_first_ids_of_every_vocabulary(kind: Kind) -> None:
    tokenizer = Tokenizer.train(kind, ["the cat sat on the mat"] * 3, 60)
    assert tokenizer.tokens([PAD, UNK, BOS, EOS]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert tokenizer.tokens(range(4)) == list(SPECIAL_TOKENS)
    assert tokenizer.size > 4 and min(tokenizer.encode("the cat").ids) >= 4
