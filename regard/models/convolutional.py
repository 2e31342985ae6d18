"""What stands around each position, found by filters over a few words (Kim 2014)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.functional import pad

from regard.batch import within
from regard.dropout import Dropout
from regard.layers import Embedding
from regard.state import Memory


class ConvolutionalEncoder(nn.Module):
    """`[B, S]` ids to a `Memory` of `[B, S, n · F]`: for each of n sizes F filters over so many words, `relu(W · [x_a; …; x_b]
    + b)`. A window of size w at position s goes from `s - ⌊(w-1)/2⌋` to `s + ⌊w/2⌋`; beyond the ends stand zeros, so that each
    position has its windows, and a source's result does not depend on how long its neighbours in a batch are."""

    def __init__(self, embedding: Embedding, windows: Sequence[int], filters: int, *, dropout: float) -> None:
        super().__init__()
        if not windows or min(windows) < 1:
            raise ValueError(f"windows are one size or more of at least a word each, not {list(windows)}")
        self.embedding = embedding
        self.windows = tuple(windows)
        self.filters = nn.ModuleList(nn.Conv1d(embedding.dim, filters, size) for size in windows)
        self.dropout = Dropout(dropout)
        self.output_dim = filters * len(windows)

    def forward(self, source: Int[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> Memory:
        real = within(lengths, source.shape[1])
        x = self.dropout(self.embedding(source)).masked_fill(~real[..., None], 0.0).transpose(1, 2)
        found = [
            layer(pad(x, ((size - 1) // 2, size // 2))).relu()
            for size, layer in zip(self.windows, self.filters, strict=True)
        ]
        return Memory(torch.cat(found, dim=1).transpose(1, 2), lengths, source)
