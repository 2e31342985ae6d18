"""Diagnostics of one output, worked out by hand."""

from __future__ import annotations

import json
from math import log

import numpy as np
import pytest

from regard.evaluation.diagnostics import Loop, attention_received, diagnose, repeated

# Two layers of one head. Words of the source: "ein" (tokens 0, 1), "Haus" (2), "!" (3), and the end (4).
FIRST = [[0.4, 0.1, 0.0, 0.0, 0.5], [0.2, 0.2, 0.1, 0.0, 0.5], [0.1, 0.1, 0.0, 0.0, 0.8]]
SECOND = [[0.6, 0.1, 0.0, 0.0, 0.3], [0.2, 0.2, 0.1, 0.0, 0.5], [0.1, 0.1, 0.0, 0.0, 0.8]]
WEIGHTS = np.array([[FIRST], [SECOND]], dtype=np.float32)
SOURCE, SOURCE_OF = ["ein", "Haus", "!", "</s>"], [0, 0, 1, 2, 3]
TARGET, TARGET_OF = ["a-b", "</s>"], [0, 0, 1]


def test_by_hand() -> None:
    found = diagnose(WEIGHTS, [log(0.5), log(0.4), log(0.9)], SOURCE, TARGET, SOURCE_OF, TARGET_OF)
    assert found.confidence == pytest.approx([0.5, 0.4])
    assert found.word_confidence == pytest.approx([0.2])  # 0.5 × 0.4
    # Columns of the mean: 0.8, 0.4, 0.1, 0, 1.7; even would be 3/5 each. "ein" is two tokens.
    assert found.attended == pytest.approx([1.2 / 1.2, 0.1 / 0.6, 0.0])
    assert found.unattended == [1]  # "!" says nothing that could be left out
    assert found.length_ratio == 2 / 4
    assert found.notes == ["the model was unsure of: a-b", "hardly looked at: Haus"]
    assert json.loads(json.dumps(found.to_json()))["unattended"] == [1]
    # The log-probability of the end may be missing.
    assert diagnose(WEIGHTS, [log(0.5), log(0.4)], SOURCE, TARGET, SOURCE_OF, TARGET_OF) == found


def test_without_attention_or_words() -> None:
    found = diagnose(None, [log(0.5)], ["x"], ["y"], [0], [0])
    assert found.attended is None and found.unattended == [] and found.notes == []
    empty = diagnose(None, [], [], [], [], [])
    assert (empty.confidence, empty.copied, empty.length_ratio, empty.notes) == ([], 0.0, 0.0, [])
    nothing = diagnose(np.zeros((1, 1, 1, 1), np.float32), [log(1.0)], ["</s>"], ["</s>"], [0], [0])
    assert nothing.attended == [] and nothing.confidence == []


def test_a_word_that_was_not_read_is_not_called_unattended() -> None:
    weights = np.full((1, 1, 1, 2), 0.5, dtype=np.float32)
    found = diagnose(weights, [0.0], ["read", "beyond", "</s>"], ["x"], [0, 2], [0])
    assert found.attended == [1.0, 0.0] and found.unattended == []


def test_even_attention_is_one_for_every_word_however_many_tokens_it_has() -> None:
    received = attention_received(np.full((3, 2, 5, 7), 1 / 7, dtype=np.float32), [0, 0, 0, 1, 1, 2, 3], 5)
    assert received == pytest.approx([1, 1, 1, 1, 0])
    assert attention_received(np.zeros((1, 1, 3, 2), np.float32), [0, 1], 2).tolist() == [0, 0]
    assert attention_received(np.zeros((1, 1, 0, 2), np.float32), [0, 1], 2).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("a dog dog dog runs", [Loop(1, ["dog"], 3)]),
        ("very very good", []),
        ("in a in a house", []),
        ("in a in a in a house", [Loop(0, ["in", "a"], 3)]),
        ("x on the old on the old y y y y", [Loop(1, ["on", "the", "old"], 2), Loop(7, ["y"], 4)]),
        (". . . .", []),
        ("", []),
    ],
)
def test_loops(text: str, loops: list[Loop]) -> None:
    assert repeated(text.split()) == loops


def test_a_loop_that_the_source_has_is_its_translation() -> None:
    words = ["nein", "nein", "nein"]
    assert diagnose(None, [0.0] * 3, ["no", "no", "no"], words, [0, 1, 2], [0, 1, 2]).loops == []
    found = diagnose(None, [0.0] * 3, ["no", "no", "way"], words, [0, 1, 2], [0, 1, 2])
    assert found.loops == [Loop(0, ["nein"], 3)] and found.notes == ["said 3 times in a row: nein"]


def test_copies_and_lengths() -> None:
    source, target = ["The", "cat", "sat", "there", "."], ["the", "Cat", "the", "sat", "."]
    found = diagnose(None, [0.0] * 5, source, target, range(5), range(5))
    assert found.copied == 3 / 4  # the, Cat, sat; "the" stands only once in the source, and "." is no word
    assert found.notes == ["75% of the words are those of the source"]
    many = [f"w{n}" for n in range(11)]
    long = diagnose(None, [0.0] * 11, ["a", "b", "c"], many, [0, 1, 2], range(11))
    assert long.notes == ["the output is long: 11 tokens for 3"]  # 11 > 2·3 + 4
    assert diagnose(None, [0.0] * 10, ["a", "b", "c"], many[:10], [0, 1, 2], range(10)).notes == []
    assert diagnose(None, [0.0] * 3, many, ["a", "b", "c"], range(11), [0, 1, 2]).notes == [
        "the output is short: 3 tokens for 11"
    ]


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[L, H, 1, 1\] fits"):
        diagnose(np.zeros((1, 1, 2, 1), np.float32), [0.0], ["a"], ["b"], [0], [0])
    with pytest.raises(ValueError, match="3 log-probabilities for 1 tokens"):
        diagnose(None, [0.0] * 3, ["a"], ["b"], [0], [0])
