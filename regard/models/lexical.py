"""Translation by a lexicon: each target token is said by one source token, and attention only chooses which.

The oldest idea of all (Brown et al. 1993) with a neural choice, as in the neural hidden Markov model (Wang et al.
2018) and latent alignment (Deng et al. 2018). What a soft context leaves open, which source token said a word, is
a probability here, so words are aligned far better than by the weights of a Transformer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.attention import Attend, fold, record, unfold
from regard.layers import Embedding
from regard.state import Memory, Rows
from regard.wide import wide


@dataclass(frozen=True)
class Lexicon(Rows):
    """What the source tokens say, `[B, S, V]`, once it has been asked for: every step of a search asks for the same,
    and a training for less."""

    known: list[Float[Tensor, "B S V"]] = field(default_factory=list)

    def select(self, rows: Int[Tensor, " N"]) -> Lexicon:
        return Lexicon([said.index_select(0, rows) for said in self.known])


@dataclass(frozen=True)
class LexicalMemory(Memory):
    inner: Any = None  # that of the decoder whose attention chooses
    lexicon: Lexicon = field(default_factory=Lexicon)


class LexicalDecoder(nn.Module):
    """`P(w) = Σ_s α_s P(w | x_s)`, with α from the topmost `Attend` of `decoder` that looks at the source, the mean of
    its heads, and `P(w | x) = softmax(table · words[x] + b)` for each source token by itself.

    The end of the source stands for whatever no source token says. `posterior` says which source token said what was
    said, `α_s P(w | x_s) / P(w)`: the alignment. Outputs are log-probabilities.
    """

    def __init__(self, decoder: Any, source_size: int) -> None:
        super().__init__()
        self.decoder = decoder
        size = decoder.output.in_features
        self.words = Embedding(source_size, size, size**0.5)
        self.table = nn.Linear(size, decoder.output.out_features)
        nn.init.normal_(self.table.weight, std=size**-0.5)
        nn.init.zeros_(self.table.bias)
        decoder.output = nn.Identity()  # it says nothing by itself

    @property
    def sights(self) -> list[Attend]:
        return self.decoder.sights

    @property
    def output(self) -> nn.Linear:
        return self.table

    def prepare(self, memory: Any) -> Any:
        inner = self.decoder.prepare(memory)
        return LexicalMemory(inner.values, inner.lengths, inner.source, inner)

    def start(self, memory: Any) -> Any:
        return self.decoder.start(memory.inner)

    def features(self, tokens: Int[Tensor, "N T"], state: Any, memory: Any) -> tuple[Float[Tensor, "N T F"], Any]:
        return self.decoder.features(tokens, state, memory.inner)

    def forward(self, tokens: Int[Tensor, "N T"], state: Any, memory: Any) -> tuple[Float[Tensor, "N T V"], Any]:
        """The logarithm of P for the token after each of `tokens`."""
        weights, state = self._look(tokens, state, memory)
        known = memory.lexicon.known
        if not known:
            known.append(torch.softmax(wide(self.table(self.words(memory.source))), dim=-1))
        said = known[0]
        # Hypotheses stand side by side, so that the lexicon of their source is not copied for each.
        chances = unfold(fold(weights.to(said.dtype), len(memory)) @ said, len(weights))
        return chances.clamp_min(1e-20).log(), state

    def joint(
        self, tokens: Int[Tensor, "B T"], said: Int[Tensor, "B T"], state: Any, memory: Any
    ) -> Float[Tensor, "B T S"]:
        """`log α_ts P(said_t | x_s)`: its sum over s, taken of the numbers, is the likelihood. The lexicon is gone through
        once for each kind of source token, and of it only what is said is kept."""
        weights, _ = self._look(tokens, state, memory)
        kinds, place = memory.source.unique(return_inverse=True)
        words = self.words(kinds)  # [K, F]
        totals = linear_logsumexp(words, self.table.weight, self.table.bias)
        embedding = nn.functional.embedding
        read = embedding(place, words)  # [B, S, F]
        wanted = embedding(said, self.table.weight).to(read.dtype) @ read.transpose(-1, -2)  # [B, T, S]
        bias = embedding(said, self.table.bias[:, None])
        lexical = wide(wanted) + bias - embedding(place, totals[:, None])[..., 0][:, None, :]
        return weights.to(lexical.dtype).clamp_min(1e-20).log() + lexical

    def posterior(
        self, tokens: Int[Tensor, "B T"], said: Int[Tensor, "B T"], state: Any, memory: Any
    ) -> Float[Tensor, "B T S"]:
        """Which source token said each token."""
        return torch.softmax(self.joint(tokens, said, state, memory), dim=-1)

    def _look(self, tokens: Tensor, state: Any, memory: Any) -> tuple[Float[Tensor, "N T S"], Any]:
        with record([self.sights[-1]]) as [seen]:
            features, state = self.decoder.features(tokens, state, memory.inner)
        rows, steps = features.shape[:2]
        weights = seen.weights()
        if weights.shape[:-1].numel() > rows * steps:
            weights = weights.mean(dim=-3)  # of several heads
        weights = weights.reshape(rows, steps, -1)
        return weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-9), state


SLICE_ELEMENTS = 1 << 21  # of the lexicon at once: 8 MiB of float32


class _LinearLogSumExp(torch.autograd.Function):
    """Rows of `x W^T + b` are made, added up and forgotten, and made again for the gradient `p = softmax(row)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, low: bool) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x, weight, bias)
        ctx.low = low
        parts = [logits.logsumexp(dim=-1) for _, logits in _slices(x, weight, bias, low)]
        total = torch.cat(parts)
        ctx.total = total
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        x, weight, bias = ctx.saved_tensors
        grad_x = torch.empty(x.shape, dtype=gradient.dtype, device=x.device)
        grad_w = torch.zeros(weight.shape, dtype=gradient.dtype, device=x.device)
        grad_b = torch.zeros(bias.shape, dtype=gradient.dtype, device=x.device)
        dtype = torch.bfloat16 if ctx.low else weight.dtype
        w = weight.to(dtype)
        for rows, logits in _slices(x, weight, bias, ctx.low):
            p = logits.sub_(ctx.total[rows, None]).exp_().mul_(gradient[rows, None])
            grad_b += p.sum(dim=0)
            p = p.to(dtype)
            grad_x[rows] = (p @ w).to(grad_x.dtype)
            grad_w += p.t() @ x[rows].to(dtype)
        return grad_x.to(x.dtype), grad_w.to(weight.dtype), grad_b.to(bias.dtype), None


def _slices(x: Tensor, weight: Tensor, bias: Tensor, low: bool) -> Iterator[tuple[slice, Tensor]]:
    dtype = torch.bfloat16 if low else weight.dtype
    w, b = weight.to(dtype).t(), bias.to(dtype)
    size = max(16, SLICE_ELEMENTS // weight.shape[0])
    for start in range(0, x.shape[0], size):
        rows = slice(start, start + size)
        yield rows, wide(torch.addmm(b, x[rows].to(dtype), w))


def linear_logsumexp(
    x: Float[Tensor, "K F"], weight: Float[Tensor, "V F"], bias: Float[Tensor, " V"]
) -> Float[Tensor, " K"]:
    """`log Σ_v exp(x W^T + b)` of each row without the whole matrix; under autocast it multiplies in bfloat16."""
    low = torch.is_autocast_enabled(x.device.type)
    with torch.autocast(x.device.type, enabled=False):
        return _LinearLogSumExp.apply(x, weight, bias, low)  # type: ignore[no-any-return]
