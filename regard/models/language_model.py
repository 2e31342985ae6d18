"""Language models: of what comes next, by a Transformer or a recurrent network, and of what is hidden.

The first two speak `regard.state.Decoder`, so that every search works on them: their memory is `no_source`, which holds
nothing but its number of rows, and a prompt is a search's prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from regard.attention import Attend, KeysValues
from regard.batch import within
from regard.data.masking import MaskedBatch
from regard.data.text import TextBatch
from regard.dropout import Dropout
from regard.layers import Embedding, Hidden, Learned, Recurrent
from regard.layers.causal import CausalLayer, check_looks_back
from regard.models.transformer import TransformerEncoder, TransformerState
from regard.state import Memory, State


def no_source(rows: int, device: torch.device | str = "cpu") -> Memory:
    """The memory of a model that has no source."""
    return Memory(torch.zeros(rows, 0, 0, device=device), torch.zeros(rows, dtype=torch.long, device=device))


class LanguageModel(nn.Module):
    """What both have in common: `features` says all but the output layer."""

    def __init__(self, embedding: Embedding, output: nn.Linear, *, dropout: float) -> None:
        super().__init__()
        self.embedding = embedding
        self.dropout = Dropout(dropout)
        self.output = output

    @property
    def reach(self) -> int | None:
        """How many tokens it can read at most; None is no limit."""
        return None

    def start(self, memory: Memory) -> State:
        """The state before the first token, one row for each of the memory."""
        raise NotImplementedError(f"{type(self).__name__} has to define start")

    def features(
        self, tokens: Int[Tensor, "N T"], state: State, memory: Memory | None = None
    ) -> tuple[Float[Tensor, "N T F"], State]:
        """What the output layer reads after each of `tokens`, and the state after them."""
        raise NotImplementedError(f"{type(self).__name__} has to define features")

    def forward(
        self, tokens: Int[Tensor, "N T"], state: State, memory: Memory | None = None
    ) -> tuple[Float[Tensor, "N T V"], State]:
        features, state = self.features(tokens, state, memory)
        return self.output(features), state

    def teach(self, batch: TextBatch) -> Float[Tensor, "B T F"]:
        """The features at every position of a batch, real or filled."""
        features, _ = self.features(batch.read, self.start(no_source(len(batch), batch.tokens.device)))
        return features

    def predict(self, batch: TextBatch) -> tuple[Float[Tensor, "P F"], Int[Tensor, " P"]]:
        """The features, and the token that has to be said, at each of the P real positions."""
        real = within(batch.lengths - 1, batch.said.shape[1])
        return self.teach(batch)[real], batch.said[real]


class TransformerLanguageModel(LanguageModel):
    """Only a decoder, as GPT-2 is (Radford et al. 2019); its state is the keys and values of what it has read.

    Positions are added by `positions`, or turned and added within the attention of the layers.
    """

    def __init__(
        self,
        embedding: Embedding,
        positions: nn.Module,
        layers: Sequence[CausalLayer],
        output: nn.Linear,
        *,
        dropout: float,
        pre_norm: bool = True,
    ) -> None:
        super().__init__(embedding, output, dropout=dropout)
        self.positions = positions
        self.layers: Sequence[CausalLayer] = nn.ModuleList(layers)  # type: ignore[assignment]
        self.norm = nn.LayerNorm(embedding.dim) if pre_norm else nn.Identity()

    @property
    def reach(self) -> int | None:
        return self.positions.weight.shape[0] if isinstance(self.positions, Learned) else None

    def start(self, memory: Memory) -> TransformerState:
        return TransformerState()

    def features(
        self, tokens: Int[Tensor, "N T"], state: State, memory: Memory | None = None
    ) -> tuple[Float[Tensor, "N T F"], TransformerState]:
        assert isinstance(state, TransformerState)
        x = self.dropout(self.positions(self.embedding(tokens), state.position))
        past = state.past or (None,) * len(self.layers)
        present: list[KeysValues] = []
        for layer, before in zip(self.layers, past, strict=True):
            x, after = layer(x, before, state.position)
            present.append(after)
        return self.norm(x), TransformerState(tuple(present), state.position + tokens.shape[1])


@dataclass(frozen=True)
class RecurrentTextState(State):
    hidden: Hidden  # each part [N, layers, H]
    past: Float[Tensor, "N S H"] | None = None  # the states it may look back at
    keys: Float[Tensor, "N S A"] | None = None  # the same, as the score has projected them
    position: int = 0  # how many tokens have been read


class RecurrentLanguageModel(LanguageModel):
    """A recurrent network (Mikolov et al. 2010) that may look back at its own states (Daniluk et al. 2017).

    `s_t = RNN(s_{t-1}, x_t)`, `c_t = attend(s_t; s_1 … s_t)`, and the output reads `tanh(W [c_t; s_t])`; without an
    `attend` it reads `tanh(W s_t)`. The scope of the `attend` is Causal, or a Window that ends at t.
    """

    def __init__(
        self,
        embedding: Embedding,
        layers: Recurrent,
        output: nn.Linear,
        *,
        dropout: float,
        attend: Attend | None = None,
    ) -> None:
        super().__init__(embedding, output, dropout=dropout)
        if layers.output_dim != layers.hidden:
            raise ValueError("a language model reads forwards alone: make its Recurrent with bidirectional=False")
        if attend is not None:
            check_looks_back(attend)
        self.layers = layers
        self.attend = attend
        seen = layers.output_dim * (1 if attend is None else 2)
        self.readout = nn.Linear(seen, output.in_features)

    def start(self, memory: Memory) -> RecurrentTextState:
        weight = self.embedding.weight
        parts = 2 if self.layers.cell == "lstm" else 1
        shape = (len(memory), len(self.layers.layers), self.layers.hidden)
        zeros = torch.zeros(shape, dtype=weight.dtype, device=memory.lengths.device)
        return RecurrentTextState((zeros,) * parts)

    def features(
        self, tokens: Int[Tensor, "N T"], state: State, memory: Memory | None = None
    ) -> tuple[Float[Tensor, "N T F"], RecurrentTextState]:
        assert isinstance(state, RecurrentTextState)
        x = self.dropout(self.embedding(tokens))
        s, hidden = self.layers(x, tuple(part.to(x.dtype) for part in state.hidden))
        after = state.position + tokens.shape[1]
        if self.attend is None:
            return self._read(s), RecurrentTextState(hidden, position=after)
        past, keys = s, self.attend.project(s)
        if state.past is not None and state.keys is not None:
            past, keys = torch.cat((state.past, past), dim=1), torch.cat((state.keys, keys), dim=1)
        c = self.attend(s, keys, past, start=state.position, projected=True)
        return self._read(torch.cat((c, s), dim=-1)), RecurrentTextState(hidden, past, keys, after)

    def _read(self, seen: Float[Tensor, "N T H"]) -> Float[Tensor, "N T F"]:
        return self.dropout(torch.tanh(self.readout(seen)))


class MaskedLanguageModel(nn.Module):
    """Reads both ways and says what is hidden (Devlin et al. 2019).

    The embedding of the encoder has a row more than the vocabulary, the last, for the mask; the other rows are the
    output layer too: `softmax(E norm(gelu(W h + b)) + bias)`. `encoder` alone is what a later task goes on from.
    """

    def __init__(self, encoder: TransformerEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        dim = encoder.embedding.dim
        self.transform = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.bias = nn.Parameter(torch.zeros(self.vocabulary))
        nn.init.xavier_uniform_(self.transform.weight)
        nn.init.zeros_(self.transform.bias)

    @property
    def vocabulary(self) -> int:
        """How many tokens can be said; also the id of the mask."""
        return self.encoder.embedding.weight.shape[0] - 1

    @property
    def weight(self) -> Float[Tensor, "V D"]:
        """Of the output layer."""
        return self.encoder.embedding.weight[: self.vocabulary]

    def predict(self, batch: MaskedBatch) -> tuple[Float[Tensor, "P D"], Int[Tensor, " P"]]:
        """What the output layer reads, and the token that was hidden, at each of the P places."""
        values = self.encoder(batch.tokens, batch.lengths).values
        return self._read(values[batch.places]), batch.labels[batch.places]

    def forward(self, tokens: Int[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B S V"]:
        """Logits for the token at each place."""
        return linear(self._read(self.encoder(tokens, lengths).values), self.weight, self.bias)

    def _read(self, values: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return self.norm(gelu(self.transform(values)))
