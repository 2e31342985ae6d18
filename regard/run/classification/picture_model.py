"""A finished classifier of pictures, and where it looked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from regard.build.classifier import picture_classifier
from regard.config.classification import ClassificationRecipe
from regard.data.images import PictureError, Shape, read_picture
from regard.data.json_lines import parse_object
from regard.data.labels import Labels
from regard.data.picture_labels import LabelledPictures, named, read_labelled_pictures
from regard.data.picture_lines import picture_beside
from regard.errors import UsageError
from regard.evaluation import PairedResult, Score
from regard.evaluation.classification import Confusion
from regard.models.classifier import Classifier, looks_of
from regard.run.classification.data import labels_of
from regard.run.classification.picture_data import pixels_for_now, shape_of
from regard.run.classification.reporting import check_comparable, compared, report, row_of, scored
from regard.run.folder import RunFolder
from regard.run.pictures import ENDINGS
from regard.run.weights import with_weights
from regard.tasks import classification
from regard.tasks.classification import Prediction
from regard.training.checkpoint import write_text
from regard.view.classified import ClassifiedPicture, classified_page, draw_classified, save_classified
from regard.view.picture import PictureMap

READ_AHEAD = 256  # pictures that are classified together
SHOWN = 384  # pixels of the longer side of a picture that is shown

Picture = str | Path | UInt8[np.ndarray, "H W C"] | UInt8[np.ndarray, "H W"]
"""A picture's file, or pixels of the model's own size."""


class PictureClassifier:
    """A trained classifier of pictures: `predict(pictures)` gives a `Prediction` each, with `label`, `probability` and
    `top(n)`."""

    def __init__(self, network: Classifier, labels: Labels, recipe: ClassificationRecipe, name: str) -> None:
        self.network, self.labels = network, labels
        self.recipe, self.name = recipe, name

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> PictureClassifier:
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
        """One class for each picture, in order: files, which are made to fit, or arrays of the size that the model reads.
        UsageError names a picture that cannot be read."""
        if isinstance(pictures, str | Path):
            raise UsageError("predict takes a list of pictures: write model.predict([picture])")
        found: list[Prediction] = []
        for start in range(0, len(pictures), READ_AHEAD):
            some = [self._read(start + i, each) for i, each in enumerate(pictures[start : start + READ_AHEAD])]
            found += classification.predict_pictures(self.network, self.labels, np.stack(some))
        return found

    def view(self, picture: Picture) -> ClassifiedPicture:
        """The likeliest classes, and where in the picture each look of the pooling was."""
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

    def scores(
        self, items: LabelledPictures, images: UInt8[np.ndarray, "N H W C"]
    ) -> tuple[list[Score], list[Confusion]]:
        """Accuracy, macro-F1 and calibration error, and the pairs of classes that are taken for each other most."""
        self.labels.ids(items.labelled, items.unit)  # each class has to be known
        return scored(classification.predict_pictures(self.network, self.labels, images), items.classes)

    def said(self, lines: Iterable[str], *, jsonl: bool, name: str = "the input") -> Iterator[str]:
        """What `regard predict` prints for each line of what is called `name`, a picture's path or `{"image": …}`: its
        class, or with `jsonl` the likeliest ones. A blank line gives a blank class. A path counts from where the command
        is given, or else from the list; in JSON it counts from the file first. Where `name` is a picture, it is the only
        one."""
        rest = enumerate([name] if name.lower().endswith(ENDINGS) else lines, start=1)
        while chunk := list(islice(rest, READ_AHEAD)):
            paths = {number: _path(name, number, line) for number, line in chunk if line.strip()}
            try:
                found = dict(zip(paths, self.predict(list(paths.values())), strict=True))
            except PictureError as error:
                if str(error.path) == name:
                    raise
                first = next(number for number, path in paths.items() if path == error.path)
                raise PictureError(error.path, f"{name}, line {first}: {error}") from error
            for number, _ in chunk:
                each = found.get(number)
                said = "" if each is None else each.label.replace("\n", " ")
                yield json.dumps(row_of(each), ensure_ascii=False) if jsonl else said

    def shown(self, picture: str, width: int, color: bool) -> str:
        """What `regard show` prints: the likeliest classes, and where each look was."""
        return draw_classified(self.view(picture), width=width, color=color)

    def save_page(self, picture: str, path: Path) -> None:
        """Writes a page of what `shown` prints, which opens offline."""
        write_text(path, classified_page(Path(picture).name, self.view(picture), self.name))

    def save_picture(self, picture: str, path: Path) -> None:
        """Writes it as PNG."""
        save_classified(self.view(picture), path)

    def evaluated(
        self,
        source: Path | None,
        target: Path | None,
        data: Path | None,
        as_json: bool,
        against: PictureClassifier | None = None,
    ) -> str:
        """What `regard evaluate` prints. `against` is tested on the same pictures."""
        if data is None or source is not None or target is not None:
            raise UsageError("pictures and their classes are in one file: give --data FILE.jsonl, or --data FILE.npz")
        items = read_labelled_pictures(data)
        self.labels.ids(items.labelled, items.unit)  # each class has to be known, of the other model too
        images = pixels_for_now(items, self.shape)
        paired = [] if against is None else self._compared(against, items, images)
        found = self.scores(items, images)
        return report(self.name, "pictures", len(items), self.labels.size, found, paired, as_json=as_json)

    def _compared(
        self, other: PictureClassifier, items: LabelledPictures, images: UInt8[np.ndarray, "N H W C"]
    ) -> list[PairedResult]:
        """Whether another model is right as often, but for chance. It sees files in its own size."""
        check_comparable(self.name, other.name, other.labels, items.labelled, items.unit)
        seen = images if other.shape == self.shape else pixels_for_now(items, other.shape)
        a = classification.predict_pictures(self.network, self.labels, images)
        b = classification.predict_pictures(other.network, other.labels, seen)
        return compared(a, b, items.classes)

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


def _path(name: str, number: int, line: str) -> Path:
    """The picture that a line of a list, or of a JSONL file, names."""
    where = f"{name}, line {number}"
    if Path(name).suffix.lower() in (".jsonl", ".ndjson") or line.lstrip().startswith("{"):
        row = parse_object(line, where, 'is no object: write {"image": "…"}')
        image = named(row, "image", where)
        beside = picture_beside(Path(name), image, where)
        return Path(image) if not beside.exists() and os.path.exists(image) else beside
    path = line.strip()
    beside = os.path.join(os.path.dirname(name), path)
    return Path(beside if not os.path.exists(path) and os.path.exists(beside) else path)
