"""Attention: scores, normalizers, scopes, `Attend` that is made of them, several heads, and the observer."""

from regard.attention import normalizers, scopes, scores
from regard.attention.attend import Attend
from regard.attention.capture import Seen, attends, capture
from regard.attention.edit import Edit
from regard.attention.hard import Hard
from regard.attention.multihead import KeysValues, MultiHead
from regard.attention.positions import Alibi, Bias, Relative
from regard.attention.record import Record, record
from regard.attention.rotary import Rotary
from regard.attention.rows import fold, unfold
from regard.attention.stateful import MoChA, Monotonic, StatefulAttend
from regard.attention.steer import steer
from regard.attention.trail import Trail

__all__ = [
    "Alibi",
    "Attend",
    "Bias",
    "Edit",
    "Hard",
    "KeysValues",
    "MoChA",
    "Monotonic",
    "MultiHead",
    "Record",
    "Relative",
    "Rotary",
    "Seen",
    "StatefulAttend",
    "Trail",
    "attends",
    "capture",
    "fold",
    "normalizers",
    "record",
    "scopes",
    "scores",
    "steer",
    "unfold",
]
