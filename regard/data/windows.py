"""Windows over a series: some lines that are read and the lines after them that are to be said.

Letters: B batch, S history, T horizon, C columns, K features of a time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.data.series import Series, Step
from regard.errors import UsageError

# The features of a time, and the seconds after which each comes back.
CYCLES = {"hour": 86400, "weekday": 7 * 86400, "month": 365 * 86400}


@dataclass(frozen=True)
class Scaling:
    """What a run knows of the series it learned from, and keeps in `series.json`.

    `mean` and `deviation [C]` make of a value the number that the model sees, `(y - mean) / deviation`. `naive [C]` is
    the mean absolute error, over the lines trained on, of saying what was `season` lines ago: the denominator of MASE
    (Hyndman & Koehler 2006). `cycles` are the features of a time.
    """

    time: str
    columns: list[str]
    step: Step
    season: int
    mean: list[float]
    deviation: list[float]
    naive: list[float]
    cycles: list[str]

    @classmethod
    def of(cls, series: Series, lines: int, season: int) -> Scaling:
        """Of the first `lines` of a series. A cycle that has not come round twice in them says nothing of the time
        after them, and is left out."""
        values = series.values[:lines]
        deviation = values.std(axis=0)
        # What never changes has no scale of its own; rounding must not give it one.
        still = deviation <= 1e-12 * np.abs(values).max(axis=0, initial=0)
        naive = np.abs(values[season:] - values[:-season]).mean(axis=0)
        passed = (series.times[lines - 1] - series.times[0]).total_seconds()
        size = (series.times[1] - series.times[0]).total_seconds()
        cycles = [name for name, length in CYCLES.items() if 2 * size <= length and 2 * length <= passed + size]
        return cls(
            series.time,
            series.columns,
            series.step,
            season,
            values.mean(axis=0).tolist(),
            np.where(still, 1.0, deviation).tolist(),
            naive.tolist(),
            cycles,
        )

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Scaling:
        """UsageError if there is none, or it is broken."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(**(found | {"step": Step(**found["step"])}))
        except FileNotFoundError as error:
            raise UsageError(
                f"{path} is missing: the run was not finished or not copied whole; train it again"
            ) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{path} cannot be read: it was cut off or changed; train the run again") from error

    def check(self, series: Series) -> None:
        """UsageError where a series is not of the kind that was trained on."""
        if series.step != self.step:
            raise UsageError(f"{series.name} has a step of {series.step}, and the run was trained on {self.step}")

    def scaled(self, values: Float[np.ndarray, "*N C"]) -> Float[np.ndarray, "*N C"]:
        return (values - np.array(self.mean)) / np.array(self.deviation)

    def unscaled(self, numbers: Float[np.ndarray, "*N C Q"]) -> Float[np.ndarray, "*N C Q"]:
        return numbers * np.array(self.deviation)[:, None] + np.array(self.mean)[:, None]

    def units(self) -> Float[np.ndarray, " C"]:
        """What an error of 1 of the model's numbers is in errors of the seasonal naive forecast; 1 where that has none."""
        naive, deviation = np.array(self.naive), np.array(self.deviation)
        return np.divide(deviation, naive, out=np.ones_like(naive), where=naive > 1e-9 * deviation)


def calendar(times: Sequence[datetime], cycles: Sequence[str]) -> Float[np.ndarray, "N K"]:
    """The sine and the cosine of where in each cycle a time stands."""
    found = {
        "hour": [(t.hour + t.minute / 60 + t.second / 3600) / 24 for t in times],
        "weekday": [t.weekday() / 7 for t in times],
        "month": [(t.month - 1 + (t.day - 1) / 31) / 12 for t in times],
    }
    angles = [2 * math.pi * np.array(found[name]) for name in cycles]
    waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack(waves, axis=1) if waves else np.zeros((len(times), 0))


def phase(history: int, horizon: int, season: int) -> Float[np.ndarray, "S+T 2"]:
    """The same of the season, counted from the first line that is to be said: all windows have the same."""
    angle = 2 * math.pi * np.arange(-history, horizon) / season
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """`past` and `future` hold the model's numbers; `past_when` and `when` say of each line when it is."""

    past: Float[Tensor, "B S C"]
    past_when: Float[Tensor, "B S K"]
    when: Float[Tensor, "B T K"]
    future: Float[Tensor, "B T C"]
    rows: Int[Tensor, " B"]  # the line, from 0, at which the future begins

    def __len__(self) -> int:
        return self.past.shape[0]

    def to(self, device: torch.device | str) -> WindowBatch:
        return WindowBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def target_tokens(self) -> int:
        return self.when.shape[0] * self.when.shape[1]


class Windows:
    """The windows of a series whose futures begin at the lines `first … last`, from 0.

    Since the order of an epoch follows from `(seed, number)`, a training resumes from two numbers: epoch and batch.
    """

    def __init__(
        self,
        series: Series,
        scaling: Scaling,
        history: int,
        horizon: int,
        *,
        first: int,
        last: int,
        size: int,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.history, self.horizon, self.size, self.seed, self.shuffle = history, horizon, size, seed, shuffle
        self.origins = np.arange(max(first, history), last + 1)
        times = [*series.times, *series.going_on(max(0, last + horizon - len(series)))]
        blank = np.zeros((len(times) - len(series), len(series.columns)))
        # A future that is not known yet is zeros, which nobody reads.
        self._numbers = np.concatenate([scaling.scaled(series.values), blank]).astype(np.float32)
        self._when = calendar(times, scaling.cycles).astype(np.float32)
        self._phase = phase(history, horizon, scaling.season).astype(np.float32)

    def __len__(self) -> int:
        return len(self.origins)

    def epoch(self, number: int, start: int = 0) -> Iterator[WindowBatch]:
        """The batches of an epoch, from the batch `start` on."""
        order = self.origins
        if self.shuffle:
            order = order[np.random.default_rng([self.seed, number]).permutation(len(order))]
        for begin in range(start * self.size, len(order), self.size):
            yield self.batch(order[begin : begin + self.size])

    def count(self, number: int) -> int:
        return -(-len(self.origins) // self.size)

    def batch(self, origins: Int[np.ndarray, " B"]) -> WindowBatch:
        lines = origins[:, None] + np.arange(-self.history, self.horizon)
        waves = np.broadcast_to(self._phase, (len(origins), *self._phase.shape))
        when = torch.from_numpy(np.concatenate([self._when[lines], waves], axis=2))
        numbers = torch.from_numpy(self._numbers[lines])
        return WindowBatch(
            numbers[:, : self.history],
            when[:, : self.history],
            when[:, self.history :],
            numbers[:, self.history :],
            torch.from_numpy(origins),
        )
