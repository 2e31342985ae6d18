"""Several heads: `head_i = Attend(x W_i^Q, y W_i^K, y W_i^V)`, concatenated and projected (Vaswani et al. 2017)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear

from regard.attention.attend import Attend
from regard.attention.rotary import Rotary
from regard.attention.rows import fold, unfold
from regard.attention.scores import ScaledDot

KeysValues = tuple[Float[Tensor, "B H S D"], Float[Tensor, "B H S D"]]


class MultiHead(nn.Module):
    """Attention in `heads` subspaces of `dim // heads` features.

    `attend` is what happens in each head; a score with parameters shares them among the heads, whose projections
    are their own. `projection.weight [3·dim, dim]` holds W^Q, W^K, W^V, one below the other; `output.weight` is W^O.
    With fewer `kv_heads`, groups of queries share keys and values, which makes the cache of a decoder smaller: grouped
    (Ainslie et al. 2023) or, with one, multi-query attention (Shazeer 2019). W^K and W^V are then smaller.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        attend: Attend | None = None,
        *,
        rotary: Rotary | None = None,
        kv_heads: int | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{dim} features cannot be shared out evenly among {heads} heads")
        self.heads = heads
        self.kv_heads = heads if kv_heads is None else kv_heads
        if self.kv_heads < 1 or heads % self.kv_heads:
            raise ValueError(f"{heads} heads cannot be shared out evenly among {kv_heads} heads of keys and values")
        shared = dim // heads * self.kv_heads
        self.sizes = [dim, shared, shared]
        self.attend = attend if attend is not None else Attend(ScaledDot())
        self.rotary = rotary
        self.projection = nn.Linear(dim, sum(self.sizes))
        self.output = nn.Linear(dim, dim)
        for part in self.projection.weight.data.split(self.sizes):  # each of the three is a matrix of its own
            nn.init.xavier_uniform_(part)
        nn.init.zeros_(self.projection.bias)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(
        self,
        x: Float[Tensor, "N T D"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        past: KeysValues | None = None,
        start: int = 0,
    ) -> tuple[Float[Tensor, "N T D"], KeysValues]:
        """Self-attention of x. `past` are the keys and values of the `start` positions before x; the result comes
        with those of all positions. The mask broadcasts to [N, H, T, S]."""
        q, k, v = (self._split(part) for part in self.projection(x).split(self.sizes, dim=-1))
        if self.rotary is not None:
            q, k = self.rotary(q, start), self.rotary(k, start)
        if past is not None:
            k, v = torch.cat((past[0], k), dim=-2), torch.cat((past[1], v), dim=-2)
        return self.output(self._join(self.attend(q, *self._for_all((k, v)), mask, start=start))), (k, v)

    def project(self, memory: Float[Tensor, "B S D"]) -> KeysValues:
        """The keys and values of a source, made once."""
        size = memory.shape[-1]
        both = linear(memory, self.projection.weight[size:], self.projection.bias[size:])
        k, v = (self._split(part) for part in both.chunk(2, dim=-1))
        return k, v

    def look(
        self,
        x: Float[Tensor, "N T D"],
        source: KeysValues,
        mask: Bool[Tensor, "..."] | None = None,
        *,
        start: int = 0,
    ) -> Float[Tensor, "N T D"]:
        """Attention of x, whose first position is `start`, to a source that `project` has seen, of B rows, where N is
        a multiple of B. The mask broadcasts to [B, H, T, S]."""
        rows, _, size = x.shape
        sources = source[0].shape[0]
        q = linear(x, self.projection.weight[:size], self.projection.bias[:size])
        k, v = self._for_all(source)
        placed = self.attend.scope is not None or self.attend.bias is not None
        if rows == sources or not (placed or (mask is not None and mask.shape[-2] > 1)):
            c = self.attend(self._split(fold(q, sources)), k, v, mask, start=start)
            return self.output(unfold(self._join(c), rows))
        # Scopes, biases and masks ask for positions, which queries that stand side by side would lose.
        apart = self._split(q).unflatten(0, (sources, rows // sources))
        above = None if mask is None else mask[:, None]
        c = self.attend(apart, k[:, None], v[:, None], above, start=start)
        return self.output(self._join(c.flatten(0, 1)))

    def _for_all(self, source: KeysValues) -> KeysValues:
        """Keys and values for each head of queries, those of a group being the same."""
        if self.kv_heads == self.heads:
            return source
        times = self.heads // self.kv_heads
        return source[0].repeat_interleave(times, dim=1), source[1].repeat_interleave(times, dim=1)

    def _split(self, x: Float[Tensor, "N T D"]) -> Float[Tensor, "N H T Dh"]:
        rows, steps, size = x.shape
        width = self.sizes[0] // self.heads
        return x.reshape(rows, steps, size // width, width).transpose(1, 2)

    def _join(self, x: Float[Tensor, "N H T Dh"]) -> Float[Tensor, "N T D"]:
        return x.transpose(1, 2).flatten(2)
