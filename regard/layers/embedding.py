"""Tokens to vectors, and where each one stands."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Embedding(nn.Module):
    """One vector per token; `weight [V, D]`.

    Drawn with standard deviation `D^-½`, so that the same matrix can serve as output layer (Press & Wolf 2017);
    `scale` multiplies on the way in, `√D` in a Transformer (Vaswani et al. 2017, §3.4) and 1 in an RNN. While it trains,
    the share `word_dropout` of the tokens are read as nothing, each place for itself, so that no output hangs on a single
    word (Gal & Ghahramani 2016; Sennrich & Zhang 2019); the others stay as they are.
    """

    def __init__(self, vocabulary: int, dim: int, scale: float = 1.0, word_dropout: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, dim))
        self.scale, self.word_dropout = scale, word_dropout
        nn.init.normal_(self.weight, std=dim**-0.5)

    @property
    def dim(self) -> int:
        return self.weight.shape[1]

    @torch.no_grad()
    def begin_with(self, ids: Int[Tensor, " n"], rows: Float[Tensor, "n D"]) -> None:
        """Puts vectors that were learned elsewhere in the places `ids`, all made longer or shorter by one factor, so that
        their numbers spread as those that are drawn here do."""
        spread = rows.square().mean().sqrt().clamp_min(1e-12)
        self.weight[ids] = (rows * (self.dim**-0.5 / spread)).to(self.weight)

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        vectors = nn.functional.embedding(ids, self.weight)
        if torch.is_autocast_enabled(vectors.device.type):
            # What follows adds to these vectors: in one format from the start, nothing is cast on the way.
            vectors = vectors.to(torch.get_autocast_dtype(vectors.device.type))
        if self.training and self.word_dropout:
            read = torch.rand(ids.shape, device=ids.device) >= self.word_dropout
            vectors = vectors * read.to(vectors.dtype)[..., None]
        return vectors if self.scale == 1.0 else vectors * self.scale

    def extra_repr(self) -> str:
        shape = f"vocabulary={self.weight.shape[0]}, dim={self.weight.shape[1]}, scale={self.scale:g}"
        return f"{shape}, word_dropout={self.word_dropout:g}" if self.word_dropout else shape


class Output(nn.Linear):
    """The last layer: from D features to one number for each of V outcomes; it may share an embedding's weight."""


class Sinusoidal(nn.Module):
    """`PE(p, 2i) = sin(p / 10000^(2i/D))`, `PE(p, 2i+1) = cos(…)` (Vaswani et al. 2017, §3.5). No parameters."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("table", self.encodings(256), persistent=False)

    def encodings(self, length: int) -> Float[Tensor, "T D"]:
        """Those of the positions from 0."""
        rate = torch.exp(torch.arange(0, self.dim, 2) * (-math.log(10_000.0) / self.dim))
        angle = torch.arange(length)[:, None] * rate
        return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, : self.dim]

    def forward(self, x: Float[Tensor, "B T D"], start: int = 0) -> Float[Tensor, "B T D"]:
        """Adds the positions `start … start + T - 1`."""
        end = start + x.shape[1]
        if end > self.table.shape[0]:
            self.table = self.encodings(2 * end).to(self.table.device)
        return x + self.table[start:end].to(x.dtype)


class Learned(nn.Module):
    """One learned vector per position, `weight [max_length, D]`; a longer sequence is an error."""

    def __init__(self, dim: int, max_length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_length, dim))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Float[Tensor, "B T D"], start: int = 0) -> Float[Tensor, "B T D"]:
        end = start + x.shape[1]
        if end > self.weight.shape[0]:
            raise ValueError(
                f"learned positions reach {self.weight.shape[0]} tokens, and this sequence has {end}; "
                "train with a larger max_length, or with sinusoidal or rotary positions"
            )
        return x + self.weight[start:end]


class NoPositions(nn.Module):
    """Leaves the vectors as they are: for rotary positions, which turn queries and keys instead."""

    def forward(self, x: Float[Tensor, "B T D"], start: int = 0) -> Float[Tensor, "B T D"]:
        return x
