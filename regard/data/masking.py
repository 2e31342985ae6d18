"""Masked text, for models that read both ways (BERT; Devlin et al. 2019, §3.1).

The mask is one token more than a tokenizer knows: its id is the size of the vocabulary, so a model that reads it has
an embedding of one row more. The special tokens of `regard.batch` stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from regard.batch import EOS, PAD, SPECIAL_TOKENS, UNK
from regard.data.text import TextCorpus
from regard.data.tokenizer import SPACE, Tokenizer

HIDDEN, EXCHANGED = 0.8, 0.1  # of the places chosen; what remains is shown as it is


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """Sequences `x_1 … x_n EOS` with some tokens hidden; a model has to say the label at each of the places."""

    tokens: Int[Tensor, "B S"]
    lengths: Int[Tensor, " B"]
    labels: Int[Tensor, "B S"]  # the sequences as they were
    places: Bool[Tensor, "B S"]
    rows: Int[Tensor, " B"]  # the number of the document each one is of

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def to(self, device: torch.device | str) -> MaskedBatch:
        return MaskedBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def target_tokens(self) -> int:
        """How many tokens have to be said."""
        return int(self.places.sum())


def word_beginnings(tokenizer: Tokenizer) -> Bool[np.ndarray, " V"]:
    """True for each token that begins a word, which is what stands between white space."""
    names = tokenizer.tokens(range(tokenizer.size))
    if tokenizer.kind == "words":
        return np.ones(len(names), dtype=bool)
    if tokenizer.kind == "characters":  # white space belongs to the word after it
        return np.array([name.isspace() for name in names])
    return np.array([name.startswith(SPACE) for name in names])


def mask(
    ids: Int[np.ndarray, "B S"],
    chance: np.random.Generator,
    vocabulary: int,
    *,
    rate: float = 0.15,
    beginnings: Bool[np.ndarray, " V"] | None = None,
) -> tuple[Int[np.ndarray, "B S"], Bool[np.ndarray, "B S"]]:
    """The ids with some hidden, and the places where.

    Chosen are the share `rate` of the tokens of each row that are no special ones, rounded, and at least one. Of these
    80 % become the mask, whose id is `vocabulary`, 10 % another token, drawn evenly, and 10 % stay. With `beginnings`
    words are chosen whole: the last of them where it brings the share nearer to `rate`.
    """
    may = ids >= len(SPECIAL_TOKENS)
    first = np.ones(ids.shape, dtype=bool) if beginnings is None else beginnings[ids]
    first[:, 0] = True
    word = first.cumsum(axis=1) - 1
    rows, steps = ids.shape
    flat = (word + np.arange(rows)[:, None] * steps).ravel()
    sizes = np.bincount(flat, weights=may.ravel(), minlength=rows * steps).reshape(rows, steps)
    order = np.where(sizes > 0, chance.random(ids.shape), 2.0).argsort(axis=1)
    drawn = np.take_along_axis(sizes, order, axis=1)
    before = drawn.cumsum(axis=1) - drawn
    wanted = np.maximum(1, np.rint(rate * may.sum(axis=1, keepdims=True)))
    taken = np.zeros(ids.shape, dtype=bool)
    np.put_along_axis(taken, order, (before + drawn / 2 <= wanted) | (before == 0), axis=1)
    places = np.take_along_axis(taken, word, axis=1) & may
    fate = chance.random(ids.shape)
    other = chance.integers(len(SPECIAL_TOKENS), vocabulary, ids.shape)
    shown = np.where(fate < HIDDEN, vocabulary, np.where(fate < HIDDEN + EXCHANGED, other, ids))
    return np.where(places, shown, ids), places


class MaskedBatches:
    """Documents of like length, masked anew in every epoch; a longer one than `context - 1` is cut into equal pieces.

    Batches are rectangles of at most `batch_tokens` positions. Their order follows from (seed, number), what is
    masked in one from (seed, number, index); without `shuffle` they come by length, and number 0 is always the same.
    Documents of which nothing can be masked are left out. `beginnings` asks for whole words (see `word_beginnings`).
    """

    def __init__(
        self,
        corpus: TextCorpus,
        context: int,
        batch_tokens: int,
        seed: int,
        *,
        vocabulary: int,
        rate: float = 0.15,
        beginnings: Bool[np.ndarray, " V"] | None = None,
        shuffle: bool = True,
    ) -> None:
        if context < 2:
            raise ValueError(
                f"a masked language model reads a token and an end, a context of at least 2, not {context}"
            )
        if not 0 < rate < 1:
            raise ValueError(f"the share of tokens to mask lies between 0 and 1, not {rate}")
        if vocabulary <= len(SPECIAL_TOKENS):
            raise ValueError(f"a vocabulary of {vocabulary} holds special tokens alone, of which none is masked")
        self.corpus, self.batch_tokens, self.seed, self.shuffle = corpus, batch_tokens, seed, shuffle
        self.vocabulary, self.rate, self.beginnings = vocabulary, rate, beginnings
        self._documents, self._begins, self._lengths = _pieces(corpus, context - 1)
        self._plan: tuple[int, list[Int[np.ndarray, " B"]]] | None = None

    def epoch(self, number: int, start: int = 0) -> Iterator[MaskedBatch]:
        """The batches of an epoch, from the batch `start` on."""
        for index, pieces in enumerate(self._planned(number)[start:], start=start):
            # One above the index: a generator takes (seed, number) and (seed, number, 0) for the same.
            yield self._batch(pieces, np.random.default_rng([self.seed, number, index + 1]))

    def count(self, number: int) -> int:
        return len(self._planned(number))

    def _planned(self, number: int) -> list[Int[np.ndarray, " B"]]:
        if self._plan is None or self._plan[0] != number:
            self._plan = number, self._cut(np.random.default_rng([self.seed, number]))
        return self._plan[1]

    def _cut(self, chance: np.random.Generator) -> list[Int[np.ndarray, " B"]]:
        sizes = self._lengths + 1  # with the end
        ties = chance.random(len(sizes)) if self.shuffle else np.arange(len(sizes))
        order = np.lexsort((ties, sizes))
        longest = sizes[order]
        batches, begin = [], 0
        while begin < len(order):
            # Sizes rise, so the last row of a batch is its longest.
            window = longest[begin : begin + self.batch_tokens // int(longest[begin]) + 1]
            fitting = np.searchsorted(window * np.arange(1, len(window) + 1), self.batch_tokens, side="right")
            end = begin + max(1, int(fitting))
            batches.append(order[begin:end])
            begin = end
        return [batches[i] for i in chance.permutation(len(batches))] if self.shuffle else batches

    def _batch(self, pieces: Int[np.ndarray, " B"], chance: np.random.Generator) -> MaskedBatch:
        lengths = self._lengths[pieces]
        ids = np.full((len(pieces), int(lengths.max()) + 1), PAD, dtype=np.int64)
        for row, begin, length in zip(ids, self._begins[pieces].tolist(), lengths.tolist(), strict=True):
            row[:length] = self.corpus.ids[begin : begin + length]
            row[length] = EOS
        tokens, places = mask(ids, chance, self.vocabulary, rate=self.rate, beginnings=self.beginnings)
        arrays = (tokens, lengths + 1, ids, places, self._documents[pieces])
        return MaskedBatch(*(torch.from_numpy(array) for array in arrays))


def _pieces(
    corpus: TextCorpus, room: int
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Documents in as few pieces of at most `room` tokens as can be, of equal size: number of the document, where in
    the stream the piece begins, how long it is."""
    starts = np.asarray(corpus.starts, dtype=np.int64)
    sizes = np.diff(starts) - 1
    parts = -(-sizes // room)
    document = np.repeat(np.arange(len(sizes)), parts)
    part = np.arange(len(document)) - np.repeat(parts.cumsum() - parts, parts)
    size, of = sizes[document], parts[document]
    begins = starts[document] + part * size // of
    ends = starts[document] + (part + 1) * size // of
    unknown = np.flatnonzero(corpus.ids == UNK)
    known = np.searchsorted(unknown, ends) - np.searchsorted(unknown, begins) < ends - begins
    return document[known], begins[known], (ends - begins)[known]
