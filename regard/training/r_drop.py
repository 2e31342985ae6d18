"""R-Drop (Liang et al. 2021): what a model says under two draws of dropout is drawn together."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear

from regard.training.losses import SLICE_ELEMENTS, finish, gradients_of, reference_linear_cross_entropy
from regard.wide import wide


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
    p, q = (torch.log_softmax(wide(linear(x, weight, bias)), dim=-1) for x in (first, second))
    total = 0.5 * (losses[0][0] + losses[1][0]) + 0.25 * alpha * apart(p, q)
    return total, 0.5 * (losses[0][1] + losses[1][1])


def apart(log_p: Float[Tensor, "P V"], log_q: Float[Tensor, "P V"]) -> Float[Tensor, ""]:
    """`KL(p‖q) + KL(q‖p)`, in nats, summed over positions."""
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum()


class _LinearRDrop(torch.autograd.Function):
    """The paper's loss, twice what `linear_r_drop` gives, made as cross-entropy is: slice by slice, with the gradients made while a slice's logits are there.

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
                gradient = ratio.sub_(kl - 1 - 2 / alpha).mul_(here).sub_(other).mul_(0.5 * alpha)
                grad_b += gradient.sum(dim=0)
                gradient = gradient.to(dtype)
                grad_x[places[k]] = gradient @ w
                grad_w += gradient.t() @ x[places[k]]
        both = torch.cat((first, second))
        gradients = grad_x, grad_w, grad_b
        total, likelihood = finish(ctx, both, weight, bias, labels.repeat(2), smoothing, gradients, log_sums)
        return total + 0.5 * alpha * apart, likelihood

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        of_both, of_weight, of_bias = gradients_of(ctx, gradient)
        return (*of_both.chunk(2), of_weight, of_bias, None, None, None, None)


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
        total, likelihood = _LinearRDrop.apply(first, second, weight, bias, labels, smoothing, alpha, low)  # type: ignore[misc]
    return 0.5 * total, 0.5 * likelihood
