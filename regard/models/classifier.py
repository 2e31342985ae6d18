"""Classifiers: an encoder, a pooling by attention, an output layer.

A pooling makes of `H [B, S, D]` and its mask `[B, S]` (True = attend) one vector `[B, D]` or several `[B, hops, D]`,
and tells by `weights(H, mask)` what each position gives to them, `[B, S]` or `[B, hops, S]`. `SelfAttentivePooling`
and `AttentivePooling` of `regard.attention.pooling` do both; so do those here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from regard.attention import Attend
from regard.attention.pooling import HierarchicalPooling, SelfAttentivePooling, cleared, vector
from regard.batch import EOS, UNK, within
from regard.dropout import Dropout
from regard.layers import Embedding, Recurrent
from regard.models.captioning import GridEncoder, GridMemory
from regard.state import Memory

LOWEST, HIGHEST = 0.05, 20.0  # temperatures, beyond which a few validation items would decide alone


class Sources(Protocol):
    """What is classified: `source [B, S]` ids, or whatever the encoder reads, with a length each."""

    @property
    def source(self) -> Tensor: ...

    @property
    def source_lengths(self) -> Tensor: ...


class MeanPooling(nn.Module):
    """`1/|S| Σ_s h_s`: attention that is the same everywhere."""

    gives = "mean"  # what the row of its weights is called

    def forward(self, H: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None = None) -> Float[Tensor, "B D"]:
        H = cleared(H, mask, H.shape[-1], "vectors")
        return (self.weights(H, mask).unsqueeze(-2) @ H).squeeze(-2)

    def weights(self, H: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None = None) -> Float[Tensor, "B S"]:
        seen = H.new_ones(H.shape[:-1]) if mask is None else mask.to(H.dtype)
        return seen / seen.sum(dim=-1, keepdim=True).clamp_min(1)


class MaxPooling(nn.Module):
    """The largest value of each feature (Collobert et al. 2011). No attention: as weights stands the share of the
    features that each position gives."""

    gives = "largest"

    def forward(self, H: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None = None) -> Float[Tensor, "B D"]:
        return self._largest(H, mask)[0]

    def weights(self, H: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None = None) -> Float[Tensor, "B S"]:
        places = self._largest(H, mask)[1]
        ones = torch.ones_like(places, dtype=H.dtype) / H.shape[-1]
        shares = H.new_zeros(H.shape[:-1]).scatter_add(-1, places, ones)
        return shares if mask is None else shares.masked_fill(~mask, 0.0)

    @staticmethod
    def _largest(H: Tensor, mask: Tensor | None) -> tuple[Float[Tensor, "B D"], Int[Tensor, "B D"]]:
        if mask is None:
            return H.max(dim=-2)
        values, places = H.masked_fill(~mask.unsqueeze(-1), float("-inf")).max(dim=-2)
        return values.masked_fill(~mask.any(dim=-1, keepdim=True), 0.0), places


class QueryPooling(nn.Module):
    """`hops` learned queries look at the sequence through one `Attend`, as the token [CLS] of BERT does in its last
    layer (Devlin et al. 2019); `query [hops, Dq]`. `capture` sees it."""

    def __init__(self, attend: Attend, query_dim: int, hops: int = 1) -> None:
        super().__init__()
        if hops < 1:
            raise ValueError(f"a sequence is looked at once or more, not {hops} times")
        self.attend = attend
        self.query = nn.Parameter(torch.stack([vector(query_dim).detach() for _ in range(hops)]))

    def forward(self, H: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None = None) -> Float[Tensor, "B hops D"]:
        H = cleared(H, mask, H.shape[-1], "vectors")
        return self.attend(self._asked(H), H, H, None if mask is None else mask[:, None])

    def weights(self, H: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None = None) -> Float[Tensor, "B hops S"]:
        H = cleared(H, mask, H.shape[-1], "vectors")
        return self.attend.weights(self._asked(H), H, None if mask is None else mask[:, None])

    def _asked(self, H: Tensor) -> Float[Tensor, "B hops Dq"]:
        return self.query.to(H.dtype).expand(H.shape[0], *self.query.shape)


class JoinedPooling(nn.Module):
    """The vectors of several poolings side by side, such as the largest values and what attention chose."""

    def __init__(self, poolings: Sequence[nn.Module]) -> None:
        super().__init__()
        self.poolings = nn.ModuleList(poolings)

    def forward(self, H: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None = None) -> Float[Tensor, "B hops D"]:
        return torch.cat([_hops(pooling(H, mask)) for pooling in self.poolings], dim=1)

    def weights(self, H: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None = None) -> Float[Tensor, "B hops S"]:
        return torch.cat([_hops(pooling.weights(H, mask)) for pooling in self.poolings], dim=1)  # type: ignore[operator]


def looks_of(pooling: nn.Module, count: int) -> list[str]:
    """What the rows of a pooling's weights are: looks of attention, or what a pooling without attention gives. Of several
    poolings those of attention stand side by side."""
    parts = list(pooling.poolings) if isinstance(pooling, JoinedPooling) else [pooling]
    rows: list[str | None] = [getattr(part, "gives", None) for part in parts]
    place = rows.index(None) if None in rows else len(rows)
    looks = [f"look {number}" for number in range(1, count - len(rows) + rows.count(None) + 1)]
    plain = [[row for row in side if row is not None] for side in (rows[:place], rows[place:])]
    return [*plain[0], *looks, *plain[1]]


def _hops(x: Tensor) -> Tensor:
    """`[B, …]` as one hop."""
    return x[:, None] if x.ndim == 2 else x


class _Classifies(nn.Module):
    """What a classifier shares: an output layer, and a temperature that makes its probabilities honest.

    `output` maps `[B, F]` to `[B, C]`. `temperature` is a buffer, 1 until `calibrate` (Guo et al. 2017) sets it.
    """

    temperature: Tensor

    def __init__(self, output: nn.Module, dropout: float, word_dropout: float) -> None:
        super().__init__()
        if not 0.0 <= word_dropout < 1.0:
            raise ValueError(f"the share of words to leave out lies in [0, 1), not {word_dropout}")
        self.output = output
        self.dropout = Dropout(dropout)
        self.word_dropout = word_dropout
        self.register_buffer("temperature", torch.ones(()))

    def probabilities(self, logits: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """`softmax(z / T)`."""
        wide = logits if logits.dtype == torch.float64 else logits.float()
        return torch.softmax(wide / self.temperature.to(wide.dtype), dim=-1)

    def calibrate(self, logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"]) -> float:
        """Sets and returns the temperature for logits of items that were not trained on. Which class is likeliest
        stays."""
        found = calibrate(logits, labels)
        self.temperature.fill_(found)
        return found

    def _ids(self, batch: Sources) -> Tensor:
        """The source; in training some of its words are unknown (Iyyer et al. 2015), never the end of a text or of a
        sentence."""
        source = batch.source
        if not self.training or self.word_dropout == 0.0 or source.dtype != torch.long:
            return source
        lost = torch.rand(source.shape, device=source.device) < self.word_dropout
        inside = within(batch.source_lengths - 1, source.shape[1])
        return source.masked_fill(lost & inside & (source != EOS), UNK)


class PlaceEncoder(GridEncoder):
    """A `GridEncoder` as the encoder of a `Classifier`: all places of a picture are real, so lengths say nothing."""

    def forward(self, images: UInt8[Tensor, "B H W C"], lengths: Int[Tensor, " B"] | None = None) -> GridMemory:
        return super().forward(images)


class Context(nn.Module):
    """A recurrent network as `HierarchicalPooling` asks for one: `[N, T, D]` to `[N, T, E]`. A row of the mask is True
    up to a length."""

    def __init__(self, layers: Recurrent, *, dropout: float) -> None:
        super().__init__()
        self.layers = layers
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "N T D"], mask: Bool[Tensor, "N T"] | None) -> Float[Tensor, "N T E"]:
        return self.dropout(self.layers(x, lengths=None if mask is None else mask.sum(dim=-1))[0])


class Classifier(_Classifies):
    """`logits = output(pooling(encoder(x)))`.

    `encoder(source, lengths)` gives a `Memory`: a `RecurrentEncoder`, a `TransformerEncoder`, or one of pictures,
    whose positions are regions. `output` reads the pooled vectors one after the other, `[B, hops · D]`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        pooling: nn.Module,
        output: nn.Module,
        *,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(output, dropout, word_dropout)
        self.encoder = encoder
        self.pooling = pooling

    def read(self, batch: Sources) -> Memory:
        return self.encoder(self._ids(batch), batch.source_lengths)

    def classify(self, memory: Memory) -> Float[Tensor, "B C"]:
        """Logits of what has been read."""
        pooled = self.pooling(memory.values, _mask(memory))
        return self.output(self.dropout(pooled.flatten(1)))

    def look(self, memory: Memory) -> Float[Tensor, "B hops S"]:
        """What each position gives, hop by hop; exactly zero beyond a length."""
        return _hops(self.pooling.weights(memory.values, _mask(memory)))  # type: ignore[operator]

    def penalty(self, memory: Memory) -> Float[Tensor, " B"] | None:
        """`‖A Aᵀ − I‖_F²` of the self-attentive poolings (Lin et al. 2017, equation 8); None where there are none."""
        found = [each for each in self.pooling.modules() if isinstance(each, SelfAttentivePooling)]
        if not found:
            return None
        mask = _mask(memory)
        return torch.stack([each.penalty(each.weights(memory.values, mask).float()) for each in found]).sum(dim=0)

    def forward(self, batch: Sources) -> Float[Tensor, "B C"]:
        return self.classify(self.read(batch))

    def weights(self, batch: Sources) -> Float[Tensor, "B hops S"]:
        """Attention over the tokens, the end of each text among them; without gradient."""
        with torch.inference_mode():
            return self.look(self.read(batch)).float()


class HierarchicalClassifier(_Classifies):
    """Words become sentences, sentences a text, and that a class (Yang et al. 2016).

    `ends` are the ids of the tokens that end a sentence, as the end of the text does; one that has none for `longest`
    tokens is cut there.
    """

    ends: Tensor

    def __init__(
        self,
        embedding: Embedding,
        pooling: HierarchicalPooling,
        output: nn.Module,
        ends: Sequence[int] = (),
        *,
        longest: int = 64,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(output, dropout, word_dropout)
        if longest < 1:
            raise ValueError(f"a sentence has a word or more, not {longest}")
        self.embedding = embedding
        self.pooling = pooling
        self.longest = longest
        self.register_buffer("ends", torch.tensor([EOS, *ends]))

    def forward(self, batch: Sources) -> Float[Tensor, "B C"]:
        words, mask, _ = self._sentences(batch)
        return self.output(self.dropout(self.pooling(words, mask)))

    def weights(self, batch: Sources) -> Float[Tensor, "B 1 S"]:
        """A word's weight in its sentence times that of its sentence in the text: a row sums to 1. No gradient."""
        with torch.inference_mode():
            of_words, of_sentences, number = self.levels(batch)
            return (of_words * of_sentences.gather(1, number))[:, None]

    @torch.inference_mode()
    def levels(self, batch: Sources) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B N"], Int[Tensor, "B S"]]:
        """The weight of each word in its sentence, that of each sentence in its text, and the number of the sentence,
        from 0, that each word is in. A sentence's words sum to 1, and so do a text's sentences; beyond a length and
        beyond the last sentence there are zeros."""
        words, mask, places = self._sentences(batch)
        of_words, of_sentences = self.pooling.weights(words, mask)
        inside = within(batch.source_lengths, batch.source.shape[1])
        each = of_words.flatten(1).float().gather(1, places).masked_fill(~inside, 0.0)
        return each, of_sentences.float(), places // words.shape[2]

    def _sentences(self, batch: Sources) -> tuple[Float[Tensor, "B N W D"], Bool[Tensor, "B N W"], Int[Tensor, "B S"]]:
        """The words by sentence, which of them are there, and the place of each token in the flattened `N · W`."""
        ids = self._ids(batch)
        number, place = sentences(batch.source, self.ends, self.longest)
        inside = within(batch.source_lengths, ids.shape[1])
        count = int(number[inside].max()) + 1
        longest = int(place[inside].max()) + 1
        # What lies beyond a length is numbered on, so it is sent to one place more, which is cut off.
        places = (number * longest + place).masked_fill(~inside, count * longest)
        spread = ids.new_zeros(len(ids), count * longest + 1).scatter(1, places, ids)[:, :-1]
        mask = torch.zeros(spread.shape[0], count * longest + 1, dtype=torch.bool, device=ids.device)
        mask = mask.scatter(1, places, inside)[:, :-1]
        shape = (count, longest)
        words = self.dropout(self.embedding(spread)).unflatten(1, shape)
        return words, mask.unflatten(1, shape), places.masked_fill(~inside, 0)


def sentences(
    ids: Int[Tensor, "B S"], ends: Int[Tensor, " E"], longest: int
) -> tuple[Int[Tensor, "B S"], Int[Tensor, "B S"]]:
    """The number of each token's sentence and its place there, both from 0. An end belongs to the sentence before it,
    and several in a row end it together; a sentence is cut after `longest` tokens."""
    steps = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    ending = torch.isin(ids, ends)
    begins = torch.zeros_like(ending)
    begins[:, 1:] = ending[:, :-1] & ~ending[:, 1:]
    place = steps - torch.where(begins, steps, 0).cummax(dim=1).values
    cut = begins | ((place > 0) & (place % longest == 0))
    return cut.long().cumsum(dim=1), place % longest


def calibrate(logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"]) -> float:
    """The temperature T that makes `Σ_n -log softmax(z_n / T)[y_n]` least (Guo et al. 2017), in [0.05, 20].

    In β = 1/T the sum is convex, so its slope `Σ_n (E_p[z_n] - z_n[y_n])` only rises: halving finds where it is zero.
    """
    if not len(logits) or logits.shape[:1] != labels.shape:
        raise ValueError(f"a temperature needs a label for each of its items, not {len(labels)} for {len(logits)}")
    z, y = logits.detach().cpu().double(), labels.cpu()
    right = z.gather(1, y[:, None]).sum()

    def slope(beta: float) -> float:
        return float((torch.softmax(beta * z, dim=-1) * z).sum() - right)

    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 1 / (low * high) ** 0.5


def _mask(memory: Any) -> Bool[Tensor, "B S"]:
    return within(memory.lengths, memory.values.shape[1])
