"""The one place where the choices of a recipe become modules, a file for each task."""

from regard.build.optimising import maps, optimisation
from regard.build.placing import device
from regard.build.translation import (
    attend,
    backward_only,
    encoder_decoder,
    normalizer,
    scope,
    score,
)

__all__ = [
    "attend",
    "backward_only",
    "device",
    "encoder_decoder",
    "maps",
    "normalizer",
    "optimisation",
    "scope",
    "score",
]
