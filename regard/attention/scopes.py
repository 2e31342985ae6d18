"""Scopes: which key positions a query position may see, as predicates. True = attend.

A scope is called with positions that broadcast, queries `[T, 1]` and keys `[1, S]`, and is rendered once a forward.
`LocalPredictive` is the exception: it has parameters, asks the query where to look, and weighs what it sees.

Scopes that see a bounded stretch have `width`, the number of positions that a query sees at most. `regard.attention.local`
then computes with those alone.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear


class Scope(Protocol):
    def __call__(self, query: Int[Tensor, "T 1"], key: Int[Tensor, "1 S"]) -> Bool[Tensor, "T S"]: ...


@dataclass(frozen=True)
class Global:
    """Every position sees every position."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        return (query >= 0) & (key >= 0)


@dataclass(frozen=True)
class Causal:
    """A position sees itself and what came before it."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        return key <= query


@dataclass(frozen=True)
class Window:
    """A position t sees `[t - left, t + right]`."""

    left: int
    right: int

    def __post_init__(self) -> None:
        if self.left < 0 or self.right < 0:
            raise ValueError(
                f"a Window reaches 0 or more positions to each side, not left={self.left}, right={self.right}"
            )

    @property
    def width(self) -> int:
        return self.left + self.right + 1

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        return (key >= query - self.left) & (key <= query + self.right)


class LocalMonotonic(Window):
    """local-m (Luong et al. 2015): target position t looks at `[t - D, t + D]`, as if both sides ran in step."""

    def __init__(self, window: int) -> None:
        super().__init__(_window(window), window)

    @property
    def window(self) -> int:
        return self.left

    def __repr__(self) -> str:
        return f"LocalMonotonic(window={self.window})"


class LocalPredictive(nn.Module):
    """local-p (Luong et al. 2015): the query predicts a position, `p_t = S · sigmoid(v_pᵀ tanh(W_p q_t))`, and looks at
    `[p_t - D, p_t + D]`, where weights are multiplied by `exp(-(s - p_t)² / (2σ²))`, σ = D/2.

    S is the sentence's own length, the count of True in the mask. As in the paper the weights are normalised before
    the product, so a row sums to at most 1; `renormalise` makes it 1 again. `w_p.weight [Dq, Dq]`, `v_p.weight [1, Dq]`;
    the gradient reaches them through the Gaussian. Positions count from 0.
    """

    def __init__(self, query_dim: int, window: int, *, renormalise: bool = False) -> None:
        super().__init__()
        self.window = _window(window)
        self.renormalise = renormalise
        self.w_p = nn.Linear(query_dim, query_dim, bias=False)
        self.v_p = nn.Linear(query_dim, 1, bias=False)
        nn.init.xavier_uniform_(self.w_p.weight)
        nn.init.xavier_uniform_(self.v_p.weight)

    @property
    def width(self) -> int:
        return 2 * self.window + 1

    def center(self, q: Float[Tensor, "... T Dq"], lengths: Int[Tensor, "... T"] | int) -> Float[Tensor, "... T"]:
        """p_t, in float32 at least from the query on: bfloat16 cannot tell position 257 from 258, and a share of three
        digits is several positions of a long source."""
        if q.shape[-1] != self.w_p.in_features:
            raise ValueError(
                f"LocalPredictive was made for queries of {self.w_p.in_features} features and was given {q.shape[-1]}"
            )
        wide = torch.promote_types(q.dtype, torch.float32)
        mixed = torch.is_autocast_enabled(q.device.type)
        with torch.autocast(q.device.type, enabled=False) if mixed else nullcontext():
            inside = torch.tanh(linear(q.to(wide), self.w_p.weight.to(wide)))
            share = torch.sigmoid(linear(inside, self.v_p.weight.to(wide))[..., 0])
            return share * lengths

    def within(self, center: Float[Tensor, "... 1"], key: Int[Tensor, "... W"]) -> Bool[Tensor, "... W"]:
        return (key - center).abs() <= self.window

    def weigh(
        self, weights: Float[Tensor, "... W"], center: Float[Tensor, "... 1"], key: Int[Tensor, "... W"]
    ) -> Float[Tensor, "... W"]:
        """Weights under the Gaussian around the predicted position."""
        sigma = self.window / 2
        # Beyond the window the weight is 0; without the limit a CPU spends its time there on numbers of almost nothing.
        apart = (key - center).clamp(-self.window, self.window)
        near = weights * torch.exp(apart.square() * (-0.5 / sigma**2)).to(weights.dtype)
        if not self.renormalise:
            return near
        total = near.sum(dim=-1, keepdim=True)
        return near / total.masked_fill(total == 0, 1.0)

    def extra_repr(self) -> str:
        return f"window={self.window}, renormalise={self.renormalise}"


def _window(window: int) -> int:
    if not isinstance(window, int) or window < 1:
        raise ValueError(
            f"the window of local attention reaches a whole number of positions to each side, at least 1, not {window}"
        )
    return window


def render(scope: Scope, queries: int, keys: int, start: int, device: torch.device) -> Bool[Tensor, "T S"]:
    """The scope as a dense mask; `start` is the position of the first query."""
    query = torch.arange(start, start + queries, device=device)[:, None]
    key = torch.arange(keys, device=device)[None, :]
    return scope(query, key)
