"""Batches of pictures of one size, in an order, and with noise, that the seed, the epoch and the batch decide alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from regard.data.images import NO_ARRAYS
from regard.errors import RegardError, UsageError

Noise = float | tuple[float, float]
"""Standard deviation of Gaussian noise where black is 0 and white 1, or the range of which each picture draws its own."""


@dataclass(frozen=True)
class PictureBatch:
    """B pictures, the rows of their collection, and what is to be added to them before a model sees them, if anything.

    The noise stands beside the pictures and is not clipped: a model is asked for what was there before it.
    """

    images: UInt8[Tensor, "B H W C"]
    rows: Int[Tensor, " B"]
    noise: Float[Tensor, "B H W C"] | None = None

    def __len__(self) -> int:
        return self.images.shape[0]

    @property
    def target_tokens(self) -> int:
        """What losses and speeds are counted in: pictures."""
        return self.images.shape[0]

    def to(self, device: torch.device | str) -> PictureBatch:
        noise = None if self.noise is None else self.noise.to(device)
        return PictureBatch(self.images.to(device), self.rows.to(device), noise)


def together(
    picture_of: Int[np.ndarray, " N"], most: int, chance: np.random.Generator
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Rows in an order in which those about one picture stand together, drawn by chance, and the number of the group
    of each place in it. A group has at most `most` rows, all about one picture, so that it is looked at once for them."""
    drawn = chance.permutation(len(picture_of))
    order = drawn[np.argsort(picture_of[drawn], kind="stable")]
    pictures = picture_of[order]
    # The place of each row among those of its picture says which group of it this is.
    place = np.arange(len(pictures)) - np.searchsorted(pictures, pictures)
    _, group = np.unique(np.stack((pictures, place // most)), axis=1, return_inverse=True)
    return order, group.reshape(-1)


class PictureBatches:
    """Cuts a collection of pictures into batches of `batch_size`, the last one smaller.

    `rows` restricts it to some of the pictures, such as all but those held out. The order of an epoch follows from
    `(seed, number)` and the noise of a batch from `(seed, number, its place)`, so that a training resumes from two
    numbers, and an epoch that is begun in the middle has the noise it would have had.
    """

    def __init__(
        self,
        images: UInt8[np.ndarray, "N H W C"] | UInt8[np.ndarray, "N H W"],
        batch_size: int,
        seed: int,
        *,
        rows: Int[np.ndarray, " R"] | None = None,
        noise: Noise | None = None,
        shuffle: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"a batch holds 1 picture or more, not {batch_size}")
        self.images = pictures_of(images, "the pictures")
        self.rows = np.arange(len(self.images)) if rows is None else np.asarray(rows)
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.noise = None if noise is None else _range(noise)

    def epoch(self, number: int, start: int = 0) -> Iterator[PictureBatch]:
        """The batches of an epoch, from the batch `start` on."""
        order = np.random.default_rng([self.seed, number]).permutation(self.rows) if self.shuffle else self.rows
        for index in range(start, self.count(number)):
            chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
            yield PictureBatch(
                torch.from_numpy(self.images[chosen]),
                torch.from_numpy(chosen.astype(np.int64)),
                self._noise(number, index, len(chosen)),
            )

    def count(self, number: int) -> int:
        return -(-len(self.rows) // self.batch_size)

    def _noise(self, number: int, index: int, size: int) -> Float[Tensor, "B H W C"] | None:
        if self.noise is None:
            return None
        # One more than the place: to numpy a trailing zero is no other seed, and the order has the shorter one.
        chance = np.random.default_rng([self.seed, number, 1 + index])
        low, high = self.noise
        sigma = chance.uniform(low, high, size=(size, 1, 1, 1))
        drawn = chance.standard_normal((size, *self.images.shape[1:]), dtype=np.float32)
        return torch.from_numpy(drawn * sigma.astype(np.float32))


def read_pictures(path: Path, key: str = "images") -> UInt8[np.ndarray, "N H W C"]:
    """The array `key` of a .npz file, or of a .npy file its only one. UsageError if it does not hold pictures."""
    try:
        with open(path, "rb") as file:  # numpy leaves a file open that it cannot read
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return pictures_of(loaded, str(path))
            if key not in loaded.files:
                raise UsageError(f"{path} has no array '{key}' but {', '.join(sorted(loaded.files)) or 'nothing'}")
            return pictures_of(loaded[key], f"'{key}' in {path}")
    except RegardError:
        raise
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: give a .npz file with an array '{key}'") from error
    except (PermissionError, IsADirectoryError) as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (*NO_ARRAYS, MemoryError) as error:  # numpy's own words advise to unpickle
        raise UsageError(
            f"{path} is no .npz file of pictures, or was cut off: give one with an array '{key}', or a folder of pictures"
        ) from error


def pictures_of(array: np.ndarray, name: str) -> UInt8[np.ndarray, "N H W C"]:
    """The array as pictures with a last axis of 1 or 3 channels; UsageError if it is none."""
    if array.dtype != np.uint8:
        raise UsageError(f"{name} are numbers of type {array.dtype}: pictures are uint8, black 0 and white 255")
    # Three pictures in a row are not one with three channels: what has three axes is grey.
    images = array[..., None] if array.ndim == 3 else array
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise UsageError(
            f"{name} have the shape {list(array.shape)}: pictures are an array [N, height, width] or, with 1 or 3 "
            "channels, [N, height, width, channels]"
        )
    return images


def _range(noise: Noise) -> tuple[float, float]:
    low, high = noise if isinstance(noise, tuple) else (noise, noise)
    if not 0 <= low <= high < float("inf"):
        raise UsageError(
            f"noise = {noise} is no standard deviation: give a number from 0 up, or two, the smaller first"
        )
    return low, high
