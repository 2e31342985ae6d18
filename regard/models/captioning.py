"""Saying what a picture shows while looking at it (Xu et al. 2015, *Show, Attend and Tell*)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from regard.attention import Attend, KeysValues, Trail
from regard.data.captions import CaptionBatch
from regard.dropout import Dropout
from regard.layers import Bridge, Embedding, EncoderLayer, Recurrent
from regard.models.encoder_decoder import EncoderDecoder
from regard.models.recurrent import BahdanauDecoder, RecurrentMemory


@dataclass(frozen=True)
class GridMemory(RecurrentMemory):
    """The places of a picture, for recurrent and Transformer decoders alike. All are real, so there is no mask."""

    layers: tuple[KeysValues, ...] = ()  # the keys and values that each layer of a Transformer sees


class GridEncoder(nn.Module):
    """Pictures to a `GridMemory` of `[B, N, D]`.

    `vision` makes the grid (`regard.layers.vision`); `layers` are Transformer layers in which its places look at each
    other, often none. `final`, from which a recurrent decoder's `Bridge` makes its first state by a small network for
    each part, is the mean of the grid (Xu et al. 2015, §3.1.2); `parts` is 2 for an LSTM, 1 for other cells.
    """

    def __init__(
        self,
        vision: nn.Module,
        dim: int,
        layers: Sequence[EncoderLayer] = (),
        *,
        parts: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if parts not in (1, 2):
            raise ValueError(f"a recurrent state has 1 part, or 2 in an LSTM, not {parts}")
        self.vision = vision
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)
        self.parts = parts

    def forward(self, images: UInt8[Tensor, "B H W C"]) -> GridMemory:
        values = self.vision(images)
        for layer in self.layers:
            values = layer(values)
        values = self.norm(values)
        lengths = torch.full((len(values),), values.shape[1], dtype=torch.long, device=values.device)
        mean = values.mean(dim=1, keepdim=True)
        return GridMemory(self.dropout(values), lengths, final=(mean,) * self.parts)


class GatedDecoder(BahdanauDecoder):
    """Bahdanau's decoder whose context is weighed by `β_t = σ(w · s_{t-1} + b)` (Xu et al. 2015, §4.2.1): how much of
    the picture the next word needs."""

    def __init__(
        self,
        embedding: Embedding,
        layers: Recurrent,
        bridge: Bridge,
        output: nn.Linear,
        attend: Attend,
        *,
        context_dim: int,
        dropout: float,
    ) -> None:
        super().__init__(embedding, layers, bridge, output, attend, context_dim=context_dim, dropout=dropout)
        self.gate = nn.Linear(layers.output_dim, 1)
        nn.init.constant_(self.gate.bias, 2.0)  # open at first: a half-closed gate learns to look only slowly

    def look(
        self, query: Float[Tensor, "N T H"], memory: RecurrentMemory, trail: Trail | None, start: int
    ) -> tuple[Float[Tensor, "N T D"], Trail | None]:
        c, trail = super().look(query, memory, trail, start)
        return torch.sigmoid(self.gate(query)) * c, trail


class ImageCaptioner(EncoderDecoder):
    """`memory = model.encode(images)`, then `model.decoder` speaks: an `EncoderDecoder` over pictures.

    The decoder is any of `regard.models.recurrent`, a `GatedDecoder`, or a `TransformerDecoder`. What takes a `Batch`
    there takes a `CaptionBatch` here.
    """

    encoder: GridEncoder

    def encode(  # type: ignore[override]
        self, images: UInt8[Tensor, "B H W C"], lengths: Int[Tensor, " B"] | None = None
    ) -> Any:
        """The lengths, which a search over sentences gives, play no part."""
        return self.decoder.prepare(self.encoder(images))  # type: ignore[operator]

    def grid(self, images: UInt8[Tensor, "B H W C"]) -> tuple[int, int]:
        """Rows and columns of places, by which weights `[…, S]` unfold to `[…, rows, columns]`."""
        return self.encoder.vision.grid(*images.shape[1:3])  # type: ignore[operator]

    def remember(self, batch: CaptionBatch) -> Any:
        """Each picture is looked at once, whatever number of captions it has in the batch."""
        return self.encode(batch.images).select(batch.picture)

    def read(self, batch: CaptionBatch) -> Bool[Tensor, "B S"]:
        """All places are real."""
        rows, columns = self.grid(batch.images)
        return torch.ones(len(batch), rows * columns, dtype=torch.bool, device=batch.images.device)
