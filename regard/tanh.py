"""tanh by way of the logistic function, `tanh(x) = 2 σ(2x) - 1`.

PyTorch's tanh costs a CPU three to nine times what its sigmoid costs (measured by benchmarks/tanh_speed.py), and additive attention
takes one for each feature of each pair of a query and a key: it is most of what such a model computes. Equal to
`torch.tanh` within a rounding of 1, not of the value: near 0 a float32 is off by 1e-7. Other devices and float64 have
PyTorch's own.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[override]
        y = (x + x).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (y,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(gradient, y)


class _TanhScore(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # type: ignore[override]
        h = torch.add(q + q, k, alpha=2).sigmoid_()
        ctx.save_for_backward(h, v)
        ctx.shapes = q.shape, k.shape
        with torch.autocast(
            "cpu", enabled=False
        ):  # or the scores would be of another type than their gradient's factors
            return (h @ v).mul_(2).sub_(v.sum())

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        h, v = ctx.saved_tensors
        # As a product of matrices: the library's product of a transposed matrix and a vector is four times slower.
        of_v = (gradient.reshape(1, -1) @ h.reshape(-1, h.shape[-1]))[0].mul_(2).sub_(gradient.sum())
        of_z = torch.ops.aten.sigmoid_backward((4 * gradient)[..., None] * v, h)
        return of_z.sum_to_size(ctx.shapes[0]), of_z.sum_to_size(ctx.shapes[1]), of_v


def _is_fast(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)


def tanh(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return _Tanh.apply(x) if _is_fast(x) else torch.tanh(x)  # type: ignore[return-value]


def tanh_score(q: Float[Tensor, "... A"], k: Float[Tensor, "... A"], v: Float[Tensor, " A"]) -> Float[Tensor, "..."]:
    """`vᵀ tanh(q + k)`, of which nothing is kept for the backward pass but one value for each feature."""
    if q.dtype == k.dtype == v.dtype and _is_fast(q):
        return _TanhScore.apply(q, k, v)  # type: ignore[return-value]
    return torch.tanh(q + k) @ v
