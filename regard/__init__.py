"""Regard: sequence-to-sequence learning with attention that you can see.

import regard
model = regard.load("runs/en-de")
[p] = model.predict(["A man is cooking."], attention=True)
p.text, p.score, p.attention.words()
model = regard.train({"data": {"source": "a.en", "target": "a.de"}, "training": {"minutes": 5}}, "runs/mine")
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from regard.errors import RegardError, UsageError
    from regard.run import Model, Prediction

try:
    __version__ = version("regard")
except PackageNotFoundError:  # used from a source tree that was not installed
    __version__ = "0+unknown"

__all__ = ["Model", "Prediction", "RegardError", "UsageError", "__version__", "load", "train"]

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


def train(recipe: str | Path | Mapping[str, Any], out: str | Path, *, resume: bool = False, quiet: bool = False) -> Any:
    """Trains as `regard train` does, and returns the model as `load` does.

    `recipe` is a file, or what one holds: `{"data": {"source": "a.en", "target": "a.de"}, "training": {"minutes": 5}}`,
    whose paths count from the working directory. What it leaves out follows from the corpus. `out` is the folder to make;
    with `resume`, the run there goes on. `quiet` prints nothing; the run's `metrics.jsonl` grows all the same.

    Raises:
        UsageError: a key, a value or a file that will not do, or a folder that holds a run already.
        RegardError: a training that cannot go on, or that Ctrl-C stopped; nothing is lost.
    """
    from regard.run.training import train_by

    return train_by(recipe, out, resume=resume, quiet=quiet)


def __getattr__(name: str) -> Any:
    # PyTorch takes a second to import: a program that only asks for help or the version need not wait for it.
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'regard' has no attribute '{name}'")
