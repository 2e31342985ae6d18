"""The job of classifying pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from rich.console import Console

from regard import build
from regard.build.classifier import picture_classifier
from regard.config import write_toml
from regard.config.classification import ClassificationRecipe
from regard.data.picture_labels import LabelledPictureBatches
from regard.errors import UsageError
from regard.evaluation import Score
from regard.models.classifier import Classifier
from regard.run.beginning import make, with_precision
from regard.run.classification.data import labels_of
from regard.run.classification.job import ClassifierTraining, recipe_for
from regard.run.classification.picture_data import PictureData, picture_data
from regard.run.classification.picture_model import PictureClassifierModel
from regard.run.classification.reporting import scored
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.tasks import classification
from regard.training.checkpoint import write_text


@dataclass
class PictureClassificationJob(ClassifierTraining):
    recipe: ClassificationRecipe
    network: Classifier
    batches: LabelledPictureBatches
    valid: LabelledPictureBatches
    data: PictureData
    finished: PictureClassifierModel
    folder: RunFolder
    items: int
    what: str = "pictures"
    criterion: str = "valid_accuracy"
    larger_is_better: bool = True

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        recipe = recipe_for(tree, folder, origin, resume)
        if recipe.data.data is None:
            raise UsageError(f"{origin} names no pictures: give --data FILE.jsonl, or --data FILE.npz")
        make(folder)
        data, part = picture_data(recipe, folder, console, resume)
        labels = data.labels
        answers = [labels.ids(each.labelled, each.unit) for each in (data.train, data.valid)]
        if not resume:
            labels.save(labels_of(folder))
            recipe = with_precision(recipe.model_copy(update={"data": part}), console)
            write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        training = recipe.training
        assert training.batch is not None and part.channels is not None, "the recipe of pictures has them"
        torch.manual_seed(recipe.seed)
        network = picture_classifier(recipe.model, part.channels, labels.size)
        rows, columns = network.encoder.vision.grid(part.height, part.width)  # type: ignore[operator, union-attr]
        console.print(
            f"pictures of {part.width}×{part.height} become {columns}×{rows} places; {labels.size} classes",
            highlight=False,
        )
        network.to(build.device(training.device))
        return cls(
            recipe,
            network,
            LabelledPictureBatches(data.images, answers[0], training.batch, recipe.seed),
            LabelledPictureBatches(data.valid_images, answers[1], 4 * training.batch, 0, shuffle=False),
            data,
            PictureClassifierModel(network, labels, recipe, folder.path.name),
            folder,
            len(data.train),
        )

    def scores(self) -> list[Score]:
        self.calibrate()
        found = classification.predict_pictures(self.network, self.finished.labels, self.data.valid_images)
        return scored(found, self.data.valid.classes)[0]

    def facts(self) -> Mapping[str, Any]:
        return self.said("pictures", len(self.data.valid), self.data.held_out)
