"""Co-attention: image regions `V [B, N, D]` and words `Q [B, T, D]` look at each other (Lu et al. 2016).

Masks are boolean, `v_mask [B, N]` and `q_mask [B, T]`, True = attend. What is masked is put to zero before anything
else is done, so that whatever lies there, NaN too, changes nothing; its weight is exactly zero. A row with nothing to
attend to gives zeros. Letters: N regions, T words, A features in which they are compared.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from regard.attention.pooling import SelfAttentivePooling, cleared, masked_softmax, matrix, vector, weighted
from regard.tanh import tanh

GRAMS = (1, 2, 3)


class CoAttention(nn.Module):
    """What makes one vector of the regions and one of the words; a new one defines `weights` and sets `dim`."""

    dim: int

    def forward(
        self,
        V: Float[Tensor, "B N D"],
        Q: Float[Tensor, "B T D"],
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
        """`v̂ = Σ_n a_v V`, `q̂ = Σ_t a_q Q`."""
        V, Q = cleared(V, v_mask, self.dim, "regions"), cleared(Q, q_mask, self.dim, "words")
        a_v, a_q = self.weights(V, Q, v_mask, q_mask)
        return weighted(a_v, V), weighted(a_q, Q)

    def weights(
        self,
        V: Float[Tensor, "B N D"],
        Q: Float[Tensor, "B T D"],
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B T"]]:
        """`a_v` over the regions and `a_q` over the words; each row sums to 1."""
        raise NotImplementedError(f"{type(self).__name__} has to define weights")


class ParallelCoAttention(CoAttention):
    """Both sides at once, from one affinity (Lu et al. 2016, section 3.3).

        C = tanh(Q W_b Vᵀ)
        H_v = tanh(V W_vᵀ + Cᵀ (Q W_qᵀ))    H_q = tanh(Q W_qᵀ + C (V W_vᵀ))
        a_v = softmax(H_v w_hv)             a_q = softmax(H_q w_hq)

    `w_b [D, D]`, `w_v` and `w_q [A, D]`, `w_hv` and `w_hq [A]`, where A is `hidden`.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.dim = dim
        self.w_b = matrix(dim, dim)
        self.w_v = matrix(hidden, dim)
        self.w_q = matrix(hidden, dim)
        self.w_hv = vector(hidden)
        self.w_hq = vector(hidden)

    def weights(
        self,
        V: Float[Tensor, "B N D"],
        Q: Float[Tensor, "B T D"],
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B T"]]:
        # No term has a bias, so a region or word of zeros adds nothing to the other side.
        V, Q = cleared(V, v_mask, self.dim, "regions"), cleared(Q, q_mask, self.dim, "words")
        affinity = tanh(Q @ self.w_b @ V.transpose(-1, -2))  # C [B, T, N]
        v, q = V @ self.w_v.T, Q @ self.w_q.T
        h_v = tanh(v + affinity.transpose(-1, -2) @ q)
        h_q = tanh(q + affinity @ v)
        return masked_softmax(h_v @ self.w_hv, v_mask), masked_softmax(h_q @ self.w_hq, q_mask)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, hidden={self.w_v.shape[0]}"


class GuidedPooling(nn.Module):
    """`H = tanh(X W_xᵀ + 1 (W_g g)ᵀ)`, `a = softmax(H w_hx)`: where to look in X, told by one vector g.

    `w_x` and `w_g [A, D]`, `w_hx [A]`.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.w_x = matrix(hidden, dim)
        self.w_g = matrix(hidden, dim)
        self.w_hx = vector(hidden)

    def weights(
        self, X: Float[Tensor, "B T D"], guide: Float[Tensor, "B D"], mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T"]:
        """The weights of X, which holds zeros where the mask says False."""
        h = tanh(X @ self.w_x.T + (guide @ self.w_g.T).unsqueeze(-2))
        return masked_softmax(h @ self.w_hx, mask)

    def extra_repr(self) -> str:
        return f"dim={self.w_x.shape[1]}, hidden={self.w_x.shape[0]}"


class AlternatingCoAttention(CoAttention):
    """One side after the other (Lu et al. 2016, section 3.3): `summary` of the words, which guides the look at the
    `regions`, which guides the look at the `words`.

    The first step has no guide (g = 0), which makes it the self-attentive pooling of Lin et al. 2017 with one hop.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.dim = dim
        self.summary = SelfAttentivePooling(dim, hidden, hops=1)
        self.regions = GuidedPooling(dim, hidden)
        self.words = GuidedPooling(dim, hidden)

    def weights(
        self,
        V: Float[Tensor, "B N D"],
        Q: Float[Tensor, "B T D"],
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B T"]]:
        """Those of the second step and of the third."""
        V, Q = cleared(V, v_mask, self.dim, "regions"), cleared(Q, q_mask, self.dim, "words")
        question = self.summary(Q, q_mask).squeeze(-2)
        a_v = self.regions.weights(V, question, v_mask)
        return a_v, self.words.weights(Q, weighted(a_v, V), q_mask)


class HierarchicalCoAttention(nn.Module):
    """Co-attention at word, phrase and question level, combined from words up (Lu et al. 2016, sections 3.2, 3.4).

        phrase:    q_t^p = max over s = 1, 2, 3 of tanh(W_s [q_t … q_{t+s-1}])
        question:  q^s = LSTM(q^p)
        h^w = tanh(W_w (q̂^w + v̂^w))
        h^p = tanh(W_p [q̂^p + v̂^p; h^w])
        h^s = tanh(W_s [q̂^s + v̂^s; h^p])

    `inner(dim, hidden)` makes what happens at each level: `ParallelCoAttention` or `AlternatingCoAttention`. The
    LSTM reads what the mask leaves of a row, without gaps, so padding may stand on either side.
    """

    def __init__(self, dim: int, hidden: int, inner: Callable[[int, int], CoAttention] = ParallelCoAttention) -> None:
        super().__init__()
        self.dim = dim
        self.grams = nn.ModuleList(nn.Conv1d(dim, dim, size, bias=False) for size in GRAMS)
        self.lstm = nn.LSTM(dim, dim, batch_first=True)
        self.inner = nn.ModuleList(inner(dim, hidden) for _ in range(3))
        self.combine = nn.ModuleList(nn.Linear(size, dim, bias=False) for size in (dim, 2 * dim, 2 * dim))

    def forward(
        self,
        V: Float[Tensor, "B N D"],
        Q: Float[Tensor, "B T D"],
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """h^s, which knows the image and the question at every level."""
        h: Tensor | None = None
        for inner, combine, level in zip(self.inner, self.combine, self.levels(Q, q_mask), strict=True):
            v, q = inner(V, level, v_mask, q_mask)
            h = tanh(combine(v + q if h is None else torch.cat((v + q, h), dim=-1)))
        assert h is not None
        return h

    def weights(
        self,
        V: Float[Tensor, "B N D"],
        Q: Float[Tensor, "B T D"],
        v_mask: Bool[Tensor, "B N"] | None = None,
        q_mask: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B 3 N"], Float[Tensor, "B 3 T"]]:
        """Over the regions and over the words, a row a level: word, phrase, question."""
        levels = zip(self.inner, self.levels(Q, q_mask), strict=True)
        pairs = [inner.weights(V, level, v_mask, q_mask) for inner, level in levels]  # type: ignore[operator]
        a_v, a_q = zip(*pairs, strict=True)
        return torch.stack(a_v, dim=1), torch.stack(a_q, dim=1)

    def levels(
        self, Q: Float[Tensor, "B T D"], q_mask: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D"], Float[Tensor, "B T D"]]:
        """The words, the phrase that starts at each, and the question up to each; zeros where masked."""
        words = cleared(Q, q_mask, self.dim, "words")
        over_time = words.transpose(1, 2)
        grams = [make(pad(over_time, (0, size - 1))) for make, size in zip(self.grams, GRAMS, strict=True)]
        # tanh rises everywhere, so it may follow the maximum instead of coming before it three times.
        phrases = tanh(torch.stack(grams).amax(dim=0)).transpose(1, 2)
        phrases = cleared(phrases, q_mask, self.dim, "phrases")
        return words, phrases, self._question(phrases, q_mask)

    def _question(self, phrases: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B T D"]:
        """The LSTM's state after each phrase. It reads forwards, so what comes after the last phrase changes none."""
        if mask is None:
            return self.lstm(phrases)[0]
        order = (~mask).int().argsort(dim=1, stable=True).unsqueeze(-1)  # the phrases first, in their order
        states, _ = self.lstm(phrases.take_along_dim(order, dim=1))
        states = states.take_along_dim(order.argsort(dim=1), dim=1)
        return cleared(states, mask, self.dim, "phrases")
