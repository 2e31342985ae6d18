"""`Attend`: a score, a normalizer and a scope become one attention.

e_ts = score(q_t, k_s)      α_t = normalize(e_t)      c_t = Σ_s α_ts v_s
"""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from regard.attention.normalizers import Normalizer, softmax
from regard.attention.scopes import Causal, Global, Scope, render
from regard.attention.scores import Score
from regard.dropout import dropout

# Below this many scores per row of the batch, PyTorch's fused CPU kernel loses to matmul, softmax, matmul: its
# backward walks blocks far larger than a sentence. Measured by benchmarks/attention_paths.py.
FUSED_CPU_SCORES = 256 * 256


class Bias(Protocol):
    """Something added to the scores that depends on positions alone; any leading dimensions must broadcast."""

    def __call__(self, query: Int[Tensor, "T 1"], key: Int[Tensor, "1 S"]) -> Float[Tensor, "... T S"]: ...


class Attend(nn.Module):
    """Attention made of parts.

    `score`      one of `regard.attention.scores`
    `normalize`  one of `regard.attention.normalizers`
    `scope`      which positions may be seen, one of `regard.attention.scopes`; None means all
    `bias`       added to the scores, from positions alone; None means nothing
    `dropout`    the share of weights dropped in training

    `q [..., T, Dq]`, `k [..., S, Dk]`, `v [..., S, Dv]`, `mask` boolean and broadcastable to `[..., T, S]`, True =
    attend. A query that may see nothing gets a context of zeros. `start` is the position of the first query, which
    matters to scopes and biases while a decoder goes on from a cache. With `projected=True`, `k` is what
    `score.project` has made of the keys, once per source.
    """

    def __init__(
        self,
        score: Score,
        normalize: Normalizer = softmax,
        scope: Scope | None = None,
        bias: Bias | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.score = score
        self.normalize = normalize
        self.scope = scope
        self.bias = bias
        self.dropout = dropout

    def forward(
        self,
        q: Float[Tensor, "... T Dq"],
        k: Float[Tensor, "... S Dk"],
        v: Float[Tensor, "... S Dv"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        start: int = 0,
        projected: bool = False,
    ) -> Float[Tensor, "... T Dv"]:
        """The context, by the fused kernel where it equals the reference and is faster, else by the reference."""
        if self._fuses(q, k, projected):
            factors = self.score.factor(q, k)
            if factors is not None:
                return self._fused(*factors, v, mask, start)
        return self.reference(q, k, v, mask, start=start, projected=projected)

    def reference(
        self,
        q: Float[Tensor, "... T Dq"],
        k: Float[Tensor, "... S Dk"],
        v: Float[Tensor, "... S Dv"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        start: int = 0,
        projected: bool = False,
    ) -> Float[Tensor, "... T Dv"]:
        """The plain formula: `weights @ v`."""
        weights = self.weights(q, k, mask, start=start, projected=projected)
        return dropout(weights, self.dropout, self.training).to(v.dtype) @ v

    def weights(
        self,
        q: Float[Tensor, "... T Dq"],
        k: Float[Tensor, "... S Dk"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        start: int = 0,
        projected: bool = False,
    ) -> Float[Tensor, "... T S"]:
        """The weights, before dropout."""
        scores = self.score.compare(q, k) if projected else self.score(q, k)
        if self.bias is not None:
            scores = scores + self._bias(self.bias, scores, start)
        seen = self._seen(scores.shape[-2], scores.shape[-1], mask, start, scores.device)
        if seen is None:
            return self.normalize(scores)
        empty = ~seen.any(dim=-1, keepdim=True)
        # A row that sees nothing is normalised as if it saw everything, which is finite, and then emptied.
        hidden = ~(seen | empty)
        weights = self.normalize(scores.masked_fill(hidden, float("-inf")))
        if scores.is_cuda or bool(empty.any()):  # asking the device would stop it, so there the row is always emptied
            weights = weights.masked_fill(empty, 0.0)
        return weights

    def _seen(self, queries: int, keys: int, mask: Tensor | None, start: int, device: torch.device) -> Tensor | None:
        """The mask and the scope together; None where everything may be seen."""
        if self.scope is None or isinstance(self.scope, Global):
            return mask
        if isinstance(self.scope, Causal) and queries == 1 and keys <= start + 1:
            return mask  # one step on from a cache: all that is there may be seen
        scope = render(self.scope, queries, keys, start, device)
        return scope if mask is None else scope & mask

    @staticmethod
    def _bias(bias: Bias, scores: Tensor, start: int) -> Tensor:
        queries, keys = scores.shape[-2:]
        query = torch.arange(start, start + queries, device=scores.device)[:, None]
        key = torch.arange(keys, device=scores.device)[None, :]
        return bias(query, key).to(scores.dtype)

    def _fuses(self, q: Tensor, k: Tensor, projected: bool) -> bool:
        """Whether the fused kernel computes the same thing, faster. It knows softmax, and no bias of ours."""
        if self.normalize is not softmax or self.bias is not None or projected:
            return False
        return q.is_cuda or q.shape[-2] * k.shape[-2] >= FUSED_CPU_SCORES

    def _fused(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, start: int) -> Tensor:
        rate = self.dropout if self.training else 0.0
        q, k = q.to(v.dtype), k.to(v.dtype)
        if mask is None and start == 0 and isinstance(self.scope, Causal) and q.shape[-2] == k.shape[-2]:
            return scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True, scale=1.0)
        seen = self._seen(q.shape[-2], k.shape[-2], mask, start, q.device)
        if seen is None:
            return scaled_dot_product_attention(q, k, v, dropout_p=rate, scale=1.0)
        empty = ~seen.any(dim=-1, keepdim=True)
        context = scaled_dot_product_attention(q, k, v, attn_mask=seen | empty, dropout_p=rate, scale=1.0)
        return context.masked_fill(empty, 0.0)

    def extra_repr(self) -> str:
        name = getattr(self.normalize, "__name__", repr(self.normalize))
        return f"normalize={name}, scope={self.scope}, bias={self.bias}, dropout={self.dropout}"
