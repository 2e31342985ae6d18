"""The models that a command was given: of a run, of several, or the one that comes along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regard.errors import UsageError


def run_or_demo(run: str | None, demo: bool, text: str | None) -> tuple[Path, list[str] | None]:
    """The run that was named, or with `--demo` the model that comes with the package; its text stands where a run's
    name would."""
    if not demo:
        if run is None:
            raise UsageError("give the folder of a run, or --demo for the English to French model that comes along")
        return Path(run), None
    if run is not None and text is not None:
        raise UsageError(f"--demo takes one text, and {text!r} is a second: put quotes around the whole")
    from regard.embedded import english_french

    return english_french(), None if run in (None, "-") else (run or "").splitlines() or [""]


def other_model(run: Path, device: str) -> Any:
    """The model of a run that does not translate; None for one that does."""
    from regard.run.folder import RunFolder
    from regard.run.loading import load

    return None if RunFolder(run).read_recipe().task == "translation" else load(run, device)


def together(run: Path, others: list[Path] | None, device: str) -> Any:
    """The model of a run, or of several that speak together."""
    from regard.run import Model

    return Model.ensemble([Model.load(each, device) for each in (run, *(others or ()))])
