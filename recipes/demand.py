"""Makes hourly numbers that look like the demand for electricity of a small town, for recipes/demand.toml.

    python recipes/demand.py FOLDER

writes demand-train.csv (40 weeks) and demand-test.csv (the 8 weeks after), always the same. They are generated and not
measured: a shape of the day for workdays and one for weekends, a slow trend, and noise of which an hour keeps 0.7 of
the hour before. So the least error that any forecast can have is known, and printed.
"""

from __future__ import annotations

import math
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

SEED, WEEKS, TRAINED = 7, 48, 40
KEPT, NOISE = 0.7, 3.0  # of the noise: what an hour keeps of the one before, and what each adds (standard deviation)


def demand(hours: int) -> tuple[list[datetime], np.ndarray, np.ndarray]:
    """Times, what is to be expected of them, and what came."""
    start = datetime(2024, 1, 1)
    times = [start + timedelta(hours=h) for h in range(hours)]
    hour = np.array([t.hour for t in times])
    workday = np.array([t.weekday() < 5 for t in times])
    morning, evening = (np.exp(-0.5 * ((hour - at) / width) ** 2) for at, width in ((8, 2.0), (19, 2.5)))
    noon = np.exp(-0.5 * ((hour - 13) / 4.0) ** 2)
    shape = np.where(workday, 26 * morning + 30 * evening + 8 * noon, 6 * morning + 22 * evening + 20 * noon)
    trend = 100 + 15 * np.sin(2 * math.pi * np.arange(hours) / (24 * 7 * WEEKS))
    draw = np.random.default_rng(SEED).normal(0, NOISE, hours)
    noise = np.empty(hours)
    noise[0] = draw[0] / math.sqrt(1 - KEPT**2)
    for h in range(1, hours):
        noise[h] = KEPT * noise[h - 1] + draw[h]
    return times, trend + shape, trend + shape + noise


def least(horizon: int) -> float:
    """The mean absolute error, over the steps of a horizon, of who knows everything but the noise to come."""
    spread = [NOISE * math.sqrt((1 - KEPT ** (2 * h)) / (1 - KEPT**2)) for h in range(1, horizon + 1)]
    return math.sqrt(2 / math.pi) * sum(spread) / horizon


def main(folder: Path) -> None:
    times, _, came = demand(24 * 7 * WEEKS)
    rows = [f"{time:%Y-%m-%d %H:%M},{number:.2f}\n" for time, number in zip(times, came, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    cut = 24 * 7 * TRAINED
    for name, part in (("demand-train.csv", rows[:cut]), ("demand-test.csv", rows[cut:])):
        (folder / name).write_text("time,load\n" + "".join(part), encoding="utf-8")
        print(f"{folder / name}: {len(part):,} hours")
    print(f"least MAE that a forecast of 24 hours can have: {least(24):.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("say where the files shall go: python recipes/demand.py FOLDER")
    main(Path(sys.argv[1]))
