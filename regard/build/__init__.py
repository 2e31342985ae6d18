"""The one place where the choices of a recipe become modules, a file for each task."""

from regard.build.translation import (
    attend,
    backward_only,
    device,
    encoder_decoder,
    normalizer,
    optimisation,
    scope,
    score,
)

__all__ = ["attend", "backward_only", "device", "encoder_decoder", "normalizer", "optimisation", "scope", "score"]
