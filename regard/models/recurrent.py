"""Recurrent encoder–decoders: a fixed context (Sutskever 2014, Cho 2014), Bahdanau's decoder (2014), Luong's (2015).

The three decoders differ in where the query comes from. All speak `regard.state.Decoder`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from regard.attention import Attend, StatefulAttend, Trail, fold, unfold
from regard.batch import answers, within
from regard.dropout import Dropout
from regard.layers import Bridge, Embedding, Hidden, Recurrent
from regard.state import Memory, State


@dataclass(frozen=True)
class RecurrentMemory(Memory):
    final: Hidden = ()  # the state in which the encoder ended, each part [B, layers, D]
    mask: Bool[Tensor, "B 1 S"] | None = None  # None where all sources are equally long
    keys: Float[Tensor, "B S A"] | None = None  # the values as the score has projected them, once


@dataclass(frozen=True)
class RecurrentState(State):
    hidden: Hidden  # each part [N, layers, H]
    fed: Float[Tensor, "N F"] | None = None  # Luong's h̃ of the step before, with input feeding
    position: int = 0  # how many tokens have been read
    trail: Trail | None = None  # what was attended to, where the next look depends on it


class RecurrentEncoder(nn.Module):
    """`[B, S]` ids to a `RecurrentMemory` of `[B, S, D]`."""

    def __init__(self, embedding: Embedding, layers: Recurrent, *, dropout: float) -> None:
        super().__init__()
        self.embedding = embedding
        self.layers = layers
        self.dropout = Dropout(dropout)

    def forward(self, source: Int[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> RecurrentMemory:
        values, final = self.layers(self.dropout(self.embedding(source)), lengths=lengths)
        mask = within(lengths, source.shape[1])
        hide = not answers(mask) or not bool(mask.all())
        return RecurrentMemory(
            self.dropout(values), lengths, source, final=final, mask=mask[:, None, :] if hide else None
        )


class RecurrentDecoder(nn.Module):
    """What the three have in common: they start from the encoder's end and speak through one output layer."""

    def __init__(
        self, embedding: Embedding, layers: Recurrent, bridge: Bridge, output: nn.Linear, *, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.layers = layers
        self.bridge = bridge
        self.dropout = Dropout(dropout)
        self.output = output

    @property
    def sights(self) -> list[Attend]:
        return []

    def prepare(self, memory: RecurrentMemory) -> RecurrentMemory:
        return memory

    def start(self, memory: RecurrentMemory) -> RecurrentState:
        return RecurrentState(self.bridge(memory.final))

    def features(
        self, tokens: Int[Tensor, "N T"], state: RecurrentState, memory: RecurrentMemory
    ) -> tuple[Float[Tensor, "N T F"], RecurrentState]:
        """All but the output layer."""
        raise NotImplementedError(f"{type(self).__name__} has to define features")

    def forward(
        self, tokens: Int[Tensor, "N T"], state: RecurrentState, memory: RecurrentMemory
    ) -> tuple[Float[Tensor, "N T V"], RecurrentState]:
        features, state = self.features(tokens, state, memory)
        return self.output(features), state


class FixedDecoder(RecurrentDecoder):
    """No attention: `c` is the state in which the encoder ended.

    `context="initial"`: c is only where the decoder starts (Sutskever 2014). `context="background"`: c is moreover
    joined to the input and to the output of every step (Cho 2014).
    """

    def __init__(
        self,
        embedding: Embedding,
        layers: Recurrent,
        bridge: Bridge,
        output: nn.Linear,
        *,
        context: Literal["initial", "background"],
        context_dim: int,
        dropout: float,
    ) -> None:
        super().__init__(embedding, layers, bridge, output, dropout=dropout)
        self.context = context
        seen = layers.output_dim + embedding.dim + (context_dim if context == "background" else 0)
        self.readout = nn.Linear(seen, output.in_features)

    def features(
        self, tokens: Int[Tensor, "N T"], state: RecurrentState, memory: RecurrentMemory
    ) -> tuple[Float[Tensor, "N T F"], RecurrentState]:
        y = self.dropout(self.embedding(tokens))
        parts = [y]
        if self.context == "background":
            c = memory.final[0][:, -1]
            c = c.repeat_interleave(tokens.shape[0] // c.shape[0], dim=0)
            parts.append(c[:, None].expand(-1, tokens.shape[1], -1))
        s, hidden = self.layers(torch.cat(parts, dim=-1), state.hidden)
        read = torch.tanh(self.readout(torch.cat((s, *parts), dim=-1)))
        return self.dropout(read), RecurrentState(hidden)


class AttentiveDecoder(RecurrentDecoder):
    """What Bahdanau's and Luong's decoders have in common: they look at the source."""

    def __init__(
        self,
        embedding: Embedding,
        layers: Recurrent,
        bridge: Bridge,
        output: nn.Linear,
        attend: Attend,
        *,
        dropout: float,
    ) -> None:
        super().__init__(embedding, layers, bridge, output, dropout=dropout)
        self.attend = attend

    @property
    def sights(self) -> list[Attend]:
        return [self.attend]

    def prepare(self, memory: RecurrentMemory) -> RecurrentMemory:
        return replace(memory, keys=self.attend.project(memory.values))

    def start(self, memory: RecurrentMemory) -> RecurrentState:
        trail = self.attend.begin(memory.values) if isinstance(self.attend, StatefulAttend) else None
        return replace(super().start(memory), trail=trail)

    def look(
        self, query: Float[Tensor, "N T H"], memory: RecurrentMemory, trail: Trail | None, start: int
    ) -> tuple[Float[Tensor, "N T D"], Trail | None]:
        """The context of each query, of which the first stands at position `start`; and the trail behind them."""
        keys, values, mask = memory.keys, memory.values, memory.mask
        assert keys is not None
        rows, sources = query.shape[0], keys.shape[0]
        if trail is None and (rows == sources or not (self.attend.scope or self.attend.bias)):
            c = self.attend(fold(query, sources), keys, values, mask, start=start, projected=True)
            return unfold(c, rows), None
        if rows > sources:
            # A scope asks for positions and each hypothesis has its trail, so queries may not stand side by side.
            query = query.unflatten(0, (sources, rows // sources))
            keys, values = keys[:, None], values[:, None]
            mask = None if mask is None else mask[:, None]
        if trail is None:
            return self.attend(query, keys, values, mask, start=start, projected=True).flatten(0, 1), None
        beside = trail.reshape(*query.shape[:-2])
        c, after = self.attend(query, keys, values, mask, trail=beside, start=start, projected=True)
        return c.view(rows, *c.shape[-2:]), after.reshape(rows)


class BahdanauDecoder(AttentiveDecoder):
    """The query is the *previous* state: `c_t = attend(s_{t-1})`, `s_t = RNN(s_{t-1}, [y_{t-1}; c_t])`, output from
    `s_t, y_{t-1}, c_t` (Bahdanau et al. 2014, A.2.2).

    The gates are linear in their input, so joining y and c as the input of an unmodified cell puts the context
    inside all of them. Step t needs the context of step t-1, so the steps go one by one.
    """

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
        super().__init__(embedding, layers, bridge, output, attend, dropout=dropout)
        self.readout = nn.Linear(layers.output_dim + embedding.dim + context_dim, output.in_features)

    def features(
        self, tokens: Int[Tensor, "N T"], state: RecurrentState, memory: RecurrentMemory
    ) -> tuple[Float[Tensor, "N T F"], RecurrentState]:
        y = self.dropout(self.embedding(tokens))
        hidden, trail = state.hidden, state.trail
        states, contexts = [], []
        for position, step in enumerate(y.split(1, dim=1), start=state.position):
            c, trail = self.look(hidden[0][:, -1:], memory, trail, position)
            s, hidden = self.layers(torch.cat((step, c), dim=-1), hidden)
            states.append(s)
            contexts.append(c)
        seen = torch.cat((torch.cat(states, dim=1), y, torch.cat(contexts, dim=1)), dim=-1)
        after = RecurrentState(hidden, position=state.position + len(states), trail=trail)
        return self.dropout(torch.tanh(self.readout(seen))), after


class LuongDecoder(AttentiveDecoder):
    """The query is the *current* state: `s_t = RNN(s_{t-1}, y_{t-1})`, `c_t = attend(s_t)`,
    `h̃_t = tanh(W_c [c_t; s_t])`, output from `h̃_t` (Luong et al. 2015).

    With input feeding `s_t = RNN(s_{t-1}, [y_{t-1}; h̃_{t-1}])`, and the steps go one by one. Without it all states
    of a known target are one call of the RNN and all attentions one batched call.
    """

    def __init__(
        self,
        embedding: Embedding,
        layers: Recurrent,
        bridge: Bridge,
        output: nn.Linear,
        attend: Attend,
        *,
        context_dim: int,
        input_feeding: bool,
        dropout: float,
    ) -> None:
        super().__init__(embedding, layers, bridge, output, attend, dropout=dropout)
        self.input_feeding = input_feeding
        self.readout = nn.Linear(context_dim + layers.output_dim, output.in_features)

    def start(self, memory: RecurrentMemory) -> RecurrentState:
        state = super().start(memory)
        if not self.input_feeding:
            return state
        return replace(state, fed=state.hidden[0].new_zeros(memory.values.shape[0], self.readout.out_features))

    def features(
        self, tokens: Int[Tensor, "N T"], state: RecurrentState, memory: RecurrentMemory
    ) -> tuple[Float[Tensor, "N T F"], RecurrentState]:
        y = self.dropout(self.embedding(tokens))
        if not self.input_feeding:
            s, hidden = self.layers(y, state.hidden)
            h, trail = self._combine(s, memory, state.trail, state.position)
            after = RecurrentState(hidden, position=state.position + tokens.shape[1], trail=trail)
            return self.dropout(h), after
        hidden, fed, trail = state.hidden, state.fed, state.trail
        assert fed is not None
        combined = []
        for position, step in enumerate(y.split(1, dim=1), start=state.position):
            s, hidden = self.layers(torch.cat((step, fed[:, None].to(step.dtype)), dim=-1), hidden)
            h, trail = self._combine(s, memory, trail, position)
            h = self.dropout(h)
            combined.append(h)
            fed = h[:, 0]
        return torch.cat(combined, dim=1), RecurrentState(hidden, fed, state.position + len(combined), trail)

    def _combine(
        self, s: Float[Tensor, "N T H"], memory: RecurrentMemory, trail: Trail | None, start: int
    ) -> tuple[Float[Tensor, "N T F"], Trail | None]:
        c, trail = self.look(s, memory, trail, start)
        return torch.tanh(self.readout(torch.cat((c, s), dim=-1))), trail
