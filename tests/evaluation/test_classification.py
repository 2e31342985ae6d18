"""Accuracy, F1 and calibration by hand and against plain loops; scikit-learn too, where it is installed."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.errors import UsageError
from regard.evaluation import paired_test, score
from regard.evaluation.classification import (
    Accuracy,
    MacroF1,
    MicroF1,
    by_class,
    calibration_error,
    confusions,
    reliability,
)

GOLD = ["cat", "cat", "dog", "dog", "dog", "rat", "cat"]
SAID = ["cat", "dog", "dog", "dog", "cat", "dog", "bat"]
LABELLED = [[g] for g in GOLD]


def macro(said: list[str], gold: list[str], ignored: tuple[str, ...] = ()) -> float:
    """The definition, class by class."""
    values = []
    for name in sorted(set(gold) - set(ignored)):
        tp = sum(s == g == name for s, g in zip(said, gold, strict=True))
        fp = sum(s == name != g for s, g in zip(said, gold, strict=True))
        fn = sum(g == name != s for s, g in zip(said, gold, strict=True))
        values.append(2 * tp / (2 * tp + fp + fn))
    return 100 * sum(values) / len(values)


def test_by_hand() -> None:
    """cat: 1 right of 2 said and 3 wanted; dog: 2 of 4 and 3; rat: 0 of 0 and 1. 3 of 7 are right."""
    assert score(Accuracy(), SAID, LABELLED, bootstrap=0).value == pytest.approx(100 * 3 / 7)
    assert score(MicroF1(), SAID, LABELLED, bootstrap=0).value == pytest.approx(100 * 3 / 7)
    assert score(MacroF1(), SAID, LABELLED, bootstrap=0).value == pytest.approx(100 * (2 / 5 + 4 / 7 + 0) / 3)
    # Without dogs: of 3 said and 4 wanted, 1 is right.
    assert score(MicroF1(("dog",)), SAID, LABELLED, bootstrap=0).value == pytest.approx(100 * 2 / 7)
    assert score(MacroF1(("dog",)), SAID, LABELLED, bootstrap=0).value == pytest.approx(100 * (2 / 5) / 2)
    assert score(Accuracy(), ["a", "b"], [["a", "c"], ["a", "c"]], bootstrap=0).value == 50


names = st.sampled_from(["a", "b", "c", "é", "猫"])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(names, names), min_size=1, max_size=23))
def test_f1_is_that_of_the_definition(pairs: list[tuple[str, str]]) -> None:
    said, gold = [s for s, _ in pairs], [g for _, g in pairs]
    assert MacroF1().measure(said, [[g] for g in gold]).value() == pytest.approx(macro(said, gold))
    if set(gold) - {"a"}:
        assert MacroF1(("a",)).measure(said, [[g] for g in gold]).value() == pytest.approx(macro(said, gold, ("a",)))


def test_a_resample_is_scored_as_if_it_were_the_corpus() -> None:
    said, gold = SAID * 5, GOLD * 5
    draw = np.random.default_rng(7).integers(0, len(said), (41, 6))  # so few that classes are missing
    measured = MacroF1().measure(said, [[g] for g in gold])
    sums = np.stack([measured.statistics[rows].sum(0) for rows in draw])
    expected = [macro([said[i] for i in rows], [gold[i] for i in rows]) for rows in draw]
    assert measured.formula(sums).tolist() == pytest.approx(expected)


def test_confidence_and_paired_tests_come_with_it() -> None:
    gold = [["abc"[i % 3]] for i in range(300)]
    good = [g[0] if i % 10 else "b" for i, g in enumerate(gold)]
    poor = [g[0] if i % 2 else "z" for i, g in enumerate(gold)]  # of a class that the other never says
    for metric in (Accuracy(), MacroF1(), MicroF1()):
        found = score(metric, good, gold)
        assert found.low is not None and found.high is not None and found.low < found.value < found.high
        assert found.signature.startswith("measure:") and "bs:1000|seed:12345" in found.signature
        assert paired_test(good, poor, gold, metric, samples=200).p_value < 0.05
        assert paired_test(good, good, gold, metric, samples=50).p_value == 1
    assert MacroF1(("a", "b")).measure(good, gold).signature({}) == (
        "measure:f1|average:macro|classes:gold|ignored:a,b"
    )


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="Item 2 has 2 right classes"):
        score(MacroF1(), ["a", "b"], [["a"], ["a", "b"]])
    with pytest.raises(UsageError, match="ignored class"):
        score(MacroF1(("a",)), ["a", "b"], [["a"], ["a"]])
    assert score(MicroF1(("a",)), ["a"], [["a"]], bootstrap=0).value == 0
    for function in (by_class, confusions):
        with pytest.raises(UsageError, match="There are 2 predictions but 1"):
            function(["a", "b"], ["a"])
    for confidences, right, sentence in (
        ([], [], "0 confidences"),
        ([0.5], [True, False], "1 confidences for 2"),
        ([0.5, 1.5], [True, True], r"Confidence 2 is 1\.5"),
        ([math.nan], [True], "Confidence 1 is nan"),
    ):
        with pytest.raises(UsageError, match=sentence):
            calibration_error(confidences, right)
    with pytest.raises(UsageError, match="number of bins is 0"):
        calibration_error([0.5], [True], bins=0)


def test_calibration_by_hand() -> None:
    """Two bins: 0.2 and 0.5 (right, wrong) lie in the first, 0.6, 0.9 and 1 (right, right, wrong) in the second."""
    confidences, right = [0.2, 0.6, 0.5, 0.9, 1.0], [True, True, False, True, False]
    expected = abs(1 - 0.7) / 5 + abs(2 - 2.5) / 5
    assert calibration_error(confidences, right, bins=2, bootstrap=0).value == pytest.approx(100 * expected)
    first, second = reliability(confidences, right, bins=2)
    assert (first.low, first.high, first.count, second.count) == (0, 0.5, 2, 3)
    assert (first.confidence, first.accuracy) == pytest.approx((0.35, 0.5))
    assert (second.confidence, second.accuracy) == pytest.approx((2.5 / 3, 2 / 3))
    assert math.isnan(reliability([1.0], [True], bins=3)[1].accuracy)
    assert calibration_error([0.0, 1.0], [False, True], bootstrap=0).value == 0
    assert calibration_error([1.0, 1.0], [False, False], bootstrap=0).value == 100


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=31), st.integers(1, 17))
def test_calibration_is_that_of_the_definition(items: list[tuple[float, bool]], bins: int) -> None:
    total = 0.0
    for b in range(bins):
        inside = [(p, ok) for p, ok in items if max(0, math.ceil(p * bins) - 1) == b]
        if inside:
            total += abs(sum(ok for _, ok in inside) - sum(p for p, _ in inside)) / len(items)
    found = calibration_error([p for p, _ in items], [ok for _, ok in items], bins=bins, bootstrap=7)
    assert found.value == pytest.approx(100 * total, abs=1e-9)
    assert sum(each.count for each in reliability([p for p, _ in items], [ok for _, ok in items])) == len(items)


def test_what_is_taken_for_what() -> None:
    found = confusions([*SAID, "dog"], [*GOLD, "cat"])
    assert [(c.gold, c.predicted, c.count) for c in found] == [
        ("cat", "dog", 2), ("cat", "bat", 1), ("dog", "cat", 1), ("rat", "dog", 1),
    ]  # fmt: skip
    assert found[0].share == 0.5 and str(found[0]) == "cat → dog: 2 (50%)"
    assert confusions(GOLD, GOLD) == [] and len(confusions(SAID, GOLD, 1)) == 1
    scores = {s.label: s for s in by_class(SAID, GOLD)}
    assert list(scores) == ["bat", "cat", "dog", "rat"]
    dog = scores["dog"]
    assert (dog.precision, dog.recall, dog.f1, dog.count) == pytest.approx((50, 100 * 2 / 3, 100 * 4 / 7, 3))
    assert (scores["bat"].recall, scores["rat"].precision, scores["rat"].count) == (0, 0, 1)


if importlib.util.find_spec("sklearn") is not None:

    def test_it_agrees_with_scikit_learn() -> None:
        from sklearn.metrics import f1_score  # type: ignore[import-not-found]

        choose = np.random.default_rng(3)
        gold, said = (choose.choice(list("abcdef"), 211).tolist() for _ in range(2))
        for metric, average in ((MacroF1(), "macro"), (MicroF1(), "micro")):
            expected = 100 * f1_score(gold, said, average=average, labels=sorted(set(gold)))
            assert metric.measure(said, [[g] for g in gold]).value() == pytest.approx(expected)
