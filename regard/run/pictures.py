"""Pictures in and out of a run: whole collections, and one file to work on."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from pydantic import BaseModel

from regard.config.autoencoder import PictureDataPart
from regard.data.corpus import fingerprint
from regard.data.images import PictureError, Shape, build_pictures, pillow, read_picture
from regard.data.pictures import pictures_of, read_pictures
from regard.errors import UsageError
from regard.run.folder import RunFolder
from regard.training.checkpoint import write_bytes, write_text

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")

Images = UInt8[np.ndarray, "N H W C"]


def files_in(folder: Path) -> list[Path]:
    """The pictures in a folder and the folders in it, by name. UsageError if there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise UsageError(f"{folder} holds no pictures: put files into it that end in {', '.join(ENDINGS[:4])} …")
    return found


def paths_of(path: Path) -> list[Path]:
    return files_in(path) if path.is_dir() else [path]


def training_pictures(part: PictureDataPart, folder: RunFolder, resume: bool) -> tuple[Images, Images | None]:
    """What is trained and validated on; of folders of files, decoded once into the run. UsageError where a run would go
    on with other pictures."""
    assert part.data is not None
    train = collection(Path(part.data), part, folder.corpus / "train")
    valid = None
    if part.valid_data is not None:
        valid = collection(Path(part.valid_data), settled(part, train), folder.corpus / "valid")
    paths = [path for name in (part.data, part.valid_data) if name is not None for path in paths_of(Path(name))]
    mark, place = fingerprint(paths, train.shape), folder.corpus / "fingerprint"
    if resume and place.exists() and place.read_text(encoding="utf-8") != mark:
        raise UsageError(
            f"{part.data} changed since the run in {folder.path} began, so it cannot go on as if nothing had happened: "
            "put the old pictures back, or train into another folder"
        )
    folder.corpus.mkdir(parents=True, exist_ok=True)
    write_bytes(place, mark.encode())
    return train, valid


def settled(part: PictureDataPart, images: Images) -> PictureDataPart:
    """The part without gaps."""
    height, width, channels = images.shape[1:]
    return part.model_copy(update={"height": height, "width": width, "channels": channels})


def collection(path: Path, part: PictureDataPart, folder: Path | None = None) -> Images:
    """The pictures of a .npz file, or of a folder, then all of one size: the part's, or that of the first. They are
    decoded into `folder`, if it is given, otherwise into memory."""
    if path.is_dir():
        paths = files_in(path)
        shape = _shape(paths, part)
        if folder is None:
            return np.stack([read_picture(each, shape) for each in paths])
        folder.parent.mkdir(parents=True, exist_ok=True)
        return pictures_of(build_pictures(paths, folder, shape), str(path))
    images = read_pictures(path)
    wanted = (part.height, part.width, part.channels)
    for name, size, found in zip(("height", "width", "channels"), wanted, images.shape[1:], strict=True):
        if size is not None and size != found:
            raise UsageError(
                f"the pictures in {path} have {name} {found}, and data.{name} is {size}: leave the key out, or give "
                "pictures of one size"
            )
    return images


def _shape(paths: Sequence[Path], part: PictureDataPart) -> Shape:
    """The part's, or else the size of the first picture, and colour if any of them has it."""
    if part.height is not None and part.width is not None and part.channels is not None:
        return Shape(part.height, part.width, part.channels)
    first = read_picture(paths[0])
    channels = part.channels or max(uncoloured(picture).shape[2] for picture in _until_coloured(paths))
    return Shape(part.height or first.shape[0], part.width or first.shape[1], channels)


def _until_coloured(paths: Sequence[Path]) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Pictures up to the first that has colours, which is nearly always the first of all."""
    for path in paths:
        yield (picture := read_picture(path))
        if uncoloured(picture).shape[2] == 3:
            return


def uncoloured(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W C"]:
    """One channel if the picture has no colours, otherwise the picture."""
    grey = bool((picture == picture[..., :1]).all())
    return np.ascontiguousarray(picture[..., :1]) if grey else picture


def picture_for(path: Path, channels: int) -> UInt8[np.ndarray, "H W C"]:
    """A picture file in its own size. UsageError for one in colour where there is one channel: colours are not thrown
    away unasked."""
    picture = read_picture(path)
    if channels == 3:
        return picture
    plain = uncoloured(picture)
    if plain.shape[-1] != channels:
        raise UsageError(
            f"{path} is in colour, and this run was trained on grey pictures: make it grey first, or train a run with "
            "data.channels = 3"
        )
    return plain


def png(picture: UInt8[np.ndarray, "H W C"]) -> bytes:
    stream = io.BytesIO()
    pillow().fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: check the path") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def unchanged(
    lists: Sequence[Path], pictures: Sequence[Path], seed: int, part: BaseModel, folder: RunFolder, resume: bool
) -> None:
    """Remembers in a run's folder what it was begun with: the files that list pictures, those, and the recipe's part. Refuses
    to go on with something else; PictureError for a picture that is not there."""
    for path in pictures:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise PictureError(path, f"{path} {what}: check the picture's name")
    mark, place = fingerprint([*lists, *pictures], seed, part), folder.corpus / "fingerprint"
    if resume and place.exists() and place.read_text(encoding="utf-8") != mark:
        raise UsageError(
            f"{lists[0]} or its pictures changed since the run in {folder.path} began, so it cannot go on as if nothing "
            "had happened: put the old files back, or train into another folder"
        )
    folder.corpus.mkdir(parents=True, exist_ok=True)
    write_text(place, mark)
