"""Scores and normalizers by hand arithmetic from their papers' formulas, and against an independent solver."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from regard.attention.normalizers import ignores_shift, softmax, sparsemax
from regard.attention.scopes import Causal, Global, Window, render
from regard.attention.scores import Additive, Dot, General, ScaledDot

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
