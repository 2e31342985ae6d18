"""How a preset's training part and the budget that somebody gives go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regard.config.recipe import TrainingPart

ENDS = ("steps", "minutes", "epochs")
BUDGET = (*ENDS, "patience")


def training_under(below: Mapping[str, Any], given: Any) -> Any:
    """The training part that was given, over a preset's. A budget that was given stands alone, so that it is spent to the
    end, and of one in steps the rise ends in the first quarter. What is no table is given back, for the recipe to say so."""
    if not isinstance(given, Mapping):
        return given
    kept = within_steps(below, given.get("steps"))
    if any(given.get(name) is not None for name in ENDS):
        kept = {key: value for key, value in kept.items() if key not in BUDGET}
    return {**kept, **given}


def within_steps(training: Mapping[str, Any], steps: Any) -> dict[str, Any]:
    """A preset's training part whose rise ends in the first quarter of a short budget: else the peak is never reached."""
    if not isinstance(steps, int) or "warmup" not in training:
        return dict(training)
    return {**training, "warmup": min(training["warmup"], max(1, steps // 4))}


def rise_of(part: type[TrainingPart]) -> dict[str, Any]:
    """The `warmup` of a task where nothing is said of it."""
    return {"warmup": part.model_fields["warmup"].default}
