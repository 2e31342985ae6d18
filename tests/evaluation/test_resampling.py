from __future__ import annotations

import numpy as np
import pytest

from regard.evaluation import item_error_rate, resampling


def test_the_interval_leaves_out_a_fortieth_at_each_end() -> None:
    assert resampling.interval(np.arange(1000.0)[::-1]) == (25, 974)
    assert resampling.interval(np.array([3.0])) == (3, 3)


def test_bootstrap_sums_are_sums_of_the_drawn_rows() -> None:
    statistics = np.random.default_rng(0).normal(size=(7, 3))
    (sums,) = resampling.bootstrap_sums(statistics, samples=11, seed=5)
    drawn = np.random.default_rng(5).choice(7, size=(11, 7))
    assert np.allclose(sums, statistics[drawn].sum(1))


def test_blocks_do_not_change_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = np.random.default_rng(0).normal(size=(7, 3))
    (whole,) = resampling.bootstrap_sums(statistics, samples=53, seed=5)
    monkeypatch.setattr(resampling, "_INDICES", 7 * 5)
    (blocks,) = resampling.bootstrap_sums(statistics, samples=53, seed=5)
    assert np.allclose(whole, blocks)


def test_shuffled_systems_keep_their_common_sum_and_mix_row_by_row() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(9, 2)), random.normal(size=(9, 2))
    first, second = resampling.shuffled_sums(a, b, samples=20, seed=5)
    assert np.allclose(first + second, (a + b).sum(0))
    stays = np.random.default_rng(5).integers(2, size=(20, 9), dtype=bool)
    assert np.allclose(first, [np.where(row[:, None], a, b).sum(0) for row in stays])


def test_the_interval_of_a_share_is_that_of_the_binomial() -> None:
    """400 items, half of them wrong: the share is 50 % ± 1.96 · √(0.25 / 400) = 4.9 points."""
    found = item_error_rate(["a"] * 400, [["a" if i % 2 else "b"] for i in range(400)], bootstrap=4000)
    assert found.value == 50
    assert found.low == pytest.approx(45.1, abs=0.6)
    assert found.high == pytest.approx(54.9, abs=0.6)
