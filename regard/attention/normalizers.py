"""Normalizers: rows of scores to rows of weights. A score of -inf means *may not be seen* and gets exactly zero.

A row in which nothing may be seen is the caller's business (`Attend` makes it zeros).
`ignores_shift` says that adding a constant to a row changes nothing, which every factored score relies on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Normalizer = Callable[[Float[Tensor, "... S"]], Float[Tensor, "... S"]]


def softmax(scores: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
    """`exp(e_s) / Σ exp(e_s')`."""
    return torch.softmax(scores, dim=-1)


class _Sparsemax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores: Tensor) -> Tensor:  # type: ignore[override]
        z = scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores
        z = z - z.amax(dim=-1, keepdim=True)  # only differences count, and small numbers add up more exactly
        ordered = z.sort(dim=-1, descending=True).values
        # A masked score can never be in the support; -2 is below any threshold, and unlike -inf it can be summed.
        ordered = ordered.clamp_min(-2.0)
        rank = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
        total = ordered.cumsum(dim=-1)
        support = (1 + rank * ordered > total).sum(dim=-1, keepdim=True)  # k(z), equation 4
        threshold = (total.gather(-1, support - 1) - 1) / support.to(z.dtype)  # τ(z)
        weights = (z - threshold).clamp_min(0.0).to(scores.dtype)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (weights,) = ctx.saved_tensors
        support = (weights > 0).to(gradient.dtype)
        mean = (gradient * support).sum(dim=-1, keepdim=True) / support.sum(dim=-1, keepdim=True)
        return support * (gradient - mean)  # equation 14


def sparsemax(scores: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
    """The Euclidean projection of the scores on the simplex: exact zeros (Martins & Astudillo 2016, algorithm 1)."""
    return _Sparsemax.apply(scores)  # type: ignore[no-any-return]


_IGNORES_SHIFT: set[Normalizer] = {softmax, sparsemax}


def ignores_shift(normalize: Normalizer) -> bool:
    """Whether a constant added to a row of scores leaves its weights as they are."""
    return normalize in _IGNORES_SHIFT or bool(getattr(normalize, "ignores_shift", False))
