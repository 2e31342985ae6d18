"""`record`: the weights that a model used, with their gradient, for losses that are made of them.

`capture` looks on without a trace; this takes part in the training: coverage, doubly stochastic and guided alignment
losses need gradients through the weights, and REINFORCE needs what hard attention chose.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from regard.attention.attend import Attend
from regard.attention.hard import Choice, Hard


@dataclass
class Record:
    """What one `Attend` did, call by call: its weights, and its choices if it is hard."""

    calls: list[Tensor] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)

    def weights(self) -> Float[Tensor, "... T S"]:
        """All calls, one target step after the other."""
        return torch.cat(self.calls, dim=-2)

    def choice(self) -> Choice | None:
        """All choices, one step after the other; None if it does not choose."""
        if not self.choices:
            return None
        parts = ([getattr(c, name) for c in self.choices] for name in ("log_probability", "entropy", "made"))
        return Choice(*(torch.cat(part, dim=-1) for part in parts))


@contextmanager
def record(attends: Collection[Attend]) -> Iterator[list[Record]]:
    """`with record(attends) as records:` one `Record` for each, in their order, while the model runs.

    The recorded `Attend`s compute by the plain formula meanwhile, since the fast paths never hold the weights.
    """
    records = [Record() for _ in attends]
    listening: list[tuple[Attend | Hard, Callable[..., None] | None]] = []
    try:
        for attend, each in zip(attends, records, strict=True):
            listening.append((attend, attend.recorder))
            attend.recorder = _both(each.calls.append, attend.recorder)
            if isinstance(attend.normalize, Hard):
                listening.append((attend.normalize, attend.normalize.recorder))
                attend.normalize.recorder = _both(each.choices.append, attend.normalize.recorder)
        yield records
    finally:
        for part, before in reversed(listening):
            part.recorder = before


def _both(first: Callable[[Any], None], second: Callable[[Any], None] | None) -> Callable[[Any], None]:
    """One record may stand inside another."""
    if second is None:
        return first
    outer = second

    def tell(seen: Any) -> None:
        first(seen)
        outer(seen)

    return tell
