"""Normalizers against a solver of their optimisation problem, their Jacobians against differences, and their edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize
from torch import Tensor

from regard.attention.hard import Hard
from regard.attention.normalizers import (
    entmax15,
    ignores_shift,
    masked,
    sigmoid,
    softmax,
    sparsemax,
    sums_to_one,
    top_k,
)
from regard.attention.stateful import Monotonic

Normalize = Callable[[Tensor], Tensor]
ALPHA: dict[Normalize, float] = {sparsemax: 2.0, entmax15: 1.5}
both = pytest.mark.parametrize("normalize", ALPHA)


def solved(z: np.ndarray, alpha: float) -> np.ndarray:
    """argmax p·z + H_α(p) on the simplex: `[(α - 1) z - τ]₊^(1/(α - 1))` (Peters et al. 2019, equation 5), τ by a root
    finder that knows nothing of sorting. -inf is left out of the problem."""
    z = (alpha - 1) * (z - z.max())

    def weights(tau: float) -> np.ndarray:
        return np.maximum(z - tau, 0) ** (1 / (alpha - 1))

    # At τ = max - 1 that score alone has weight 1; at the maximum nothing has any.
    tau = -1.0 if weights(-1.0).sum() == 1 else brentq(lambda t: weights(t).sum() - 1, -1.0, 0.0, xtol=1e-15)
    return weights(tau)  # type: ignore[arg-type]


def rows() -> Iterator[np.ndarray]:
    """Rows of many sizes, scales and kinds."""
    rng = np.random.default_rng(7)
    for size in (1, 2, 3, 5, 13, 101, 1009):
        for scale in (0.01, 0.3, 1.0, 4.0, 1e4):
            for _ in range(3):
                yield rng.normal(size=size) * scale
        yield rng.integers(-1, 2, size=size).astype(float)  # many ties, also of the greatest
        yield np.round(rng.normal(size=size), 1) + 1e4  # small differences beside a large common term
        yield np.full(size, -1e4)
        hidden = rng.normal(size=size)
        hidden[rng.permutation(size)[: size // 2]] = -np.inf
        yield hidden


@both
def test_entmax_solves_its_optimisation_problem(normalize: Normalize) -> None:
    for z in rows():
        found = normalize(torch.from_numpy(z)).numpy()
        np.testing.assert_allclose(found, solved(z, ALPHA[normalize]), atol=2e-10, err_msg=str(z))
        assert (found[np.isneginf(z)] == 0).all()
        in_single = normalize(torch.from_numpy(z).float()).double().numpy()
        wanted = solved(z.astype(np.float32).astype(float), ALPHA[normalize])
        np.testing.assert_allclose(in_single, wanted, atol=2e-6, err_msg=str(z))


@both
def test_the_solver_itself_maximises_the_entropy_regularised_score(normalize: Normalize) -> None:
    """`p·z + (1 - Σ p^α) / (α (α - 1))`, by a general optimiser: neither thresholds nor sorting."""
    alpha = ALPHA[normalize]
    rng = np.random.default_rng(11)
    for size in (2, 3, 7):
        z = rng.normal(size=size)

        def negative(p: np.ndarray, z: np.ndarray = z) -> float:
            return float(-(p @ z) - (1 - (np.maximum(p, 0) ** alpha).sum()) / (alpha * (alpha - 1)))

        best = minimize(
            negative,
            np.full(size, 1 / size),
            method="SLSQP",
            bounds=[(0, 1)] * size,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 1000},
        )
        np.testing.assert_allclose(normalize(torch.from_numpy(z)).numpy(), best.x, atol=3e-4)
        assert negative(normalize(torch.from_numpy(z)).numpy()) <= best.fun + 1e-9


def test_entmax15_by_hand() -> None:
    # (1/2)·[2 a, 2 b] with weights (a - τ)² + (b - τ)² = 1: at scores 0 and 0 both are ½; at a distance of 2 in z, so
    # 1 in z/2, τ = -1 gives 1 and 0.
    assert entmax15(torch.tensor([0.0, 0.0])).tolist() == pytest.approx([0.5, 0.5])
    assert entmax15(torch.tensor([0.0, -2.0])).tolist() == [1.0, 0.0]
    # z = [1.2, 0.8]: (0.6 - τ)² + (0.4 - τ)² = 1, so τ = 0.5 - √0.49 = -0.2 and the weights are 0.8², 0.6².
    torch.testing.assert_close(entmax15(torch.tensor([1.2, 0.8, -4.0])), torch.tensor([0.64, 0.36, 0.0]))


@both
def test_leading_dimensions_are_rows_of_their_own(normalize: Normalize) -> None:
    z = torch.randn(2, 3, 5, 7, dtype=torch.float64) * 2
    found = normalize(z)
    for row, weights in zip(z.reshape(-1, 7), found.reshape(-1, 7), strict=True):
        np.testing.assert_allclose(weights.numpy(), solved(row.numpy(), ALPHA[normalize]), atol=1e-10)


@both
def test_jacobians_match_finite_differences(normalize: Normalize) -> None:
    """Of the solver, by central differences: the support changes nowhere within 1e-5 of these rows."""
    rng = np.random.default_rng(3)
    tried = 0
    for size in (1, 2, 3, 7, 13):
        for scale in (0.1, 1.0, 3.0):
            z = rng.normal(size=size) * scale
            if size > 2:
                z[1] = z[0]  # ties on either side of the threshold are no kink
            if size > 3:
                z[2] = -np.inf
            step = 1e-5
            columns, supports = [], {tuple(solved(z, ALPHA[normalize]) > 0)}
            for s in range(size):
                ahead, back = z.copy(), z.copy()
                ahead[s] += step
                back[s] -= step
                high, low = solved(ahead, ALPHA[normalize]), solved(back, ALPHA[normalize])
                columns.append((high - low) / (2 * step))
                supports |= {tuple(high > 0), tuple(low > 0)}
            if len(supports) > 1:
                continue
            tried += 1
            jacobian = torch.autograd.functional.jacobian(normalize, torch.from_numpy(z))
            np.testing.assert_allclose(jacobian.numpy(), np.stack(columns, axis=1), atol=1e-6)
    assert tried >= 10


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_scores_have_finite_gradients(normalize: Normalize, dtype: torch.dtype) -> None:
    z = torch.tensor([[1e4, -1e4, 0.0], [-torch.inf, -1e4, -1e4], [1e4, 1e4, -torch.inf]], dtype=dtype)
    z.requires_grad_()
    weights = normalize(z)
    torch.testing.assert_close(weights.float(), torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5], [0.5, 0.5, 0]]))
    (weights * torch.tensor([1.0, 2.0, 4.0])).sum().backward()
    assert z.grad is not None
    # With k weights of 1/k the Jacobian is 1 - 1/k within the support for sparsemax; for entmax15, whose diagonal is
    # √p = √½, as much times √½.
    half = math.sqrt(0.5) if ALPHA[normalize] == 1.5 else 1.0
    wanted = torch.tensor([[0.0, 0, 0], [0, -half, half], [-half / 2, half / 2, 0]])
    torch.testing.assert_close(z.grad.float(), wanted, atol=5e-3 if dtype == torch.bfloat16 else 1e-6, rtol=0)


def test_sigmoid_is_each_position_for_itself() -> None:
    found = sigmoid(torch.tensor([[0.0, math.log(3), -math.log(3), -torch.inf]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.75, 0.25, 0.0]]))


def test_top_k_is_softmax_over_the_greatest() -> None:
    z = torch.tensor([0.3, 2.0, -1.0, 1.0, 1.9]).double()
    for k in (1, 2, 3, 4, 5, 6):
        kept = sorted(range(5), key=lambda s: -z[s])[:k]
        total = sum(math.exp(z[s]) for s in kept)
        wanted = [math.exp(z[s]) / total if s in kept else 0.0 for s in range(5)]
        assert top_k(k)(z).tolist() == pytest.approx(wanted)
    with pytest.raises(ValueError, match="at least 1 position, not 0"):
        top_k(0)


def test_top_k_takes_k_of_equal_scores() -> None:
    z = torch.zeros(3, 7)
    for k in (1, 2, 5):
        found = top_k(k)(z)
        assert (found > 0).sum(-1).tolist() == [k] * 3
        torch.testing.assert_close(found.sum(-1), torch.ones(3))
    found = top_k(2)(torch.tensor([1.0, 3.0, 1.0, 1.0]))
    assert found[1] == pytest.approx(math.e**2 / (math.e**2 + 1))
    assert (found > 0).sum() == 2


def test_top_k_where_fewer_than_k_may_be_seen() -> None:
    z = torch.tensor([[2.0, 1.0, 5.0, 1.5], [2.0, 1.0, 5.0, 1.5]], requires_grad=True)
    seen = torch.tensor([[True, True, False, False], [False, False, False, True]])
    found = masked(top_k(3), z, seen)
    share = math.e / (math.e + 1)
    torch.testing.assert_close(found, torch.tensor([[share, 1 - share, 0, 0], [0, 0, 0, 1.0]]))
    (found * torch.tensor([1.0, 3.0, 9.0, 27.0])).sum().backward()
    change = share * (1 - share) * 2  # moving weight from the first to the second gains 3 - 1
    torch.testing.assert_close(z.grad, torch.tensor([[-change, change, 0, 0], [0.0, 0, 0, 0]]))


def test_top_k_has_the_gradient_of_softmax_over_what_it_keeps() -> None:
    z = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(top_k(3), (z,))


@pytest.mark.parametrize("normalize", [softmax, sparsemax, entmax15, sigmoid, top_k(2), top_k(5)])
def test_masked_is_the_normalizer_of_what_may_be_seen(normalize: Normalize) -> None:
    z = torch.randn(2, 3, 7, dtype=torch.float64)
    seen = torch.rand(2, 3, 7) > 0.4
    seen[0, 1] = False
    seen[1, 2] = torch.arange(7) == 4
    found = masked(normalize, z, seen)
    for b in range(2):
        for t in range(3):
            some = [s for s in range(7) if seen[b, t, s]]
            wanted = torch.zeros(7, dtype=torch.float64)
            if some:
                wanted[some] = normalize(z[b, t, some])
            torch.testing.assert_close(found[b, t], wanted)
            assert (found[b, t, ~seen[b, t]] == 0).all()
    assert torch.equal(masked(normalize, z, None), normalize(z))


@pytest.mark.parametrize("normalize", [softmax, sparsemax, entmax15, sigmoid, top_k(2)])
def test_a_row_that_sees_nothing_has_no_gradient(normalize: Normalize) -> None:
    z = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    seen = torch.tensor([[True, False, True, True, True], [False] * 5])
    found = masked(normalize, z, seen)
    assert (found[1] == 0).all()
    found.square().sum().backward()
    assert z.grad is not None and torch.isfinite(z.grad).all()
    assert (z.grad[1] == 0).all() and z.grad[0, 1] == 0 and z.grad[0].abs().sum() > 0


def test_what_normalizers_say_of_themselves_is_so() -> None:
    z = torch.randn(11, 7, dtype=torch.float64)
    for normalize in (softmax, sparsemax, entmax15, sigmoid, top_k(3), Hard().eval(), Hard("gumbel").eval()):
        weights = normalize(z)
        assert sums_to_one(normalize) == torch.allclose(weights.sum(-1), torch.ones(11).double())
        assert ignores_shift(normalize) == torch.allclose(normalize(z + 3.0), weights)
    assert not sums_to_one(Monotonic())  # type: ignore[arg-type]
    assert not ignores_shift(Monotonic())  # type: ignore[arg-type]
    assert not sums_to_one(lambda scores: scores) and not ignores_shift(lambda scores: scores)
