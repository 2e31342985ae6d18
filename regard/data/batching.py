"""Batches of like length within a budget of tokens, in an order that the seed and the epoch decide alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int

from regard.batch import BOS, EOS, PAD, Batch
from regard.data.corpus import Corpus


class Batches:
    """Cuts a corpus into rectangles of at most `batch_tokens` positions: rows times the longest sequence in them.

    Counted are sources with their end, and targets with one of their two marks, since a decoder reads one token less
    than a target holds; of the two the longer counts. So `batch_tokens` bounds the target tokens a batch trains on,
    and the source tokens too.

    Pairs are sorted by target and then source length, with chance deciding among equals, so that nearly nothing is
    filled up; then the batches are shuffled. A pair that is longer than the budget is a batch of its own. Since the
    order of an epoch follows from `(seed, number)`, a training resumes from two numbers: epoch and batch.
    """

    def __init__(self, corpus: Corpus, batch_tokens: int, seed: int, *, shuffle: bool = True) -> None:
        self.corpus, self.batch_tokens, self.seed, self.shuffle = corpus, batch_tokens, seed, shuffle
        # What a row takes up: a source with its end; a target with its beginning, of which one end is not read.
        self._targets = np.asarray(corpus.target_lengths) + 1
        self._sources = np.asarray(corpus.source_lengths) + 1
        self._plan: tuple[int, list[Int[np.ndarray, " B"]]] | None = None

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the batch `start` on."""
        for rows in self._planned(number)[start:]:
            yield self._batch(rows)

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

    def _batch(self, rows: Int[np.ndarray, " B"]) -> Batch:
        corpus = self.corpus
        source_lengths, target_lengths = self._sources[rows], self._targets[rows] + 1
        source = np.full((len(rows), source_lengths.max()), PAD, dtype=np.int64)
        target = np.full((len(rows), target_lengths.max()), PAD, dtype=np.int64)
        target[:, 0] = BOS
        starts = np.asarray(corpus.starts)[rows]
        _fill(source, corpus.ids, starts, source_lengths - 1)
        _fill(target[:, 1:], corpus.ids, starts + source_lengths - 1, target_lengths - 2)
        each = np.arange(len(rows))
        source[each, source_lengths - 1] = EOS
        target[each, target_lengths - 1] = EOS
        return Batch(
            torch.from_numpy(source),
            torch.from_numpy(source_lengths.astype(np.int64)),
            torch.from_numpy(target),
            torch.from_numpy(target_lengths.astype(np.int64)),
            torch.from_numpy(np.asarray(corpus.rows)[rows]),
        )


def _fill(
    rectangle: Int[np.ndarray, "B L"],
    ids: Int[np.ndarray, " N"],
    starts: Int[np.ndarray, " B"],
    lengths: Int[np.ndarray, " B"],
) -> None:
    """Writes `ids[starts[b] : starts[b] + lengths[b]]` into the beginning of each row, all rows at once."""
    columns = np.arange(rectangle.shape[1])
    within = columns < lengths[:, None]
    rectangle[within] = ids[(starts[:, None] + columns)[within]]
