"""Scores of forecasts by hand and by plain loops, and the simple ways beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regard.errors import UsageError
from regard.evaluation.forecasting import Errors, coverage, drift, naive, pinball, seasonal_naive


def test_simple_ways_by_hand() -> None:
    values = np.array([[2.0], [4.0], [3.0], [5.0], [8.0]])
    origins = np.array([3, 5])
    np.testing.assert_array_equal(naive(values, origins, 2)[..., 0], [[3, 3], [8, 8]])
    np.testing.assert_array_equal(seasonal_naive(values, origins, 5, 3)[..., 0], [[2, 4, 3, 2, 4], [3, 5, 8, 3, 5]])
    # (3 - 2) / 2 and (8 - 2) / 4 a step.
    np.testing.assert_array_equal(drift(values, origins, 2)[..., 0], [[3.5, 4], [9.5, 11]])
    with pytest.raises(UsageError, match="a season of 4 lines"):
        seasonal_naive(values, origins, 1, 4)


def test_scores_against_plain_loops() -> None:
    draw = np.random.default_rng(5)
    misses, scale = draw.normal(size=(11, 3, 2)), np.array([0.5, 2.0])
    errors = Errors(misses, scale, 3)
    mae = [sum(abs(misses[o, t, c]) for o in range(11) for t in range(3)) / 33 for c in range(2)]
    rmse = [math.sqrt(sum(misses[o, t, c] ** 2 for o in range(11) for t in range(3)) / 33) for c in range(2)]
    mase = (mae[0] / 0.5 + mae[1] / 2) / 2
    assert errors.mase() == pytest.approx(mase)
    found = {score.name: score for score in errors.scores(["a", "b"], "season:7")}
    expected = {"MASE": mase, "MAE of a": mae[0], "RMSE of a": rmse[0], "MAE of b": mae[1], "RMSE of b": rmse[1]}
    assert {name: score.value for name, score in found.items()} == pytest.approx(expected)
    for score in found.values():
        assert score.low is not None and score.high is not None and score.low < score.value < score.high
    assert found["MASE"].signature.startswith("season:7|block:3|bs:1000")


def test_blocks_are_exchanged_between_two_forecasts() -> None:
    """Three blocks, of which all favour one: of the 8 ways to exchange them 2 are as uneven."""
    misses = np.array([1.0, 1.0, 2.0, 2.0, 1.0, 1.0])[:, None, None]
    one = Errors(misses, np.array([0.5]), 2)
    found = one.against(3 * misses, "f")
    assert found.difference == pytest.approx(2 * (8 / 6 - 24 / 6)), "by the denominators of the first"
    assert found.p_value == pytest.approx(2 / 8, abs=0.02)
    assert found.a.name == "MASE" and Errors(misses, np.zeros(1), 2).against(3 * misses, "f").a.name == "MAE"
    alone = Errors(misses, np.array([0.5]), 6).against(3 * misses, "f")
    assert alone.a.low is None and alone.b.low is None and alone.p_value == 1, "one block tells nothing"
    assert str(found).startswith("MASE 2.667") and "-5.333, p = " in str(found)


def test_a_perfect_season_has_no_mase() -> None:
    errors = Errors(np.ones((5, 2, 2)), np.array([0.0, 4.0]), 2)
    assert errors.mase() == 0.25
    assert math.isnan(Errors(np.ones((5, 2, 1)), np.zeros(1), 2).mase())
    assert "MASE" not in {s.name for s in Errors(np.ones((5, 2, 1)), np.zeros(1), 2).scores(["y"], "")}


def test_one_block_has_no_interval() -> None:
    [first, *_] = Errors(np.ones((5, 2, 1)), np.ones(1), 7).scores(["y"], "f")
    assert first.value == 1 and first.low is None and str(first) == "MASE 1"


def test_coverage_counts_the_ends() -> None:
    truth = np.array([[[0.0], [1.0]], [[2.0], [3.0]]])
    found = coverage(np.zeros_like(truth), np.full_like(truth, 2.0), truth, 1, "of:80 %")
    assert found.value == 75


def test_the_median_of_the_pinball_loss_is_the_absolute_error() -> None:
    truth = np.array([[[3.0]], [[5.0]]])
    assert pinball(np.full((2, 1, 1, 1), 4.5), truth, [0.5]) == pytest.approx((1.5 + 0.5) / 2)
    # 3 lies 1.5 below and 5 lies 0.5 above what is said of the upper tenth: 2 (0.1 · 1.5) and 2 (0.9 · 0.5).
    assert pinball(np.full((2, 1, 1, 1), 4.5), truth, [0.9]) == pytest.approx((0.3 + 0.9) / 2)


def test_the_pinball_loss_is_least_at_the_quantile() -> None:
    truth = np.arange(101.0)[:, None, None]
    losses = [pinball(np.full((101, 1, 1, 1), float(x)), truth, [0.1]) for x in range(101)]
    assert int(np.argmin(losses)) == 10
