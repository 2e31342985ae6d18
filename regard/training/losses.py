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
    """The matrix of probabilities p is the only thing of size P·V, and it is gone over as few times as can be.

    With smoothing ε, labels l and `1` for ones, the gradient of the logits is `p - (1-ε) onehot(l) - ε/V`. Its last
    two terms are not written into p; what they add to the gradients of features x and weight W is added there:
    `dx = p W - (1-ε) W[l] - ε mean(W)` and `dW = pᵀ x - (1-ε) onehot(l)ᵀ x - ε/V 1 (1ᵀ x)`.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, smoothing: float, low: bool
    ) -> tuple[Tensor, Tensor]:
        size = weight.shape[0]
        dtype = torch.bfloat16 if low else weight.dtype
        wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
        x, w = features.to(dtype), weight.to(dtype)
        b = torch.zeros(size, dtype=dtype, device=w.device) if bias is None else bias.to(dtype)
        needed = any(ctx.needs_input_grad[:3])
        grad_x = torch.empty(x.shape, dtype=wide, device=x.device) if needed else None
        grad_w = torch.zeros(weight.shape, dtype=wide, device=x.device) if needed else None
        grad_b = torch.zeros(size, dtype=wide, device=x.device) if needed else None
        log_sums = torch.empty(x.shape[0], dtype=wide, device=x.device)
        rows = max(64, SLICE_ELEMENTS // size)
        # Every slice is written where the last one was: memory that is asked for anew is mapped anew, page by page.
        room = torch.empty((min(rows, x.shape[0]), size), dtype=dtype, device=x.device)
        wide_room = room if dtype == wide else torch.empty_like(room, dtype=wide)
        for part in range(0, x.shape[0], rows):
            piece = x[part : part + rows]
            narrow = room[: len(piece)]
            torch.addmm(b, piece, w.t(), out=narrow)
            logits = wide_room[: len(piece)].copy_(narrow) if dtype != wide else narrow
            largest = logits.amax(dim=1, keepdim=True)
            p = logits.sub_(largest).exp_()
            sums = p.sum(dim=1, keepdim=True)
            log_sums[part : part + rows] = (largest + sums.log())[:, 0]
            if grad_x is None or grad_w is None or grad_b is None:
                continue
            p = p.mul_(1 / sums)
            grad_b += p.sum(dim=0)
            p = narrow.copy_(p) if dtype != wide else p
            grad_x[part : part + rows] = p @ w
            grad_w += p.t() @ piece
        return finish(ctx, features, weight, bias, labels, smoothing, (grad_x, grad_w, grad_b), log_sums)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return (*gradients_of(ctx, gradient), None, None, None)


def finish(
    ctx: Any,
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    smoothing: float,
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None],
    log_sums: Tensor,
) -> tuple[Tensor, Tensor]:
    """The terms of size P·F and V·F, in full precision, added to the gradients of those of size P·V; all is kept for
    `gradients_of`."""
    x, w = features.to(log_sums.dtype), weight.to(log_sums.dtype)
    mean = w.mean(dim=0)
    right = (x * w[labels]).sum(dim=1)
    average = x @ mean  # of all the logits of a position
    if bias is not None:
        right = right + bias[labels]
        average = average + bias.mean()
    likelihood = (log_sums - right).sum()
    total = (1 - smoothing) * likelihood + smoothing * (log_sums - average).sum()
    grad_x, grad_w, grad_b = gradients
    if grad_x is not None and grad_w is not None and grad_b is not None:
        grad_x.sub_(w[labels], alpha=1 - smoothing).sub_(mean, alpha=smoothing)
        grad_w.index_add_(0, labels, x, alpha=smoothing - 1).sub_(x.sum(dim=0), alpha=smoothing / w.shape[0])
        ones = torch.ones_like(labels, dtype=log_sums.dtype)
        grad_b.index_add_(0, labels, ones, alpha=smoothing - 1).sub_(smoothing * len(labels) / w.shape[0])
    ctx.save_for_backward(grad_x, grad_w, grad_b)
    ctx.types = features.dtype, weight.dtype, None if bias is None else bias.dtype
    ctx.mark_non_differentiable(likelihood)
    return total, likelihood


def gradients_of(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Those of features, weight and bias, each in the type of what it is the gradient of."""
    grad_x, grad_w, grad_b = ctx.saved_tensors
    of_x, of_w, of_b = ctx.types
    of_bias = None if of_b is None else (grad_b * gradient).to(of_b)
    return (grad_x * gradient).to(of_x), (grad_w * gradient).to(of_w), of_bias


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
