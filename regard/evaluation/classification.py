"""Is it the right class, and are the probabilities honest? Accuracy, F1, calibration, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from regard.errors import UsageError
from regard.evaluation.resampling import check_sampling, score_of
from regard.evaluation.score import RESAMPLES, SEED, Measured, Score

BINS = 15  # as Guo et al. 2017 have it


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The share of items whose class is (one of) the right one(s), in percent."""

    name: str = "accuracy"
    higher_is_better: ClassVar[bool] = True

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        right = np.array([h in those for h, those in zip(hypotheses, references, strict=True)], dtype=np.float64)
        return Measured(np.stack([right, np.ones_like(right)], axis=1), _share, _signature(measure="accuracy"))


@dataclass(frozen=True, slots=True)
class MacroF1:
    """The mean of the classes' F1, `2 tp / (2 tp + fp + fn)`, in percent: a rare class counts as much as a common one.

    The classes are those of the references, without `ignored`; a resample has those of its own references. Taking an
    item for a class that no reference has costs recall only. So it is scikit-learn's
    `f1_score(gold, predicted, labels=sorted(set(gold)), average="macro")`.
    """

    ignored: tuple[str, ...] = ()
    name: str = "macro-F1"
    higher_is_better: ClassVar[bool] = True

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        gold = _single(references)
        classes = _classes(gold, self.ignored)
        place = {name: i for i, name in enumerate(classes)}
        # For each class: right, said, wanted. 2 tp + fp + fn is what was said and what was wanted.
        rows = np.zeros((len(gold), 3, len(classes)))
        for row, said, wanted in zip(rows, hypotheses, gold, strict=True):
            if said in place:
                row[1, place[said]] = 1
            if wanted in place:
                row[2, place[wanted]] = 1
                row[0, place[wanted]] = said == wanted
        signature = _signature(measure="f1", average="macro", classes="gold", ignored=_listed(self.ignored))
        return Measured(rows.reshape(len(gold), -1), _macro, signature)


@dataclass(frozen=True, slots=True)
class MicroF1:
    """F1 of all decisions together, in percent: the accuracy, unless some classes are `ignored`, such as the one that
    says *none of these*."""

    ignored: tuple[str, ...] = ()
    name: str = "micro-F1"
    higher_is_better: ClassVar[bool] = True

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        gold = _single(references)
        rows = np.array(
            [
                (h == g and g not in self.ignored, h not in self.ignored, g not in self.ignored)
                for h, g in zip(hypotheses, gold, strict=True)
            ],
            dtype=np.float64,
        )
        signature = _signature(measure="f1", average="micro", ignored=_listed(self.ignored))
        return Measured(rows, _micro, signature)


@dataclass(frozen=True, slots=True)
class Bin:
    """Items whose confidence lies in (low, high], and how often they are right; shares of 1, NaN where there are none."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class, in percent; `count` items have it."""

    label: str
    precision: float
    recall: float
    f1: float
    count: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` items of the class `gold` were taken for `predicted`, `share` of all that are `gold`."""

    gold: str
    predicted: str
    count: int
    share: float

    def __str__(self) -> str:
        return f"{self.gold} → {self.predicted}: {self.count} ({self.share:.0%})"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def calibration_error(
    confidences: Sequence[float] | Float[np.ndarray, " N"],
    right: Sequence[bool] | Bool[np.ndarray, " N"],
    *,
    bins: int = BINS,
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """The expected calibration error in percent: `Σ_b n_b/N |accuracy_b - confidence_b|` over `bins` bins of equal
    width (Naeini et al. 2015; Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    `confidences` are the probabilities of the predicted classes.

    Raises:
        UsageError: nothing to score, unequal counts, a confidence outside [0, 1], fewer than one bin.
    """
    check_sampling(bootstrap, seed)
    p, ok, number = _binned(confidences, right, bins)
    rows = np.zeros((len(p), bins, 2))
    rows[np.arange(len(p)), number, 0] = ok - p
    rows[:, 0, 1] = 1.0  # how many there are

    def formula(sums: Float[np.ndarray, "R K"]) -> Float[np.ndarray, " R"]:
        apart, count = sums.reshape(len(sums), bins, 2).transpose(2, 0, 1)
        return 100 * np.abs(apart).sum(axis=1) / count.sum(axis=1)

    measured = Measured(rows.reshape(len(p), -1), formula, _signature(measure="ece", bins=str(bins), width="equal"))
    return score_of("ECE", measured, bootstrap=bootstrap, seed=seed)


def reliability(
    confidences: Sequence[float] | Float[np.ndarray, " N"],
    right: Sequence[bool] | Bool[np.ndarray, " N"],
    *,
    bins: int = BINS,
) -> list[Bin]:
    """The bins of `calibration_error`: what a reliability diagram shows. Raises as it does."""
    p, ok, number = _binned(confidences, right, bins)
    found = []
    for b in range(bins):
        inside = number == b
        count = int(inside.sum())
        mean = (float(p[inside].mean()), float(ok[inside].mean())) if count else (float("nan"), float("nan"))
        found.append(Bin(b / bins, (b + 1) / bins, count, *mean))
    return found


def by_class(predicted: Sequence[str], gold: Sequence[str]) -> list[ClassScores]:
    """Precision, recall and F1 of every class that occurs in either, by name; nothing to divide by gives 0."""
    _check(predicted, gold)
    said, wanted = Counter(predicted), Counter(gold)
    both = Counter(p for p, g in zip(predicted, gold, strict=True) if p == g)

    def percent(part: int, whole: int) -> float:
        return 100 * part / whole if whole else 0.0

    return [
        ClassScores(
            name,
            percent(both[name], said[name]),
            percent(both[name], wanted[name]),
            percent(2 * both[name], said[name] + wanted[name]),
            wanted[name],
        )
        for name in sorted(said.keys() | wanted.keys())
    ]


def confusions(predicted: Sequence[str], gold: Sequence[str], count: int = 10) -> list[Confusion]:
    """What is taken for what, the commonest mistakes first."""
    _check(predicted, gold)
    wanted = Counter(gold)
    mistakes = Counter((g, p) for p, g in zip(predicted, gold, strict=True) if p != g)
    ordered = sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(g, p, n, n / wanted[g]) for (g, p), n in ordered[:count]]


def _single(references: Sequence[Sequence[str]]) -> list[str]:
    for number, those in enumerate(references, start=1):
        if len(those) != 1:
            raise UsageError(
                f"Item {number} has {len(those)} right classes; F1 needs one each, accuracy takes several."
            )
    return [those[0] for those in references]


def _classes(gold: Sequence[str], ignored: tuple[str, ...]) -> list[str]:
    classes = sorted(set(gold) - set(ignored))
    if not classes:
        raise UsageError("Every reference is of an ignored class; leave ignored empty, or score items of others.")
    return classes


def _check(predicted: Sequence[str], gold: Sequence[str]) -> None:
    if len(predicted) != len(gold):
        raise UsageError(f"There are {len(predicted)} predictions but {len(gold)} right classes; give one for each.")


def _binned(
    confidences: Sequence[float] | np.ndarray, right: Sequence[bool] | np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p, ok = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if bins < 1:
        raise UsageError(f"The number of bins is {bins}; it must be 1 or more, {BINS} is usual.")
    if p.shape != ok.shape or not len(p):
        raise UsageError(
            f"There are {p.size} confidences for {ok.size} predictions; give one for each of at least one."
        )
    outside = np.flatnonzero(~((p >= 0) & (p <= 1)))
    if len(outside):
        raise UsageError(f"Confidence {outside[0] + 1} is {p[outside[0]]}; probabilities lie between 0 and 1.")
    # (0, 1/M] is the first bin, and 0 belongs to it, too.
    return p, ok, np.clip(np.ceil(p * bins).astype(np.int64) - 1, 0, bins - 1)


def _share(sums: Float[np.ndarray, "R 2"]) -> Float[np.ndarray, " R"]:
    return 100 * sums[:, 0] / sums[:, 1]


def _macro(sums: Float[np.ndarray, "R K"]) -> Float[np.ndarray, " R"]:
    right, said, wanted = sums.reshape(len(sums), 3, -1).transpose(1, 0, 2)
    there = wanted > 0
    f1 = np.where(there, 2 * right / np.where(there, said + wanted, 1), 0.0)
    return 100 * f1.sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def _micro(sums: Float[np.ndarray, "R 3"]) -> Float[np.ndarray, " R"]:
    total = sums[:, 1] + sums[:, 2]
    return 100 * 2 * sums[:, 0] / np.where(total > 0, total, 1)


def _listed(ignored: tuple[str, ...]) -> str:
    return ",".join(ignored) or "none"


def _signature(**facts: str) -> Callable[[dict[str, str]], str]:
    return lambda fields: "|".join(f"{key}:{value}" for key, value in {**facts, **fields}.items())
