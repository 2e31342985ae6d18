"""Batches of pictures with what is said about them, in an order that the seed and the epoch decide alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from regard.batch import BOS, EOS, rectangle


@dataclass(frozen=True, slots=True)
class CaptionBatch:
    """Pictures and their captions: a target is `BOS y_1 … y_m EOS`, as in `regard.batch.Batch`."""

    images: UInt8[Tensor, "B H W C"]
    target: Int[Tensor, "B T"]
    target_lengths: Int[Tensor, " B"]
    rows: Int[Tensor, " B"]  # which caption each one is, from 0

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device | str) -> CaptionBatch:
        return CaptionBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def target_tokens(self) -> int:
        """How many tokens the decoder has to say: what speeds and losses are counted in."""
        return int(self.target_lengths.sum()) - len(self)


class CaptionBatches:
    """Cuts captions into rectangles of at most `batch_tokens` positions, and of at most `batch_pictures` rows.

    `captions` are (number of the picture, ids without special tokens); a picture with five captions comes five times
    an epoch. Captions of like length go together, chance deciding among equals, and the batches are shuffled. With
    `flip` each caption's picture is mirrored or not by the toss of a coin, new in every epoch; captions that say
    "left" or "right" then turn wrong. Order and coins follow from (seed, epoch) alone, so a training resumes exactly.
    """

    def __init__(
        self,
        pictures: UInt8[np.ndarray, "N H W C"],
        captions: Sequence[tuple[int, Sequence[int]]],
        batch_tokens: int,
        seed: int,
        *,
        shuffle: bool = True,
        flip: bool = False,
        batch_pictures: int = 256,
    ) -> None:
        if batch_tokens < 1 or batch_pictures < 1:
            raise ValueError(f"a batch holds at least 1 token and 1 picture, not {batch_tokens} and {batch_pictures}")
        self.pictures, self.batch_tokens, self.batch_pictures = pictures, batch_tokens, batch_pictures
        self.seed, self.shuffle, self.flip = seed, shuffle, flip
        self._picture_of = np.array([picture for picture, _ in captions], dtype=np.int64)
        if len(captions) and not 0 <= self._picture_of.min() <= self._picture_of.max() < len(pictures):
            raise ValueError(
                f"captions name pictures {self._picture_of.min()} to {self._picture_of.max()} of {len(pictures)}"
            )
        lengths = np.array([len(ids) for _, ids in captions], dtype=np.int64)
        # One flat array: a list of lists of Python numbers would take ten times as much memory.
        self._ids = np.fromiter((i for _, ids in captions for i in ids), dtype=np.int32, count=int(lengths.sum()))
        self._starts = np.concatenate(([0], lengths.cumsum())).astype(np.int64)
        self._targets = lengths + 1  # a decoder reads one token less than a target holds
        self._plan: tuple[int, list[Int[np.ndarray, " B"]]] | None = None

    def epoch(self, number: int, start: int = 0) -> Iterator[CaptionBatch]:
        """The batches of an epoch, from the batch `start` on."""
        mirrored = self._mirrored(number)
        for rows in self._planned(number)[start:]:
            yield self._batch(rows, mirrored)

    def count(self, number: int) -> int:
        return len(self._planned(number))

    def _mirrored(self, number: int) -> np.ndarray:
        if not self.flip:
            return np.zeros(len(self._targets), dtype=bool)
        # A coin a caption, whatever the batches: their order draws from another stream.
        return np.random.default_rng([self.seed, number, 1]).random(len(self._targets)) < 0.5

    def _planned(self, number: int) -> list[Int[np.ndarray, " B"]]:
        if self._plan is None or self._plan[0] != number:
            self._plan = number, self._cut(number)
        return self._plan[1]

    def _cut(self, number: int) -> list[Int[np.ndarray, " B"]]:
        chance = np.random.default_rng([self.seed, number])
        ties = chance.random(len(self._targets)) if self.shuffle else np.arange(len(self._targets))
        order = np.lexsort((ties, self._targets))
        longest = self._targets[order]
        batches, begin = [], 0
        while begin < len(order):
            window = longest[begin : begin + self.batch_pictures]
            # Sorted, so the last row of a batch is its longest.
            fits = window * np.arange(1, len(window) + 1) <= self.batch_tokens
            end = begin + max(1, int(fits.sum()))
            batches.append(order[begin:end])
            begin = end
        return [batches[i] for i in chance.permutation(len(batches))] if self.shuffle else batches

    def _batch(self, rows: Int[np.ndarray, " B"], mirrored: np.ndarray) -> CaptionBatch:
        images = self.pictures[self._picture_of[rows]]
        turned = mirrored[rows]
        images[turned] = images[turned, :, ::-1]
        target, lengths = rectangle(
            [[BOS, *self._ids[self._starts[row] : self._starts[row + 1]].tolist(), EOS] for row in rows]
        )
        return CaptionBatch(torch.from_numpy(images), target, lengths, torch.from_numpy(rows.astype(np.int64)))
