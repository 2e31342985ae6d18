"""Attention: scores, normalizers, scopes, `Attend` that is made of them, several heads, and the observer."""

from regard.attention import normalizers, scopes, scores
from regard.attention.attend import Attend, Bias
from regard.attention.capture import Seen, attends, capture
from regard.attention.multihead import KeysValues, MultiHead
from regard.attention.rotary import Rotary
from regard.attention.rows import fold, unfold

__all__ = [
    "Attend",
    "Bias",
    "KeysValues",
    "MultiHead",
    "Rotary",
    "Seen",
    "attends",
    "capture",
    "fold",
    "normalizers",
    "scopes",
    "scores",
    "unfold",
]
