"""Scores by source length: where a fixed context fails and attention holds (Bahdanau 2014, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regard.errors import UsageError
from regard.evaluation.resampling import check_sampling, score_of
from regard.evaluation.score import RESAMPLES, SEED, Measured, Metric, Score, check_parallel

BOUNDS = (10, 20, 30, 40, 50)


@dataclass(frozen=True, slots=True)
class LengthBucket:
    """Sentences whose source has `shortest` to `longest` words (None: no limit); `score` is None where `count` is 0."""

    shortest: int
    longest: int | None
    count: int
    score: Score | None

    @property
    def label(self) -> str:
        return f"{self.shortest}+" if self.longest is None else f"{self.shortest}-{self.longest}"

    def to_json(self) -> dict[str, Any]:
        return {
            "shortest": self.shortest,
            "longest": self.longest,
            "count": self.count,
            "score": None if self.score is None else self.score.to_json(),
        }


def by_length(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    sources: Sequence[str],
    metric: Metric,
    *,
    bounds: Sequence[int] = BOUNDS,
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> list[LengthBucket]:
    """A score for each range of source lengths, counted in words between white space.

    `bounds` are the longest lengths of all ranges but the last, which has no limit: (10, 20) makes 0-10, 11-20 and
    21+. Each bucket is scored as a corpus of its own, empty ones keep their place.

    Raises:
        UsageError: see `check_parallel`; sources of another count; bounds that do not rise.
    """
    check_parallel(hypotheses, references)
    check_sampling(bootstrap, seed)
    if len(sources) != len(hypotheses):
        raise UsageError(f"There are {len(hypotheses)} hypotheses but {len(sources)} sources; give one for each.")
    if any(later <= earlier for earlier, later in zip((-1, *bounds), bounds, strict=False)):
        raise UsageError(f"The bounds {', '.join(map(str, bounds))} must rise from 0 or more, each above the last.")
    measured = metric.measure(hypotheses, references)
    lengths = np.array([len(source.split()) for source in sources])
    place = np.searchsorted(np.array(bounds, dtype=np.int64), lengths)
    buckets = []
    for number, (shortest, longest) in enumerate(
        zip((0, *(bound + 1 for bound in bounds)), (*bounds, None), strict=True)
    ):
        inside = place == number
        count = int(inside.sum())
        part = Measured(measured.statistics[inside], measured.formula, measured.signature)
        found = score_of(metric.name, part, bootstrap=bootstrap, seed=seed) if count else None
        buckets.append(LengthBucket(shortest, longest, count, found))
    return buckets
