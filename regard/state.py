"""What a decoder carries, and the one call by which training and every search use it.

`Memory` is made once per source and stays still. `State` is what moves from step to step. Both are batch-first
dataclasses whose rows can be chosen. A search may keep K hypotheses per source: then a `State` has B·K rows over a
`Memory` of B, and row n looks at source n // K. Nothing of the memory is copied while hypotheses move.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

from jaxtyping import Float, Int
from torch import Tensor


def _select(value: Any, rows: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value.index_select(0, rows)
    if isinstance(value, Rows):
        return value.select(rows)
    if isinstance(value, tuple):
        return tuple(_select(item, rows) for item in value)
    return value  # None, or a number that all rows share


@dataclass(frozen=True)
class Rows:
    """A dataclass of tensors [rows, …], of tuples of them, and of values that all rows share."""

    def select(self, rows: Int[Tensor, " N"]) -> Self:
        """The same value with those rows, in that order; a row may be chosen any number of times."""
        return replace(self, **{f.name: _select(getattr(self, f.name), rows) for f in fields(self)})


@dataclass(frozen=True)
class Memory(Rows):
    """What an encoder made of a source. Encoders add fields: projected keys, a final state."""

    values: Float[Tensor, "B S D"]
    lengths: Int[Tensor, " B"]
    source: Int[Tensor, "B S"] | None = None  # the tokens themselves, for those who copy them

    def __len__(self) -> int:
        return self.values.shape[0]


@dataclass(frozen=True)
class State(Rows):
    """What moves from step to step: hidden state, fed context, key-value cache, position."""


class Decoder(Protocol):
    """All of T when teaching, one token when searching, by the same call."""

    def start(self, memory: Any) -> Any:
        """The state before the first token, one row per source."""
        ...

    def __call__(self, tokens: Int[Tensor, "N T"], state: Any, memory: Any) -> tuple[Float[Tensor, "N T V"], Any]:
        """Logits for the token after each of `tokens`, and the state after them. N is a multiple of len(memory)."""
        ...
