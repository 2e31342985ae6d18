"""A run's folder before its first step, whatever its task: nothing is overwritten, and a run goes on as it began."""

from __future__ import annotations

from typing import Any, TypeVar

from rich.console import Console

from regard import build
from regard.config import RecipeBase, merge, recipe_of, write_toml
from regard.errors import UsageError
from regard.run.folder import RunFolder
from regard.training.checkpoint import write_text
from regard.training.precision import measure

R = TypeVar("R", bound=RecipeBase)


def refuse_overwriting(folder: RunFolder) -> None:
    if folder.path.exists() and not folder.path.is_dir():
        raise UsageError(f"{folder.path} is a file: choose another folder with --out")
    if folder.recipe.exists():
        raise UsageError(
            f"{folder.path} already holds a run: add --resume to go on with it, or choose another folder with --out"
        )


def make(folder: RunFolder) -> None:
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder.path} cannot be made ({error.strerror}): choose another folder with --out"
        ) from error


def resumed(tree: dict[str, Any], folder: RunFolder, recipe: R, origin: str) -> R:
    """The run's own recipe. Only its budget may be changed on the way. It is written last of what a training needs,
    so a run that was killed even before its first state can go on."""
    new = {
        name: value
        for name, value in tree.get("training", {}).items()
        if name in ("steps", "minutes", "epochs", "patience") and value is not None
    }
    if new:
        recipe = recipe_of(merge(recipe.model_dump(mode="json"), {"training": new}), origin, type(recipe))
        write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
    return recipe


def with_precision(recipe: R, console: Console) -> R:
    """What the machine multiplies faster, measured once: a run that goes on later must not choose anew."""
    if recipe.training.precision != "auto":
        return recipe
    speeds = measure(build.device(recipe.training.device))
    console.print(f"{speeds}: training in {speeds.faster}", highlight=False)
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"precision": speeds.faster})})
