"""What a training needs to know of its task. Each task has a job; `train` runs any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn

from regard.config import RecipeBase
from regard.evaluation import Score
from regard.training.loop import Batches, Loss


class Job(Protocol):
    """A network, what it learns from, and how good it is. `recipe` has no gaps left; `items` is how many there are."""

    @property
    def recipe(self) -> RecipeBase: ...

    @property
    def network(self) -> nn.Module: ...

    @property
    def batches(self) -> Batches: ...

    @property
    def items(self) -> int: ...

    @property
    def what(self) -> str:
        """What the items are: pairs, sentences, pictures."""
        ...

    @property
    def criterion(self) -> str:
        """The key of `validate` that chooses the best snapshot."""
        ...

    @property
    def larger_is_better(self) -> bool: ...

    def loss(self, batch: Any) -> Loss: ...

    def validate(self) -> dict[str, float]:
        """How good the network is now, quickly: keys begin with valid_."""
        ...

    def scores(self) -> list[Score]:
        """How good it is in the end, with confidence."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What the report says of how it was scored."""
        ...

    def model(self) -> Any:
        """The finished network, ready to be used."""
        ...
