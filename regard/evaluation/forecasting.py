"""How good forecasts are, and the simple ways that they have to beat (Hyndman & Athanasopoulos 2021, 5.2 and 5.8).

Letters: O origins (the lines at which futures begin), T horizon, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from regard.errors import UsageError
from regard.evaluation.resampling import score_of
from regard.evaluation.score import RESAMPLES, SEED, Measured, Score
from regard.evaluation.significance import PairedResult, paired_measures


class ForecastScore(Score):
    """A score in the unit of the series, or in none: it is printed to four digits."""

    FORMAT = ".4g"


# --- simple ways ------------------------------------------------------------------------------------------------


def naive(values: Float[np.ndarray, "N C"], origins: Int[np.ndarray, " O"], horizon: int) -> Float[np.ndarray, "O T C"]:
    """The last number goes on."""
    return np.repeat(values[origins - 1][:, None], horizon, axis=1)


def seasonal_naive(
    values: Float[np.ndarray, "N C"], origins: Int[np.ndarray, " O"], horizon: int, season: int
) -> Float[np.ndarray, "O T C"]:
    """The last season comes back. UsageError where it is not known whole."""
    if len(origins) and origins.min() < season:
        raise UsageError(f"a season of {season} lines has to be known before the first forecast, not {origins.min()}")
    return values[origins[:, None] - season + np.arange(horizon) % season]


def drift(values: Float[np.ndarray, "N C"], origins: Int[np.ndarray, " O"], horizon: int) -> Float[np.ndarray, "O T C"]:
    """The line through the first and the last number goes on: `y_n + h (y_n - y_1) / (n - 1)`."""
    last = values[origins - 1]
    slope = (last - values[0]) / np.maximum(origins - 1, 1)[:, None]
    return last[:, None] + np.arange(1, horizon + 1)[:, None] * slope[:, None]


# --- scores -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Errors:
    """`misses [O, T, C]`, what was said less what came, and `naive [C]`, the denominators of MASE. Neighbouring origins
    share most of their future, so confidence comes from resampling blocks of `block` of them."""

    misses: Float[np.ndarray, "O T C"]
    naive: Float[np.ndarray, " C"]
    block: int

    @property
    def scaled(self) -> Bool[np.ndarray, " C"]:
        """The columns that have a MASE: those that the seasonal naive forecast missed at all in training."""
        return self.naive > 0

    def mae(self) -> Float[np.ndarray, " C"]:
        return np.abs(self.misses).mean(axis=(0, 1))

    def rmse(self) -> Float[np.ndarray, " C"]:
        return np.sqrt(np.square(self.misses).mean(axis=(0, 1)))

    def mase(self) -> float:
        """Mean absolute scaled error (Hyndman & Koehler 2006): below 1 is better than the seasonal naive forecast of one
        season ahead was in training. The mean over the columns that have one; NaN if none has."""
        kept = self.scaled
        return float((self.mae()[kept] / self.naive[kept]).mean()) if kept.any() else float("nan")

    def scores(self, columns: Sequence[str], facts: str) -> list[Score]:
        """MASE, and MAE and RMSE of each column, with the 95 % interval of a bootstrap."""
        absolute = np.abs(self.misses).mean(axis=1)
        squared = np.square(self.misses).mean(axis=1)
        found: list[Score] = [_mean("MASE", self._scaled(), self.block, facts)] if self.scaled.any() else []
        for place, column in enumerate(columns):
            of = "" if len(columns) == 1 else f" of {column}"
            found.append(_mean(f"MAE{of}", absolute[:, place], self.block, facts))
            found.append(_mean(f"RMSE{of}", squared[:, place], self.block, facts, root=True))
        return found

    def against(self, misses: Float[np.ndarray, "O T C"], facts: str) -> PairedResult:
        """Whether other forecasts from the same lines, which missed by so much, have another MASE by more than chance
        explains, or another mean absolute error where no column has one: blocks of origins are exchanged."""
        name = "MASE" if self.scaled.any() else "MAE"
        both = (self, replace(self, misses=misses))
        first, second = (_measured(each._scaled(), self.block, facts) for each in both)
        return paired_measures(name, first, second, bootstrap=_resamples(first), kind=ForecastScore)

    def _scaled(self) -> Float[np.ndarray, " O"]:
        """The absolute error from each origin, over the columns that have a MASE as a share of its denominator; or that of
        all columns, in their unit."""
        absolute, kept = np.abs(self.misses).mean(axis=1), self.scaled
        return (absolute[:, kept] / self.naive[kept] if kept.any() else absolute).mean(axis=1)


def coverage(
    low: Float[np.ndarray, "O T C"],
    high: Float[np.ndarray, "O T C"],
    truth: Float[np.ndarray, "O T C"],
    block: int,
    facts: str,
) -> Score:
    """The percentage of numbers that came to lie between the lower and the upper forecast."""
    inside = ((low <= truth) & (truth <= high)).mean(axis=(1, 2))
    return _mean("coverage", 100 * inside, block, facts)


def pinball(said: Float[np.ndarray, "O T C Q"], truth: Float[np.ndarray, "O T C"], quantiles: Sequence[float]) -> float:
    """The mean of twice the quantile loss, `2 max(q e, (q - 1) e)` with `e = y - ŷ_q` (Koenker & Bassett 1978); of the
    median it is the absolute error."""
    missed = truth[..., None] - said
    q = np.array(quantiles)
    return float(2 * np.maximum(q * missed, (q - 1) * missed).mean())


def _mean(name: str, values: Float[np.ndarray, " O"], block: int, facts: str, root: bool = False) -> Score:
    """The mean over origins, or its root."""
    measured = _measured(values, block, facts, root)
    found = score_of(name, measured, bootstrap=_resamples(measured), seed=SEED)
    return ForecastScore(found.name, found.value, found.low, found.high, found.signature)


def _resamples(measured: Measured) -> int:
    """One block alone says nothing of how far another would lie from it."""
    return RESAMPLES if len(measured.statistics) > 1 else 0


def _measured(values: Float[np.ndarray, " O"], block: int, facts: str, root: bool = False) -> Measured:
    """Sums and counts of blocks."""
    starts = np.arange(0, len(values), max(1, block))
    sums = np.add.reduceat(values, starts)
    counts = np.diff(starts, append=len(values))

    def formula(each: Float[np.ndarray, "R 2"]) -> Float[np.ndarray, " R"]:
        means = each[:, 0] / each[:, 1]
        return np.sqrt(means) if root else means

    def said(fields: dict[str, str]) -> str:
        return "|".join([facts, f"block:{block}", *(f"{key}:{value}" for key, value in fields.items())])

    return Measured(np.stack([sums, counts.astype(float)], axis=1), formula, said)
