"""Rotary positions (Su et al. 2021): queries and keys are turned by angles that grow with their positions, so that
their inner product depends on the distance alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Rotary(nn.Module):
    """Turns pairs of features (2i, 2i+1) of position p by the angle `p · base^(-2i/D)`.

    `dim` is the size of one head and must be even. Has no parameters.
    """

    def __init__(self, dim: int, base: float = 10_000.0) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"rotary positions turn pairs of features, so a head needs an even size, not {dim}")
        self.dim = dim
        self.base = base

    def forward(self, x: Float[Tensor, "... T D"], start: int = 0) -> Float[Tensor, "... T D"]:
        """`start` is the position of the first of the T."""
        steps = torch.arange(0, self.dim, 2, device=x.device, dtype=torch.float32)
        positions = torch.arange(start, start + x.shape[-2], device=x.device, dtype=torch.float32)
        angles = positions[:, None] * self.base ** (-steps / self.dim)  # [T, D/2], exact in float32
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, base={self.base}"
