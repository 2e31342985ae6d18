"""The layers of a Transformer (Vaswani et al. 2017), pre- or post-norm (Xiong et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from regard.attention import KeysValues, MultiHead
from regard.dropout import Dropout


class FeedForward(nn.Module):
    """`W_2 relu(W_1 x + b_1) + b_2` at each position."""

    def __init__(self, dim: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.rise = nn.Linear(dim, hidden)
        self.fall = nn.Linear(hidden, dim)
        self.dropout = Dropout(dropout)
        for layer in (self.rise, self.fall):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "N T D"]) -> Float[Tensor, "N T D"]:
        return self.fall(self.dropout(nn.functional.relu(self.rise(x))))


class Residual(nn.Module):
    """A sublayer with its short cut: `x + f(norm(x))` before, or `norm(x + f(x))` after."""

    def __init__(self, dim: int, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)
        self.pre_norm = pre_norm

    def forward(self, x: Float[Tensor, "N T D"], f: Callable[[Tensor], Tensor]) -> Float[Tensor, "N T D"]:
        if self.pre_norm:
            return x + self.dropout(f(self.norm(x)))
        return self.norm(x + self.dropout(f(x)))


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(
        self, dim: int, attention: MultiHead, feed_forward: FeedForward, *, dropout: float, pre_norm: bool
    ) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.around_attention = Residual(dim, dropout, pre_norm)
        self.around_feed_forward = Residual(dim, dropout, pre_norm)

    def forward(self, x: Float[Tensor, "B S D"], mask: Bool[Tensor, "B 1 1 S"] | None = None) -> Float[Tensor, "B S D"]:
        x = self.around_attention(x, lambda inner: self.attention(inner, mask)[0])
        return self.around_feed_forward(x, self.feed_forward)


class DecoderLayer(nn.Module):
    """Self-attention to what was said, attention to the source, then feed-forward."""

    def __init__(
        self,
        dim: int,
        attention: MultiHead,
        cross: MultiHead,
        feed_forward: FeedForward,
        *,
        dropout: float,
        pre_norm: bool,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.cross = cross
        self.feed_forward = feed_forward
        self.around_attention = Residual(dim, dropout, pre_norm)
        self.around_cross = Residual(dim, dropout, pre_norm)
        self.around_feed_forward = Residual(dim, dropout, pre_norm)

    def forward(
        self,
        x: Float[Tensor, "N T D"],
        source: KeysValues,
        source_mask: Bool[Tensor, "B 1 1 S"] | None,
        past: KeysValues | None,
        start: int,
    ) -> tuple[Float[Tensor, "N T D"], KeysValues]:
        """`past` are this layer's keys and values of the `start` tokens before x; returned with those of x added."""
        present: KeysValues | None = None

        def attend_to_self(inner: Tensor) -> Tensor:
            nonlocal present
            out, present = self.attention(inner, past=past, start=start)
            return out

        x = self.around_attention(x, attend_to_self)
        x = self.around_cross(x, lambda inner: self.cross.look(inner, source, source_mask, start=start))
        x = self.around_feed_forward(x, self.feed_forward)
        assert present is not None
        return x, present
