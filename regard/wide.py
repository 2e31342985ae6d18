"""Numbers wide enough for logarithms and sums of probabilities, whatever autocast has made of them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def wide(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """In float32, or float64 where they are that already."""
    return x if x.dtype == torch.float64 else x.float()
