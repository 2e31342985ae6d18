"""Top-k in a graph, which has to hold for rows that are shorter than k, too: ONNX's own operator does not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from regard.attention.normalizers import softmax


@dataclass(frozen=True)
class ByRank:
    """`regard.attention.normalizers.top_k`, by how many positions of the row come before each: those of higher score, and
    of equal ones those on the left. It compares all pairs, S² of them."""

    k: int

    ignores_shift = True
    sums_to_one = True

    def __call__(self, scores: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
        one, other = scores[..., :, None], scores[..., None, :]
        place = torch.arange(scores.shape[-1], device=scores.device)
        before = (other > one) | ((other == one) & (place[None, :] < place[:, None]))
        return softmax(scores.masked_fill(before.sum(-1) >= self.k, -torch.inf))
