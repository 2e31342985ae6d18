"""What a search finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """`ids` without BOS and EOS; `score` is the sum of `log_probabilities`, of which there is one per id and, if
    the hypothesis is `finished`, one for EOS."""

    ids: list[int]
    score: float
    log_probabilities: list[float]
    finished: bool
