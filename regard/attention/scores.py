"""Scores: how well a query and a key fit. `q [..., T, Dq]`, `k [..., S, Dk]` give `[..., T, S]`.

A score has `forward(q, k)`, the whole matrix. Where the part that depends on the keys alone costs something,
`project(k)` does it once per source and `compare(q, projected)` does the rest at each step; `forward` is their
composition. Where the score is an inner product in disguise, `factor(q, k)` gives `(q', k')` whose inner product
equals the score up to a term that is constant along the keys, and fused kernels then serve it. A score that
`remembers` looks at a `Trail` too, what was attended to before, and stands in a `StatefulAttend`. A score that is
`positional` knows its keys by their places alone, so it has to be given all of them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from regard.attention.trail import Trail
from regard.errors import UsageError
from regard.tanh import tanh_score


class Score(nn.Module):
    """What every score shares; a new one defines `compare`, and `project` or `factor` where they pay."""

    remembers = False
    positional = False

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
        return tanh_score(self.query(q).unsqueeze(-2), projected.unsqueeze(-3), self.v.to(projected.dtype))


class Cosine(Score):
    """`β · q·k / (‖q‖‖k‖)` (Graves et al. 2014, content addressing); `log_strength []`, β = softplus(log_strength).

    β starts at `init_strength`: cosines lie within [-1, 1], so with β = 1 no softmax of them could be sharp.
    """

    def __init__(self, init_strength: float = 8.0) -> None:
        super().__init__()
        if init_strength <= 0:
            raise ValueError(f"the strength of Cosine is above 0, not {init_strength}")
        # The inverse of softplus, written so that a large strength does not overflow.
        self.log_strength = nn.Parameter(torch.tensor(init_strength + math.log(-math.expm1(-init_strength))))

    def compare(self, q: Float[Tensor, "... T D"], projected: Float[Tensor, "... S D"]) -> Float[Tensor, "... T S"]:
        _same_size(q, projected, "Cosine")
        return self._strong(q) @ _unit(projected).transpose(-1, -2)

    def factor(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        _same_size(q, k, "Cosine")
        return self._strong(q), _unit(k)

    def _strong(self, q: Tensor) -> Tensor:
        return _unit(q) * softplus(self.log_strength).to(q.dtype)


def _unit(x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
    """At length 1; a vector of zeros stays one, and has a gradient."""
    return x * (x.square().sum(dim=-1, keepdim=True) + 1e-12).rsqrt()


class Distance(Score):
    """`-½ ‖q - k‖²`, so that softmax makes a Gaussian kernel. No parameters.

    `-½‖q‖²` is constant along the keys, so the inner product of `[q; 1]` and `[k; -½‖k‖²]` serves as a factor.
    """

    def compare(self, q: Float[Tensor, "... T D"], projected: Float[Tensor, "... S D"]) -> Float[Tensor, "... T S"]:
        _same_size(q, projected, "Distance")
        if q.dtype == torch.bfloat16:  # a difference of large squares, of which few digits would be left
            q, projected = q.float(), projected.float()
        q2 = q.square().sum(dim=-1, keepdim=True)
        k2 = projected.square().sum(dim=-1)[..., None, :]
        with torch.autocast(q.device.type, enabled=False):
            return q @ projected.transpose(-1, -2) - 0.5 * (q2 + k2)

    def factor(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor] | None:
        _same_size(q, k, "Distance")
        if q.dtype == torch.bfloat16 or torch.is_autocast_enabled(q.device.type):
            return None
        half = -0.5 * k.square().sum(dim=-1, keepdim=True)
        return torch.cat((q, torch.ones_like(q[..., :1])), dim=-1), torch.cat((k, half), dim=-1)


class Location(Score):
    """`(W q)_s`: where to look, from the query alone (Luong et al. 2015, *location*); `weight [max_length, Dq]`.

    It never sees the keys, only how many there are. Raises UsageError where there are more than `max_length`.
    """

    positional = True

    def __init__(self, query_dim: int, max_length: int) -> None:
        super().__init__()
        if max_length < 1:
            raise ValueError(f"Location needs room for at least 1 position, not {max_length}")
        self.weight = nn.Parameter(torch.empty(max_length, query_dim))
        nn.init.xavier_uniform_(self.weight)

    def compare(self, q: Float[Tensor, "... T Dq"], projected: Float[Tensor, "... S Dk"]) -> Float[Tensor, "... T S"]:
        _size(q, self.weight.shape[1], "queries", "Location")
        length, room = projected.shape[-2], self.weight.shape[0]
        if length > room:
            raise UsageError(
                f"the location score was made for sources of at most {room} tokens and was given {length}: split the "
                "source, or train with a larger data.max_length"
            )
        return q @ self.weight[:length].t()

    def extra_repr(self) -> str:
        return f"query_dim={self.weight.shape[1]}, max_length={self.weight.shape[0]}"


class RememberingScore(Additive):
    """An additive score whose tanh has a further term, made of the trail: `vᵀ tanh(W q + U k + f(trail))`."""

    remembers = True

    def compare(  # type: ignore[override]
        self, q: Float[Tensor, "... 1 Dq"], projected: Float[Tensor, "... S A"], trail: Trail
    ) -> Float[Tensor, "... 1 S"]:
        _size(q, self.query.in_features, "queries", type(self).__name__)
        _size(projected, self.query.out_features, "projected keys", type(self).__name__)
        keys = projected + self.remembered(trail).to(projected.dtype)
        return tanh_score(self.query(q), keys, self.v.to(projected.dtype))[..., None, :]

    def remembered(self, trail: Trail) -> Float[Tensor, "... S A"]:
        """The term of each position."""
        raise NotImplementedError(f"{type(self).__name__} has to define remembered")


class LocationSensitive(RememberingScore):
    """`vᵀ tanh(W q + U k + L (F * α_{t-1}))` (Chorowski et al. 2015): the weights of the step before, seen through
    `filters` convolutions of odd width. `conv.weight [filters, 1, width]` is F, `location.weight [A, filters]` is L."""

    def __init__(self, query_dim: int, key_dim: int, hidden: int, filters: int = 16, width: int = 7) -> None:
        super().__init__(query_dim, key_dim, hidden)
        if width < 1 or width % 2 == 0:
            raise ValueError(f"the convolution of LocationSensitive has an odd width, not {width}")
        self.conv = nn.Conv1d(1, filters, width, padding=width // 2, bias=False)
        self.location = nn.Linear(filters, hidden, bias=False)

    def remembered(self, trail: Trail) -> Float[Tensor, "... S A"]:
        last = trail.last
        seen = self.conv(last.reshape(-1, 1, last.shape[-1]))  # [rows, filters, S]
        return self.location(seen.transpose(1, 2)).view(*last.shape, -1)


class Coverage(RememberingScore):
    """`vᵀ tanh(W q + U k + w_c cov_t)` (See et al. 2017, equation 11; Tu et al. 2016): `cov_t = Σ_{t'<t} α_t'` says
    how much each position was looked at already. `coverage [A]` is w_c."""

    def __init__(self, query_dim: int, key_dim: int, hidden: int) -> None:
        super().__init__(query_dim, key_dim, hidden)
        self.coverage = nn.Parameter(torch.empty(hidden))
        nn.init.uniform_(self.coverage, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def remembered(self, trail: Trail) -> Float[Tensor, "... S A"]:
        return trail.total[..., None] * self.coverage.to(trail.total.dtype)
