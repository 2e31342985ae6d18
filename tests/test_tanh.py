"""tanh by the logistic function against PyTorch's own: values and every gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from regard.tanh import tanh, tanh_score

NEAR = {torch.float32: 5e-7, torch.bfloat16: 2**-7, torch.float64: 0.0}  # of a value within [-1, 1]
DTYPES = list(NEAR)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_gradients(dtype: torch.dtype) -> None:
    x = (torch.randn(7, 11, dtype=torch.float64) * 3).to(dtype).requires_grad_()
    found, plain = tanh(x), torch.tanh(x)
    torch.testing.assert_close(found, plain, atol=NEAR[dtype], rtol=0)
    above = torch.randn_like(plain)
    [gradient], [expected] = (torch.autograd.grad(y, x, above) for y in (found, plain))
    torch.testing.assert_close(
        gradient, expected, atol=NEAR[dtype] * 10, rtol=1e-2 if dtype == torch.bfloat16 else 1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_ends_of_the_numbers(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    given = torch.tensor([0.0, -0.0, 1e3, -1e3, largest, -largest, math.inf, -math.inf], dtype=dtype)
    assert tanh(given).tolist() == [0, 0, 1, -1, 1, -1, 1, -1]
    assert tanh(torch.tensor([math.nan], dtype=dtype)).isnan().all()
    assert tanh(torch.empty(0, 3, dtype=dtype)).shape == (0, 3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("q_shape", "k_shape"),
    [((3, 5, 1, 7), (3, 1, 4, 7)), ((2, 1, 7), (2, 6, 7)), ((2, 3, 1, 7), (1, 3, 6, 7)), ((7,), (7,))],
)
def test_scores_and_gradients(dtype: torch.dtype, q_shape: tuple[int, ...], k_shape: tuple[int, ...]) -> None:
    q, k, v = (torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in (q_shape, k_shape, (7,)))
    found, plain = tanh_score(q, k, v), torch.tanh(q + k) @ v
    near, share = NEAR[dtype] * 7, 2e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found, plain, atol=near, rtol=share)
    above = torch.randn_like(plain)
    gradients = (torch.autograd.grad(y, (q, k, v), above) for y in (found, plain))
    for gradient, expected in zip(*gradients, strict=True):
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(gradient, expected, atol=near * 4 * scale, rtol=share)


def test_autocast_does_not_part_a_score_from_its_gradient() -> None:
    """Inputs that stay in float32 under autocast, as those from outside do."""
    q, k, v = (torch.randn(*shape, requires_grad=True) for shape in ((4, 1, 8), (4, 3, 8), (8,)))
    with torch.autocast("cpu", torch.bfloat16):
        found = tanh_score(q, k, v)
    assert found.dtype == torch.float32
    found.sum().backward()
    gradients: list[Tensor | None] = [q.grad, k.grad, v.grad]
    expected = torch.autograd.grad((torch.tanh(q + k) @ v).sum(), (q, k, v))
    for gradient, plain in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, plain, atol=1e-5, rtol=1e-5)


def test_mixed_types_take_the_plain_way() -> None:
    q, k, v = torch.randn(2, 1, 4), torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    torch.testing.assert_close(tanh_score(q, k, v), torch.tanh(q + k) @ v, atol=0, rtol=0)
