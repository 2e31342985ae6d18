"""What the commands say of a classifier of pictures, be it one model or several that answer together."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from regard.data.images import PictureError
from regard.data.json_lines import parse_object
from regard.data.labels import Labels
from regard.data.picture_labels import LabelledPictures, named, read_labelled_pictures
from regard.data.picture_lines import picture_beside
from regard.errors import UsageError
from regard.run.classification.reporting import check_comparable, compared, report, row_of, scored
from regard.run.pictures import ENDINGS
from regard.tasks.classification import Prediction
from regard.training.checkpoint import write_text
from regard.view.classified import ClassifiedPicture, classified_page, draw_classified, save_classified

READ_AHEAD = 256  # pictures that are classified together

Picture = str | Path | UInt8[np.ndarray, "H W C"] | UInt8[np.ndarray, "H W"]
"""A picture's file, or pixels of the model's own size."""


class PictureClassifier(ABC):
    """`predict(pictures)` gives a `Prediction` each, with `label`, `probability` and `top(n)`."""

    name: str
    labels: Labels

    @abstractmethod
    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """One class for each picture, in order: files, which are made to fit, or arrays of the size that the model reads.
        UsageError names a picture that cannot be read."""

    @abstractmethod
    def view(self, picture: Picture) -> ClassifiedPicture:
        """The likeliest classes, and where in the picture each look of the pooling was."""

    @abstractmethod
    def answers(self, items: LabelledPictures) -> list[Prediction]:
        """One class for each picture of a file, in order."""

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
        if against is not None:
            check_comparable(self.name, against.name, against.labels, items.labelled, items.unit)
        said = self.answers(items)
        paired = [] if against is None else compared(said, against.answers(items), items.classes)
        found = scored(said, items.classes)
        return report(self.name, "pictures", len(items), self.labels.size, found, paired, as_json=as_json)


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
