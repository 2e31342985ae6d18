"""Several query rows per source row: K hypotheses look at one source without copying it.

Attention treats each query alone, so the K·T queries of one source can stand side by side.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def fold(q: Float[Tensor, "N T D"], sources: int) -> Float[Tensor, "B KT D"]:
    """`[B·K, T, D]` to `[B, K·T, D]`: all that looks at one source, in one row."""
    rows, steps, size = q.shape
    return q if rows == sources else q.reshape(sources, rows // sources * steps, size)


def unfold(context: Float[Tensor, "B KT D"], rows: int) -> Float[Tensor, "N T D"]:
    """The inverse of `fold`."""
    sources, steps, size = context.shape
    return context if rows == sources else context.reshape(rows, steps * sources // rows, size)
