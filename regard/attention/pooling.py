"""Pooling by attention: a sequence `H [B, T, D]` and its mask `[B, T]` (True = attend) become one vector or a few.

What is masked is put to zero before anything else is done, so that whatever lies there, NaN too, changes neither a
result nor a gradient. A row with nothing to attend to gives zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from regard.attention.normalizers import softmax

Encoder = Callable[[Float[Tensor, "N T D"], Bool[Tensor, "N T"] | None], Float[Tensor, "N T E"]]
"""Something that puts vectors into context, such as a recurrent layer, and is told where a row has something."""


def cleared(
    x: Float[Tensor, "... T D"], mask: Bool[Tensor, "... T"] | None, dim: int, what: str
) -> Float[Tensor, "... T D"]:
    """x with zeros where the mask says False, after a look at whether both have the right shape."""
    if x.shape[-1] != dim:
        raise ValueError(f"this module was made for {what} of {dim} features and was given {x.shape[-1]}")
    if mask is None:
        return x
    if mask.dtype != torch.bool or mask.shape != x.shape[:-1]:
        raise ValueError(
            f"the mask of the {what} has to be boolean of shape {list(x.shape[:-1])}, True = attend, and not "
            f"{str(mask.dtype).removeprefix('torch.')} of shape {list(mask.shape)}"
        )
    return x.masked_fill(~mask.unsqueeze(-1), 0.0)


def masked_softmax(scores: Float[Tensor, "... T"], mask: Bool[Tensor, "..."] | None) -> Float[Tensor, "... T"]:
    """Softmax over what the mask leaves, exactly zero elsewhere; zeros where it leaves nothing."""
    if mask is None:
        return softmax(scores)
    empty = ~mask.any(dim=-1, keepdim=True)
    # A row that sees nothing is normalised as if it saw everything, which is finite, and then emptied.
    return softmax(scores.masked_fill(~(mask | empty), float("-inf"))).masked_fill(empty, 0.0)


def weighted(weights: Float[Tensor, "B T"], x: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
    """`Σ_t α_t x_t`."""
    return (weights.unsqueeze(-2) @ x).squeeze(-2)


def matrix(rows: int, columns: int) -> nn.Parameter:
    """A Glorot-initialised matrix."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns)))


def vector(size: int) -> nn.Parameter:
    """A vector whose product with `size` numbers in [-1, 1] starts small."""
    return nn.Parameter(nn.init.uniform_(torch.empty(size), -1 / math.sqrt(size), 1 / math.sqrt(size)))


class SelfAttentivePooling(nn.Module):
    """`A = softmax(W_2 tanh(W_1 Hᵀ))`, `M = A H` (Lin et al. 2017): `hops` looks at one sequence.

    `w_1 [hidden, D]` is the paper's W_s1 and `w_2 [hops, hidden]` its W_s2.
    """

    def __init__(self, dim: int, hidden: int, hops: int) -> None:
        super().__init__()
        if hops < 1:
            raise ValueError(f"a sequence is looked at once or more, not {hops} times")
        self.w_1 = matrix(hidden, dim)
        self.w_2 = matrix(hops, hidden)

    def forward(self, H: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None = None) -> Float[Tensor, "B hops D"]:
        """M, a row a hop."""
        H = cleared(H, mask, self.w_1.shape[1], "vectors")
        return self.weights(H, mask) @ H

    def weights(self, H: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None = None) -> Float[Tensor, "B hops T"]:
        """A: each hop's weights sum to 1."""
        H = cleared(H, mask, self.w_1.shape[1], "vectors")
        scores = (torch.tanh(H @ self.w_1.T) @ self.w_2.T).transpose(-1, -2)
        return masked_softmax(scores, None if mask is None else mask.unsqueeze(-2))

    @staticmethod
    def penalty(weights: Float[Tensor, "B hops T"]) -> Float[Tensor, " B"]:
        """`‖A Aᵀ − I‖_F²` of each row, least where every hop looks at one place of its own; its mean, times a
        coefficient, goes into the loss."""
        ones = torch.eye(weights.shape[-2], dtype=weights.dtype, device=weights.device)
        return (weights @ weights.transpose(-1, -2) - ones).square().sum(dim=(-2, -1))

    def extra_repr(self) -> str:
        return f"dim={self.w_1.shape[1]}, hidden={self.w_1.shape[0]}, hops={self.w_2.shape[0]}"


class AttentivePooling(nn.Module):
    """`u_t = tanh(W h_t + b)`, `α = softmax(u_tᵀ u_w)`, `Σ_t α_t h_t` (Yang et al. 2016).

    `w [hidden, D]`, `b [hidden]`, and `u_w [hidden]`, the learned question *what matters here?*
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.w = matrix(hidden, dim)
        self.b = nn.Parameter(torch.zeros(hidden))
        self.u_w = vector(hidden)

    def forward(self, H: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None = None) -> Float[Tensor, "B D"]:
        """The weighted mean of H."""
        H = cleared(H, mask, self.w.shape[1], "vectors")
        return weighted(self.weights(H, mask), H)

    def weights(self, H: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None = None) -> Float[Tensor, "B T"]:
        """α: a row sums to 1."""
        H = cleared(H, mask, self.w.shape[1], "vectors")
        return masked_softmax(torch.tanh(H @ self.w.T + self.b) @ self.u_w, mask)

    def extra_repr(self) -> str:
        return f"dim={self.w.shape[1]}, hidden={self.w.shape[0]}"


class HierarchicalPooling(nn.Module):
    """Words become sentences and sentences a document (Yang et al. 2016).

    `word_encoder` and `sentence_encoder` take vectors `[N, T, D]` with a mask `[N, T]` or None, and give
    `[N, T, E]`; `word_pooling` and `sentence_pooling` are an `AttentivePooling` each, of the sizes that come in.
    An encoder never gets a row with nothing in it, which packing refuses: such a row comes as zeros, all of them to
    be seen, and what becomes of it is thrown away. A sentence without words amid others is a gap in the mask.
    """

    def __init__(
        self,
        word_encoder: Encoder,
        word_pooling: AttentivePooling,
        sentence_encoder: Encoder,
        sentence_pooling: AttentivePooling,
    ) -> None:
        super().__init__()
        self.word_encoder = word_encoder
        self.word_pooling = word_pooling
        self.sentence_encoder = sentence_encoder
        self.sentence_pooling = sentence_pooling

    def forward(
        self,
        words: Float[Tensor, "B S W D"],
        word_mask: Bool[Tensor, "B S W"] | None = None,
        sentence_mask: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B E"]:
        """One vector a document. A sentence counts where `sentence_mask` says so and it has a word."""
        _, weights, encoded = self._look(words, word_mask, sentence_mask)
        return weighted(weights, encoded)

    def weights(
        self,
        words: Float[Tensor, "B S W D"],
        word_mask: Bool[Tensor, "B S W"] | None = None,
        sentence_mask: Bool[Tensor, "B S"] | None = None,
    ) -> tuple[Float[Tensor, "B S W"], Float[Tensor, "B S"]]:
        """The weights of the words in their sentence, and of the sentences in their document."""
        return self._look(words, word_mask, sentence_mask)[:2]

    def _look(
        self, words: Tensor, word_mask: Tensor | None, sentence_mask: Tensor | None
    ) -> tuple[Float[Tensor, "B S W"], Float[Tensor, "B S"], Float[Tensor, "B S E"]]:
        documents, sentences, length, size = words.shape
        words = cleared(words, word_mask, size, "words")
        if sentence_mask is not None:
            words = cleared(words.flatten(2), sentence_mask, length * size, "sentences").view(words.shape)
            every = sentence_mask[:, :, None].expand(-1, -1, length)
            word_mask = every if word_mask is None else word_mask & every
        mask = None if word_mask is None else word_mask.flatten(0, 1)
        encoded = self._encode(self.word_encoder, words.flatten(0, 1), mask)
        word_weights = self.word_pooling.weights(encoded, mask)
        pooled = weighted(word_weights, encoded).unflatten(0, (documents, sentences))
        mask = None if word_mask is None else word_mask.any(dim=-1)
        encoded = self._encode(self.sentence_encoder, pooled, mask)
        return (
            word_weights.unflatten(0, (documents, sentences)),
            self.sentence_pooling.weights(encoded, mask),
            encoded,
        )

    @staticmethod
    def _encode(
        encoder: Encoder, x: Float[Tensor, "N T D"], mask: Bool[Tensor, "N T"] | None
    ) -> Float[Tensor, "N T E"]:
        """The encoder's output, with zeros where the mask says False."""
        out = encoder(x, None if mask is None else mask | ~mask.any(dim=-1, keepdim=True))
        return cleared(out, mask, out.shape[-1], "encoded vectors")
