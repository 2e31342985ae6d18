from __future__ import annotations

import pytest

from regard.errors import UsageError
from regard.evaluation import Bleu, ItemErrorRate, bleu, by_length

SOURCES = ["", "a", "a b", "a b c", "a b c d e f", "a  b\tc d e f g"]
REFERENCES = [[f"w{i} x y z w{i}"] for i in range(6)]
HYPOTHESES = [r[0] if i % 2 else r[0] + " q" for i, r in enumerate(REFERENCES)]


def test_each_bucket_is_a_corpus_of_its_own() -> None:
    found = by_length(HYPOTHESES, REFERENCES, SOURCES, Bleu(), bounds=(2, 4, 5))
    assert [(b.label, b.count) for b in found] == [("0-2", 3), ("3-4", 1), ("5-5", 0), ("6+", 2)]
    assert found[0].score == bleu(HYPOTHESES[:3], REFERENCES[:3])
    assert found[1].score == bleu(HYPOTHESES[3:4], REFERENCES[3:4])
    assert found[2].score is None
    assert found[3].score == bleu(HYPOTHESES[4:], REFERENCES[4:])
    assert found[2].to_json() == {"shortest": 5, "longest": 5, "count": 0, "score": None}
    assert found[3].to_json()["score"]["name"] == "BLEU"


def test_counts_add_up_and_one_bucket_is_the_whole() -> None:
    assert sum(b.count for b in by_length(HYPOTHESES, REFERENCES, SOURCES, ItemErrorRate())) == 6
    (whole,) = by_length(HYPOTHESES, REFERENCES, SOURCES, ItemErrorRate(), bounds=())
    assert whole.score is not None and whole.score.value == 50
    assert whole.label == "0+"


def test_wrong_use() -> None:
    with pytest.raises(UsageError, match="6 hypotheses but 5 sources"):
        by_length(HYPOTHESES, REFERENCES, SOURCES[1:], Bleu())
    for bounds in ((5, 5), (9, 3), (-2,)):
        with pytest.raises(UsageError, match="must rise"):
            by_length(HYPOTHESES, REFERENCES, SOURCES, Bleu(), bounds=bounds)
