"""Positions inside attention: linear biases (ALiBi) and learned relative positions, as the `bias` of an `Attend`."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Bias(Protocol):
    """Something added to the scores that depends on positions alone; any leading dimensions must broadcast."""

    def __call__(self, query: Int[Tensor, "T 1"], key: Int[Tensor, "1 S"]) -> Float[Tensor, "... T S"]: ...


LOPSIDED = 8.0


class Alibi(nn.Module):
    """`-m_h |t - s|` (Press et al. 2022): each head fades with distance at a rate of its own, so no positions need be
    learned and longer sequences than were trained on make sense. Without parameters.

    For a power of two the rates are `2^(-8h/H)`, h = 1 … H; otherwise those of the next smaller power, then every other
    one of the power above, as in the paper's code.

    A decoder sees the past alone. Where both sides are seen, equal rates could not tell left from right, so with
    `lopsided` the heads take turns in fading faster, by LOPSIDED, to the right and to the left.
    """

    behind: Tensor
    ahead: Tensor

    def __init__(self, heads: int, *, lopsided: bool = False) -> None:
        super().__init__()
        if heads < 1:
            raise ValueError(f"ALiBi is made for at least 1 head, not {heads}")
        slopes = torch.tensor(_slopes(heads))
        turn = torch.arange(heads) % 2 == 0
        faster = LOPSIDED if lopsided else 1.0
        self.register_buffer("behind", slopes * torch.where(turn, 1.0, faster), persistent=False)
        self.register_buffer("ahead", slopes * torch.where(turn, faster, 1.0), persistent=False)

    def forward(self, query: Int[Tensor, "T 1"], key: Int[Tensor, "1 S"]) -> Float[Tensor, "H T S"]:
        far = key - query
        return -(self.behind[:, None, None] * (-far).clamp_min(0) + self.ahead[:, None, None] * far.clamp_min(0))


def _slopes(heads: int) -> list[float]:
    power = 2 ** math.floor(math.log2(heads))
    first = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    return first if power == heads else first + _slopes(2 * power)[0::2][: heads - power]


class Relative(nn.Module):
    """Learned vectors for the distance s - t, cut off at ±`reach` (Shaw et al. 2018).

    `e_ts = q_t · (k_s + a^K) / √D` and `c_t = Σ_s α_ts (v_s + a^V)`, where a^K and a^V depend on the distance;
    `keys.weight`, `values.weight [2·reach + 1, dim]`. The √D is that of `ScaledDot`, beside which this stands.
    """

    def __init__(self, dim: int, reach: int = 16) -> None:
        super().__init__()
        if reach < 1:
            raise ValueError(f"relative positions reach at least 1 position to each side, not {reach}")
        self.reach = reach
        self.keys = nn.Embedding(2 * reach + 1, dim)
        self.values = nn.Embedding(2 * reach + 1, dim)
        for table in (self.keys, self.values):
            nn.init.normal_(table.weight, std=dim**-0.5)

    def distance(self, query: Int[Tensor, "T 1"], key: Int[Tensor, "1 S"]) -> Int[Tensor, "T S"]:
        return (key - query).clamp(-self.reach, self.reach) + self.reach

    def score(
        self, q: Float[Tensor, "... T D"], query: Int[Tensor, "T 1"], key: Int[Tensor, "1 S"]
    ) -> Float[Tensor, "... T S"]:
        """`q_t · a^K / √D`. All distances are compared at once, and each pair then picks its own."""
        every = (q * q.shape[-1] ** -0.5) @ self.keys.weight.to(q.dtype).t()  # [..., T, 2·reach + 1]
        place = self.distance(query, key)
        return every.gather(-1, place.expand(*every.shape[:-1], place.shape[-1]))

    def spread(
        self, weights: Float[Tensor, "... T S"], query: Int[Tensor, "T 1"], key: Int[Tensor, "1 S"]
    ) -> Float[Tensor, "... T D"]:
        """`Σ_s α_ts a^V`: the weights of equal distances are added up first."""
        place = self.distance(query, key).expand(weights.shape)
        table = self.values.weight.to(weights.dtype)
        sums = weights.new_zeros(*weights.shape[:-1], table.shape[0]).scatter_add(-1, place, weights)
        return sums @ table

    def extra_repr(self) -> str:
        return f"reach={self.reach}"
