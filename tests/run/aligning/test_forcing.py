"""Which tokens are of which word, and the weights of a pair that is forced, made by hand."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from regard.data import Tokenizer
from regard.run import AlignmentChoice, forced_attention
from regard.run.aligning import forcing
from regard.run.aligning.choosing import (
    link_table,
    links_of,
)
from regard.run.aligning.forcing import Side, side, spelled, target_words
from tests.run.aligning.links import links

TEXTS = [
    "我 喜欢 猫 。",
    "cafe\u0301 noir , s'il vous plai\u0302t",
    "👩‍👩‍👧 loves 🇫🇷 !",
    "  a   longer\u3000line\u00a0of words ",
    "x",
]


@pytest.mark.parametrize("kind", ["words", "bpe", "unigram", "characters"])
@pytest.mark.parametrize("text", [*TEXTS, "never seen ☃ ሰላም"])
def test_a_token_belongs_to_the_word_in_which_its_letters_lie(kind: Any, text: str) -> None:
    tokenizer = Tokenizer.train(kind, TEXTS * 3, 300)
    found = side(tokenizer, text)
    spans = [match.span() for match in re.finditer(r"\S+", text.strip())]
    assert found.words == len(spans)
    assert len(found.parts) == len(found.ids) > 0
    for (start, end), (first, after) in zip(tokenizer.encode(text).offsets, found.parts, strict=True):
        touched = [n for n, (a, b) in enumerate(spans) if max(a, start) < min(b, end)]
        # A token of white space alone is part of the word before it or after it.
        assert touched == list(range(first, after)) if touched else after == first + 1 <= len(spans)
    assert {word for part in found.parts for word in range(*part)} == set(range(len(spans)))


def test_letters_are_words_only_where_no_line_has_two_words() -> None:
    tokenizer = Tokenizer.train("characters", ["cafe\u0301 猫👩‍👩‍👧"] * 2, 50)
    assert spelled(tokenizer, ["cafe\u0301", "", " 猫👩‍👩‍👧\n"])
    assert not spelled(tokenizer, ["cafe\u0301", "", "猫 👩‍👩‍👧"])
    assert not spelled(Tokenizer.train("words", ["a", "a"], 50), ["a"])
    ids = tokenizer.encode("cafe\u0301").ids
    assert side(tokenizer, "cafe\u0301", letters=True) == Side(ids, [(0, 1), (1, 2), (2, 3), (3, 4)], 4)  # é is one
    assert side(tokenizer, "cafe\u0301") == Side(ids, [(0, 1)] * 4, 1)
    assert side(tokenizer, "猫👩‍👩‍👧", letters=True).words == 2
    assert side(tokenizer, " \t") == side(tokenizer, "", letters=True) == Side([], [], 0)


# 1 layer, 2 heads, 3 target tokens and the end, 3 source tokens and the end.
HEAD_0 = [[0.5, 0.2, 0.3, 0.0], [0.1, 0.1, 0.2, 0.6], [0.0, 0.0, 1.0, 0.0], [0.3, 0.3, 0.4, 0.0]]
HEAD_1 = [[0.1, 0.1, 0.8, 0.0], [0.0, 0.0, 0.9, 0.1], [0.2, 0.5, 0.0, 0.3], [0.0, 0.0, 0.0, 1.0]]
WEIGHTS = np.array([[HEAD_0, HEAD_1]], dtype=np.float32)
SOURCE, TARGET = Side([7, 8, 9], [(0, 1), (0, 1), (1, 2)], 2), Side([4, 5, 6], [(0, 1), (0, 1), (1, 2)], 2)


def test_weights_of_source_tokens_add_up_and_the_end_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(network: Any, sources: Sequence[list[int]], said: Sequence[Any], *, align: bool) -> list[Any]:
        assert network == "network" and sources == [[7, 8, 9]] and [h.ids for h in said] == [[4, 5, 6]]
        assert said[0].finished and align
        return [WEIGHTS]

    monkeypatch.setattr(forcing, "attention_weights", looked)
    [(number, found)] = forced_attention("network", [SOURCE], [TARGET])  # type: ignore[arg-type]
    assert number == 0 and found.dtype == np.float32 and found.shape == (1, 2, 4, 2)
    np.testing.assert_allclose(found[0, 0], [[0.7, 0.3], [0.2, 0.2], [0, 1], [0.6, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(found[0, 1], [[0.2, 0.8], [0, 0.9], [0.7, 0], [0, 0]], rtol=1e-6)


def test_batches_hold_each_pair_once_and_no_more_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, sizes = random.Random(5), []
    sources = [Side([draw.randint(4, 9)] * n, [(0, 1)] * n, 1) for n in (draw.randint(1, 13) for _ in range(53))]
    targets = [Side([4] * n, [(0, 1)] * n, 1) for n in (draw.randint(1, 13) for _ in range(53))]

    def looked(_: Any, ids: Sequence[list[int]], said: Sequence[Any], *, align: bool) -> list[Any]:
        area = (max(map(len, ids)) + 1) * (max(len(h.ids) for h in said) + 1)
        sizes.append((len(ids), area))
        return [np.full((1, 1, len(h.ids) + 1, len(i) + 1), sum(i)) for i, h in zip(ids, said, strict=True)]

    monkeypatch.setattr(forcing, "attention_weights", looked)
    monkeypatch.setattr(forcing, "AREA", 100)
    found = dict(forced_attention(None, sources, targets))  # type: ignore[arg-type]
    assert sorted(found) == list(range(53)) and sum(count for count, _ in sizes) == 53
    assert any(count > 1 for count, _ in sizes) and any(area > 100 for _, area in sizes)
    for number, weights in found.items():
        assert weights.shape == (1, 1, len(targets[number].ids) + 1, 1)
        assert weights[0, 0, 0, 0] == sum(sources[number].ids) * len(sources[number].ids)


def test_a_target_word_is_read_from_its_own_rows_or_from_those_after() -> None:
    forced = WEIGHTS[..., :-1] @ np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    said, read = target_words(forced, TARGET)
    np.testing.assert_allclose(said[0], [[[0.45, 0.25], [0, 1]], [[0.1, 0.85], [0.7, 0]]], rtol=1e-6)
    np.testing.assert_allclose(read[0], [[[0.1, 0.6], [0.6, 0.4]], [[0.35, 0.45], [0, 0]]], rtol=1e-6)
    table = link_table(said, read)
    # The mean of both heads first, then each head.
    assert table[0, 0].tolist() == [[1, 1], [0, 1], [1, 0]]
    assert table[1, 0].tolist() == [[1, 0], [1, 0], [1, -1]]
    assert links_of(table, AlignmentChoice(0, 0, "output")) == links("0-0 1-1")
    assert links_of(table, AlignmentChoice(0, 1, "input")) == links("1-0")
    assert links_of(table, AlignmentChoice(0, None, "input")) == links("1-0 0-1")


def test_a_token_that_is_part_of_two_words_counts_for_both() -> None:
    weights = np.array([[[[0.6], [0.2], [0.9]]]], dtype=np.float32)
    said, read = target_words(weights, Side([4, 5], [(0, 2), (1, 2)], 2))
    np.testing.assert_allclose(said[0, 0], [[0.6], [0.4]], rtol=1e-6)
    np.testing.assert_allclose(read[0, 0], [[0.2], [0.55]], rtol=1e-6)
