"""What a model may be given: lists of texts, numbers that a search can have, prefixes of words that it knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import regard
from regard.attention import Edit
from regard.embedded import english_french
from regard.errors import UsageError
from regard.view import draw


@pytest.fixture(scope="module")
def model() -> regard.Model:
    return regard.load(english_french(), "cpu")


@pytest.mark.parametrize(
    ("lines", "options", "sentence"),
    [
        ([1], {}, r"lines\[0\] is 1, which is no text: predict takes a list of lines"),
        (["a", None], {}, r"lines\[1\] is None, which is no text"),
        ("a line", {}, r"predict takes a list of lines: write model\.predict\(\[line\]\)"),
        (None, {}, "predict takes a list of lines"),
        ({"a": "b"}, {}, "predict takes a list of lines"),
        (iter(["a"]), {}, "predict takes a list of lines"),
        (["a"], {"beam": 0}, "beam is 0: write how many hypotheses to keep, at least 1"),
        (["a"], {"beam": -1}, "beam is -1"),
        (["a"], {"beam": "a"}, "beam is 'a'"),
        (["a"], {"beam": 1.5}, r"beam is 1\.5"),
        (["a"], {"nbest": 0}, "nbest is 0"),
        (["a"], {"sample": {"temperature": float("nan")}}, "temperature is nan"),
        (["a"], {"sample": {"seed": 2**63}}, "seed is 9223372036854775808: write a whole number from 0 to"),
        (["a"], {"sample": {}, "beam": 4}, "sample draws and beam searches: give one of them"),
        (["a"], {"prefix": "b"}, "prefix is 'b': write a list of texts, one for each line"),
        (["a"], {"prefix": [2]}, r"prefix\[0\] is 2, which is no text"),
        (["a"], {"prefix": ["b", "c"]}, "there are 2 prefixes for 1 lines"),
    ],
)
def test_what_no_prediction_can_be_made_of_is_named(
    model: regard.Model, lines: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        model.predict(lines, **options)


def test_lists_of_other_libraries_are_lists(model: regard.Model) -> None:
    lines: Any = np.array(["A man.", ""])
    beam: Any = np.int64(2)
    assert model.predict(lines, beam)[0].text == model.predict(["A man."], 2)[0].text


def test_what_of_a_prefix_is_unknown_is_noted(model: regard.Model) -> None:
    note = "3 of 5 tokens of the prefix are unknown to the model"
    known, strange, blank = model.predict(["A man."] * 2 + [""], 1, prefix=["Un", "你好 🙂", "你好 🙂"])
    assert (known.notes, strange.notes, blank.notes) == ([], [note], [])
    *_, last = model.stream("ሰላም A man.", 1, prefix="你好 🙂")
    assert last.prediction is not None and last.prediction.notes[1:] == [note]
    assert "tokens are unknown to the model" in last.prediction.notes[0]
    [steered] = model.predict(["A man."], 1, prefix=["你好 🙂"], steer=[Edit("forbid", source=[0])])
    assert steered.notes == [note]


def test_of_a_line_without_a_word_the_attention_has_no_row(model: regard.Model) -> None:
    said, *blank = model.predict(["A man.", "", " \t"], attention=True)
    *_, last = model.stream("", attention=True)
    [steered] = model.predict([""], attention=True, steer=[Edit("forbid", source=[0])])
    assert said.attention is not None and last.prediction is not None
    layers, heads = said.attention.weights.shape[:2]
    for each in (*blank, last.prediction, steered):
        seen = each.attention
        assert each.text == "" and seen is not None
        assert seen.weights.shape == (layers, heads, 0, 1) and seen.words().shape == (0, 1) and seen.alignment() == []
        assert seen.source == ["</s>"] and seen.target == []
        assert (
            "nothing to draw" in draw(seen) and "<iframe" in seen._repr_html_() and each.page_item().attention is seen
        )
    assert model.predict([""])[0].attention is None, "it was not asked for"
