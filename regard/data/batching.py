"""Batches of like length within a budget of tokens, in an order that the seed and the epoch decide alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int

from regard.batch import BOS, EOS, PAD, Batch
from regard.data.corpus import Corpus
from regard.data.merges import MergeDropout


class Batches:
    """Cuts a corpus into rectangles of at most `batch_tokens` positions: rows times the longest sequence in them.

    Counted are sources with their end, and targets with one of their two marks, since a decoder reads one token less
    than a target holds; of the two the longer counts. So `batch_tokens` bounds the target tokens a batch trains on,
    and the source tokens too.

    Pairs are sorted by target and then source length, with chance deciding among equals, so that nearly nothing is
    filled up; then the batches are shuffled. A pair that is longer than the budget is a batch of its own. Since the
    order of an epoch follows from `(seed, number)`, a training resumes from two numbers: epoch and batch.

    `dropouts` cut the tokens of sources and of targets anew each time (BPE-dropout), as `(seed, epoch, batch)` decide;
    a batch then holds somewhat more than planned.
    """

    def __init__(
        self,
        corpus: Corpus,
        batch_tokens: int,
        seed: int,
        *,
        shuffle: bool = True,
        dropouts: tuple[MergeDropout | None, MergeDropout | None] = (None, None),
    ) -> None:
        self.dropouts = dropouts
        self.corpus, self.batch_tokens, self.seed, self.shuffle = corpus, batch_tokens, seed, shuffle
        # What a row takes up: a source with its end; a target with its beginning, of which one end is not read.
        self._targets = np.asarray(corpus.target_lengths) + 1
        self._sources = np.asarray(corpus.source_lengths) + 1
        self._plan: tuple[int, list[Int[np.ndarray, " B"]]] | None = None

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the batch `start` on."""
        for index, rows in enumerate(self._planned(number)[start:], start=start):
            yield self._batch(rows, np.random.default_rng([self.seed, number, index]))

    def count(self, number: int) -> int:
        return len(self._planned(number))

    def _planned(self, number: int) -> list[Int[np.ndarray, " B"]]:
        if self._plan is None or self._plan[0] != number:
            self._plan = number, self._cut(number)
        return self._plan[1]

    def _cut(self, number: int) -> list[Int[np.ndarray, " B"]]:
        chance = np.random.default_rng([self.seed, number])
        ties = chance.random(len(self.corpus)) if self.shuffle else np.arange(len(self.corpus))
        order = np.lexsort((ties, self._sources, self._targets))
        longest = np.maximum(self._targets, self._sources)[order]
        batches, begin = [], 0
        while begin < len(order):
            # So many rows would fit if no later one were longer: the first that breaks the budget is among them.
            window = longest[begin : begin + self.batch_tokens // int(longest[begin]) + 1]
            sizes = np.maximum.accumulate(window) * np.arange(1, len(window) + 1)
            end = begin + max(1, int(np.searchsorted(sizes, self.batch_tokens, side="right")))
            batches.append(order[begin:end])
            begin = end
        if self.shuffle:
            batches = [batches[i] for i in chance.permutation(len(batches))]
        return batches

    def _batch(self, rows: Int[np.ndarray, " B"], chance: np.random.Generator) -> Batch:
        starts = np.asarray(self.corpus.starts)[rows]
        sources, targets = self._sources[rows] - 1, self._targets[rows] - 1
        source, source_lengths = self._side(starts, sources, self.dropouts[0], chance, ())
        target, target_lengths = self._side(starts + sources, targets, self.dropouts[1], chance, (BOS,))
        return Batch(
            torch.from_numpy(source),
            torch.from_numpy(source_lengths),
            torch.from_numpy(target),
            torch.from_numpy(target_lengths),
            torch.from_numpy(np.asarray(self.corpus.rows)[rows]),
        )

    def _side(
        self,
        starts: Int[np.ndarray, " B"],
        lengths: Int[np.ndarray, " B"],
        dropout: MergeDropout | None,
        chance: np.random.Generator,
        before: tuple[int, ...],
    ) -> tuple[Int[np.ndarray, "B L"], Int[np.ndarray, " B"]]:
        """The sequences `ids[starts[b] : starts[b] + lengths[b]]`, each with `before` and an end, and their lengths."""
        owners = np.repeat(np.arange(len(starts)), lengths)
        ids = np.asarray(self.corpus.ids)[_within(lengths) + np.repeat(starts, lengths)].astype(np.int64)
        if dropout is not None:
            ids, owners = dropout(ids, owners, chance)
            lengths = np.bincount(owners, minlength=len(starts))
        begin = len(before)
        rectangle = np.full((len(starts), int(lengths.max()) + begin + 1), PAD, dtype=np.int64)
        rectangle[:, :begin] = before
        rectangle[owners, _within(lengths) + begin] = ids
        rectangle[np.arange(len(starts)), lengths + begin] = EOS
        return rectangle, (lengths + begin + 1).astype(np.int64)


def _within(lengths: Int[np.ndarray, " B"]) -> Int[np.ndarray, " N"]:
    """0, 1, … for each row, one row after the other."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
