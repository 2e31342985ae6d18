"""`Edit`: one change of what a model attends to, as Python has it and as JSON does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

from regard.errors import UsageError

Action = Literal["force", "forbid", "bias", "flatten", "freeze", "drop"]
Where = Literal["cross", "encoder", "decoder"]
ABOUT_POSITIONS = ("force", "forbid", "bias")


@dataclass(frozen=True)
class Edit:
    """One change of attention.

    `action`        "force": all weight on `source`, in proportion to what they had, evenly if they had none;
                    "forbid": none there, as if they were not there, and nothing left gives zeros;
                    "bias": `strength` is added to their scores, which multiplies their softmax weights by
                    exp(strength) before they are normalised again;
                    "flatten": every allowed position the same weight;
                    "freeze": the weights of the step before the first chosen one are kept;
                    "drop": the head contributes nothing, its context is zero
    `where`         "cross", the decoder looking at the source; "encoder", the source at itself; "decoder", the
                    output at itself
    `source`        key positions from 0: tokens of the source, or of what the decoder has read, `<s>` first
    `source_words`  words of the source from 0 instead, where a model with a tokenizer is steered
    `steps`         output steps from 0, in an encoder the positions that look; None is all (of a freeze: from step 1)
    `layers`        from 0, the lowest; None is all. `heads` likewise
    `strength`      of a bias, in nats

    Raises:
        UsageError: what is missing, too much, or no such thing.
    """

    action: Action
    where: Where = "cross"
    source: Sequence[int] = ()
    source_words: Sequence[int] = ()
    steps: Sequence[int] | None = None
    layers: Sequence[int] | None = None
    heads: Sequence[int] | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        for name, known in (("action", get_args(Action)), ("where", get_args(Where))):
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in known:
                raise UsageError(f"{name} is {getattr(self, name)!r}: write one of {', '.join(known)}")
        for name in ("source", "source_words", "steps", "layers", "heads"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        for name in ("steps", "layers", "heads"):
            if getattr(self, name) == ():
                raise UsageError(f"{name} is empty, so nothing would be changed: leave it out for all")
        if self.action in ABOUT_POSITIONS:
            self._check_positions()
        elif self.source or self.source_words:
            raise UsageError(f"a {self.action} is about whole rows: leave out source and source_words")
        if self.action == "bias":
            if isinstance(self.strength, bool) or not isinstance(self.strength, int | float):
                raise UsageError("a bias needs its strength, a number: 2 makes a word about 7 times as heavy")
            if not math.isfinite(self.strength) or abs(self.strength) > 1e4:
                raise UsageError(f"strength is {self.strength:g}: write a number from -10000 to 10000")
        elif self.strength:
            raise UsageError(f"a {self.action} has no strength: leave it out, or write action = bias")
        if self.action == "freeze" and self.steps is not None and 0 in self.steps:
            raise UsageError("a freeze keeps the weights of the step before, and step 0 has none: choose steps from 1")

    def _check_positions(self) -> None:
        if not self.source and not self.source_words:
            raise UsageError(f"a {self.action} needs positions: give source (tokens) or source_words, from 0")
        if self.source and self.source_words:
            raise UsageError("source and source_words name positions twice: give one of them")
        if self.source_words and self.where == "decoder":
            raise UsageError("the decoder's self-attention looks at its own output, not at source_words: give source")

    @classmethod
    def from_json(cls, value: Any) -> Edit:
        """An edit as a JSON object has it; null is the same as not there."""
        if isinstance(value, Edit):
            return value
        if not isinstance(value, Mapping):
            raise UsageError('an edit is an object such as {"action": "forbid", "source_words": [2]}')
        given = {key: each for key, each in cast("Mapping[Any, Any]", value).items() if each is not None}
        known = [field.name for field in fields(cls)]
        for key in given:
            if key not in known:
                raise UsageError(f"an edit has no key {key!r}: write {', '.join(known)}")
        if "action" not in given:
            raise UsageError(f"an edit needs an action: write one of {', '.join(get_args(Action))}")
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """Only what is said."""
        row: dict[str, Any] = {"action": self.action, "where": self.where}
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value is not None and value != ():
                row[field.name] = list(value) if isinstance(value, tuple) else value
        return row


def _numbers(name: str, value: Any) -> tuple[int, ...] | None:
    if value is None and name in ("steps", "layers", "heads"):
        return None
    if value is None:
        return ()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence | range | set | frozenset):
        raise UsageError(f"{name} is {value!r}: write a list of numbers from 0, such as [2]")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise UsageError(f"{name} holds {number!r}: write whole numbers from 0, such as [2]")
    return tuple(sorted(set(value)))
