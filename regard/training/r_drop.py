"""R-Drop (Liang et al. 2021): what a model says under two draws of dropout is drawn together."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear

from regard.training.losses import SLICE_ELEMENTS, reference_linear_cross_entropy


def reference_linear_r_drop(
    first: Float[Tensor, "P F"],
    second: Float[Tensor, "P F"],
    weight: Float[Tensor, "V F"],
    bias: Float[Tensor, " V"] | None,
    labels: Int[Tensor, " P"],
    smoothing: float,
    alpha: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The plain formula: the mean of both smoothed losses and `α/4 (KL(p‖q) + KL(q‖p))`; and the mean negative
    log-likelihood. All are summed over positions. This is half of the paper's loss, which adds the two losses up."""
    losses = [reference_linear_cross_entropy(x, weight, bias, labels, smoothing) for x in (first, second)]
    logits = [linear(x, weight, bias) for x in (first, second)]
    p, q = (torch.log_softmax(z if z.dtype == torch.float64 else z.float(), dim=-1) for z in logits)
    apart = ((p.exp() - q.exp()) * (p - q)).sum()  # KL(p‖q) + KL(q‖p)
    return 0.5 * (losses[0][0] + losses[1][0]) + 0.25 * alpha * apart, 0.5 * (losses[0][1] + losses[1][1])


class _LinearRDrop(torch.autograd.Function):
    """As `_LinearCrossEntropy`: slice by slice, with the gradients made while a slice's logits are there.

    With `d = log p - log q` the gradient of `KL(p‖q) + KL(q‖p)` by the logits of p is `p (d - KL(p‖q) + 1) - q`, and
    by those of q the same with p and q exchanged. The terms of labels and smoothing are of size P·F and V·F.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        first: Tensor,
        second: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        smoothing: float,
        alpha: float,
        low: bool,
    ) -> tuple[Tensor, Tensor]:
        count, size = len(labels), weight.shape[0]
        dtype = torch.bfloat16 if low else weight.dtype
        wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
        x, w = torch.cat((first, second)).to(dtype), weight.to(dtype)
        b = torch.zeros(size, dtype=dtype, device=w.device) if bias is None else bias.to(dtype)
        grad_x = torch.empty(x.shape, dtype=wide, device=x.device)
        grad_w = torch.zeros(weight.shape, dtype=wide, device=x.device)
        grad_b = torch.zeros(size, dtype=wide, device=x.device)
        log_sums = torch.empty(len(x), dtype=wide, device=x.device)
        apart = torch.zeros((), dtype=wide, device=x.device)
        rows = max(32, SLICE_ELEMENTS // (2 * size))
        for start in range(0, count, rows):
            places = [slice(start + k * count, min(start + rows, count) + k * count) for k in (0, 1)]
            logs, chances = [], []
            for place in places:
                z = torch.addmm(b, x[place], w.t()).to(wide)
                log_sums[place] = torch.logsumexp(z, dim=1)
                z -= log_sums[place, None]
                logs.append(z)
                chances.append(z.exp())
            d = logs[0].sub_(logs[1])
            for k, sign in ((0, 1.0), (1, -1.0)):
                here, other = chances[k], chances[1 - k]
                ratio = torch.mul(d, sign, out=logs[1])
                kl = torch.linalg.vecdot(here, ratio)[:, None]
                apart += kl.sum()
                gradient = ratio.sub_(kl - 1 - 2 / alpha).mul_(here).sub_(other).mul_(0.25 * alpha)
                grad_b += gradient.sum(dim=0)
                gradient = gradient.to(dtype)
                grad_x[places[k]] = gradient @ w
                grad_w += gradient.t() @ x[places[k]]
        return _LinearRDrop._finish(
            ctx, first, second, weight, bias, labels, smoothing, (grad_x, grad_w, grad_b), log_sums, alpha * apart
        )

    @staticmethod
    def _finish(
        ctx: Any,
        first: Tensor,
        second: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        smoothing: float,
        gradients: tuple[Tensor, Tensor, Tensor],
        log_sums: Tensor,
        apart: Tensor,
    ) -> tuple[Tensor, Tensor]:
        x, w = torch.cat((first, second)).to(log_sums.dtype), weight.to(log_sums.dtype)
        twice, mean = labels.repeat(2), w.mean(dim=0)
        right, average = (x * w[twice]).sum(dim=1), x @ mean
        if bias is not None:
            right, average = right + bias[twice], average + bias.mean()
        likelihood = 0.5 * (log_sums - right).sum()
        total = (1 - smoothing) * likelihood + 0.5 * smoothing * (log_sums - average).sum() + 0.25 * apart
        grad_x, grad_w, grad_b = gradients
        grad_x.sub_(w[twice], alpha=0.5 * (1 - smoothing)).sub_(mean, alpha=0.5 * smoothing)
        grad_w.index_add_(0, twice, x, alpha=0.5 * (smoothing - 1))
        grad_w.sub_(x.sum(dim=0), alpha=0.5 * smoothing / w.shape[0])
        ones = torch.ones_like(twice, dtype=log_sums.dtype)
        grad_b.index_add_(0, twice, ones, alpha=0.5 * (smoothing - 1)).sub_(smoothing * len(labels) / w.shape[0])
        ctx.save_for_backward(grad_x, grad_w, grad_b)
        ctx.types = first.dtype, weight.dtype, None if bias is None else bias.dtype
        ctx.mark_non_differentiable(likelihood)
        return total, likelihood

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad_x, grad_w, grad_b = ctx.saved_tensors
        of_x, of_w, of_b = ctx.types
        of_first, of_second = (grad_x * gradient).to(of_x).chunk(2)
        of_bias = None if of_b is None else (grad_b * gradient).to(of_b)
        return of_first, of_second, (grad_w * gradient).to(of_w), of_bias, None, None, None, None


def linear_r_drop(
    first: Float[Tensor, "P F"],
    second: Float[Tensor, "P F"],
    weight: Float[Tensor, "V F"],
    bias: Float[Tensor, " V"] | None,
    labels: Int[Tensor, " P"],
    smoothing: float,
    alpha: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """`reference_linear_r_drop` for α > 0 without the matrices of logits; under autocast it multiplies in bfloat16.

    Only the first of the two results carries a gradient.
    """
    low = torch.is_autocast_enabled(first.device.type)
    with torch.autocast(first.device.type, enabled=False):
        return _LinearRDrop.apply(first, second, weight, bias, labels, smoothing, alpha, low)  # type: ignore[no-any-return]
