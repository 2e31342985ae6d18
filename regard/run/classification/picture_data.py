"""What a training of a classifier of pictures reads: pictures of one size, with a class each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import UInt8
from rich.console import Console

from regard.config.classification import ClassificationRecipe, LabelledDataPart
from regard.data.images import Shape, build_pictures
from regard.data.labels import Labels
from regard.data.picture_labels import LabelledPictures, pictures_held_out, read_labelled_pictures
from regard.data.picture_lines import naming_lines
from regard.errors import RegardError, UsageError
from regard.run.classification.data import labels_of
from regard.run.folder import RunFolder
from regard.run.pictures import unchanged

HELD_OUT = 0.1  # of each class, where no validation file is given
OF_FILES = Shape(64, 64, 3)  # where the recipe says nothing of the size of picture files

Images = UInt8[np.ndarray, "N H W C"]


@dataclass(frozen=True, eq=False)
class PictureData:
    """Pictures and their classes, to train and to validate on, all of one size. `held_out` says that the latter were
    kept from the former."""

    labels: Labels
    train: LabelledPictures
    images: Images
    valid: LabelledPictures
    valid_images: Images
    held_out: bool


def shape_of(part: LabelledDataPart) -> Shape:
    assert part.height is not None and part.width is not None and part.channels is not None, "it is settled"
    return Shape(part.height, part.width, part.channels, part.fit or "crop")


def picture_data(
    recipe: ClassificationRecipe, folder: RunFolder, console: Console, resume: bool
) -> tuple[PictureData, LabelledDataPart]:
    """Everything a training reads, pictures decoded once, and the part without gaps. UsageError where a run would go on
    with other files."""
    part = recipe.data
    assert part.data is not None
    every = read_labelled_pictures(part.data)
    part = _settled(part, every)
    labels = Labels.load(labels_of(folder)) if resume else Labels.of(every.labelled)
    if part.valid_data is not None:
        train, valid = every, read_labelled_pictures(part.valid_data)
    else:
        train, valid = pictures_held_out(every, HELD_OUT, recipe.seed)
        console.print(
            f"no validation pictures were given: {len(valid):,} are kept from training for it", highlight=False
        )
    if not len(valid):
        raise RegardError(f"{every.name} has too few pictures to keep some for validation: give --valid-data FILE")
    with naming_lines(*(each.name for each in (train, valid) if each.files)):
        lists = [Path(name) for name in (part.data, part.valid_data) if name is not None]
        unchanged(lists, [*train.files, *valid.files], recipe.seed, part, folder, resume)
        images = pixels(train, shape_of(part), folder.corpus / "pictures")
        valid_images = pixels(valid, shape_of(part), folder.corpus / "valid")
    return PictureData(labels, train, images, valid, valid_images, part.valid_data is None), part


def pixels(pictures: LabelledPictures, shape: Shape, folder: Path) -> Images:
    """The pictures in one size: files decoded into `folder`, an array as it is. UsageError for an array of another
    size."""
    if pictures.images is None:
        return build_pictures(pictures.files, folder, shape)
    found = pictures.images.shape[1:]
    if found != (shape.height, shape.width, shape.channels):
        raise UsageError(
            f"the pictures in {pictures.name} are {_sized(*found)}, and {_sized(shape.height, shape.width, shape.channels)} "
            "are read: give pictures of that size, or files in a .jsonl, which are made to fit"
        )
    return pictures.images


def pixels_for_now(pictures: LabelledPictures, shape: Shape) -> Images:
    """`pixels`, of which nothing is kept on disk. PictureError names the line of a file that cannot be read."""
    with TemporaryDirectory() as folder, naming_lines(*([pictures.name] if pictures.files else [])):
        return np.array(pixels(pictures, shape, Path(folder) / "pictures"))


def _sized(height: int, width: int, channels: int) -> str:
    return f"{width}×{height} pixels {'in colour' if channels == 3 else 'in grey'}"


def _settled(part: LabelledDataPart, pictures: LabelledPictures) -> LabelledDataPart:
    """The part with the size of the pictures: that of an array is its own."""
    sides = (OF_FILES.height, OF_FILES.width, OF_FILES.channels)
    if pictures.images is not None:
        sides = pictures.images.shape[1:]
    size = {}
    for name, side in zip(("height", "width", "channels"), sides, strict=True):
        asked = getattr(part, name)
        if pictures.images is not None and asked not in (None, side):
            raise UsageError(
                f"the pictures in {pictures.name} have {name} {side}, and data.{name} is {asked}: leave the key out, or "
                "give pictures of that size"
            )
        size[name] = side if asked is None else asked
    return part.model_copy(update={**size, "fit": part.fit or "crop"})
