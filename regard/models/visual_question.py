"""Answering questions about pictures: regions and words look at each other, and what they saw is classified.

A fusion makes one vector of regions `V [B, N, D]` and words `Q [B, T, D]`, and tells by `weights` what each region and
each word gives to it, `[B, L, N]` and `[B, L, T]`, in L looks. A side that is not looked at has zeros. `vectors` says
how many times D the vector is long. The words have a mask `[B, T]`; all regions of a picture are real.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from regard.attention.coattention import (
    AlternatingCoAttention,
    CoAttention,
    HierarchicalCoAttention,
    ParallelCoAttention,
)
from regard.attention.dense_coattention import DenseSymmetricCoAttention, ModularCoAttention
from regard.attention.pooling import AttentivePooling
from regard.batch import within
from regard.dropout import Dropout
from regard.layers import Embedding
from regard.models.captioning import GridEncoder
from regard.models.classifier import MeanPooling
from regard.state import Memory

Fusing = Literal["parallel", "alternating", "hierarchical", "dense", "modular", "none", "question-only", "image-only"]
Weights = tuple[Float[Tensor, "B L N"], Float[Tensor, "B L T"]]


class Asked(Protocol):
    """What is answered: questions with a length each, and pictures, which one question or several are about."""

    @property
    def images(self) -> UInt8[Tensor, "P H W C"]: ...

    @property
    def picture(self) -> Int[Tensor, " B"]: ...

    @property
    def source(self) -> Int[Tensor, "B T"]: ...

    @property
    def source_lengths(self) -> Int[Tensor, " B"]: ...


class WordEncoder(nn.Module):
    """The words as they are, for a co-attention that makes phrases and questions of them itself."""

    def __init__(self, embedding: Embedding, *, dropout: float) -> None:
        super().__init__()
        self.embedding = embedding
        self.dropout = Dropout(dropout)

    def forward(self, source: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]) -> Memory:
        return Memory(self.dropout(self.embedding(source)), lengths, source)


def joined(v: Float[Tensor, "B D"], q: Float[Tensor, "B D"]) -> Float[Tensor, "B 3D"]:
    """`[v; q; v ⊙ q]`: the product says at once what only picture and question together tell (Kim et al. 2017)."""
    return torch.cat((v, q, v * q), dim=-1)


class PairFusion(nn.Module):
    """`[v̂; q̂; v̂ ⊙ q̂]` of a co-attention that gives two vectors."""

    vectors = 3

    def __init__(self, coattention: CoAttention) -> None:
        super().__init__()
        self.coattention = coattention

    def forward(
        self, V: Float[Tensor, "B N D"], Q: Float[Tensor, "B T D"], q_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B 3D"]:
        return joined(*self.coattention(V, Q, None, q_mask))

    def weights(
        self, V: Float[Tensor, "B N D"], Q: Float[Tensor, "B T D"], q_mask: Bool[Tensor, "B T"] | None = None
    ) -> Weights:
        a_v, a_q = self.coattention.weights(V, Q, None, q_mask)
        return a_v[:, None], a_q[:, None]


class LevelFusion(nn.Module):
    """The one vector of a hierarchical co-attention. It looks three times: by word, by phrase, by question."""

    vectors = 1

    def __init__(self, coattention: HierarchicalCoAttention) -> None:
        super().__init__()
        self.coattention = coattention

    def forward(
        self, V: Float[Tensor, "B N D"], Q: Float[Tensor, "B T D"], q_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B D"]:
        return self.coattention(V, Q, None, q_mask)

    def weights(
        self, V: Float[Tensor, "B N D"], Q: Float[Tensor, "B T D"], q_mask: Bool[Tensor, "B T"] | None = None
    ) -> Weights:
        return self.coattention.weights(V, Q, None, q_mask)


class PooledFusion(nn.Module):
    """Regions and words as a co-attention that gives sequences leaves them, or as they were, each pooled to a vector.

    Of two vectors `[v; q; v ⊙ q]` is made; a side without a pooling is not seen, and then the vector of the other is
    all.
    """

    def __init__(
        self,
        coattention: DenseSymmetricCoAttention | ModularCoAttention | None,
        regions: nn.Module | None,
        words: nn.Module | None,
    ) -> None:
        super().__init__()
        if regions is None and words is None:
            raise ValueError("an answer needs the picture, the question, or both: give at least one pooling")
        self.coattention, self.regions, self.words = coattention, regions, words
        self.vectors = 1 if regions is None or words is None else 3

    def forward(
        self, V: Float[Tensor, "B N D"], Q: Float[Tensor, "B T D"], q_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B F"]:
        V, Q = self._look(V, Q, q_mask)
        v = None if self.regions is None else self.regions(V)
        q = None if self.words is None else self.words(Q, q_mask)
        if v is not None and q is not None:
            return joined(v, q)
        return v if v is not None else q  # type: ignore[return-value]

    def weights(
        self, V: Float[Tensor, "B N D"], Q: Float[Tensor, "B T D"], q_mask: Bool[Tensor, "B T"] | None = None
    ) -> Weights:
        """Those of the poolings. What regions and words saw of each other, `coattention.weights` tells."""
        V, Q = self._look(V, Q, q_mask)
        a_v = V.new_zeros(V.shape[:-1]) if self.regions is None else self.regions.weights(V)  # type: ignore[operator]
        a_q = Q.new_zeros(Q.shape[:-1]) if self.words is None else self.words.weights(Q, q_mask)  # type: ignore[operator]
        return a_v[:, None], a_q[:, None]

    def _look(self, V: Tensor, Q: Tensor, q_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        return (V, Q) if self.coattention is None else self.coattention(V, Q, None, q_mask)


Fusion = PairFusion | LevelFusion | PooledFusion


def fusion(
    kind: Fusing,
    dim: int,
    hidden: int,
    *,
    layers: int = 2,
    heads: int = 4,
    slots: int = 3,
    dropout: float = 0.0,
) -> Fusion:
    """The fusion of a name. `hidden` is the size in which regions and words are compared; `layers`, and `heads`, or as
    many maps, are those of the dense and of the modular co-attention.

    `none` takes the mean of both sides; `question-only` and `image-only` see one side, by attentive pooling.
    """
    match kind:
        case "parallel":
            return PairFusion(ParallelCoAttention(dim, hidden))
        case "alternating":
            return PairFusion(AlternatingCoAttention(dim, hidden))
        case "hierarchical":
            return LevelFusion(HierarchicalCoAttention(dim, hidden))
        case "dense" | "modular":
            deep = (
                DenseSymmetricCoAttention(dim, heads, slots, layers)
                if kind == "dense"
                else ModularCoAttention(dim, heads, layers, dropout=dropout)
            )
            return PooledFusion(deep, AttentivePooling(dim, hidden), AttentivePooling(dim, hidden))
        case "none":
            return PooledFusion(None, MeanPooling(), MeanPooling())
        case "question-only":
            return PooledFusion(None, None, AttentivePooling(dim, hidden))
        case "image-only":
            return PooledFusion(None, AttentivePooling(dim, hidden), None)
        case other:
            raise ValueError(
                f"there is no way '{other}' to join a picture and a question: {', '.join(get_args(Fusing))}"
            )


class VisualQuestion(nn.Module):
    """`logits = output(fusion(regions(image), words(question)))`.

    `regions(images)` is a `GridEncoder`, `words(source, lengths)` a `RecurrentEncoder`, a `TransformerEncoder` or a
    `WordEncoder`; both give D features. `output` maps `[B, vectors · D]` to `[B, C]`.
    """

    def __init__(
        self, regions: GridEncoder, words: nn.Module, fusion: Fusion, output: nn.Module, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.regions = regions
        self.words = words
        self.fusion = fusion
        self.output = output
        self.dropout = Dropout(dropout)

    def read(self, batch: Asked) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B T D"], Bool[Tensor, "B T"]]:
        """Regions, words, and which of the words are real, for each question. A picture is looked at once."""
        question = self.words(batch.source, batch.source_lengths)
        regions = self.regions(batch.images).values[batch.picture]
        return regions, question.values, within(batch.source_lengths, batch.source.shape[1])

    def forward(self, batch: Asked) -> Float[Tensor, "B C"]:
        return self.output(self.dropout(self.fusion(*self.read(batch))))

    def weights(self, batch: Asked) -> Weights:
        """Attention over the regions, row after row of the grid, and over the words, the end among them; exactly zero
        beyond a length. Without gradient."""
        with torch.inference_mode():
            over_regions, over_words = self.fusion.weights(*self.read(batch))
            return over_regions.float(), over_words.float()

    def grid(self, images: UInt8[Tensor, "B H W C"]) -> tuple[int, int]:
        """Rows and columns of regions, by which weights `[…, N]` unfold to `[…, rows, columns]`."""
        return self.regions.vision.grid(*images.shape[1:3])  # type: ignore[operator]
