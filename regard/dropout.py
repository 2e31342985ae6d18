"""Dropout whose masks are cut from 64-bit random words.

On a CPU `torch.nn.functional.dropout` draws one Bernoulli number at a time, on one core, and takes a third of a
training step. One 64-bit word of the same generator holds eight masks of one byte each, so the draw is about
twenty times cheaper, as reproducible, and as resumable: the generator's state is PyTorch's own. The rate is
rounded to 1/256, and the survivors are scaled by the rounded rate, so the expectation is exact.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class _ByteMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, threshold: int) -> Tensor:  # type: ignore[override]
        # From the lowest number upwards, or the top bit of each word would never be set.
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
        factor = kept.to(x.dtype).mul_(256 / (256 - threshold))
        ctx.save_for_backward(factor)
        return x * factor

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (factor,) = ctx.saved_tensors
        return gradient * factor, None


def dropout(x: Float[Tensor, "..."], rate: float, training: bool = True) -> Float[Tensor, "..."]:
    """Zeros each element with probability `rate` and scales the others to keep the mean (Srivastava et al. 2014).

    On a CPU the rate is rounded to a multiple of 1/256.
    """
    if not training or rate == 0.0:
        return x
    if x.device.type != "cpu":
        return nn.functional.dropout(x, rate)
    return _ByteMask.apply(x, max(1, min(255, round(rate * 256))))  # type: ignore[no-any-return]


class Dropout(nn.Module):
    """`dropout` as a module: active in training only."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"a dropout rate lies in [0, 1), not {rate}")
        self.rate = rate

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return dropout(x, self.rate, self.training)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
