"""A run's folder before its first step, whatever its task: nothing is overwritten, and nothing is left of a refusal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from rich.console import Console

from regard import build
from regard.config import RecipeBase
from regard.errors import UsageError
from regard.run.folder import RunFolder
from regard.training.precision import measure
from regard.training.tensorboard import check_tensorboard

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


@contextmanager
def alone(folder: RunFolder) -> Iterator[None]:
    """The folder is there, and nobody else trains into it meanwhile: two would mix their steps in one file. The lock is
    the system's, on the folder itself, so that a kill leaves none behind; where there is no such lock, nothing is locked.
    A folder that was made for it and is empty in the end goes again."""
    missing = [path for path in (folder.path, *folder.path.parents) if not path.exists()]
    descriptor: int | None = None
    try:
        try:
            import fcntl

            folder.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder.path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another training is writing to {folder.path}: wait for its end, or name another folder with --out"
            ) from None
        except (ImportError, OSError):  # another system, or a path that cannot be made, which is said elsewhere
            pass
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
        with suppress(OSError):  # it holds a run now
            for path in missing:
                path.rmdir()


@contextmanager
def leaving_nothing(folder: RunFolder, begun: Callable[[], bool]) -> Iterator[None]:
    """What fails before the training has `begun` takes away what it has made, lest a name be taken by a run that never
    was. What lay there before stays, and so does all that Ctrl-C interrupts."""
    before = set(folder.path.iterdir()) if folder.path.is_dir() else set()
    try:
        yield
    except Exception:
        if not begun() and folder.path.is_dir():
            for path in set(folder.path.iterdir()) - before:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        raise


def check_machine(tree: Mapping[str, Any]) -> None:
    """Before the corpus is read, not after. UsageError if this machine lacks the device or the program that was asked
    for."""
    training = tree.get("training")
    if not isinstance(training, Mapping):
        return
    if isinstance(training.get("device"), str):
        build.device(training["device"])
    if training.get("tensorboard") is True:
        check_tensorboard()


def with_precision(recipe: R, console: Console) -> R:
    """What the machine multiplies faster, measured once: a run that goes on later must not choose anew."""
    if recipe.training.precision != "auto":
        return recipe
    speeds = measure(build.device(recipe.training.device))
    console.print(f"{speeds}: training in {speeds.faster}", highlight=False)
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"precision": speeds.faster})})
