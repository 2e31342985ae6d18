"""A run that goes on: as it began, and what else is asked of it is refused, not passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from regard.config import RecipeBase, merge, recipe_of, write_toml
from regard.config.budget import BUDGET
from regard.config.reading import PATHS
from regard.errors import UsageError
from regard.run.folder import RunFolder
from regard.training.checkpoint import write_text

R = TypeVar("R", bound=RecipeBase)
Tree = dict[str, Any]
Key = tuple[str, ...]

CHANGEABLE = (*BUDGET, "device", "tensorboard")  # how long, on what machine and who watches, not what is learned
ALLOWED = f"the budget ({', '.join(BUDGET)}), training.device and training.tensorboard"
ABSENT = object()


def resumed(tree: Tree, folder: RunFolder, recipe: R, origin: str) -> R:
    """The run's own recipe. Only what is CHANGEABLE may be another on the way. It is written last of what a
    training needs, so a run that was killed even before its first state can go on."""
    if folder.packed:
        raise UsageError(
            f"{folder.path} is a packed run, which predicts and cannot be resumed: go on with the run that it was "
            "packed from"
        )
    _refuse_changes(tree, folder, recipe, origin)
    new = {
        name: value
        for name, value in tree.get("training", {}).items()
        if name in CHANGEABLE and value is not None and value != getattr(recipe.training, name)
    }
    if new:
        recipe = recipe_of(merge(recipe.model_dump(mode="json"), {"training": new}), origin, type(recipe))
        write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
    return recipe


def _refuse_changes(tree: Tree, folder: RunFolder, recipe: RecipeBase, origin: str) -> None:
    """UsageError for the first key that the run has otherwise; the very command that began it passes."""
    run = recipe.model_dump(mode="json")
    # A task or a kind that differs is why other keys are unknown.
    for key, value, have in sorted(_leaves(tree, run), key=lambda leaf: (leaf[0] != ("task",), leaf[0][-1] != "kind")):
        if value is None or (key[:1] == ("training",) and key[1:] in [(name,) for name in CHANGEABLE]):
            continue
        if _same(key, value, have) or not _changes(key, value, have, tree, recipe, origin):
            continue
        has = "does not have it" if have is ABSENT else f"has {_shown(have)}"
        raise UsageError(
            f"{origin}: {'.'.join(key)} is {_shown(value)}, and the run in {folder.path} {has}: leave it out, for on "
            f"--resume only {ALLOWED} can change, or train into another folder"
        )


def _leaves(asked: Mapping[str, Any], run: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any, Any]]:
    """What is asked of each key, and what the run has there."""
    for name, value in asked.items():
        have = run.get(name, ABSENT)
        if isinstance(value, Mapping) and isinstance(have, Mapping):
            yield from _leaves(value, have, (*above, name))
        else:
            yield (*above, name), value, have


def _same(key: Key, value: Any, have: Any) -> bool:
    if key == ("training", "precision") and value == "auto":
        return True  # the run has what was measured
    if key[-1] in PATHS.get(key[0], ()) and isinstance(value, str) and isinstance(have, str):
        return Path(value).resolve() == Path(have).resolve()
    return value == have


def _changes(key: Key, value: Any, have: Any, tree: Tree, recipe: RecipeBase, origin: str) -> bool:
    """Whether a value that is written in another way is another one. UsageError for a key that there is not."""
    run = recipe.model_dump(mode="json")
    asked: Any = value
    for name in reversed(key):
        asked = {name: asked}
    try:
        return recipe_of(merge(run, asked), origin, type(recipe)).model_dump(mode="json") != run
    except UsageError:
        if have is ABSENT or isinstance(have, Mapping):
            recipe_of({**tree, "task": run["task"]}, origin, type(recipe))  # which says what is wrong, if it is
        return True


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
