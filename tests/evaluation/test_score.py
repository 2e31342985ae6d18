from __future__ import annotations

import json

import pytest

from regard.errors import UsageError
from regard.evaluation import Bleu, Score, bleu, exact_match, score


def test_a_score_prints_as_the_field_prints_it() -> None:
    assert str(Score("BLEU", 36.24, 34.91, 37.4, "nrefs:1")) == "BLEU 36.2 [34.9, 37.4]"
    assert str(Score("WER", 31, None, None, "nrefs:1")) == "WER 31.0"


def test_a_score_becomes_json_and_comes_back() -> None:
    made = exact_match(["a", "b"], [["a"], ["c"]])
    assert Score(**json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    ("hypotheses", "references", "said"),
    [
        ([], [], "no hypotheses"),
        (["a", "b"], [["a"]], "2 hypotheses but references for 1"),
        (["a"], ["a"], r"write \['…'\]"),
        (["a", "b"], [["a"], []], "Sentence 2 has no reference"),
        ([None], [["a"]], "Hypothesis 1 is NoneType"),
        (["a"], [[7]], "reference of sentence 1 is int"),
        ("a", [["a"]], "hypotheses is one string"),
        (["a"], "a", "references is one string"),
    ],
)
def test_wrong_input_is_one_sentence(hypotheses: list, references: list, said: str) -> None:
    for function in (bleu, exact_match):
        with pytest.raises(UsageError, match=said):
            function(hypotheses, references)


def test_no_bootstrap_means_no_interval() -> None:
    found = score(Bleu(), ["a b c d"], [["a b c d"]], bootstrap=0)
    assert (found.value, found.low, found.high) == (pytest.approx(100), None, None)
    assert "bs:" not in found.signature


def test_sampling_numbers_must_make_sense() -> None:
    with pytest.raises(UsageError, match="resamples is -1"):
        bleu(["a"], [["a"]], bootstrap=-1)
    with pytest.raises(UsageError, match="seed is -3"):
        bleu(["a"], [["a"]], seed=-3)
