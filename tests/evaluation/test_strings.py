from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.errors import UsageError
from regard.evaluation import (
    character_error_rate,
    exact_match,
    item_error_rate,
    token_error_rate,
    word_error_rate,
)


def distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Levenshtein's table, row by row, written down from the definition."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        left, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, left + (x != y))
    return row[-1]


words = st.lists(st.sampled_from(["a", "b", "ab", "猫", "é", "قط"]), max_size=6).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=8))
def test_rates_are_those_of_the_definition(pairs: list[tuple[str, str]]) -> None:
    hypotheses, references = [h for h, _ in pairs], [[r] for _, r in pairs]
    for function, units in ((word_error_rate, str.split), (token_error_rate, str.split), (character_error_rate, list)):
        edits = sum(distance(units(h), units(r)) for h, r in pairs)
        length = sum(len(units(r)) for _, r in pairs)
        expected = 100 * edits / length if length else 100.0 * (edits > 0)
        assert function(hypotheses, references, bootstrap=0).value == pytest.approx(expected)


def test_phonemes_by_hand() -> None:
    """One wrong of 3, then none of 2 (second pronunciation), then one too many for 1: 2 edits, 6 phonemes."""
    hypotheses = ["K AE1 D", "T UW1", "AH0 N"]
    references = [["K AE1 T"], ["T AH0", "T UW1"], ["AH0"]]
    assert token_error_rate(hypotheses, references).value == pytest.approx(100 * 2 / 6)
    assert item_error_rate(hypotheses, references).value == pytest.approx(100 * 2 / 3)
    assert exact_match(hypotheses, references).value == pytest.approx(100 / 3)


def test_the_nearest_reference_and_its_own_length_count() -> None:
    """Both references are 1 edit away; the longer has 4 tokens."""
    assert token_error_rate(["a b c"], [["a b", "a b c d"]], bootstrap=0).value == pytest.approx(25)
    assert token_error_rate(["a b c"], [["a b c d", "a b"]], bootstrap=0).value == pytest.approx(25)
    assert token_error_rate(["a b"], [["x y z", "a"]], bootstrap=0).value == pytest.approx(100)


def test_an_error_rate_can_exceed_a_hundred_and_empty_is_defined() -> None:
    assert word_error_rate(["a b c"], [["x"]], bootstrap=0).value == 300
    assert word_error_rate([""], [[""]], bootstrap=5).value == 0
    assert word_error_rate(["a"], [[""]], bootstrap=5).value == 100
    assert item_error_rate([""], [[""]], bootstrap=5).value == 0


def test_white_space_is_not_an_error() -> None:
    for function in (item_error_rate, token_error_rate, character_error_rate):
        assert function(["  K  AE1\tT \r"], [["K AE1 T"]], bootstrap=0).value == 0


def test_case_and_normal_form_count_unless_told_otherwise() -> None:
    composed, apart = "Café", unicodedata.normalize("NFD", "Café")
    assert character_error_rate([apart], [[composed]], bootstrap=0).value == pytest.approx(100 * 2 / 4)
    assert character_error_rate([apart], [[composed]], normalize="NFC", bootstrap=0).value == 0
    assert item_error_rate([apart], [[composed]], bootstrap=0).value == 100
    assert item_error_rate([apart.upper()], [[composed]], normalize="NFC", lowercase=True, bootstrap=0).value == 0
    assert exact_match(["A"], [["a"]], bootstrap=0).value == 0
    with pytest.raises(UsageError, match="normalize is 'nfc'"):
        item_error_rate(["a"], [["a"]], normalize="nfc")  # type: ignore[arg-type]


def test_the_signature_tells_everything() -> None:
    found = token_error_rate(["a", "b"], [["a"], ["b", "c"]], lowercase=True, bootstrap=10, seed=3)
    fields = dict(part.split(":") for part in found.signature.split("|"))
    assert fields.pop("rapidfuzz")
    assert fields == {
        "measure": "edits", "unit": "token", "nrefs": "var", "reference": "nearest",
        "case": "lc", "norm": "none", "bs": "10", "seed": "3",
    }  # fmt: skip
    signatures = {
        function(["a"], [["a"]], bootstrap=0).signature
        for function in (exact_match, item_error_rate, token_error_rate, word_error_rate, character_error_rate)
    }
    assert len(signatures) == 5
    assert all("nrefs:1" in signature for signature in signatures)


def test_the_name_is_the_fields_own_where_wanted() -> None:
    assert str(item_error_rate(["a"], [["b"]], name="WER", bootstrap=0)) == "WER 100.0"
    assert str(token_error_rate(["a"], [["b"]], name="PER", bootstrap=0)) == "PER 100.0"


def test_many_items_and_a_long_one() -> None:
    choose = random.Random(0)
    references = [[" ".join(choose.choices("ABCDEFG", k=8))] for _ in range(20_000)]
    hypotheses = [those[0] if i % 4 else those[0][:-1] + "Z" for i, those in enumerate(references)]
    found = token_error_rate(hypotheses, references)
    assert found.value == pytest.approx(100 / 32)
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    assert character_error_rate(["a" * 10_000], [["a" * 9_999 + "b"]], bootstrap=0).value == pytest.approx(0.01)
