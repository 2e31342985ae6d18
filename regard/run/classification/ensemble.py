"""Several finished classifiers that answer together (Hansen & Salamon 1990): by the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np

from regard.data.labels import Labels
from regard.data.picture_labels import LabelledPictures
from regard.errors import UsageError
from regard.run.classification.pictures import Picture, PictureClassifier
from regard.run.classification.texts import Seen, TextClassifier
from regard.tasks import classification
from regard.tasks.classification import Prediction
from regard.view.classified import ClassifiedPicture
from regard.view.picture import PictureMap


def together(models: Sequence[TextClassifier | PictureClassifier]) -> Any:
    """Classifiers that answer as one. They may be of any kinds, with tokens or sizes of pictures of their own.

    Raises:
        UsageError: no model, models that read different things, or models of different classes.
    """
    if not models:
        raise UsageError("an ensemble is made of one model at least")
    first, *rest = models
    if not rest:
        return first
    for other in rest:
        names = f"{first.name} and {other.name} cannot answer together, since"
        if isinstance(other, TextClassifier) is not isinstance(first, TextClassifier):
            raise UsageError(f"{names} one reads texts and the other pictures")
        if differing := sorted(set(first.labels.names) ^ set(other.labels.names)):
            raise UsageError(f"{names} one alone knows the class '{differing[0]}': train them with the same classes")
    return TextEnsemble(models) if isinstance(first, TextClassifier) else PictureEnsemble(models)


class Several:
    """Models of one kind, under names of their own."""

    labels: Labels

    def __init__(self, models: Sequence[Any]) -> None:
        self.models, self.names, self.labels = list(models), _names(models), models[0].labels
        self.name = " + ".join(self.names)

    def load(self, run: str | Path, device: str = "auto") -> Any:
        """Another model, of the kind that these are."""
        return self.models[0].load(run, device)

    @property
    def each(self) -> Iterator[tuple[str, Any]]:
        """Name and model."""
        return zip(self.names, self.models, strict=True)


class TextEnsemble(Several, TextClassifier):
    """Classifiers of texts, each with its own tokens."""

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return classification.together([model.predict(texts) for model in self.models])

    def seen(self, text: str) -> list[Seen]:
        return [replace(seen, of=name) for name, model in self.each for seen in model.seen(text)]

    def notes(self, text: str) -> list[str]:
        return [f"{name}: {note}" for name, model in self.each for note in model.notes(text)]

    def unread(self, texts: Sequence[str]) -> list[str]:
        return [f"{name}: {note}" for name, model in self.each for note in model.unread(texts)]


class PictureEnsemble(Several, PictureClassifier):
    """Classifiers of pictures, each of which sees files in its own size."""

    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        return classification.together([model.predict(pictures) for model in self.models])

    def answers(self, items: LabelledPictures) -> list[Prediction]:
        return classification.together([model.answers(items) for model in self.models])

    def view(self, picture: Picture) -> ClassifiedPicture:
        """The looks of the first model, then of the second, and so on, over the picture as the first shows it."""
        [found] = self.predict([picture])
        each = [model.view(picture).looks for model in self.models]
        names = [f"{name}: {word}" for name, looks in zip(self.names, each, strict=True) for word in looks.words]
        rows, columns = (lcm(*(looks.weights.shape[side] for looks in each)) for side in (1, 2))
        weights = [_finer(looks.weights, rows, columns) for looks in each]
        return ClassifiedPicture(found.top(), PictureMap(each[0].picture, names, np.concatenate(weights)))


def _names(models: Sequence[Any]) -> list[str]:
    """What each is called; where folders of one name stand in different places, the second is told as such."""
    each = [model.name for model in models]
    return [name if name not in each[:i] else f"{name} ({each[: i + 1].count(name)})" for i, name in enumerate(each)]


def _finer(weights: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The same weights on a finer grid, whose places share what was one place's."""
    down, right = rows // weights.shape[1], columns // weights.shape[2]
    return weights.repeat(down, axis=1).repeat(right, axis=2) / (down * right)
