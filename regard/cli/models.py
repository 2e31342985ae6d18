"""The models that a command was given: of a run, of several, or the one that comes along."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from regard.errors import UsageError

_ENDING = re.compile(r"\w\.[a-z]{2,5}$")  # of a file's name, in small letters: "U.S." and "Yes.No" are words


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


def demo_file(text: str) -> bool:
    """Whether what stands after `--demo` is a file to read, and no text. UsageError for a file that is not there: for one
    word that ends as files do, or that stands in a folder."""
    try:
        place = Path(text)
        if place.exists() and not place.is_dir():
            return True
    except (OSError, ValueError):  # a text too long for a file's name, or one with a zero character
        return False
    if len(text.split()) == 1 and (_ENDING.search(text) or "/" in text):
        raise UsageError(f"{text} does not exist: check the path, or write a text in its place")
    return False


def other_model(run: Path, others: list[Path] | None, device: str) -> Any:
    """The model of a run that does not translate, or of several that answer together; None for one that does."""
    from regard.run.folder import RunFolder
    from regard.run.loading import load

    if RunFolder(run).read_recipe().task == "translation":
        return None
    first = load(run, device)
    if not others:
        return first
    from regard.run.classification import together

    return together([first, *(type(first).load(each, device) for each in others)])


def together(run: Path, others: list[Path] | None, device: str) -> Any:
    """The model of a run, or of several that speak together."""
    from regard.run import Model

    return Model.ensemble([Model.load(each, device) for each in (run, *(others or ()))])
