"""A finished classifier of pictures, and where it looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from regard.build.classifier import picture_classifier
from regard.config.classification import ClassificationRecipe
from regard.data.images import Shape, read_picture
from regard.data.labels import Labels
from regard.data.picture_labels import LabelledPictures
from regard.errors import UsageError
from regard.models.classifier import Classifier, looks_of
from regard.run.classification.data import labels_of
from regard.run.classification.picture_data import pixels_for_now, shape_of
from regard.run.classification.pictures import READ_AHEAD, Picture, PictureClassifier
from regard.run.folder import RunFolder
from regard.run.weights import with_weights
from regard.tasks import classification
from regard.tasks.classification import Prediction
from regard.view.classified import ClassifiedPicture
from regard.view.picture import PictureMap

SHOWN = 384  # pixels of the longer side of a picture that is shown


class PictureClassifierModel(PictureClassifier):
    """A trained classifier of pictures: its network and its classes."""

    def __init__(self, network: Classifier, labels: Labels, recipe: ClassificationRecipe, name: str) -> None:
        self.network, self.labels = network, labels
        self.recipe, self.name = recipe, name

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> PictureClassifierModel:
        """Reads a run folder; UsageError says what is missing or broken."""
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe_of(ClassificationRecipe)
        if not recipe.reads_pictures:
            raise UsageError(
                f"{folder.path} is a run of classification that reads texts, and this needs one that reads pictures"
            )
        labels = Labels.load(labels_of(folder))
        network = picture_classifier(recipe.model, shape_of(recipe.data).channels, labels.size)
        return cls(with_weights(network, folder, device), labels, recipe, folder.path.name)

    @property
    def shape(self) -> Shape:
        return shape_of(self.recipe.data)

    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        if isinstance(pictures, str | Path):
            raise UsageError("predict takes a list of pictures: write model.predict([picture])")
        found: list[Prediction] = []
        for start in range(0, len(pictures), READ_AHEAD):
            some = [self._read(start + i, each) for i, each in enumerate(pictures[start : start + READ_AHEAD])]
            found += classification.predict_pictures(self.network, self.labels, np.stack(some))
        return found

    def view(self, picture: Picture) -> ClassifiedPicture:
        pixels = self._read(0, picture)
        [found] = classification.predict_pictures(self.network, self.labels, pixels[None])
        [weights] = classification.look_at_pictures(self.network, pixels[None])
        size = self.shape
        if not isinstance(picture, np.ndarray):
            # Larger than the model saw it, but no more of it.
            larger = max(1, SHOWN // max(size.height, size.width))
            pixels = read_picture(picture, replace(size, height=larger * size.height, width=larger * size.width))
        names = looks_of(self.network.pooling, len(weights))
        return ClassifiedPicture(found.top(), PictureMap(pixels, names, weights))

    def answers(self, items: LabelledPictures) -> list[Prediction]:
        return classification.predict_pictures(self.network, self.labels, pixels_for_now(items, self.shape))

    def _read(self, number: int, picture: Picture) -> UInt8[np.ndarray, "H W C"]:
        if not isinstance(picture, np.ndarray):
            if not isinstance(picture, str | Path):
                raise UsageError(f"pictures[{number}] is no path and no array: predict takes a list of pictures")
            return read_picture(picture, self.shape)
        if not self._fits(picture):
            size = self.shape
            raise UsageError(
                f"pictures[{number}] is {picture.dtype} of shape {list(picture.shape)}, and {self.name} reads uint8 of "
                f"shape {[size.height, size.width, size.channels]}: make it so, or give the picture's file, which is made "
                "to fit"
            )
        return picture[..., None] if picture.ndim == 2 else picture

    def _fits(self, picture: np.ndarray) -> bool:
        size = self.shape
        sides = (size.height, size.width, size.channels)
        return picture.dtype == np.uint8 and (picture.shape == sides or (*picture.shape, 1) == sides)
