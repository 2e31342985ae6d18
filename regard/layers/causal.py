"""The layer of a Transformer that reads one sequence forwards (Radford et al. 2019): a decoder's without a source."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from regard.attention import Attend, KeysValues, MultiHead, StatefulAttend
from regard.attention.scopes import Causal, Window
from regard.layers.transformer import FeedForward, Residual


class CausalLayer(nn.Module):
    """Self-attention to the past, then feed-forward. ValueError if the attention could see what is yet to be said."""

    def __init__(
        self, dim: int, attention: MultiHead, feed_forward: FeedForward, *, dropout: float, pre_norm: bool
    ) -> None:
        super().__init__()
        check_looks_back(attention.attend)
        self.attention = attention
        self.feed_forward = feed_forward
        self.around_attention = Residual(dim, dropout, pre_norm)
        self.around_feed_forward = Residual(dim, dropout, pre_norm)

    def forward(
        self, x: Float[Tensor, "N T D"], past: KeysValues | None, start: int
    ) -> tuple[Float[Tensor, "N T D"], KeysValues]:
        """`past` are the keys and values of the `start` tokens before x; returned with those of x added."""
        present: KeysValues | None = None

        def attend_to_self(inner: Tensor) -> Tensor:
            nonlocal present
            out, present = self.attention(inner, past=past, start=start)
            return out

        x = self.around_attention(x, attend_to_self)
        x = self.around_feed_forward(x, self.feed_forward)
        assert present is not None
        return x, present


def check_looks_back(attend: Attend) -> None:
    """ValueError unless a position sees itself and what came before it alone."""
    back = isinstance(attend.scope, Causal) or (isinstance(attend.scope, Window) and attend.scope.right == 0)
    if isinstance(attend, StatefulAttend) or not back:
        raise ValueError(
            "a language model must not see what it has yet to say: give its Attend the scope Causal() or Window(n, 0), "
            f"not {attend.scope!r}"
            if not back
            else "a language model keeps no trail of its looks: give it an Attend, not a StatefulAttend"
        )
