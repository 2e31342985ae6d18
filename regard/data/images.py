"""Pictures from files, whatever their format: to one size in 8 bits, decoded once into a memory-mapped file."""

from __future__ import annotations

import json
import os
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, UInt8

from regard.data.corpus import fingerprint
from regard.errors import MovingPicture, RegardError, UsageError

Fit = Literal["crop", "letterbox"]
MOST_PIXELS = 100_000_000
MOVING = ("GIF", "WEBP", "PNG", "AVIF")  # formats whose frames follow each other in time
NAMED = 60  # characters of a file's name in a sentence about one that is too long
# EXIF's orientation: what to do with the stored picture, by the names of pillow's Transpose.
_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip


# What numpy raises over a file that holds no arrays, or only the beginning of them.
NO_ARRAYS = (OSError, ValueError, EOFError, AttributeError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error)


class PictureError(UsageError):
    """The picture in the file `path` cannot be read."""

    def __init__(self, path: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.path = path


@dataclass(frozen=True, slots=True)
class Shape:
    """The one size all pictures of a corpus get. `channels` is 3 for colour, 1 for grey.

    A picture of other proportions is cropped to its middle, or with `fit="letterbox"` kept whole between white bars.
    """

    height: int
    width: int
    channels: int = 3
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise UsageError(f"pictures cannot be {self.width}×{self.height} pixels: give at least 1×1")
        if self.channels not in (1, 3):
            raise UsageError(f"pictures have 3 channels (colour) or 1 (grey), not {self.channels}")
        if self.fit not in ("crop", "letterbox"):
            raise UsageError(f"fit is '{self.fit}': write 'crop' or 'letterbox'")


def pillow() -> Any:
    """The module `PIL.Image`. UsageError where pillow is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("pictures are read and drawn by pillow: pip install 'regard[vision]'") from error
    return Image


def read_picture(path: Path | str, shape: Shape | None = None) -> UInt8[np.ndarray, "H W C"]:
    """A picture as people see it: turned as its camera says, transparency on white, in 8 bits.

    Without a shape it keeps its size and is in colour. Of one that moves it is the first frame, and a `MovingPicture`
    warning says so. PictureError where it is missing, no picture, cut off, of 32 bits
    a channel, or larger than 100 megapixels.
    """
    library, path = pillow(), Path(path)
    try:
        return _read(path, shape, library)
    except UsageError as error:
        raise PictureError(path, str(error)) from error


def _read(path: Path, shape: Shape | None, library: Any) -> UInt8[np.ndarray, "H W C"]:
    try:
        file = open(path, "rb")  # noqa: SIM115 - the with below closes it
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: check the path of the picture") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder: give the file of a picture") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from error
    with file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a header; what is too large or broken ends in a sentence anyway
        try:
            with library.open(file) as image:
                _check_size(path, *image.size)
                if shape is not None:
                    # A JPEG can be decoded at a half, a quarter or an eighth of its size, in as much less memory.
                    enough = 2 * max(shape.width, shape.height)  # both ways, as it may still be turned
                    image.draft(None, (enough, enough))
                image.load()
                plain = _turned(_plain(image, path, library), image, library)
                frames = _frames(image)
        except library.UnidentifiedImageError as error:
            raise UsageError(f"{path} is no picture that can be read: give a PNG, a JPEG or the like") from error
        except library.DecompressionBombError as error:
            raise _too_large(path) from error
        except RegardError:
            raise
        except Exception as error:  # decoders raise nearly anything over broken bytes
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UsageError(f"{path} is a broken picture ({reason}): replace it or leave it out") from error
    if frames > 1:
        warnings.warn(f"{path} has {frames:,} frames: the first alone is read", MovingPicture, stacklevel=3)
    if shape is not None:
        plain = _fitted(plain.convert("L" if shape.channels == 1 else "RGB"), shape, library)
        pixels = np.asarray(plain)
    else:
        pixels = np.asarray(plain.convert("RGB"))
    return pixels.reshape(*pixels.shape[:2], -1)


def _frames(image: Any) -> int:
    """How many frames a moving picture has; 1 for one that stands still, though a camera may have put a preview beside
    it. The picture is read before, as counting moves on in it."""
    if image.format not in MOVING:
        return 1
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # a broken frame behind the one that is read
        return 1


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise _too_large(path, f" ({width}×{height} pixels)")


def _too_large(path: Path, size: str = "") -> UsageError:
    return UsageError(f"{path} is larger than {MOST_PIXELS // 1_000_000} megapixels{size}: make it smaller first")


def _plain(image: Any, path: Path, library: Any) -> Any:
    """The picture in mode L or RGB, without transparency."""
    if image.mode in ("I", "F"):
        raise UsageError(f"{path} has 32 bits a channel: save it with 8 or 16")
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint32)
        grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
        hidden = image.info.get("transparency")
        return library.fromarray(grey if hidden is None else np.where(values == hidden, np.uint8(255), grey))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = library.new("RGBA", image.size, (255, 255, 255, 255))
        paper.alpha_composite(image)
        return paper.convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _turned(plain: Any, image: Any, library: Any) -> Any:
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # broken notes about a picture do not make the picture broken
        return plain
    return plain if turn is None else plain.transpose(library.Transpose[turn])


def _fitted(plain: Any, shape: Shape, library: Any) -> Any:
    wide, high = plain.size
    size = (shape.width, shape.height)
    if shape.fit == "crop":
        scale = min(wide / shape.width, high / shape.height)
        width, height = scale * shape.width, scale * shape.height
        left, top = (wide - width) / 2, (high - height) / 2
        box = (left, top, min(wide, left + width), min(high, top + height))
        return plain.resize(size, library.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    scale = min(shape.width / wide, shape.height / high)
    inner = (max(1, round(scale * wide)), max(1, round(scale * high)))
    paper = library.new(plain.mode, size, 255 if plain.mode == "L" else (255, 255, 255))
    place = ((shape.width - inner[0]) // 2, (shape.height - inner[1]) // 2)
    paper.paste(plain.resize(inner, library.Resampling.BICUBIC, reducing_gap=3.0), place)
    return paper


def build_pictures(paths: Sequence[Path], folder: Path, shape: Shape) -> UInt8[np.ndarray, "N H W C"]:
    """All pictures as one memory-mapped array; decoded into `folder`, or opened if it was made of the same files.

    PictureError for a picture that cannot be read, RegardError if the disk is full; then nothing is left in `folder`.
    """
    for path in paths:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise PictureError(path, f"{path} {what}: check the path of the picture")
    wanted = fingerprint(paths, "pictures", shape, len(paths))
    sides = (len(paths), shape.height, shape.width, shape.channels)
    if pictures_made_of(folder) == wanted:
        return _mapped(folder, sides)
    beside = folder.with_name(folder.name + ".part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        with open(beside / "pixels.bin", "wb") as file:  # written, not mapped: a full disk then is an error, no crash
            for path in paths:
                file.write(read_picture(path, shape).tobytes())
        facts = {"fingerprint": wanted, "shape": sides}
        (beside / "pictures.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)
    except OSError as error:
        raise RegardError(
            f"{folder} cannot be written ({error.strerror}): make room or choose another folder"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return _mapped(folder, sides)


def pictures_made_of(folder: Path) -> str | None:
    """The fingerprint of the pictures in a folder; None where there are none that are whole."""
    try:
        facts = json.loads((folder / "pictures.json").read_text(encoding="utf-8"))
        whole = (folder / "pixels.bin").stat().st_size == int(np.prod(facts["shape"]))
        return facts["fingerprint"] if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # cut off: it is made again


def _mapped(folder: Path, sides: tuple[int, ...]) -> UInt8[np.ndarray, "N H W C"]:
    if not sides[0]:
        return np.zeros(sides, dtype=np.uint8)
    return np.asarray(np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="r", shape=sides))


def read_npz(path: Path | str) -> tuple[UInt8[np.ndarray, "N H W C"], Int[np.ndarray, " N"] | None]:
    """Pictures and their labels (None if it has none) from a `.npz` file with the arrays `images` and `labels`."""
    path = Path(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            if "images" not in arrays:
                raise UsageError(f"{path} has no array 'images': it has {', '.join(arrays) or 'none'}")
            images, labels = arrays["images"], arrays.get("labels")
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: check the path") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder: give a .npz file") from error
    except NO_ARRAYS as error:
        raise UsageError(f"{path} is no .npz file, or a broken one: write it with numpy.savez") from error
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise UsageError(
            f"{path}: images are {images.dtype} of shape {list(images.shape)}: give uint8 of shape [N, H, W] or "
            "[N, H, W, C] with 1 or 3 channels"
        )
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype.kind not in "iu"):
        raise UsageError(
            f"{path}: labels are {labels.dtype} of shape {list(labels.shape)} for {len(images)} images: give one whole "
            "number each"
        )
    images = images[..., None] if images.ndim == 3 else images
    return images, None if labels is None else labels.astype(np.int64)
