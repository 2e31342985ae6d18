"""Muon: each matrix moves by an orthogonal step (Jordan et al. 2024; Liu et al. 2025, arXiv 2502.16982).

The momentum of a matrix is replaced by the nearest matrix whose singular values are all alike, found by a few matrix
products (Newton–Schulz). All directions are then learned at one speed, which takes far fewer steps where a step is
dear. What is not a matrix, embeddings and output layers are left to AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# The quintic whose iteration takes singular values from (0, 1] close to 1 (Jordan et al. 2024).
QUINTIC = (3.4445, -4.775, 2.0315)


@dataclass(frozen=True)
class Stacked:
    """A weight that holds several matrices, one below the other, of so many rows each: the gates of a GRU, or the
    queries, keys and values of attention. Each is a map of its own."""

    weight: Tensor
    rows: Sequence[int]


def orthogonal(x: Float[Tensor, "N A B"], steps: int = 5) -> Float[Tensor, "N A B"]:
    """About U Vᵀ of x = U S Vᵀ, for N matrices at once, A ≤ B: singular values come to lie between 0.7 and 1.2."""
    a, b, c = QUINTIC
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(steps):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


class Muon(torch.optim.Optimizer):
    """`torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, for many small matrices: those of one shape move
    together, and stacked ones apart.

    A step has the root mean square of one of AdamW (0.2), so one learning rate serves both. `bf16` multiplies in that
    format, where the machine is faster with it.
    """

    def __init__(
        self,
        matrices: Iterable[Stacked],
        lr: float,
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        bf16: bool = True,
    ) -> None:
        self.matrices = list(matrices)
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([each.weight for each in self.matrices], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        [group] = self.param_groups
        rate, keep = group["lr"], group["momentum"]
        groups: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        for stacked in self.matrices:
            weight, gradient = stacked.weight, stacked.weight.grad
            if gradient is None:
                continue
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
            momentum = self.state[weight]["momentum"].lerp_(gradient, 1 - keep)
            if group["weight_decay"]:
                weight.mul_(1 - rate * group["weight_decay"])
            _sort(stacked, gradient.lerp(momentum, keep), groups)  # Nesterov's look ahead
        for pieces in groups.values():
            self._move(pieces, rate)

    def _move(self, pieces: Sequence[tuple[Tensor, Tensor]], rate: float) -> None:
        """Matrices [A, B] of one shape, A ≤ B, each with what it is to follow."""
        steps = orthogonal(torch.stack([towards for _, towards in pieces]).to(self.dtype))
        size = 0.2 * math.sqrt(steps.shape[-1])
        for (matrix, _), step in zip(pieces, steps.to(pieces[0][0].dtype), strict=True):
            matrix.sub_(step, alpha=rate * size)


def _sort(stacked: Stacked, whole: Tensor, groups: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]]) -> None:
    """Puts views of the single matrices, lying rather than standing, with what they are to follow, to their shape."""
    rows = list(stacked.rows)
    for matrix, towards in zip(stacked.weight.split(rows), whole.split(rows), strict=True):
        pair = (matrix, towards) if matrix.shape[0] <= matrix.shape[1] else (matrix.mT, towards.mT)
        groups.setdefault(tuple(pair[0].shape), []).append(pair)
