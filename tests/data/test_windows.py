"""Windows: what is past and what is future, the scaling, the calendar, and an order that the seed decides."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from regard.data.series import Series, Step
from regard.data.windows import Scaling, Windows, calendar, phase
from regard.errors import UsageError


def series(numbers: list[list[float]], step: int = 3600) -> Series:
    start = datetime(2024, 1, 1)
    times = [start + timedelta(seconds=step * i) for i in range(len(numbers))]
    columns = [f"c{i}" for i in range(len(numbers[0]))]
    return Series("x.csv", "time", columns, times, np.array(numbers), Step(seconds=step), "%Y-%m-%d %H:%M")


def test_scaling_by_hand() -> None:
    of = series([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0], [6.0, 5.0], [100.0, 9.0]])
    scaling = Scaling.of(of, 4, 2)
    assert scaling.mean == [3.0, 5.0]
    assert scaling.deviation == [math.sqrt((4 + 0 + 1 + 9) / 4), 1.0]  # what never changes is divided by 1
    assert scaling.naive == [(1 + 3) / 2, 0.0]
    np.testing.assert_allclose(scaling.units(), [scaling.deviation[0] / 2, 1.0])
    back = scaling.unscaled(scaling.scaled(of.values)[:, :, None])[:, :, 0]
    np.testing.assert_allclose(back, of.values)


def test_scaling_is_read_again(tmp_path: Path) -> None:
    scaling = Scaling.of(series([[float(i % 7)] for i in range(60)]), 50, 7)
    scaling.save(tmp_path / "series.json")
    assert Scaling.load(tmp_path / "series.json") == scaling
    (tmp_path / "series.json").write_text('{"time": "t"')
    with pytest.raises(UsageError, match="cut off"):
        Scaling.load(tmp_path / "series.json")
    with pytest.raises(UsageError, match="is missing"):
        Scaling.load(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("step", "lines", "cycles"),
    [
        (3600, 47, []),
        (3600, 48, ["hour"]),
        (3600, 24 * 14, ["hour", "weekday"]),
        (86400, 14, ["weekday"]),
        (86400, 730, ["weekday", "month"]),
        (86400 * 7, 105, ["month"]),
    ],
)
def test_a_cycle_counts_once_it_came_round_twice(step: int, lines: int, cycles: list[str]) -> None:
    assert Scaling.of(series([[float(i)] for i in range(lines)], step), lines, 1).cycles == cycles


def test_calendar_by_hand() -> None:
    times = [datetime(2024, 1, 1, 6), datetime(2024, 7, 1, 12)]  # two Mondays
    expected = [[1, 0, 0, 1, 0, 1], [0, -1, 0, 1, 0, -1]]
    np.testing.assert_allclose(calendar(times, ["hour", "weekday", "month"]), expected, atol=1e-12)
    assert calendar(times, []).shape == (2, 0)
    # The first line to come has phase 0, and so has what is a season before it.
    np.testing.assert_allclose(phase(3, 2, 3)[[0, 3]], [[0, 1], [0, 1]], atol=1e-12)


def windows(lines: int = 31, **changes: int | bool) -> Windows:
    of = series([[float(i), -float(i)] for i in range(lines)])
    scaling = Scaling.of(of, lines, 3)
    how = {"first": 5, "last": lines - 3, "size": 7, "seed": 11} | changes
    return Windows(of, scaling, 5, 3, **how)  # type: ignore[arg-type]


def test_a_window_is_history_and_then_horizon() -> None:
    made = windows()
    scaling = Scaling.of(series([[float(i), -float(i)] for i in range(31)]), 31, 3)
    seen = []
    for batch in made.epoch(0):
        past, future = (
            x * torch.tensor(scaling.deviation) + torch.tensor(scaling.mean) for x in (batch.past, batch.future)
        )
        for row, origin in enumerate(batch.rows.tolist()):
            torch.testing.assert_close(past[row, :, 0], torch.arange(origin - 5.0, origin))
            torch.testing.assert_close(future[row, :, 1], -torch.arange(float(origin), origin + 3))
            seen.append(origin)
        assert batch.target_tokens == 3 * len(batch)
    assert sorted(seen) == list(range(5, 29))  # every origin once, and no future beyond the end
    assert made.count(0) == 4


def test_an_epoch_goes_on_as_it_began() -> None:
    made, again = windows(), windows()
    whole = [batch.rows.tolist() for batch in made.epoch(2)]
    assert [batch.rows.tolist() for batch in again.epoch(2, 2)] == whole[2:]
    assert whole != [batch.rows.tolist() for batch in made.epoch(3)]
    assert next(b.rows.tolist() for b in windows(shuffle=False).epoch(0)) == list(range(5, 12))


def test_the_future_of_the_last_line_is_dated_and_unknown() -> None:
    made = windows(first=31, last=31)
    [batch] = made.epoch(0)
    assert batch.rows.tolist() == [31] and not batch.future.any()
    beyond = windows(lines=34)
    torch.testing.assert_close(batch.when, beyond.batch(np.array([31])).when)
