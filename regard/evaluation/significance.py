"""Is one system better than another, or were these sentences kind to it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from regard.errors import UsageError
from regard.evaluation.resampling import bootstrap_sums, check_sampling, score_of, shuffled_sums
from regard.evaluation.score import RESAMPLES, SEED, Measured, Metric, Score, check_parallel

Method = Literal["approximate-randomization", "paired-bootstrap"]
_SAMPLES = {"approximate-randomization": 10_000, "paired-bootstrap": 1_000}
_SHORT = {"approximate-randomization": "ar", "paired-bootstrap": "bs"}


@dataclass(frozen=True, slots=True)
class PairedResult:
    """Two systems on the same sentences. `difference` is a - b; `p_value` is two-sided."""

    a: Score
    b: Score
    difference: float
    p_value: float
    method: Method
    samples: int
    signature: str

    def __str__(self) -> str:
        return f"{self.a} against {self.b}: {self.difference:+{self.a.FORMAT}}, p = {self.p_value:.4f}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def paired_test(
    hypotheses_a: Sequence[str],
    hypotheses_b: Sequence[str],
    references: Sequence[Sequence[str]],
    metric: Metric,
    *,
    method: Method = "approximate-randomization",
    samples: int | None = None,
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> PairedResult:
    """Tests whether a and b, outputs for the same N sentences, differ by more than chance explains.

    Approximate randomization (Noreen 1989; Riezler & Maxwell 2005, https://aclanthology.org/W05-0908) exchanges the
    two outputs of each sentence by the toss of a coin; p is the share of 10,000 such shuffles whose difference is
    at least the one observed. The paired bootstrap is that of Moses and sacreBLEU (1,000 resamples, |difference|
    less its mean). Both draw as sacreBLEU does from the same seed; other than there, a shuffle that *equals* the
    observed difference counts as one that reaches it, so that a system against itself has p = 1. `bootstrap` is for
    the confidence intervals of `a` and `b`.

    Raises:
        UsageError: see `check_parallel`; an unknown method; fewer than 1 sample.
    """
    check_parallel(hypotheses_a, references)
    check_parallel(hypotheses_b, references)
    first, second = metric.measure(hypotheses_a, references), metric.measure(hypotheses_b, references)
    return paired_measures(metric.name, first, second, method=method, samples=samples, bootstrap=bootstrap, seed=seed)


def paired_measures(
    name: str,
    first: Measured,
    second: Measured,
    *,
    method: Method = "approximate-randomization",
    samples: int | None = None,
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
    kind: type[Score] = Score,
) -> PairedResult:
    """`paired_test` of what was measured already; row n of both is of the same sentence, document or block. `kind` says how
    the numbers are printed."""
    if method not in _SAMPLES:
        raise UsageError(f"method is '{method}'; it must be one of {', '.join(_SAMPLES)}.")
    samples = _SAMPLES[method] if samples is None else samples
    if samples < 1:
        raise UsageError(f"A paired test needs at least 1 sample, not {samples}; {_SAMPLES[method]} is usual.")
    check_sampling(bootstrap, seed)
    difference = first.value() - second.value()
    if method == "approximate-randomization":
        sums_a, sums_b = shuffled_sums(first.statistics, second.statistics, samples=samples, seed=seed)
        chance = np.abs(first.formula(sums_a) - second.formula(sums_b))
    else:
        sums_a, sums_b = bootstrap_sums(first.statistics, second.statistics, samples=samples, seed=seed)
        chance = np.abs(first.formula(sums_a) - second.formula(sums_b))
        chance -= chance.mean()
    # The margin forgives the rounding of sums that are equal on paper.
    reached = int((chance >= abs(difference) - 1e-9).sum())
    a, b = (score_of(name, each, bootstrap=bootstrap, seed=seed) for each in (first, second))
    return PairedResult(
        kind(**asdict(a)),
        kind(**asdict(b)),
        difference,
        (reached + 1) / (samples + 1),
        method,
        samples,
        first.signature({_SHORT[method]: str(samples), "seed": str(seed)}),
    )
