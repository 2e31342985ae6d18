"""What trainings of classifiers share, whatever they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from regard.config import recipe_of
from regard.config.classification import ClassificationRecipe
from regard.run.beginning import refuse_overwriting
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.resuming import resumed
from regard.tasks import classification
from regard.training.checkpoint import parameters_of, save_tensors
from regard.training.loop import Loss


class ClassifierTraining:
    """Loss, validation and calibration. `valid` are batches of what it validates on, `finished` the model with its
    `labels`."""

    recipe: ClassificationRecipe
    network: Any
    valid: Any
    finished: Any
    folder: RunFolder

    def loss(self, batch: Any) -> Loss:
        training = self.recipe.training
        return classification.loss(
            self.network,
            batch,
            smoothing=training.label_smoothing,
            penalty=self.recipe.model.penalty,
            r_drop=training.r_drop,
        )

    def validate(self) -> dict[str, float]:
        """Loss and accuracy, quickly."""
        logits, labels, _ = classification.logits_of(self.network, self.valid.epoch(0))
        loss = float(torch.nn.functional.cross_entropy(logits, labels))
        right = float((logits.argmax(dim=-1) == labels).float().mean())
        return {"valid_loss": loss, "valid_accuracy": 100 * right}

    def calibrate(self) -> None:
        """Makes probabilities honest on what it validates on, as there is nothing else, and saves them so."""
        classification.calibrated(self.network, self.valid.epoch(0))
        save_tensors(self.folder.weights, parameters_of(self.network), {"format": "regard 1"})

    def said(self, what: str, count: int, held_out: bool) -> Mapping[str, Any]:
        """The facts of a report on so many items."""
        return {
            "scored_on": "held out from training" if held_out else "validation set",
            what: count,
            "classes": self.finished.labels.size,
            "temperature": float(self.network.temperature),
        }

    def model(self) -> Any:
        return self.finished


def recipe_for(tree: Tree, folder: RunFolder, origin: str, resume: bool) -> ClassificationRecipe:
    """The recipe of a training that begins, or of one that goes on."""
    if not resume:
        refuse_overwriting(folder)
        return recipe_of(tree, origin, ClassificationRecipe)
    recipe = folder.read_recipe()
    assert isinstance(recipe, ClassificationRecipe), "the dispatch went by this recipe"
    return resumed(tree, folder, recipe, origin)
