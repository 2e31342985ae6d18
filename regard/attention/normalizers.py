"""Normalizers: rows of scores to rows of weights. A score of -inf means *may not be seen* and gets exactly zero.

A row in which nothing may be seen is the caller's business (`Attend` makes it zeros).
`ignores_shift` says that adding a constant to a row changes nothing, which every factored score relies on;
`sums_to_one` says that a row is a distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from regard.batch import answers

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


class _Entmax15(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores: Tensor) -> Tensor:  # type: ignore[override]
        z = scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores
        z = (z - z.amax(dim=-1, keepdim=True)) / 2
        # The threshold is never below -1, so a masked score may stand at -2, where it can be squared.
        ordered = z.sort(dim=-1, descending=True).values.clamp_min(-2.0)
        rank = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
        mean = ordered.cumsum(dim=-1) / rank
        spread = ordered.square().cumsum(dim=-1) - rank * mean.square()
        # The threshold if the support were the first `rank` scores: Σ (z - τ)² = 1, solved for τ.
        threshold = mean - ((1 - spread) / rank).clamp_min(0.0).sqrt()
        support = (threshold <= ordered).sum(dim=-1, keepdim=True)
        weights = (z - threshold.gather(-1, support - 1)).clamp_min(0.0).square().to(scores.dtype)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (weights,) = ctx.saved_tensors
        root = weights.sqrt()
        pulled = gradient * root
        return pulled - root * (pulled.sum(dim=-1, keepdim=True) / root.sum(dim=-1, keepdim=True))


def entmax15(scores: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
    """`[z/2 - τ]₊²` with τ so that the row sums to 1: between softmax and sparsemax, with exact zeros (Peters et al.
    2019, algorithm 2: exact, by sorting)."""
    return _Entmax15.apply(scores)  # type: ignore[no-any-return]


def sigmoid(scores: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
    """`1 / (1 + exp(-e_s))`: each position for itself. A row need not sum to 1."""
    return torch.sigmoid(scores)


@dataclass(frozen=True)
class TopK:
    """Softmax over the k largest scores of a row, zero for the others; of equal scores k are taken."""

    k: int

    ignores_shift = True
    sums_to_one = True

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"top_k keeps at least 1 position, not {self.k}")

    def __call__(self, scores: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
        if self.k >= scores.shape[-1]:
            return softmax(scores)
        best = scores.topk(self.k, dim=-1)
        return torch.zeros_like(scores).scatter(-1, best.indices, softmax(best.values))


def top_k(k: int) -> TopK:
    """A normalizer that keeps the `k` best positions of a row."""
    return TopK(k)


_IGNORES_SHIFT: set[Normalizer] = {softmax, sparsemax, entmax15}
_SUMS_TO_ONE: set[Normalizer] = {softmax, sparsemax, entmax15}


def ignores_shift(normalize: Normalizer) -> bool:
    """Whether a constant added to a row of scores leaves its weights as they are."""
    return normalize in _IGNORES_SHIFT or bool(getattr(normalize, "ignores_shift", False))


def sums_to_one(normalize: Normalizer) -> bool:
    """Whether each row of weights is a distribution."""
    return normalize in _SUMS_TO_ONE or bool(getattr(normalize, "sums_to_one", False))


def masked(
    normalize: Normalizer, scores: Float[Tensor, "... T S"], seen: Bool[Tensor, "... T S"] | None
) -> Float[Tensor, "... T S"]:
    """The weights of each row where it may see (None: everywhere), zeros elsewhere; an empty row is all zeros."""
    if scores.shape[-1] == 0:
        return scores  # nothing to look at, and no largest score
    if seen is None:
        return normalize(scores)
    empty = ~seen.any(dim=-1, keepdim=True)
    # A row that sees nothing is normalised as if it saw everything, which is finite, and then emptied.
    hidden = ~(seen | empty)
    weights = normalize(scores.masked_fill(hidden, float("-inf")))
    if not answers(scores) or bool(empty.any()):
        weights = weights.masked_fill(empty, 0.0)
    return weights
