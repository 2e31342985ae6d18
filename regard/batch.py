"""A batch: ids and lengths. What lies beyond a length is never looked at, so its value has no meaning.

Letters: B batch, T target, S source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Int
from torch import Tensor

# The first ids of every vocabulary. PAD only fills the rectangle; no model compares an id with it.
PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs of sequences.

    A source is `x_1 … x_n EOS`; a target is `BOS y_1 … y_m EOS`, so that `target[:, :-1]` is what a decoder
    reads and `target[:, 1:]` what it has to say. Lengths count the special tokens.
    """

    source: Int[Tensor, "B S"]
    source_lengths: Int[Tensor, " B"]
    target: Int[Tensor, "B T"]
    target_lengths: Int[Tensor, " B"]
    rows: Int[Tensor, " B"]  # which line of the corpus each one is, from 0

    @classmethod
    def of(cls, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Batch:
        """Pairs of ids without special tokens, numbered from 0."""
        source, source_lengths = rectangle([[*ids, EOS] for ids in sources])
        target, target_lengths = rectangle([[BOS, *ids, EOS] for ids in targets])
        return cls(source, source_lengths, target, target_lengths, torch.arange(len(sources)))

    def __len__(self) -> int:
        return self.source.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        return Batch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def target_tokens(self) -> int:
        """How many tokens the decoder has to say: what speeds and losses are counted in."""
        return int(self.target_lengths.sum()) - len(self)


def of_like_length(sizes: Sequence[tuple[int, int]], *, area: int, rows: int) -> Iterator[list[int]]:
    """The numbers of pairs that go together, the shortest first: at most `rows`, whose cells, as many each as the largest
    pair's have, are at most `area`. `sizes` are the tokens of both sides, without special tokens."""
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    together: list[int] = []
    largest = 0
    for i in order:
        grown = max(largest, (sizes[i][0] + 1) * (sizes[i][1] + 1))
        if together and (len(together) == rows or (len(together) + 1) * grown > area):
            yield together
            together, grown = [], (sizes[i][0] + 1) * (sizes[i][1] + 1)
        together.append(i)
        largest = grown
    if together:
        yield together


def within(lengths: Int[Tensor, " B"], size: int) -> Bool[Tensor, "B size"]:
    """True where a position lies within its sequence."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def answers(tensor: Tensor) -> bool:
    """Whether somebody may ask what is in it to save work: a GPU would have to stop for it, and a graph that is being
    recorded has nothing in it."""
    return not tensor.is_cuda and not torch.compiler.is_compiling()


def rectangle(sequences: list[list[int]]) -> tuple[Int[Tensor, "B T"], Int[Tensor, " B"]]:
    """Sequences of unequal length as one filled rectangle, and their lengths."""
    lengths = torch.tensor([len(s) for s in sequences], dtype=torch.long)
    ids = torch.full((len(sequences), int(lengths.max()) if sequences else 0), PAD, dtype=torch.long)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence, dtype=torch.long)
    return ids, lengths
