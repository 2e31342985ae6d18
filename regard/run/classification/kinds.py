"""Whether a classifier reads texts or pictures: its recipe's encoder tells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from regard.config.classification import ClassificationRecipe
from regard.run.classification.model import ClassifierModel
from regard.run.classification.picture_job import PictureClassificationJob
from regard.run.classification.picture_model import PictureClassifierModel
from regard.run.classification.text_job import ClassificationJob
from regard.run.corpus import Tree
from regard.run.folder import RunFolder


def begin(
    tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool
) -> ClassificationJob | PictureClassificationJob:
    """All that comes before the first step."""
    if resume:
        recipe = folder.read_recipe()
        pictures = isinstance(recipe, ClassificationRecipe) and recipe.reads_pictures
    else:
        model = tree.get("model")
        pictures = isinstance(model, Mapping) and model.get("encoder") == "grid"
    job = PictureClassificationJob if pictures else ClassificationJob
    return job.begin(tree, folder, console, origin, resume)


def load(run: str | Path, device: str = "auto") -> ClassifierModel | PictureClassifierModel:
    """The model in a run folder. UsageError says what is missing or broken."""
    recipe = RunFolder(Path(run)).read_recipe()
    pictures = isinstance(recipe, ClassificationRecipe) and recipe.reads_pictures
    return (PictureClassifierModel if pictures else ClassifierModel).load(run, device)
