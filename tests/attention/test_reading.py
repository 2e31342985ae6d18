"""What is read out of weights, by hand arithmetic and against plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from regard.attention import reading


def test_entropy_by_hand() -> None:
    rows = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0, 0, 0]])
    np.testing.assert_allclose(reading.entropy(rows), [0, math.log(2), math.log(4), 0], atol=1e-12)
    # Sigmoid attention gives more than 1, local attention less: what counts is how it is shared out.
    np.testing.assert_allclose(reading.entropy(3 * rows), reading.entropy(rows), atol=1e-12)
    np.testing.assert_allclose(reading.entropy(0.2 * rows), reading.entropy(rows), atol=1e-12)


def test_heads_that_look_alike_are_0_apart_and_heads_that_never_meet_ln_2() -> None:
    one = [[1.0, 0, 0], [0.5, 0.5, 0]]
    weights = np.array([one, one, [[0, 1, 0], [0, 0, 1]], [[0, 0, 0], [0.5, 0.5, 0]]])
    found = reading.divergence(weights)
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-12)
    assert found[0, 1] == pytest.approx(0)
    assert found[0, 2] == pytest.approx(math.log(2)) and found[2, 0] == pytest.approx(math.log(2))
    assert found[0, 3] == pytest.approx(0)  # the first step of the last head has no weight
    # P = (1, 0) and Q = (1/2, 1/2): M = (3/4, 1/4).
    half = reading.divergence(np.array([[[1.0, 0.0]], [[0.5, 0.5]]]))[0, 1]
    by_hand = 0.5 * math.log(4 / 3) + 0.5 * (0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert half == pytest.approx(by_hand)
    empty = reading.divergence(np.zeros((2, 1, 3)))
    assert np.isnan(empty).all()


def test_rollout_by_hand() -> None:
    # Both layers: the second position looks at the first alone.
    layer = [[1.0, 0.0], [1.0, 0.0]]
    found = reading.rollout(np.array([[layer], [layer]]))
    np.testing.assert_allclose(found[0], [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(found[1], [[1, 0], [0.75, 0.25]])
    np.testing.assert_allclose(reading.rollout(np.array([[layer], [layer]]), residual=0)[1], layer)


def test_rollout_is_the_sum_over_all_ways_through_the_layers() -> None:
    rng = np.random.default_rng(3)
    weights = rng.dirichlet(np.ones(5), size=(3, 2, 5))
    mixing = [
        [[0.3 * (i == j) + 0.7 * weights[n, :, i, j].mean() for j in range(5)] for i in range(5)] for n in range(3)
    ]
    for top, bottom in itertools.product(range(5), repeat=2):
        ways = itertools.product(range(5), repeat=2)
        total = sum(mixing[2][top][b] * mixing[1][b][a] * mixing[0][a][bottom] for b, a in ways)
        assert reading.rollout(weights, residual=0.3)[2, top, bottom] == pytest.approx(total)


def cut(capacity: np.ndarray, start: int, end: int) -> float:
    """The least cut, by trying all: what Ford and Fulkerson say the greatest flow equals."""
    others = [node for node in range(len(capacity)) if node not in (start, end)]
    best = math.inf
    for chosen in itertools.product([False, True], repeat=len(others)):
        side = {start} | {node for node, on in zip(others, chosen, strict=True) if on}
        best = min(best, sum(capacity[a, b] for a in side for b in range(len(capacity)) if b not in side))
    return best


def test_the_greatest_flow_is_the_least_cut() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        capacity = rng.random((7, 7)) * (rng.random((7, 7)) < 0.5)
        np.fill_diagonal(capacity, 0)
        assert reading.max_flow(capacity, 0, 6) == pytest.approx(cut(capacity, 0, 6))
    # A path that has to be taken back: the shortest first path blocks both others.
    capacity = np.zeros((6, 6))
    for a, b in ((0, 1), (1, 4), (4, 5), (0, 2), (2, 4), (1, 3), (3, 5)):
        capacity[a, b] = 1
    assert reading.max_flow(capacity, 0, 5) == 2


def test_flow_by_hand_and_against_scipy() -> None:
    layer = [[1.0, 0.0], [1.0, 0.0]]
    # Of position 1: one half stays, and one half goes over to 0; then a half goes over again.
    np.testing.assert_allclose(reading.flow(np.array([[layer], [layer]])), [[1, 0], [1, 0.5]])
    graphs = pytest.importorskip("scipy.sparse.csgraph")
    from scipy.sparse import csr_array

    rng = np.random.default_rng(11)
    weights = rng.dirichlet(np.full(5, 0.3), size=(3, 1, 5))
    whole = np.round(0.5e6 * weights[:, 0] + 0.5e6 * np.eye(5)).astype(np.int32)  # flows there are of whole numbers
    capacity = np.zeros((20, 20), dtype=np.int32)
    for n in range(3):
        capacity[5 * n + 5 : 5 * n + 10, 5 * n : 5 * n + 5] = whole[n]
    found = reading.flow(weights)
    for top, bottom in itertools.product(range(5), repeat=2):
        expected = graphs.maximum_flow(csr_array(capacity), 15 + top, bottom).flow_value
        assert found[top, bottom] == pytest.approx(expected / 1e6, abs=1e-4)


def test_words_sum_over_columns_and_average_over_rows() -> None:
    weights = np.array([[[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [1.0, 0.0, 0.0]]])
    found = reading.words(weights, [0, 0, 2], 3, [0, 1, 1], 2)
    np.testing.assert_allclose(found, [[[0.2, 0.8], [0, 0], [1, 0]]], atol=1e-7)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="as many word numbers"):
        reading.words(np.ones((2, 3)), [0], 1, [0, 0, 0], 1)
    with pytest.raises(ValueError, match=r"\[layers, heads, N, N\], not \[1, 2, 3\]"):
        reading.rollout(np.ones((1, 2, 3)))
    with pytest.raises(ValueError, match="residual"):
        reading.flow(np.ones((1, 1, 2, 2)), residual=1)
