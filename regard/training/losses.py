"""The loss of saying the wrong token: label-smoothed cross-entropy, joined with the output layer that feeds it.

With a vocabulary of thousands the logits are by far the largest thing in a step. The joint version works through
the positions in slices that fit the cache, makes the gradients of a slice while its logits are there, and never
holds the whole matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

SLICE_ELEMENTS = 1 << 21  # logits in a slice: 4 MiB of bfloat16


def reference_linear_cross_entropy(
    features: Float[Tensor, "P F"],
    weight: Float[Tensor, "V F"],
    bias: Float[Tensor, " V"] | None,
    labels: Int[Tensor, " P"],
    smoothing: float = 0.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The plain formula: the smoothed loss (Szegedy et al. 2016) and the negative log-likelihood, both summed."""
    logits = linear(features, weight, bias)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    smoothed = cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
    return smoothed, cross_entropy(logits.detach(), labels, reduction="sum")


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, smoothing: float, low: bool
    ) -> tuple[Tensor, Tensor]:
        size = weight.shape[0]
        dtype = torch.bfloat16 if low else weight.dtype
        wide = torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
        x, w = features.to(dtype), weight.to(dtype)
        needed = any(ctx.needs_input_grad[:3])
        grad_x = torch.empty_like(x) if needed else None
        grad_w = torch.zeros(weight.shape, dtype=wide, device=weight.device) if needed else None
        grad_b = torch.zeros(size, dtype=wide, device=weight.device) if needed else None
        total = torch.zeros((), dtype=wide, device=weight.device)
        likelihood = torch.zeros((), dtype=wide, device=weight.device)
        rows = max(64, SLICE_ELEMENTS // size)
        for part in range(0, x.shape[0], rows):
            piece, said = x[part : part + rows], labels[part : part + rows, None]
            logits = linear(piece, w, None if bias is None else bias.to(dtype)).to(wide)
            right = logits.gather(1, said)
            mean = logits.mean(dim=1, keepdim=True)
            log_sum = logits.logsumexp(dim=1, keepdim=True)
            missed = (log_sum - right).sum()
            likelihood += missed
            total += (1 - smoothing) * missed + smoothing * (log_sum - mean).sum()
            if grad_x is None or grad_w is None or grad_b is None:
                continue
            # d loss / d logits = softmax - target distribution
            slope = logits.sub_(log_sum).exp_().sub_(smoothing / size)
            slope.scatter_add_(1, said, slope.new_full(said.shape, smoothing - 1))
            grad_b += slope.sum(dim=0)
            slope = slope.to(dtype)
            grad_x[part : part + rows] = slope @ w
            grad_w += slope.t() @ piece
        ctx.save_for_backward(grad_x, grad_w, grad_b)
        ctx.types = features.dtype, weight.dtype, None if bias is None else bias.dtype
        ctx.mark_non_differentiable(likelihood)
        return total, likelihood

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad_x, grad_w, grad_b = ctx.saved_tensors
        of_x, of_w, of_b = ctx.types
        return (
            (grad_x * gradient).to(of_x),
            (grad_w * gradient).to(of_w),
            None if of_b is None else (grad_b * gradient).to(of_b),
            None,
            None,
            None,
        )


def linear_cross_entropy(
    features: Float[Tensor, "P F"],
    weight: Float[Tensor, "V F"],
    bias: Float[Tensor, " V"] | None,
    labels: Int[Tensor, " P"],
    smoothing: float = 0.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """`reference_linear_cross_entropy` without the whole matrix of logits; under autocast it multiplies in bfloat16.

    Only the first of the two results carries a gradient.
    """
    low = torch.is_autocast_enabled(features.device.type)
    with torch.autocast(features.device.type, enabled=False):
        return _LinearCrossEntropy.apply(features, weight, bias, labels, smoothing, low)  # type: ignore[no-any-return]
