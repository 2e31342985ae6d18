"""Batches of pictures with what is said about them, in an order that the seed and the epoch decide alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from regard.batch import BOS, EOS, rectangle
from regard.data.pictures import together


@dataclass(frozen=True, slots=True)
class CaptionBatch:
    """Pictures, each once, and captions: caption b is of `images[picture[b]]`, and its target is `BOS y_1 … y_m EOS`, as
    in `regard.batch.Batch`."""

    images: UInt8[Tensor, "P H W C"]
    picture: Int[Tensor, " B"]
    target: Int[Tensor, "B T"]
    target_lengths: Int[Tensor, " B"]
    rows: Int[Tensor, " B"]  # which caption each one is, from 0

    def __len__(self) -> int:
        return self.target.shape[0]

    def to(self, device: torch.device | str) -> CaptionBatch:
        return CaptionBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def target_tokens(self) -> int:
        """How many tokens the decoder has to say: what speeds and losses are counted in."""
        return int(self.target_lengths.sum()) - len(self)


class CaptionBatches:
    """Cuts captions into rectangles of at most `batch_tokens` positions, and of at most `batch_pictures` rows.

    `captions` are (number of the picture, ids without special tokens); a picture with five captions comes five times
    an epoch, and up to `per_picture` of them together, by chance which: a picture is looked at once for all that are in a
    batch. Captions of like length go together, chance deciding among equals, and the batches are shuffled. With `flip`
    each caption's picture is mirrored or not by the toss of a coin, new in every epoch, those that go together by the same
    coin; captions that say "left" or "right" then turn wrong. Order and coins follow from (seed, epoch) alone, so a
    training resumes exactly.
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
        per_picture: int = 1,
    ) -> None:
        if batch_tokens < 1 or batch_pictures < 1 or per_picture < 1:
            raise ValueError(
                f"a batch holds at least 1 token, and 1 caption of a picture, not {batch_tokens}, {batch_pictures} and "
                f"{per_picture}"
            )
        self.pictures, self.batch_tokens, self.batch_pictures = pictures, batch_tokens, batch_pictures
        self.seed, self.shuffle, self.flip, self.per_picture = seed, shuffle, flip, per_picture
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
        # A coin a caption or picture, whatever the batches: their order draws from another stream.
        chance = np.random.default_rng([self.seed, number, 1])
        if self.per_picture == 1:
            return chance.random(len(self._targets)) < 0.5
        return (chance.random(len(self.pictures)) < 0.5)[self._picture_of]

    def _planned(self, number: int) -> list[Int[np.ndarray, " B"]]:
        if self._plan is None or self._plan[0] != number:
            self._plan = number, self._cut(number)
        return self._plan[1]

    def _cut(self, number: int) -> list[Int[np.ndarray, " B"]]:
        chance = np.random.default_rng([self.seed, number])
        order, group = self._sorted(chance)
        longest = np.maximum.accumulate(self._targets[order])  # in a batch so far, and a little more
        batches, begin = [], 0
        while begin < len(order):
            window = longest[begin : begin + self.batch_pictures]
            fits = window * np.arange(1, len(window) + 1) <= self.batch_tokens
            end = begin + max(1, int(fits.sum()))
            whole = end if end == len(order) else int(np.searchsorted(group, group[end]))  # groups are not parted,
            end = whole if whole > begin else end  # unless one is too large for a batch
            batches.append(order[begin:end])
            begin = end
        return [batches[i] for i in chance.permutation(len(batches))] if self.shuffle else batches

    def _sorted(self, chance: np.random.Generator) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """Captions by length, or groups of them by the length of their longest, and the number of each one's group in
        that order."""
        if self.per_picture == 1:
            ties = chance.random(len(self._targets)) if self.shuffle else np.arange(len(self._targets))
            order = np.lexsort((ties, self._targets))
            return order, np.arange(len(order))
        order, group = together(self._picture_of, self.per_picture, chance)
        longest = np.zeros(int(group.max(initial=-1)) + 1, dtype=np.int64)
        np.maximum.at(longest, group, self._targets[order])
        rank = np.empty_like(longest)
        rank[np.lexsort((chance.random(len(longest)), longest))] = np.arange(len(longest))
        place = np.argsort(rank[group], kind="stable")
        return order[place], rank[group][place]

    def _batch(self, rows: Int[np.ndarray, " B"], mirrored: np.ndarray) -> CaptionBatch:
        seen, picture = np.unique(self._picture_of[rows] * 2 + mirrored[rows], return_inverse=True)
        images = self.pictures[seen // 2]
        turned = seen % 2 == 1
        images[turned] = images[turned, :, ::-1]
        target, lengths = rectangle(
            [[BOS, *self._ids[self._starts[row] : self._starts[row + 1]].tolist(), EOS] for row in rows]
        )
        return CaptionBatch(
            torch.from_numpy(images),
            torch.from_numpy(picture.reshape(-1).astype(np.int64)),
            target,
            lengths,
            torch.from_numpy(rows.astype(np.int64)),
        )
