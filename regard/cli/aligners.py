"""Runs that align words and do not translate: what is refused with them, and what they are for.

A hidden Markov model says each word by one source word alone, without any context: that is enough to find out which word
came from which, and a translation word by word is none.
"""

from __future__ import annotations

from pathlib import Path

from regard.errors import UsageError


def aligns_only(run: Path) -> bool:
    """Whether it is a run of such a model; UsageError if the folder is not a run."""
    from regard.config import Recipe
    from regard.run.folder import RunFolder

    recipe = RunFolder(run).read_recipe()
    return isinstance(recipe, Recipe) and recipe.model.kind == "hidden-markov"


def check_translates(*runs: Path) -> None:
    """UsageError for the first run that does not, though it is one of the task of translation."""
    from regard.run.loading import examples

    for run in runs:
        if aligns_only(run):
            raise UsageError(
                f"{run} is a hidden Markov model, which aligns words and does not translate: use '{examples(run)[0]}'"
            )
