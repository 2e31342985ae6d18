"""Sums over random selections of sentences: the bootstrap and the shuffle of two systems.

Both draw the same numbers as sacreBLEU does from the same seed, so that its signatures stay true; but in blocks,
so that a million sentences need no more memory than a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from regard.errors import UsageError
from regard.evaluation.score import RESAMPLES, SEED, Measured, Metric, Score, check_parallel

# Random indices held at once (8 bytes each), and random bits held at once (1 byte each).
_INDICES = 1 << 22
_BITS = 1 << 26


def bootstrap_sums(
    *systems: Float[np.ndarray, "N K"], samples: int, seed: int
) -> tuple[Float[np.ndarray, "samples K"], ...]:
    """For each system, the sums of N rows drawn with replacement; every system gets the same draws.

    Efron & Tibshirani 1993; for translation Koehn 2004, https://aclanthology.org/W04-3250.
    """
    count = len(systems[0])
    random = np.random.default_rng(seed)
    found: list[list[np.ndarray]] = [[] for _ in systems]
    for rows in _blocks(samples, _INDICES // count):
        drawn = random.choice(count, size=(rows, count), replace=True)
        drawn += np.arange(rows)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        for sums, statistics in zip(found, systems, strict=True):
            sums.append(times @ statistics)
    return tuple(np.concatenate(sums) for sums in found)


def shuffled_sums(
    a: Float[np.ndarray, "N K"], b: Float[np.ndarray, "N K"], *, samples: int, seed: int
) -> tuple[Float[np.ndarray, "samples K"], Float[np.ndarray, "samples K"]]:
    """The sums of two systems after each sentence's outputs were exchanged, or not, by the toss of a coin."""
    count = len(a)
    random = np.random.default_rng(seed)
    found = []
    for rows in _blocks(samples, _BITS // count):
        stays = random.integers(2, size=(rows, count), dtype=bool)
        for start in range(0, rows, step := max(1, _INDICES // count)):
            # Σ_stay a + Σ_swap b = Σ b + Σ_stay (a - b)
            found.append(stays[start : start + step].astype(np.float64) @ (a - b))
    moved = np.concatenate(found)
    return b.sum(0) + moved, a.sum(0) - moved


def score(
    metric: Metric,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """The score of all hypotheses, with the 95 % interval of `bootstrap` resamples (0: none).

    Raises:
        UsageError: see `check_parallel`, and where `bootstrap` or `seed` is negative.
    """
    check_parallel(hypotheses, references)
    check_sampling(bootstrap, seed)
    return score_of(metric.name, metric.measure(hypotheses, references), bootstrap=bootstrap, seed=seed)


def score_of(name: str, measured: Measured, *, bootstrap: int, seed: int) -> Score:
    if not bootstrap:
        return Score(name, measured.value(), None, None, measured.signature({}))
    (sums,) = bootstrap_sums(measured.statistics, samples=bootstrap, seed=seed)
    low, high = interval(measured.formula(sums))
    return Score(name, measured.value(), low, high, measured.signature({"bs": str(bootstrap), "seed": str(seed)}))


def interval(values: Float[np.ndarray, " R"]) -> tuple[float, float]:
    """The middle 95 % of resampled values: from each end 1/40 is left out, as sacreBLEU counts it."""
    ordered = np.sort(values)
    outside = len(ordered) // 40
    return float(ordered[outside]), float(ordered[len(ordered) - outside - 1])


def check_sampling(samples: int, seed: int) -> None:
    if samples < 0:
        raise UsageError(f"The number of resamples is {samples}; it must be 0 (none) or more, 1000 is usual.")
    if seed < 0:
        raise UsageError(f"The seed is {seed}; it must be 0 or more.")


def _blocks(total: int, size: int) -> Iterator[int]:
    size = max(1, size)
    for start in range(0, total, size):
        yield min(size, total - start)
