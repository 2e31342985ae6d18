"""Scopes: which key positions a query position may see, as predicates. True = attend.

A scope is called with positions that broadcast, queries `[T, 1]` and keys `[1, S]`, and is rendered once a forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Int
from torch import Tensor


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

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        return (key >= query - self.left) & (key <= query + self.right)


def render(scope: Scope, queries: int, keys: int, start: int, device: torch.device) -> Bool[Tensor, "T S"]:
    """The scope as a dense mask; `start` is the position of the first query."""
    query = torch.arange(start, start + queries, device=device)[:, None]
    key = torch.arange(keys, device=device)[None, :]
    return scope(query, key)
