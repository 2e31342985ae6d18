"""How the learning rate moves: a linear rise, then a fall that knows how much of the budget is gone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Fall = Literal["inverse-square-root", "cosine", "linear", "constant"]


@dataclass(frozen=True)
class Schedule:
    """`factor(step, progress)` multiplies the peak learning rate; steps count from 1.

    The rise takes `warmup` steps. Then `inverse-square-root` is `√(warmup / step)` (Vaswani et al. 2017), `cosine`
    and `linear` fall to `floor` as `progress`, the share of the budget that is spent, goes to 1 (Loshchilov &
    Hutter 2017), and `constant` stays.
    """

    fall: Fall = "cosine"
    warmup: int = 0
    floor: float = 0.0

    def factor(self, step: int, progress: float) -> float:
        rise = min(1.0, step / self.warmup) if self.warmup else 1.0
        left = 1.0 - min(1.0, max(0.0, progress))
        match self.fall:
            case "inverse-square-root":
                return rise if step <= self.warmup else math.sqrt(max(1, self.warmup) / step)
            case "cosine":
                return rise * (self.floor + (1 - self.floor) * 0.5 * (1 - math.cos(math.pi * left)))
            case "linear":
                return rise * (self.floor + (1 - self.floor) * left)
            case "constant":
                return rise
