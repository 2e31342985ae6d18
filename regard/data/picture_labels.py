"""Labelled pictures: reading them, and batches of pictures with a class each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from regard.data.characters import check_characters
from regard.data.images import read_npz
from regard.data.json_lines import parse_object
from regard.data.labels import Labelled, drawn_apart
from regard.data.picture_lines import picture_beside
from regard.data.pictures import PictureBatches
from regard.data.reader import raw_lines
from regard.errors import UsageError

FORM = '{"image": "…", "label": "…"}'


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Pictures with a class each. `lines` are those of the file, or the places in its array, from 1. The pictures are
    `files`, or they were read with the file: `images [N, H, W, C]`."""

    name: str
    lines: list[int]
    classes: list[str]
    files: list[Path]
    images: UInt8[np.ndarray, "N H W C"] | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def unit(self) -> str:
        """What the items are counted in."""
        return "picture" if self.images is not None else "line"

    @property
    def labelled(self) -> Labelled:
        """The items as texts of nothing, which is what `Labels` are made of."""
        return Labelled(self.name, [(line, "", name) for line, name in zip(self.lines, self.classes, strict=True)], [])


def read_labelled_pictures(path: Path | str) -> LabelledPictures:
    """Pictures and their classes, from a `.jsonl` file of lines `{"image": …, "label": …}`, of which the label may be a
    whole number and the picture's path counts from the file's folder; or from a `.npz` file with `images` and `labels`.

    UsageError for another kind of file, and for a line that lacks something or names a picture a second time.
    """
    path = Path(path)
    match path.suffix.lower():
        case ".npz":
            return _arrays(path)
        case ".jsonl" | ".ndjson":
            return _lines(path)
        case other:
            raise UsageError(
                f"{path}: '{other}' is no known kind of labelled pictures; give .jsonl with lines {FORM}, or .npz"
            )


def _arrays(path: Path) -> LabelledPictures:
    images, labels = read_npz(path)
    if labels is None:
        raise UsageError(f"{path} has no array 'labels': save one whole number for each picture under that name")
    if not images.size:
        raise UsageError(f"{path} holds no picture: give at least one")
    return LabelledPictures(str(path), list(range(1, len(labels) + 1)), [str(each) for each in labels], [], images)


def _lines(path: Path) -> LabelledPictures:
    lines: list[int] = []
    classes: list[str] = []
    first: dict[Path, int] = {}
    for number, line in enumerate(raw_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = parse_object(line, where, f"is no object: write {FORM}")
        image = picture_beside(path, named(row, "image", where), where)
        if image in first:
            raise UsageError(f"{where}: {image} has a class already, in line {first[image]}: leave one of them out")
        first[image] = number
        lines.append(number)
        classes.append(named(row, "label", where))
    if not lines:
        raise UsageError(f"{path} has no line: give one picture a line, as {FORM}")
    return LabelledPictures(str(path), lines, classes, list(first))


def named(row: dict[str, object], key: str, where: str) -> str:
    """The text of a key, without the white space around it; of a label, a whole number too. UsageError, which begins
    with `where`."""
    value = row.get(key)
    if key == "label" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        wrong = "is missing" if key not in row else "is empty" if isinstance(value, str) else "is no text"
        raise UsageError(f'{where}: "{key}" {wrong}: write {FORM}')
    check_characters(value, f'{where}: "{key}"')
    return value.strip()


def pictures_held_out(pictures: LabelledPictures, share: float, seed: int) -> tuple[LabelledPictures, LabelledPictures]:
    """Those to train on and those to validate with, as `labels.held_out` has it."""
    apart = drawn_apart(pictures.classes, share, seed)

    def those(chosen: Sequence[int]) -> LabelledPictures:
        return LabelledPictures(
            pictures.name,
            [pictures.lines[i] for i in chosen],
            [pictures.classes[i] for i in chosen],
            [pictures.files[i] for i in chosen] if pictures.files else [],
            None if pictures.images is None else pictures.images[list(chosen)],
        )

    return those([i for i in range(len(pictures)) if i not in apart]), those(sorted(apart))


@dataclass(frozen=True, slots=True)
class LabelledPictureBatch:
    """Pictures and the class of each. What a classifier reads is called `source`."""

    source: UInt8[Tensor, "B H W C"]
    labels: Int[Tensor, " B"]
    rows: Int[Tensor, " B"]  # which picture each one is, from 0

    def __len__(self) -> int:
        return self.source.shape[0]

    def to(self, device: torch.device | str) -> LabelledPictureBatch:
        return LabelledPictureBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def source_lengths(self) -> Int[Tensor, " B"]:
        """Rows of pixels, all of which are real."""
        return torch.full((len(self),), self.source.shape[1], device=self.source.device)

    @property
    def target_tokens(self) -> int:
        """How many pictures there are: what losses are counted in."""
        return len(self)


class LabelledPictureBatches:
    """`PictureBatches` of pictures with a class each: see there for the order."""

    def __init__(
        self,
        images: UInt8[np.ndarray, "N H W C"],
        labels: Sequence[int],
        batch: int,
        seed: int,
        *,
        shuffle: bool = True,
    ) -> None:
        if len(images) != len(labels):
            raise ValueError(f"each picture has one class: there are {len(images)} and {len(labels)}")
        self._batches = PictureBatches(images, batch, seed, shuffle=shuffle)
        self._labels = torch.tensor(list(labels), dtype=torch.long)

    def epoch(self, number: int, start: int = 0) -> Iterator[LabelledPictureBatch]:
        """The batches of an epoch, from the batch `start` on."""
        for batch in self._batches.epoch(number, start):
            yield LabelledPictureBatch(batch.images, self._labels[batch.rows], batch.rows)

    def count(self, number: int) -> int:
        return self._batches.count(number)
