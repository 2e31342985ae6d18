"""Scores and normalizers by hand arithmetic from their papers' formulas, and against an independent solver."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from regard.attention.normalizers import ignores_shift, softmax, sparsemax
from regard.attention.scopes import Causal, Global, Window, render
from regard.attention.scores import (
    Additive,
    Cosine,
    Coverage,
    Distance,
    Dot,
    General,
    Location,
    LocationSensitive,
    ScaledDot,
)
from regard.attention.stateful import StatefulAttend
from regard.attention.trail import Trail
from regard.errors import UsageError

Q = torch.tensor([[1.0, 2.0]])
K = torch.tensor([[3.0, 4.0], [-1.0, 0.5]])


def test_dot_and_scaled_dot() -> None:
    assert Dot()(Q, K).tolist() == [[11.0, 0.0]]
    torch.testing.assert_close(ScaledDot()(Q, K), torch.tensor([[11.0 / math.sqrt(2), 0.0]]))


def test_general_is_q_w_k() -> None:
    score = General(2, 3)
    with torch.no_grad():
        score.weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [0.0, -1.0, 1.0]]))
    k = torch.tensor([[1.0, 1.0, 1.0], [0.0, 2.0, -1.0]])
    # q W = [1, 0, 2] + 2·[0, -1, 1] = [1, -2, 4]
    assert score(Q, k).tolist() == [[3.0, -8.0]]


def test_additive_is_v_tanh_of_the_sum() -> None:
    score = Additive(2, 2, 3)
    with torch.no_grad():
        score.query.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]))
        score.key.weight.copy_(torch.tensor([[0.5, 0.0], [0.0, 0.25], [0.0, 0.0]]))
        score.v.copy_(torch.tensor([1.0, -2.0, 3.0]))
    expected = [
        math.tanh(1 + 1.5) - 2 * math.tanh(2 + 1.0) + 3 * math.tanh(-1),
        math.tanh(1 - 0.5) - 2 * math.tanh(2 + 0.125) + 3 * math.tanh(-1),
    ]
    torch.testing.assert_close(score(Q, K), torch.tensor([expected]))
    assert {n: tuple(p.shape) for n, p in Additive(5, 7, 3).named_parameters()} == {
        "v": (3,),
        "query.weight": (3, 5),
        "key.weight": (3, 7),
    }


@pytest.mark.parametrize("score", [Dot(), ScaledDot(), General(2, 2), Additive(2, 2, 4)])
def test_sizes_that_do_not_fit_are_named(score: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match=r"2.*3|3.*2"):
        score(Q, torch.randn(4, 3))


def test_sparsemax_solves_its_optimisation_problem() -> None:
    """argmin ‖p - z‖² on the simplex, by a general solver that knows nothing of sorting."""
    rng = np.random.default_rng(5)
    for size in (1, 2, 3, 8):
        z = rng.normal(size=size) * 1.5
        solved = minimize(
            lambda p, z=z: ((p - z) ** 2).sum(),
            np.full(size, 1 / size),
            bounds=[(0, 1)] * size,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(sparsemax(torch.from_numpy(z)).numpy(), solved.x, atol=1e-5)


def test_sparsemax_by_hand_and_at_its_edges() -> None:
    torch.testing.assert_close(sparsemax(torch.tensor([0.5, 0.1, -2.0])), torch.tensor([0.7, 0.3, 0.0]))
    assert sparsemax(torch.tensor([9.0, 1.0, -torch.inf])).tolist() == [1.0, 0.0, 0.0]
    assert sparsemax(torch.tensor([1e8, 1e8])).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("normalize", [softmax, sparsemax])
def test_a_constant_does_not_matter_where_it_is_said_not_to(normalize) -> None:  # type: ignore[no-untyped-def]
    z = torch.randn(4, 9, dtype=torch.float64)
    assert ignores_shift(normalize)
    torch.testing.assert_close(normalize(z + 3.7), normalize(z))


def test_scopes_are_the_predicates_they_say() -> None:
    for scope, rule in (
        (Global(), lambda t, s: True),
        (Causal(), lambda t, s: s <= t),
        (Window(1, 2), lambda t, s: t - 1 <= s <= t + 2),
        (Window(0, 0), lambda t, s: s == t),
    ):
        for start in (0, 3):
            seen = render(scope, 4, 6, start, torch.device("cpu"))
            assert seen.tolist() == [[rule(start + t, s) for s in range(6)] for t in range(4)]
    with pytest.raises(ValueError, match="left=-1"):
        Window(-1, 0)


@pytest.mark.parametrize("strength", [1e-3, 1.0, 8.0, 1e4])
def test_cosine_is_the_strength_times_the_cosine(strength: float) -> None:
    score = Cosine(strength)
    # |q| = √5, |k| = 5 and √1.25, q·k = 11 and 0.
    torch.testing.assert_close(
        score(Q, K), torch.tensor([[strength * 11 / (5 * math.sqrt(5)), 0.0]]), rtol=1e-4, atol=0
    )
    torch.testing.assert_close(score(1e3 * Q, 1e-2 * K), score(Q, K))
    assert [n for n, _ in score.named_parameters()] == ["log_strength"]


def test_cosine_of_nothing_is_nothing_and_has_a_gradient() -> None:
    q = torch.zeros(1, 2, requires_grad=True)
    found = Cosine()(q, K)
    assert found.tolist() == [[0.0, 0.0]]
    found.sum().backward()
    assert q.grad is not None and torch.isfinite(q.grad).all()
    with pytest.raises(ValueError, match="above 0, not 0"):
        Cosine(0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_distance_is_half_the_square_of_it(dtype: torch.dtype) -> None:
    # (1 - 3)² + (2 - 4)² = 8 and 2² + 1.5² = 6.25
    assert Distance()(Q.to(dtype), K.to(dtype)).tolist() == [[-4.0, -3.125]]


def test_distance_by_loops() -> None:
    q, k = torch.randn(2, 3, 5, dtype=torch.float64), torch.randn(2, 7, 5, dtype=torch.float64)
    found = Distance()(q, k)
    for b in range(2):
        for t in range(3):
            for s in range(7):
                wanted = -0.5 * sum(float(q[b, t, d] - k[b, s, d]) ** 2 for d in range(5))
                assert float(found[b, t, s]) == pytest.approx(wanted, abs=1e-12)


def test_location_is_a_row_of_scores_from_the_query_alone() -> None:
    score = Location(2, 3)
    with torch.no_grad():
        score.weight.copy_(torch.tensor([[1.0, 0.0], [3.0, -1.0], [0.5, 0.5]]))
    assert score(Q, K).tolist() == [[1.0, 1.0]]
    assert score(Q, torch.zeros(3, 7)).tolist() == [[1.0, 1.0, 1.5]]  # keys of any size
    assert score(Q.expand(4, 1, 2), K.expand(4, 2, 2)).shape == (4, 1, 2)
    with pytest.raises(UsageError, match="at most 3 tokens and was given 4"):
        score(Q, torch.zeros(4, 2))
    with pytest.raises(ValueError, match="at least 1 position, not 0"):
        Location(2, 0)


def two_steps(score: Additive, extra) -> None:  # type: ignore[no-untyped-def]
    """`vᵀ tanh(W q + U k + extra(weights so far))` and its softmax, step by step in loops, and what `walk` gives."""
    batch, steps, keys, hidden = 2, 3, 5, 3
    q, k = (torch.randn(batch, n, d, dtype=torch.float64) for n, d in ((steps, 2), (keys, 4)))
    lengths = [5, 3]
    mask = torch.arange(keys) < torch.tensor(lengths)[:, None, None]
    attend = StatefulAttend(score)
    with torch.no_grad():
        weights, trail = attend.walk(q, k, mask, trail=attend.begin(k))
        w, u, v = score.query.weight.tolist(), score.key.weight.tolist(), score.v.tolist()
    for b in range(batch):
        done: list[list[float]] = []
        for t in range(steps):
            energies = []
            for s in range(lengths[b]):
                added = extra(done, s, keys)
                energies.append(
                    sum(
                        v[a]
                        * math.tanh(
                            sum(w[a][d] * float(q[b, t, d]) for d in range(2))
                            + sum(u[a][d] * float(k[b, s, d]) for d in range(4))
                            + added[a]
                        )
                        for a in range(hidden)
                    )
                )
            total = sum(math.exp(e) for e in energies)
            done.append([math.exp(e) / total for e in energies] + [0.0] * (keys - lengths[b]))
            assert weights[b, t].tolist() == pytest.approx(done[-1], abs=1e-12)
        assert trail.last[b].tolist() == pytest.approx(done[-1], abs=1e-12)
        assert trail.total[b].tolist() == pytest.approx([sum(step[s] for step in done) for s in range(keys)], abs=1e-12)


def test_coverage_adds_the_sum_of_all_weights_so_far() -> None:
    score = Coverage(2, 4, 3).double()
    torch.nn.init.normal_(score.coverage, std=3.0)
    w_c = score.coverage.tolist()
    two_steps(score, lambda done, s, keys: [w * sum(step[s] for step in done) for w in w_c])


@pytest.mark.parametrize(("filters", "width"), [(2, 3), (1, 1), (3, 7)])
def test_location_sensitive_adds_the_convolved_weights_of_the_last_step(filters: int, width: int) -> None:
    score = LocationSensitive(2, 4, 3, filters, width).double()
    for weight in (score.conv.weight, score.location.weight):
        torch.nn.init.normal_(weight, std=2.0)
    f, big_l = score.conv.weight.tolist(), score.location.weight.tolist()

    def extra(done: list[list[float]], s: int, keys: int) -> list[float]:
        last = done[-1] if done else [0.0] * keys
        near = range(s - width // 2, s + width // 2 + 1)
        seen = [sum(f[c][0][i] * last[j] for i, j in enumerate(near) if 0 <= j < keys) for c in range(filters)]
        return [sum(big_l[a][c] * seen[c] for c in range(filters)) for a in range(3)]

    two_steps(score, extra)


def test_location_sensitive_needs_an_odd_width() -> None:
    for width in (0, 4):
        with pytest.raises(ValueError, match=f"odd width, not {width}"):
            LocationSensitive(2, 2, 3, 2, width)


def test_a_trail_adds_up_and_follows_the_rows_of_a_search() -> None:
    weights = torch.rand(4, 3, 5)
    trail = Trail(torch.zeros(3, 5), torch.zeros(3, 5))
    for step in weights:
        trail = trail.after(step, step)
    torch.testing.assert_close(trail.total, weights.sum(0))
    assert torch.equal(trail.last, weights[3])
    other = trail.after(torch.ones(3, 5), weights[0])  # what the next step shall know need not be the weights
    assert torch.equal(other.last, torch.ones(3, 5))
    torch.testing.assert_close(other.total, weights.sum(0) + weights[0])
    chosen = trail.select(torch.tensor([2, 0, 2]))
    assert torch.equal(chosen.last, weights[3][[2, 0, 2]]) and torch.equal(chosen.total, trail.total[[2, 0, 2]])
    wide = Trail(torch.rand(6, 5), torch.rand(6, 5))
    assert torch.equal(wide.reshape(2, 3).last[1, 0], wide.last[3])
    assert torch.equal(wide.reshape(2, 3).reshape(6).total, wide.total)


@pytest.mark.parametrize("score", [Coverage(2, 4, 3), LocationSensitive(2, 4, 3, 2, 3)])
def test_hypotheses_of_one_source_have_trails_of_their_own(score: Additive) -> None:
    attend = StatefulAttend(score)
    q, k = torch.randn(2, 3, 1, 2), torch.randn(2, 1, 5, 4)
    last, total = torch.rand(2, 3, 5), torch.rand(2, 3, 5)
    weights, trail = attend.walk(q, k, trail=Trail(last, total))
    for b in range(2):
        for h in range(3):
            alone, after = attend.walk(q[b, h], k[b, 0], trail=Trail(last[b, h], total[b, h]))
            torch.testing.assert_close(weights[b, h], alone)
            torch.testing.assert_close(trail.total[b, h], after.total)
