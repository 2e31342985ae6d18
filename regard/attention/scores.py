"""Scores: how well a query and a key fit. `q [..., T, Dq]`, `k [..., S, Dk]` give `[..., T, S]`.

A score has `forward(q, k)`, the whole matrix. Where the part that depends on the keys alone costs something,
`project(k)` does it once per source and `compare(q, projected)` does the rest at each step; `forward` is their
composition. Where the score is an inner product in disguise, `factor(q, k)` gives `(q', k')` whose inner product
equals the score up to a term that is constant along the keys, and fused kernels then serve it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Score(nn.Module):
    """What every score shares; a new one defines `compare`, and `project` or `factor` where they pay."""

    def forward(self, q: Float[Tensor, "... T Dq"], k: Float[Tensor, "... S Dk"]) -> Float[Tensor, "... T S"]:
        return self.compare(q, self.project(k))

    def project(self, k: Float[Tensor, "... S Dk"]) -> Float[Tensor, "... S Dp"]:
        """The work that depends on the keys alone."""
        return k

    def compare(self, q: Float[Tensor, "... T Dq"], projected: Float[Tensor, "... S Dp"]) -> Float[Tensor, "... T S"]:
        """Scores against keys that `project` has seen."""
        raise NotImplementedError(f"{type(self).__name__} has to define compare")

    def factor(
        self, q: Float[Tensor, "... T Dq"], k: Float[Tensor, "... S Dk"]
    ) -> tuple[Float[Tensor, "... T Df"], Float[Tensor, "... S Df"]] | None:
        """`(q', k')` with `q' · k' = score + constant along keys`; None where the score is no inner product."""
        return None


def _same_size(q: Tensor, k: Tensor, name: str) -> None:
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"{name} compares queries and keys of one size, but queries have {q.shape[-1]} features and keys "
            f"{k.shape[-1]}; use General(query_dim, key_dim) or Additive(query_dim, key_dim, hidden)"
        )


def _size(tensor: Tensor, wanted: int, what: str, name: str) -> None:
    if tensor.shape[-1] != wanted:
        raise ValueError(f"{name} was made for {what} of {wanted} features and was given {tensor.shape[-1]}")


class Dot(Score):
    """`q·k` (Luong et al. 2015). No parameters."""

    def compare(self, q: Float[Tensor, "... T D"], projected: Float[Tensor, "... S D"]) -> Float[Tensor, "... T S"]:
        _same_size(q, projected, "Dot")
        return q @ projected.transpose(-1, -2)

    def factor(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        _same_size(q, k, "Dot")
        return q, k


class ScaledDot(Score):
    """`q·k / √D` (Vaswani et al. 2017). No parameters."""

    def compare(self, q: Float[Tensor, "... T D"], projected: Float[Tensor, "... S D"]) -> Float[Tensor, "... T S"]:
        _same_size(q, projected, "ScaledDot")
        return (q * (1 / math.sqrt(q.shape[-1]))) @ projected.transpose(-1, -2)

    def factor(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        _same_size(q, k, "ScaledDot")
        return q * (1 / math.sqrt(q.shape[-1])), k


class General(Score):
    """`qᵀ W k` (Luong et al. 2015), bilinear; `weight [Dq, Dk]` is the paper's W_a.

    W multiplies the query, of which a step has one, and the keys stay as they are.
    """

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(query_dim, key_dim))
        nn.init.xavier_uniform_(self.weight)

    def compare(self, q: Float[Tensor, "... T Dq"], projected: Float[Tensor, "... S Dk"]) -> Float[Tensor, "... T S"]:
        _size(q, self.weight.shape[0], "queries", "General")
        _size(projected, self.weight.shape[1], "keys", "General")
        return (q @ self.weight) @ projected.transpose(-1, -2)

    def factor(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        _size(q, self.weight.shape[0], "queries", "General")
        _size(k, self.weight.shape[1], "keys", "General")
        return q @ self.weight, k

    def extra_repr(self) -> str:
        return f"query_dim={self.weight.shape[0]}, key_dim={self.weight.shape[1]}"


class Additive(Score):
    """`vᵀ tanh(W q + U k)` (Bahdanau et al. 2014); `query.weight [A, Dq]` is W, `key.weight [A, Dk]` is U, `v [A]`.

    Luong's *concat* score `vᵀ tanh(W [q; k])` is the same function, with its W split into these two.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_dim, hidden, bias=False)
        self.key = nn.Linear(key_dim, hidden, bias=False)
        self.v = nn.Parameter(torch.empty(hidden))
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.xavier_uniform_(self.key.weight)
        nn.init.uniform_(self.v, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def project(self, k: Float[Tensor, "... S Dk"]) -> Float[Tensor, "... S A"]:
        _size(k, self.key.in_features, "keys", "Additive")
        return self.key(k)

    def compare(self, q: Float[Tensor, "... T Dq"], projected: Float[Tensor, "... S A"]) -> Float[Tensor, "... T S"]:
        _size(q, self.query.in_features, "queries", "Additive")
        _size(projected, self.query.out_features, "projected keys", "Additive")
        return torch.tanh(self.query(q).unsqueeze(-2) + projected.unsqueeze(-3)) @ self.v.to(projected.dtype)
