"""What an attention remembers of the steps before, for the mechanisms whose next look depends on the last ones."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from regard.state import Rows


@dataclass(frozen=True)
class Trail(Rows):
    """One row per hypothesis: the weights of the step before, and the sum of those of all steps so far (the coverage
    of Tu et al. 2016 and See et al. 2017)."""

    last: Float[Tensor, "... S"]
    total: Float[Tensor, "... S"]

    def after(self, last: Float[Tensor, "... S"], weights: Float[Tensor, "... S"]) -> Trail:
        """One step on. `last` is what the next step shall know of this one, usually the weights themselves."""
        return Trail(last, self.total + weights)

    def reshape(self, *rows: int) -> Trail:
        """The same rows in another rectangle."""
        size = self.last.shape[-1]
        return Trail(self.last.reshape(*rows, size), self.total.reshape(*rows, size))
