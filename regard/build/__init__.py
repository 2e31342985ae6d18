"""The one place where the choices of a recipe become modules, a file for each task."""

from regard.build.mechanism import attend, backward_only, normalizer, scope, score
from regard.build.optimising import maps, optimisation
from regard.build.placing import device
from regard.build.translation import encoder_decoder

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
