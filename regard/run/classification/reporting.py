"""How good a classifier is, and whether two differ: the same of texts and of pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from regard.data.labels import Labelled, Labels
from regard.errors import UsageError
from regard.evaluation import PairedResult, Score, paired_test, score
from regard.evaluation.classification import Accuracy, Confusion, MacroF1, calibration_error, confusions
from regard.tasks import classification
from regard.tasks.classification import Prediction

CONFUSED = 5  # pairs of classes that are named


def scored(found: Sequence[Prediction], gold: Sequence[str]) -> tuple[list[Score], list[Confusion]]:
    """Accuracy, macro-F1 and calibration error, and the pairs of classes that are taken for each other most."""
    said = [each.label for each in found]
    right = [a == b for a, b in zip(said, gold, strict=True)]
    scores = [score(metric, said, [[label] for label in gold]) for metric in (Accuracy(), MacroF1())]
    scores.append(calibration_error([each.probability for each in found], right))
    return scores, confusions(said, gold, CONFUSED)


def compared(a: Sequence[Prediction], b: Sequence[Prediction], gold: Sequence[str]) -> list[PairedResult]:
    """Whether two classifiers differ by more than chance: accuracy and macro-F1 of the same items."""
    one, other = ([each.label for each in found] for found in (a, b))
    return [paired_test(one, other, [[label] for label in gold], metric) for metric in classification.metrics()]


def check_comparable(one: str, other: str, labels: Labels, items: Labelled, unit: str = "line") -> None:
    """UsageError where the model `other` does not know a class of the items: it could only be wrong, and a test against
    it would say nothing."""
    try:
        labels.ids(items, unit)
    except UsageError as error:
        raise UsageError(f"{one} cannot be tested against {other}, which does not know all classes: {error}") from error


def row_of(found: Prediction | None) -> dict[str, Any]:
    """An answer for a line of JSON; of nothing a blank class."""
    if found is None:
        return {"label": "", "probability": 0.0, "top": {}}
    return {"label": found.label, "probability": found.probability, "top": dict(found.top())}


def report(
    name: str,
    what: str,
    count: int,
    classes: int,
    scored: tuple[list[Score], list[Confusion]],
    paired: list[PairedResult],
    *,
    as_json: bool,
) -> str:
    """What `regard evaluate` prints of `count` texts, or pictures. In JSON texts are counted as sentences."""
    scores, confused = scored
    if as_json:
        counted = {"sentences" if what == "texts" else what: count}
        facts: dict[str, Any] = {"run": name, **counted, "scores": [each.to_json() for each in scores]}
        facts |= {"confusions": [c.to_json() for c in confused], "paired": [p.to_json() for p in paired]}
        return json.dumps(facts, ensure_ascii=False, indent=1)
    lines = [f"{name}: {count:,} {what}, {classes} classes"]
    lines += [f"  {each}    {each.signature}" for each in scores]
    return "\n".join([*lines, *(f"  {each}" for each in confused), *(f"{p}    {p.signature}" for p in paired)])
