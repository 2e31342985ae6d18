from __future__ import annotations

import pytest
import torch

from regard.training.losses import SLICE_ELEMENTS, linear_cross_entropy
from regard.training.r_drop import linear_r_drop, reference_linear_r_drop


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("smoothing", "alpha"), [(0.0, 5.0), (0.1, 0.7)])
@pytest.mark.parametrize("positions", [1, 7, 131])
def test_equals_the_plain_formula_in_value_and_every_gradient(
    positions: int, smoothing: float, alpha: float, bias: bool
) -> None:
    size, vocabulary = 11, SLICE_ELEMENTS // (2 * 65)  # three slices of the 131
    results = []
    for run in (linear_r_drop, reference_linear_r_drop):
        torch.manual_seed(1)
        first, second = (torch.randn(positions, size, dtype=torch.float64, requires_grad=True) for _ in range(2))
        weight = torch.randn(vocabulary, size, dtype=torch.float64, requires_grad=True)
        b = torch.randn(vocabulary, dtype=torch.float64, requires_grad=True) if bias else None
        labels = torch.randint(vocabulary, (positions,))
        total, likelihood = run(first, second, weight, b, labels, smoothing, alpha)
        (total * 0.37).backward()
        results.append([total, likelihood, first.grad, second.grad, weight.grad, *([] if b is None else [b.grad])])
        assert not likelihood.requires_grad
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)


def test_by_hand() -> None:
    """Two classes, logits (0, ln 3) and (0, 0): p = (¼, ¾), q = (½, ½)."""
    first, second, weight = torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[0.0], [1.0986123]])
    total, likelihood = linear_r_drop(first, second, weight, None, torch.tensor([0]), 0.0, 2.0)
    assert float(likelihood) == pytest.approx((1.3862944 + 0.6931472) / 2)  # ln 4 and ln 2
    # (p - q)(log p - log q) = -¼ ln ½ + ¼ ln 3/2 = ¼ ln 3
    assert float(total) == pytest.approx((1.3862944 + 0.6931472) / 2 + 0.5 * 0.25 * 1.0986123)


def test_two_readings_that_agree_are_one() -> None:
    torch.manual_seed(0)
    features, weight, labels = torch.randn(9, 4), torch.randn(6, 4), torch.randint(6, (9,))
    one = linear_cross_entropy(features, weight, None, labels, 0.1)
    torch.testing.assert_close(linear_r_drop(features, features, weight, None, labels, 0.1, 5.0), one)


def test_bf16_is_near_and_used_under_autocast() -> None:
    torch.manual_seed(0)
    first, second, weight = torch.randn(50, 32), torch.randn(50, 32), torch.randn(70, 32)
    labels = torch.randint(70, (50,))
    exact = reference_linear_r_drop(first, second, weight, None, labels, 0.1, 5.0)[0]
    with torch.autocast("cpu", torch.bfloat16):
        low = linear_r_drop(first, second, weight, None, labels, 0.1, 5.0)[0]
    assert float(low) != float(exact)
    assert float(low) == pytest.approx(float(exact), rel=1e-2)
