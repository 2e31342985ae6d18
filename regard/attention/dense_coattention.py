"""Co-attention in layers: every region looks at every word and every word at every region, and both come out changed.

Dense symmetric (Nguyen & Okatani 2018) and modular (Yu et al. 2019). Unlike those of `regard.attention.coattention`
they give sequences, `[B, N, D]` and `[B, T, D]`, which a pooling of `regard.attention.pooling` makes vectors of.
Masks are boolean, `v_mask [B, N]` and `q_mask [B, T]`, True = attend; what is masked is put to zero first and comes
out as zeros, and in the maps its row and its column are zeros. Letters: N regions, T words, K slots, H heads.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from regard.attention.capture import capture
from regard.attention.multihead import KeysValues, MultiHead
from regard.attention.pooling import cleared, masked_softmax, matrix
from regard.dropout import Dropout

Regions = Float[Tensor, "B N D"]
Words = Float[Tensor, "B T D"]


class DenseLayer(nn.Module):
    """One affinity, read along its rows and along its columns (Nguyen & Okatani 2018, section 3.2).

    With the slots below their side, `Ṽ = [V; slots_v]` and `Q̃ = [Q; slots_q]`, for each of the maps
    `A_i = (Q̃ W_Qiᵀ)(Ṽ W_Viᵀ)ᵀ / √d` with `d = D / maps`. The softmax of its rows, averaged over the maps, is what the
    words see of the regions, and that of its columns what the regions see of the words. Then
    `V' = V + relu(W_v [V; Q seen] + b_v)`, and Q' alike.
    """

    def __init__(self, dim: int, maps: int, slots: int) -> None:
        super().__init__()
        self.maps = maps
        self.slots_v = nn.Parameter(torch.randn(slots, dim) / math.sqrt(dim))
        self.slots_q = nn.Parameter(torch.randn(slots, dim) / math.sqrt(dim))
        self.map_v = matrix(dim, dim)
        self.map_q = matrix(dim, dim)
        self.fuse_v = nn.Linear(2 * dim, dim)
        self.fuse_q = nn.Linear(2 * dim, dim)

    def forward(
        self, V: Regions, Q: Words, v_mask: Bool[Tensor, "B N"], q_mask: Bool[Tensor, "B T"]
    ) -> tuple[Regions, Words]:
        """V' and Q'. V and Q hold zeros where their masks say False, and so do V' and Q'."""
        over_regions, over_words = self.weights(V, Q, v_mask, q_mask)
        seen_v = over_regions @ self._with_slots(V, self.slots_v)
        seen_q = over_words @ self._with_slots(Q, self.slots_q)
        fused_v = V + torch.relu(self.fuse_v(torch.cat((V, seen_q), dim=-1)))
        fused_q = Q + torch.relu(self.fuse_q(torch.cat((Q, seen_v), dim=-1)))
        return fused_v.masked_fill(~v_mask.unsqueeze(-1), 0.0), fused_q.masked_fill(~q_mask.unsqueeze(-1), 0.0)

    def weights(
        self, V: Regions, Q: Words, v_mask: Bool[Tensor, "B N"], q_mask: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T N+K"], Float[Tensor, "B N T+K"]]:
        """What each word sees of the regions and slots, and each region of the words and slots."""
        v = self._split(self._with_slots(V, self.slots_v) @ self.map_v.T)
        q = self._split(self._with_slots(Q, self.slots_q) @ self.map_q.T)
        affinity = (q / math.sqrt(q.shape[-1])) @ v.transpose(-1, -2)  # [B, maps, T+K, N+K]
        regions, words = V.shape[1], Q.shape[1]
        over_regions = masked_softmax(affinity[:, :, :words], self._seen(q_mask, v_mask))
        over_words = masked_softmax(affinity[:, :, :, :regions].transpose(-1, -2), self._seen(v_mask, q_mask))
        return over_regions.mean(dim=1), over_words.mean(dim=1)

    @staticmethod
    def _with_slots(x: Float[Tensor, "B T D"], slots: Float[Tensor, "K D"]) -> Float[Tensor, "B T+K D"]:
        return torch.cat((x, slots.expand(x.shape[0], -1, -1)), dim=1)

    def _split(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B maps T d"]:
        return x.unflatten(-1, (self.maps, -1)).transpose(1, 2)

    def _seen(self, query: Bool[Tensor, "B T"], key: Bool[Tensor, "B N"]) -> Bool[Tensor, "B 1 T N+K"]:
        """The slots are always open, except to a query that is masked itself."""
        key = torch.cat((key, key.new_ones(key.shape[0], self.slots_v.shape[0])), dim=1)
        return (query[:, :, None] & key[:, None, :]).unsqueeze(1)

    def extra_repr(self) -> str:
        return f"dim={self.map_v.shape[0]}, maps={self.maps}, slots={self.slots_v.shape[0]}"


class DenseSymmetricCoAttention(nn.Module):
    """`layers` of `DenseLayer`, one upon the other (Nguyen & Okatani 2018). `dim` is shared out among the `maps`;
    `slots` are places to look at nothing in, which may be none."""

    def __init__(self, dim: int, maps: int, slots: int, layers: int) -> None:
        super().__init__()
        if maps < 1 or dim % maps:
            raise ValueError(f"{dim} features cannot be shared out evenly among {maps} maps")
        if slots < 0:
            raise ValueError(f"there are 0 slots or more, not {slots}")
        if layers < 1:
            raise ValueError(f"there is 1 layer or more, not {layers}")
        self.dim = dim
        self.layers = nn.ModuleList(DenseLayer(dim, maps, slots) for _ in range(layers))

    def forward(
        self,
        V: Regions,
        Q: Words,
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Regions, Words]:
        """The regions and the words after the last layer."""
        V, Q, v_mask, q_mask = self._start(V, Q, v_mask, q_mask)
        for layer in self.layers:
            V, Q = layer(V, Q, v_mask, q_mask)
        return V, Q

    def weights(
        self,
        V: Regions,
        Q: Words,
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B T N+K"], Float[Tensor, "B N T+K"]]:
        """The last layer's: what each word sees of the regions, and each region of the words; the slots come last
        in a row, which sums to 1."""
        V, Q, v_mask, q_mask = self._start(V, Q, v_mask, q_mask)
        *lower, last = self.layers
        for layer in lower:
            V, Q = layer(V, Q, v_mask, q_mask)
        assert isinstance(last, DenseLayer)
        return last.weights(V, Q, v_mask, q_mask)

    def _start(
        self, V: Regions, Q: Words, v_mask: Tensor | None, q_mask: Tensor | None
    ) -> tuple[Regions, Words, Bool[Tensor, "B N"], Bool[Tensor, "B T"]]:
        V, Q = cleared(V, v_mask, self.dim, "regions"), cleared(Q, q_mask, self.dim, "words")
        if v_mask is None:
            v_mask = torch.ones(V.shape[:-1], dtype=torch.bool, device=V.device)
        if q_mask is None:
            q_mask = torch.ones(Q.shape[:-1], dtype=torch.bool, device=Q.device)
        return V, Q, v_mask, q_mask


class _Unit(nn.Module):
    """Self-attention, attention to the other side where there is one, and feed-forward: each `norm(x + f(x))`."""

    def __init__(self, dim: int, heads: int, guided: bool, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHead(dim, heads)
        self.guided = MultiHead(dim, heads) if guided else None
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), Dropout(dropout), nn.Linear(4 * dim, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3 if guided else 2))
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "B 1 1 T"] | None,
        source: KeysValues | None = None,
        source_mask: Bool[Tensor, "B 1 1 S"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        first, *_, last = self.norms
        x = first(x + self.dropout(self.attention(x, mask)[0]))
        if self.guided is not None and source is not None:
            x = self.norms[1](x + self.dropout(self.guided.look(x, source, source_mask)))
        return last(x + self.dropout(self.feed_forward(x)))


class ModularCoAttention(nn.Module):
    """MCAN (Yu et al. 2019), its encoder–decoder cascade.

    The words go through `layers` self-attention units; then the regions go through as many units that attend to
    themselves and are guided by what the words have become in the last. As in the authors' code a guided unit has one
    feed-forward, of 4·dim, behind both attentions.
    """

    def __init__(self, dim: int, heads: int, layers: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"there is 1 layer or more, not {layers}")
        self.dim = dim
        self.words = nn.ModuleList(_Unit(dim, heads, False, dropout) for _ in range(layers))
        self.regions = nn.ModuleList(_Unit(dim, heads, True, dropout) for _ in range(layers))

    def forward(
        self,
        V: Regions,
        Q: Words,
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Regions, Words]:
        """The regions and the words after their last unit."""
        V, Q = cleared(V, v_mask, self.dim, "regions"), cleared(Q, q_mask, self.dim, "words")
        v_seen = None if v_mask is None else v_mask[:, None, None, :]
        q_seen = None if q_mask is None else q_mask[:, None, None, :]
        for unit in self.words:
            Q = unit(Q, q_seen)
        for unit in self.regions:
            assert isinstance(unit, _Unit) and unit.guided is not None
            V = unit(V, v_seen, unit.guided.project(Q), q_seen)
        return cleared(V, v_mask, self.dim, "regions"), cleared(Q, q_mask, self.dim, "words")

    def weights(
        self,
        V: Regions,
        Q: Words,
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B H N N"], Float[Tensor, "B H N T"]]:
        """The last guided unit's, without gradient: what each region sees of the regions, and of the words.

        `capture` sees those of every unit. In training the units below drop features here as they do in forward.
        """
        last = f"regions.{len(self.regions) - 1}"
        names = [f"{last}.attention.attend", f"{last}.guided.attend"]
        with torch.no_grad(), capture(self, names) as seen:
            self(V, Q, v_mask, q_mask)
        over_regions, over_words = (seen[name][0] for name in names)
        if v_mask is not None:
            masked = ~v_mask[:, None, :, None]
            over_regions, over_words = over_regions.masked_fill(masked, 0.0), over_words.masked_fill(masked, 0.0)
        return over_regions, over_words
