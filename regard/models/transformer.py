"""The Transformer encoder–decoder (Vaswani et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from regard.attention import Attend, KeysValues
from regard.batch import answers, within
from regard.dropout import Dropout
from regard.layers import DecoderLayer, Embedding, EncoderLayer
from regard.state import Memory, State


@dataclass(frozen=True)
class TransformerMemory(Memory):
    mask: Bool[Tensor, "B 1 1 S"] | None = None  # None where all sources are equally long
    layers: tuple[KeysValues, ...] = ()  # the keys and values that each decoder layer sees


@dataclass(frozen=True)
class TransformerState(State):
    past: tuple[KeysValues, ...] = ()  # per layer; empty before the first token
    position: int = 0


class TransformerEncoder(nn.Module):
    """`[B, S]` ids to a `TransformerMemory` of `[B, S, D]`."""

    def __init__(
        self,
        embedding: Embedding,
        positions: nn.Module,
        layers: Sequence[EncoderLayer],
        *,
        dropout: float,
        pre_norm: bool,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.positions = positions
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(embedding.dim) if pre_norm else nn.Identity()  # post-norm has normed already

    def forward(self, source: Int[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> TransformerMemory:
        mask = within(lengths, source.shape[1])
        mask = None if answers(mask) and bool(mask.all()) else mask[:, None, None, :]
        x = self.dropout(self.positions(self.embedding(source)))
        for layer in self.layers:
            x = layer(x, mask)
        return TransformerMemory(self.norm(x), lengths, source, mask=mask)


class TransformerDecoder(nn.Module):
    """A `regard.state.Decoder` whose state is the keys and values of what it has read."""

    def __init__(
        self,
        embedding: Embedding,
        positions: nn.Module,
        layers: Sequence[DecoderLayer],
        output: nn.Linear,
        *,
        dropout: float,
        pre_norm: bool,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.positions = positions
        self.dropout = Dropout(dropout)
        self.layers: Sequence[DecoderLayer] = nn.ModuleList(layers)  # type: ignore[assignment]
        self.norm = nn.LayerNorm(embedding.dim) if pre_norm else nn.Identity()
        self.output = output

    @property
    def sights(self) -> list[Attend]:
        return [layer.cross.attend for layer in self.layers]

    def prepare(self, memory: TransformerMemory) -> TransformerMemory:
        projected = tuple(layer.cross.project(memory.values) for layer in self.layers)
        return replace(memory, layers=projected)

    def start(self, memory: TransformerMemory) -> TransformerState:
        return TransformerState()

    def features(
        self, tokens: Int[Tensor, "N T"], state: TransformerState, memory: TransformerMemory
    ) -> tuple[Float[Tensor, "N T D"], TransformerState]:
        x = self.dropout(self.positions(self.embedding(tokens), state.position))
        past = state.past or (None,) * len(self.layers)
        present = []
        for layer, source, before in zip(self.layers, memory.layers, past, strict=True):
            x, after = layer(x, source, memory.mask, before, state.position)
            present.append(after)
        return self.norm(x), TransformerState(tuple(present), state.position + tokens.shape[1])

    def forward(
        self, tokens: Int[Tensor, "N T"], state: TransformerState, memory: TransformerMemory
    ) -> tuple[Float[Tensor, "N T V"], TransformerState]:
        features, state = self.features(tokens, state, memory)
        return self.output(features), state
