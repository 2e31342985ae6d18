"""What a search shows of itself after each step.

Every search is a generator of its steps that returns what it found; `drain` makes an ordinary function of it. A step
holds what the search has computed anyway, so that looking changes nothing, and not looking costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from regard.decoding.hypothesis import Hypothesis


@dataclass(frozen=True, slots=True)
class Step:
    """One step of A sources with `width` hypotheses each: C continuations of each source, best first.

    The decoder has just been called with A·width rows, and candidate c of source a continues row
    `a · width + parents[a, c]`. What goes on is in the places `kept`, and its order there is that of the next step's
    rows, sources that are `done` left out. A gain of -inf, or a parent that had one, marks what may not be said and is
    no candidate.
    """

    number: int  # from 0: how many tokens were said before
    sources: Int[Tensor, " A"]  # their numbers in the search
    width: int
    parents: Int[Tensor, "A C"]
    tokens: Int[Tensor, "A C"]
    gains: Float[Tensor, "A C"]  # the log-probability of each token
    ended: Bool[Tensor, "A C"]  # taken down as an output: its token is EOS
    kept: Int[Tensor, "A K"]  # of what has ended, none goes on
    done: Bool[Tensor, " A"]


Steps = Generator[Step, None, list[list[Hypothesis]]]
Observer = Callable[[Step], None]


def drain(steps: Steps, observe: Observer | None = None) -> list[list[Hypothesis]]:
    """Goes through a search to its end. `observe` is called after each step, and must not change what it is shown."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        if observe is not None:
            observe(step)
