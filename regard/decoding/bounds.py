"""What a search can be asked for: numbers within bounds. Any other is refused before the search begins, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from regard.errors import UsageError

SEEDS = 2**63  # how many there are, counted from 0
WIDEST = 1000  # hypotheses, or outputs, of one input; their states are held at once
MOST = 2**31 - 1  # of what is counted, so that sums of such numbers fit into a tensor
# Logits divided by less, or by more, are no numbers in float32 any more.
COLDEST, HOTTEST = 1e-6, 1e6
PENALTY = 50.0  # a length to the power of more is no float
DRAWING = ("temperature", "top_k", "top_p", "seed")


def check_drawing(*, temperature: Any = 1.0, top_k: Any = 0, top_p: Any = 1.0, seed: Any = 1) -> None:
    """UsageError for the first of these that no draw can have."""
    if not (_number(temperature) and (temperature == 0 or COLDEST <= temperature <= HOTTEST)):
        raise UsageError(
            f"temperature is {_digits(temperature)}: write 0 for the likeliest token, 1 for the model's own chances, or a "
            f"number from {COLDEST:f} to {HOTTEST:,.0f}"
        )
    if not (isinstance(top_k, Integral) and int(top_k) >= 0):
        raise UsageError(f"top_k is {_shown(top_k)}: write how many tokens to choose among, or 0 for all")
    if not (_number(top_p) and 0 < top_p <= 1):
        raise UsageError(f"top_p is {_digits(top_p)}: write a share above 0 and up to 1, such as 0.9")
    if not (isinstance(seed, Integral) and 0 <= int(seed) < SEEDS):
        raise UsageError(f"seed is {_shown(seed)}: write a whole number from 0 to {SEEDS - 1}")


def check_sampling(sampling: Any) -> None:
    """As `check_drawing`, of a mapping; None is no drawing."""
    if sampling is None:
        return
    if not isinstance(sampling, Mapping):
        raise UsageError(f'sample is {_shown(sampling)}: write how to draw, such as {{"temperature": 0.8}}, or {{}}')
    for name in sampling:
        if name not in DRAWING:
            raise UsageError(f"sample has no {_shown(name)}: it has {', '.join(DRAWING)}")
    check_drawing(**sampling)


def check_count(name: str, value: Any, least: int, advice: str, most: int = MOST) -> None:
    """UsageError for what is no whole number from `least` to `most`."""
    if not (isinstance(value, Integral) and int(value) >= least):
        raise UsageError(f"{name} is {_shown(value)}: write {advice}")
    if int(value) > most:
        raise UsageError(f"{name} is {_shown(value)}: write {most:,} at most")


def check_beam(beam: Any, nbest: Any) -> None:
    check_count("beam", beam, 1, "how many hypotheses to keep, at least 1", WIDEST)
    check_count("nbest", nbest, 1, "how many outputs to give for each input, at least 1", WIDEST)


def check_length_penalty(value: Any) -> None:
    if not (_number(value) and 0 <= value <= PENALTY):
        raise UsageError(
            f"length_penalty is {_digits(value)}: write 0 (rank by probability) or more, up to {PENALTY:g}; 1 is usual"
        )


def check_number(name: str, value: Any, advice: str, *, above: bool = False) -> None:
    """UsageError for what is no finite number from 0 or, if so asked, `above` it."""
    if not (_number(value) and (value > 0 if above else value >= 0)):
        raise UsageError(f"{name} is {_digits(value)}: write {advice}")


def _number(value: Any) -> bool:
    try:
        return isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # of a whole number that no float holds
        return False


def _digits(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else _shown(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
