"""`Attend`: a score, a normalizer and a scope become one attention.

e_ts = score(q_t, k_s)      α_t = normalize(e_t)      c_t = Σ_s α_ts v_s
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from regard.attention import local
from regard.attention.normalizers import Normalizer, masked, softmax
from regard.attention.positions import Bias, Relative
from regard.attention.scopes import Causal, Global, LocalPredictive, Scope, Window, render
from regard.attention.scores import RememberingScore, Score
from regard.dropout import dropout

# Below this many scores per row of the batch, PyTorch's fused CPU kernel loses to matmul, softmax, matmul: its
# backward walks blocks far larger than a sentence. Measured by benchmarks/attention_paths.py.
FUSED_CPU_SCORES = 256 * 256
# How many times longer than the window a source has to be before local attention is worth its bookkeeping; and where
# queries have to be sorted for it though their scores are one matrix product, which does many keys in no time.
# Measured by benchmarks/local_attention.py.
LOCAL_PAYS = 4
SORTING_PAYS = 2


class Edits(Protocol):
    """What `regard.attention.steer` does to one `Attend`: before the normalizer, and after."""

    def scores(self, scores: Tensor, seen: Tensor | None, start: int) -> tuple[Tensor, Tensor | None]: ...

    def weights(self, weights: Tensor, allowed: Tensor | None, start: int) -> Tensor: ...


class Attend(nn.Module):
    """Attention made of parts.

    `score`      one of `regard.attention.scores`
    `normalize`  one of `regard.attention.normalizers`
    `scope`      which positions may be seen, one of `regard.attention.scopes`; None means all
    `bias`       positions inside attention, one of `regard.attention.positions`; None means none
    `dropout`    the share of weights dropped in training

    `q [..., T, Dq]`, `k [..., S, Dk]`, `v [..., S, Dv]`, `mask` boolean and broadcastable to `[..., T, S]`, True =
    attend. A query that may see nothing gets a context of zeros. `start` is the position of the first query, which
    matters to scopes and biases while a decoder goes on from a cache. With `projected=True`, `k` is what
    `score.project` has made of the keys, once per source.
    """

    stepwise = False  # whether each look knows of the last ones

    def __init__(
        self,
        score: Score,
        normalize: Normalizer = softmax,
        scope: Scope | LocalPredictive | None = None,
        bias: Bias | Relative | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not self.stepwise and (isinstance(score, RememberingScore) or hasattr(normalize, "begin")):
            which = score if isinstance(score, RememberingScore) else normalize
            raise ValueError(f"{type(which).__name__} goes from step to step: compose it by StatefulAttend, not Attend")
        self.score = score
        self.normalize = normalize
        self.scope = scope
        self.bias = bias
        self.dropout = dropout
        self.recorder: Callable[[Tensor], None] | None = None  # set by `regard.attention.record`
        self.editor: Edits | None = None  # set by `regard.attention.steer`

    def project(self, k: Float[Tensor, "... S Dk"]) -> Float[Tensor, "... S Dp"]:
        """The work that depends on the keys alone, for calls with `projected=True`."""
        return self.score.project(k)

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
        """The context, by the fastest way that equals the reference: near keys alone where the scope is narrow, the
        fused kernel where it is faster, else the plain formula."""
        check_mask(mask)
        if self.recorder is not None or self.editor is not None:
            return self.reference(q, k, v, mask, start=start, projected=projected)
        if self._is_local(q, k, mask):
            return self._local(q, k if projected else self.score.project(k), v, mask, start)
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
        if self.recorder is not None:
            self.recorder(weights)
        weights = self._drop(weights).to(v.dtype)
        context = weights @ v
        if isinstance(self.bias, Relative):
            context = context + self.bias.spread(weights, *_places(q.shape[-2], k.shape[-2], start, q.device))
        return context

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
        return self._normalised(scores, q, mask, start)

    def _normalised(
        self, scores: Float[Tensor, "... T S"], q: Float[Tensor, "... T Dq"], mask: Tensor | None, start: int
    ) -> Float[Tensor, "... T S"]:
        """From scores to weights: bias, mask and scope, normalizer."""
        queries, keys = scores.shape[-2:]
        if self.bias is not None:
            places = _places(queries, keys, start, scores.device)
            added = self.bias.score(q, *places) if isinstance(self.bias, Relative) else self.bias(*places)
            scores = scores + added.to(scores.dtype)
        if not isinstance(self.scope, LocalPredictive):
            return self._rows(scores, self._seen(queries, keys, mask, start, scores.device), mask, start)
        key = torch.arange(keys, device=scores.device)
        center = self.scope.center(q, keys if mask is None else mask.sum(dim=-1))[..., None]
        near = self.scope.within(center.detach(), key)
        scope = self.scope
        return self._rows(
            scores,
            near if mask is None else near & mask,
            mask,
            start,
            lambda weights: scope.weigh(weights, center, key),
        )

    def _rows(
        self,
        scores: Float[Tensor, "... T S"],
        seen: Tensor | None,
        mask: Tensor | None,
        start: int,
        weigh: Callable[[Tensor], Tensor] = lambda weights: weights,
    ) -> Float[Tensor, "... T S"]:
        """From scores to weights where it is known what may be seen. An editor may look past a window, but neither at
        what the mask hides nor at what is still to come."""
        if self.editor is None:
            return weigh(masked(self.normalize, scores, seen))
        changed, left = self.editor.scores(scores, seen, start)
        weights = weigh(masked(self.normalize, changed, left))
        return self.editor.weights(weights, seen if self.looks_back else mask, start)

    @property
    def looks_back(self) -> bool:
        """Whether the scope hides what is still to come."""
        return isinstance(self.scope, Causal) or (isinstance(self.scope, Window) and self.scope.right == 0)

    def _drop(self, weights: Tensor) -> Tensor:
        return dropout(weights, self.dropout, self.training)

    def _seen(self, queries: int, keys: int, mask: Tensor | None, start: int, device: torch.device) -> Tensor | None:
        """The mask and the scope together; None where everything may be seen."""
        if self.scope is None or isinstance(self.scope, Global | LocalPredictive):
            return mask
        if isinstance(self.scope, Causal) and queries == 1 and keys <= start + 1:
            return mask  # one step on from a cache: all that is there may be seen
        scope = render(self.scope, queries, keys, start, device)
        return scope if mask is None else scope & mask

    def _is_local(self, q: Tensor, k: Tensor, mask: Tensor | None) -> bool:
        """Whether each query sees few of the keys. Its mask must be one of keys, the same for all queries."""
        if not isinstance(self.scope, Window | LocalPredictive) or self.bias is not None or self.score.positional:
            return False
        if mask is not None and (mask.ndim < 2 or mask.shape[-2] != 1):
            return False
        product = type(self.score).factor is not Score.factor
        sorts = isinstance(self.scope, LocalPredictive) and product and q.shape[-2] > 1
        return k.shape[-2] >= LOCAL_PAYS * self.scope.width * (SORTING_PAYS if sorts else 1)

    @staticmethod
    def _sits_together(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> bool:
        """Whether there are many queries, each with one source: rows of queries may share keys, not the reverse."""
        lead = k.shape[:-2]
        if q.shape[-2] < local.BLOCK or v.shape[:-2] != lead or len(lead) != q.ndim - 2:
            return False
        return _spreads(lead, q.shape[:-2]) and (mask is None or _spreads(mask.shape[:-2], lead))

    def _local(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, start: int) -> Tensor:
        def rows(scores: Tensor, seen: Tensor) -> Tensor:
            return masked(self.normalize, scores, seen)

        if isinstance(self.scope, LocalPredictive):
            way = local.grouped if self._sits_together(q, k, v, mask) else local.gathered
            return way(self.score.compare, rows, self.scope, q, k, v, mask, self._drop)
        assert isinstance(self.scope, Window)
        return local.banded(
            self.score.compare, lambda scores, seen: self._drop(rows(scores, seen)), self.scope, q, k, v, mask, start
        )

    def _fuses(self, q: Tensor, k: Tensor, projected: bool) -> bool:
        """Whether the fused kernel computes the same thing, faster. It knows softmax and what is added to scores."""
        if self.normalize is not softmax or projected or isinstance(self.bias, Relative):
            return False
        if isinstance(self.scope, LocalPredictive):
            return False
        return q.is_cuda or q.shape[-2] * k.shape[-2] >= FUSED_CPU_SCORES

    def _fused(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, start: int) -> Tensor:
        rate = self.dropout if self.training else 0.0
        q, k = q.to(v.dtype), k.to(v.dtype)
        queries, keys = q.shape[-2], k.shape[-2]
        plain = self.bias is None
        if plain and mask is None and start == 0 and isinstance(self.scope, Causal) and queries == keys:
            return scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True, scale=1.0)
        seen = self._seen(queries, keys, mask, start, q.device)
        added = None
        if self.bias is not None:
            assert not isinstance(self.bias, Relative)
            added = self.bias(*_places(queries, keys, start, q.device)).to(q.dtype)
        if seen is None:
            return scaled_dot_product_attention(q, k, v, attn_mask=added, dropout_p=rate, scale=1.0)
        empty = ~seen.any(dim=-1, keepdim=True)
        allowed = seen | empty
        if added is not None:
            allowed = added.masked_fill(~allowed, float("-inf"))
        context = scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=rate, scale=1.0)
        return context.masked_fill(empty, 0.0)

    def extra_repr(self) -> str:
        name = getattr(self.normalize, "__name__", repr(self.normalize))
        return f"normalize={name}, scope={self.scope}, bias={self.bias}, dropout={self.dropout}"


def check_mask(mask: Tensor | None) -> None:
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(
            f"a mask is boolean, True where may be looked, not {mask.dtype}: write mask.bool(), or mask == 0"
        )


def _spreads(shape: torch.Size, wider: torch.Size) -> bool:
    """Whether one shape broadcasts to the other."""
    return len(shape) <= len(wider) and all(a in (1, b) for a, b in zip(reversed(shape), reversed(wider), strict=False))


def _places(queries: int, keys: int, start: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Positions [T, 1] and [1, S], of which the first query's is `start`."""
    return (
        torch.arange(start, start + queries, device=device)[:, None],
        torch.arange(keys, device=device)[None, :],
    )
