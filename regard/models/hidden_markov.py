"""Alignment by a hidden Markov model (Vogel et al. 1996) whose lexicon is made of vectors (Wang et al. 2018).

Each target word is said by one source word, and where the next one stands depends on where the last one stood. What a
decoder attends to is thus a probability that is known exactly: the first-order hard attention of Wu & Cotterell
(2019), without a context beside it. It translates poorly and aligns words well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from regard.attention import Attend
from regard.batch import EOS, PAD, within
from regard.layers import Embedding, Output
from regard.models.lexical import Lexicon, linear_logsumexp
from regard.state import Memory, State
from regard.wide import wide

SMALL = 1e-30
NEVER = -1e4  # as a logarithm: nothing in float32, and no infinity to be multiplied


class SourceTokens(nn.Module):
    """An encoder that leaves the source as it is."""

    def forward(self, source: Int[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> Memory:
        return Memory(torch.zeros(*source.shape, 0, device=source.device), lengths, source)


@dataclass(frozen=True)
class MarkovMemory(Memory):
    lexicon: Lexicon = field(default_factory=Lexicon)


@dataclass(frozen=True)
class Ahead(State):
    """Where the next token comes from: `word` if a source word says it, `nothing` if none does and the place is kept.
    Both together are one. `begun` says that the token which comes in has been said by this model."""

    word: Float[Tensor, "N S"]
    nothing: Float[Tensor, "N S"]
    begun: bool = False


@dataclass(frozen=True)
class Jumps:
    """The weight of each jump from k to i, their sum over the positions of each sentence, and which those are. The
    weights are the same for all sentences, or each sentence's own."""

    weights: Float[Tensor, "*B S S"]
    totals: Float[Tensor, "B S"]
    real: Bool[Tensor, "B S"]

    def of(self, rows: int) -> Jumps:
        """For so many hypotheses, of which those of a source stand side by side."""
        times = rows // len(self.real)
        if times == 1:
            return self
        own = self.weights.ndim == 3
        weights, totals, real = (
            part if part is self.weights and not own else part.repeat_interleave(times, dim=0)
            for part in (self.weights, self.totals, self.real)
        )
        return Jumps(weights, totals, real)

    def onward(self, places: Float[Tensor, "N S"]) -> Float[Tensor, "N S"]:
        """Where somebody stands after a jump, by where he stood."""
        places = places / self.totals
        after = places @ self.weights if self.weights.ndim == 2 else (places[:, None] @ self.weights)[:, 0]
        return torch.where(self.real, after, 0.0)

    def expected(self, values: Float[Tensor, "N S"]) -> Float[Tensor, "N S"]:
        """What a jump from each place may expect of the values at all of them."""
        if self.weights.ndim == 2:
            return values @ self.weights.t() / self.totals
        return (self.weights @ values[..., None])[..., 0] / self.totals


class HiddenMarkovDecoder(nn.Module):
    """`P(y, a) = Π_t P(a_t | a_{t-1}) P(y_t | x_{a_t})`, summed over every alignment a by the forward recursion.

    `P(y | x) = softmax(table · words[x] + b)`. A jump from k to i has the weight `exp jump[i - k]`, with all jumps beyond
    `reach` to one side being alike, shared out among the positions of the sentence. With `transitions="lexical"` the
    word that is left has a say, `exp (jump + turn words[x_k])[i - k]`: which words are passed in another order, and which
    say several (Och & Ney 2003; the probability to stay, Toutanova et al. 2002). With probability `null` a token is said by no word, and the place stays (Och & Ney 2003). The end of the source says the end of the target, and
    neither has to do with words: else it is as likely that a full stop is said by the end and the end by the full stop.
    Outputs are log-probabilities.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        dim: int,
        *,
        reach: int = 10,
        null: float = 0.2,
        transitions: Literal["shared", "lexical"] = "shared",
    ) -> None:
        super().__init__()
        self.words = Embedding(source_size, dim, dim**0.5)
        self.nowhere = nn.Parameter(torch.randn(dim))
        self.table = Output(dim, target_size)
        nn.init.normal_(self.table.weight, std=dim**-0.5)
        nn.init.zeros_(self.table.bias)
        self.jump = nn.Parameter(torch.zeros(2 * reach + 1))
        self.first = nn.Parameter(torch.zeros(reach + 1))
        self.turn = nn.Linear(dim, 2 * reach + 1, bias=False) if transitions == "lexical" else None
        if self.turn is not None:
            nn.init.zeros_(self.turn.weight)  # it begins as if all words were alike
        self.reach, self.null = reach, null

    @property
    def sights(self) -> list[Attend]:
        return []

    @property
    def output(self) -> nn.Linear:
        return self.table

    # --- a decoder of `regard.state.Decoder` ------------------------------------------------------------------------

    def prepare(self, memory: Any) -> MarkovMemory:
        return MarkovMemory(memory.values, memory.lengths, memory.source)

    def start(self, memory: Any) -> Ahead:
        real = within(memory.lengths, memory.source.shape[1])
        weights = wide(self.first).exp()[torch.arange(real.shape[1], device=real.device).clamp(max=self.reach)]
        first = torch.where(real, weights, 0.0)
        first = first / first.sum(dim=-1, keepdim=True)
        return Ahead((1 - self.null) * first, self.null * first)

    def forward(self, tokens: Int[Tensor, "N T"], state: Ahead, memory: Any) -> tuple[Float[Tensor, "N T V"], Ahead]:
        """The logarithm of P for the token after each of `tokens`."""
        known = memory.lexicon.known
        if not known:
            vectors = torch.cat((self.words(memory.source), self.nowhere.expand(len(memory), 1, -1)), dim=1)
            logits = wide(vectors @ self.table.weight.t()) + self._bias()
            ends = nn.functional.one_hot(torch.tensor(EOS, device=tokens.device), logits.shape[-1])
            at_end = nn.functional.pad(memory.source == EOS, (0, 1))[..., None]
            known.append(torch.where(at_end, ends.to(logits.dtype), torch.softmax(logits, dim=-1)))
        times = len(tokens) // len(memory)
        chances = known[0]  # [B, S + 1, V]
        jumps = self._jumps(memory)
        said = []
        for token in tokens.unbind(dim=1):
            if state.begun:
                of = chances.gather(-1, token.reshape(len(memory), 1, times).expand(-1, chances.shape[1], -1))
                of = of.transpose(1, 2).flatten(0, 1)  # [N, S + 1]
                state, _ = self._step(state, of[:, :-1], of[:, -1:], jumps)
            every = torch.cat((state.word, state.nothing.sum(dim=-1, keepdim=True)), dim=-1)
            said.append((every.unflatten(0, (len(memory), times)) @ chances).flatten(0, 1))
            state = Ahead(state.word, state.nothing, begun=True)
        return torch.stack(said, dim=1).clamp_min(1e-20).log(), state

    # --- given pairs --------------------------------------------------------------------------------------------------

    def likelihood(
        self, tokens: Int[Tensor, "B T"], said: Int[Tensor, "B T"], state: Ahead, memory: Any
    ) -> Float[Tensor, "B T"]:
        """`log P(said_t | what was said before)`: the forward recursion, one step a token."""
        words, nothing = self._lexical(said, memory)
        best = torch.maximum(words.amax(dim=-1, keepdim=True), nothing).detach()
        words, nothing = (words - best).exp(), (nothing - best).exp()
        jumps, totals = self._jumps(memory), []
        for step in range(said.shape[1]):
            state, total = self._step(state, words[:, step], nothing[:, step], jumps)
            totals.append(total)
        return torch.cat(totals, dim=-1).log() + best[..., 0]

    def posterior(
        self, tokens: Int[Tensor, "B T"], said: Int[Tensor, "B T"], state: Ahead, memory: Any
    ) -> Float[Tensor, "B T S"]:
        """Which source word said each token, in the light of the whole target: forward and backward. A row lacks the
        probability that no word did."""
        words, nothing = self._lexical(said, memory)
        best = torch.maximum(words.amax(dim=-1, keepdim=True), nothing)
        words, nothing = (words - best).exp(), (nothing - best).exp()
        jumps = self._jumps(memory)
        forward, totals = [], []
        for step in range(said.shape[1]):
            forward.append(state.word * words[:, step])
            state, total = self._step(state, words[:, step], nothing[:, step], jumps)
            totals.append(total)
        after = torch.ones_like(words[:, 0])
        found = []
        for step in reversed(range(said.shape[1])):
            real = said[:, step, None] != PAD
            found.append(torch.where(real, forward[step] * after / totals[step], 0.0))
            on = jumps.expected(words[:, step] * after)  # to a word from each place
            before = ((1 - self.null) * on + self.null * nothing[:, step] * after) / totals[step]
            after = torch.where(real, before, after)
        return torch.stack(found[::-1], dim=1)

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _lexical(self, said: Int[Tensor, "B T"], memory: Any) -> tuple[Float[Tensor, "B T S"], Float[Tensor, "B T 1"]]:
        """`log P(said | x)` of each source word, and of none. Each kind of source token is normalised once."""
        bias_of_all = self._bias()
        kinds, place = memory.source.unique(return_inverse=True)
        vectors = torch.cat((self.words(kinds), self.nowhere[None].to(self.words.weight.dtype)))  # [K + 1, D]
        totals = linear_logsumexp(vectors, self.table.weight, bias_of_all)
        embedding = nn.functional.embedding
        wanted = embedding(said, self.table.weight).to(vectors.dtype)  # [B, T, D]
        bias = embedding(said, bias_of_all[:, None])
        words = wide(wanted @ embedding(place, vectors).transpose(-1, -2)) + bias
        words = words - embedding(place, totals[:, None])[..., 0][:, None, :]
        ends = torch.where(said == EOS, 0.0, NEVER).to(words.dtype)[..., None]
        words = torch.where((memory.source == EOS)[:, None, :], ends, words)
        real = within(memory.lengths, place.shape[1])
        nothing = wide(wanted @ vectors[-1][:, None]) + bias - totals[-1]
        return words.masked_fill(~real[:, None, :], float("-inf")), nothing

    def _bias(self) -> Float[Tensor, " V"]:
        """The table's, by which no word says the end."""
        return self.table.bias.index_fill(0, torch.tensor([EOS], device=self.table.bias.device), NEVER)

    def _jumps(self, memory: Any) -> Jumps:
        real = within(memory.lengths, memory.source.shape[1])
        places = torch.arange(real.shape[1], device=real.device)
        apart = (places[None, :] - places[:, None]).clamp(-self.reach, self.reach) + self.reach
        if self.turn is None:
            weights = wide(self.jump).exp()[apart]
            return Jumps(weights, real.to(weights.dtype) @ weights.t(), real)
        own = (wide(self.jump) + wide(self.turn(self.words(memory.source)))).exp()  # [B, S, 2·reach + 1]
        weights = own.gather(-1, apart.expand(len(own), -1, -1))
        return Jumps(weights, (weights * real[:, None]).sum(dim=-1), real)

    def _step(
        self,
        state: Ahead,
        words: Float[Tensor, "N S"],
        nothing: Float[Tensor, "N 1"],
        jumps: Jumps,
    ) -> tuple[Ahead, Float[Tensor, "N 1"]]:
        """After a token was said, of which `words` and `nothing` are the chances: where the next comes from, and the
        chance of this one."""
        jumps = jumps.of(len(words))
        places = state.word * words + state.nothing * nothing
        total = places.sum(dim=-1, keepdim=True).clamp_min(SMALL)
        places = places / total
        word = jumps.onward(places)
        return Ahead((1 - self.null) * word, self.null * places, begun=True), total
