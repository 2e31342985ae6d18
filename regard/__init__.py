"""Regard: sequence-to-sequence learning with attention that you can see.

import regard
model = regard.load("runs/en-de")
[p] = model.predict(["A man is cooking."], attention=True)
p.text, p.score, p.attention.words()
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from regard.errors import RegardError, UsageError
    from regard.run import Model, Prediction

try:
    __version__ = version("regard")
except PackageNotFoundError:  # used from a source tree that was not installed
    __version__ = "0+unknown"

__all__ = ["Model", "Prediction", "RegardError", "UsageError", "__version__", "load"]

_PLACES = {
    "Model": "regard.run",
    "Prediction": "regard.run",
    "RegardError": "regard.errors",
    "UsageError": "regard.errors",
}


def load(run: str | Path, device: str = "auto") -> Any:
    """The model in a run folder, ready to be used: a `Model` for a run that translates, and what another task has
    in its place. UsageError says what is missing or broken."""
    from regard.run.loading import load as load_run

    return load_run(run, device)


def __getattr__(name: str) -> Any:
    # PyTorch takes a second to import: a program that only asks for help or the version need not wait for it.
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'regard' has no attribute '{name}'")
