"""Exact hard attention (Wu, Shapiro & Cotterell 2018; Wu & Cotterell 2019): each token is said by one source position,
and which one is summed over, so that nothing is sampled.

For spellings and other short sequences over small vocabularies: the output layer speaks from every source position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.attention import Attend
from regard.attention.scores import Score
from regard.batch import PAD, within
from regard.dropout import Dropout
from regard.layers import Bridge, Embedding, Hidden, Recurrent
from regard.models.recurrent import RecurrentMemory
from regard.state import State
from regard.tanh import tanh
from regard.wide import wide

Transition = Literal["monotonic", "first-order", "zeroth-order"]
NEVER = -1e9  # the logarithm of what cannot be, finite so that gradients are numbers


@dataclass(frozen=True)
class HardMemory(RecurrentMemory):
    read: Float[Tensor, "B S F"] | None = None  # what each position gives to the output


@dataclass(frozen=True)
class HardState(State):
    """`place` is the log-probability of the position that said the last token, given all that was said before it; `of`
    that of each token there, None before the first token."""

    hidden: Hidden
    place: Float[Tensor, "N S"]
    of: Float[Tensor, "N S V"] | None = None


class ExactHardDecoder(nn.Module):
    same: Tensor

    """`P(y, a) = Π_t P(a_t | a_{t-1}, y_{<t}) P(y_t | a_t, y_{<t})`, summed over every alignment a by the forward recursion.

    The state `s_t` of a recurrent network has read `y_{<t}` and nothing of the source but its end. Position i says
    `softmax(W tanh(A s_t + B h_i) + b)`, and it follows position k in proportion to `exp(score(s_t, h_i) + jump_{i-k}(s_t))`,
    with all jumps beyond `reach` to one side being alike. A monotonic transition has no jumps to the left, one of zeroth
    order none at all: then positions do not depend on each other. With `same`, which has the target token that copies
    each source token, or -1, position i says that one, too, with probability `sigmoid(c · tanh(…) + d)` (Makarov et al. 2017
    let hard attention copy). Outputs are log-probabilities.
    """

    def __init__(
        self,
        embedding: Embedding,
        layers: Recurrent,
        bridge: Bridge,
        output: nn.Linear,
        score: Score,
        *,
        context_dim: int,
        transition: Transition = "first-order",
        reach: int = 5,
        same: Sequence[int] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if transition not in get_args(Transition):
            raise ValueError(f"transition is one of {', '.join(get_args(Transition))}, not {transition!r}")
        self.embedding, self.layers, self.bridge, self.output, self.score = embedding, layers, bridge, output, score
        self.state_part = nn.Linear(layers.output_dim, output.in_features)
        self.source_part = nn.Linear(context_dim, output.in_features, bias=False)
        self.jump = None if transition == "zeroth-order" else nn.Linear(layers.output_dim, 2 * reach + 1)
        if self.jump is not None:
            nn.init.zeros_(self.jump.weight)
            nn.init.zeros_(self.jump.bias)
        self.copying = None if same is None else nn.Linear(output.in_features, 1)
        copied = None if same is None else torch.tensor(same)
        self.register_buffer("same", copied, persistent=False)  # it follows from the vocabularies
        self.monotonic, self.reach = transition == "monotonic", reach
        self.dropout = Dropout(dropout)

    @property
    def sights(self) -> list[Attend]:
        return []

    # --- a decoder of `regard.state.Decoder` ------------------------------------------------------------------------

    def prepare(self, memory: RecurrentMemory) -> HardMemory:
        given: dict[str, Any] = {f.name: getattr(memory, f.name) for f in fields(memory)}
        given |= {"keys": self.score.project(memory.values), "read": self.source_part(memory.values)}
        return HardMemory(**given)

    def start(self, memory: HardMemory) -> HardState:
        rows, size = memory.values.shape[:2]
        place = torch.full((rows, size), NEVER, device=memory.values.device, dtype=_wide_type(memory.values))
        place[:, 0] = 0.0  # as if the first position had said the beginning
        return HardState(self.bridge(memory.final), place)

    def forward(
        self, tokens: Int[Tensor, "N T"], state: HardState, memory: HardMemory
    ) -> tuple[Float[Tensor, "N T V"], HardState]:
        """The logarithm of P for the token after each of `tokens`."""
        says, moves, hidden = self._parts(tokens, state, memory)
        place, of, places = state.place, state.of, []
        for step, token in enumerate(tokens.unbind(dim=1)):
            if of is not None:
                place = place + of.gather(-1, token[:, None, None].expand(-1, of.shape[1], 1))[..., 0]
            place, of = _moved(place, moves[:, step]), says[:, step]
            places.append(place)
        return torch.logsumexp(torch.stack(places, dim=1)[..., None] + says, dim=2), HardState(hidden, place, of)

    # --- given pairs --------------------------------------------------------------------------------------------------

    def likelihood(
        self, tokens: Int[Tensor, "B T"], said: Int[Tensor, "B T"], state: HardState, memory: HardMemory
    ) -> Float[Tensor, "B T"]:
        """`log P(said_t | what was said before)`."""
        says, moves, _ = self._parts(tokens, state, memory)
        return torch.logsumexp(_joint(_of(says, said), moves, state), dim=-1)

    def posterior(
        self, tokens: Int[Tensor, "B T"], said: Int[Tensor, "B T"], state: HardState, memory: HardMemory
    ) -> Float[Tensor, "B T S"]:
        """Which position said each token, in the light of the whole target: forward and backward. A row beyond the
        target's end is zeros."""
        says, moves, _ = self._parts(tokens, state, memory)
        chances = _of(says, said)
        joint, real = _joint(chances, moves, state), said != PAD
        after = torch.zeros_like(chances[:, 0])
        found = []
        for step in reversed(range(said.shape[1])):
            here = real[:, step, None]
            found.append(torch.where(here, torch.softmax(joint[:, step] + after, dim=-1), 0.0))
            before = torch.logsumexp(moves[:, step] + (chances[:, step] + after)[:, None, :], dim=-1)
            after = torch.where(here, before.expand_as(after), after)
        return torch.stack(found[::-1], dim=1)

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _parts(
        self, tokens: Int[Tensor, "N T"], state: HardState, memory: HardMemory
    ) -> tuple[Float[Tensor, "N T S V"], Float[Tensor, "N T K S"], Hidden]:
        """The log-probabilities of each token at each position, and of each position after each other (K is 1 where all
        are alike)."""
        assert memory.keys is not None and memory.read is not None
        times = tokens.shape[0] // memory.values.shape[0]  # hypotheses of a source stand side by side
        assert memory.source is not None
        lengths, keys, read, source = (
            part if times == 1 else part.repeat_interleave(times, dim=0)
            for part in (memory.lengths, memory.keys, memory.read, memory.source)
        )
        s, hidden = self.layers(self.dropout(self.embedding(tokens)), state.hidden)
        heard = self.dropout(tanh(self.state_part(s)[:, :, None] + read[:, None]))
        says = torch.log_softmax(wide(self.output(heard)), dim=-1)
        if self.copying is not None:
            own = self.same[source][:, None, :, None]
            copy = torch.where(own >= 0, wide(self.copying(heard)).sigmoid(), 0.0)
            added = copy.new_zeros(says.shape).scatter(-1, own.clamp_min(0).expand_as(copy), copy)
            says = ((1 - copy) * says.exp() + added).clamp_min(1e-20).log()
        places = torch.arange(keys.shape[1], device=tokens.device)
        fits = wide(self.score.compare(s, keys))[:, :, None]
        allowed = within(lengths, keys.shape[1])[:, None, None]
        if self.jump is not None:
            apart = places[None, :] - places[:, None]
            fits = fits + wide(self.jump(s))[..., apart.clamp(-self.reach, self.reach) + self.reach]
            if self.monotonic:
                allowed = allowed & (apart >= 0)
        return says, torch.log_softmax(fits.masked_fill(~allowed, NEVER), dim=-1), hidden


def _joint(
    chances: Float[Tensor, "B T S"], moves: Float[Tensor, "B T K S"], state: HardState
) -> Float[Tensor, "B T S"]:
    """`log P(said_t, a_t | what was said before t)`."""
    place, found = state.place, []
    for step in range(chances.shape[1]):
        joint = _moved(place, moves[:, step]) + chances[:, step]
        found.append(joint)
        place = joint
    return torch.stack(found, dim=1)


def _moved(place: Float[Tensor, "N S"], moves: Float[Tensor, "N K S"]) -> Float[Tensor, "N S"]:
    """Where the next token comes from, if the last one came from `place`, of which the sum is made one."""
    place = torch.log_softmax(place, dim=-1)
    return torch.logsumexp(place[:, :, None] + moves, dim=1)


def _of(says: Float[Tensor, "B T S V"], said: Int[Tensor, "B T"]) -> Float[Tensor, "B T S"]:
    return says.gather(-1, said[:, :, None, None].expand(-1, -1, says.shape[2], 1))[..., 0]


def _wide_type(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
