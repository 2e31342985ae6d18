"""Batches of pictures: each once an epoch, the same again for the same numbers, and noise that is what it is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regard.data.pictures import PictureBatch, PictureBatches, pictures_of, read_pictures
from regard.errors import UsageError


def numbered(count: int, height: int = 5, width: int = 3, channels: int = 1) -> np.ndarray:
    """Pictures of one shade each, by which they are known."""
    shades = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return np.tile(shades, (1, height, width, channels))


def same(a: PictureBatch, b: PictureBatch) -> bool:
    noise = (a.noise is None) == (b.noise is None) and (a.noise is None or torch.equal(a.noise, b.noise))  # type: ignore
    return noise and torch.equal(a.images, b.images) and torch.equal(a.rows, b.rows)


def test_an_epoch_has_each_picture_once_and_says_which_it_is() -> None:
    batches = PictureBatches(numbered(23, channels=3), 7, seed=1)
    made = list(batches.epoch(0))
    assert [len(b) for b in made] == [7, 7, 7, 2] and batches.count(0) == 4
    assert [b.target_tokens for b in made] == [7, 7, 7, 2]
    rows = torch.cat([b.rows for b in made])
    assert sorted(rows.tolist()) == list(range(23)) and rows.tolist() != list(range(23))
    for batch in made:
        assert batch.images.dtype == torch.uint8 and batch.images.shape[1:] == (5, 3, 3)
        assert torch.equal(batch.images[:, 4, 2, 1].long(), batch.rows) and batch.noise is None


@pytest.mark.parametrize("noise", [None, 0.3, (0.1, 0.5)])
def test_an_epoch_begun_in_the_middle_is_its_own_rest(noise: Any) -> None:
    whole = list(PictureBatches(numbered(23), 5, seed=3, noise=noise).epoch(2))
    rest = list(PictureBatches(numbered(23), 5, seed=3, noise=noise).epoch(2, 3))
    assert len(rest) == 2 and all(same(a, b) for a, b in zip(whole[3:], rest, strict=True))


def test_epochs_seeds_and_batches_differ() -> None:
    def first(seed: int, number: int, start: int = 0) -> PictureBatch:
        return next(PictureBatches(numbered(60), 11, seed, noise=0.2).epoch(number, start))

    others = [first(1, 0), first(1, 1), first(2, 0), first(1, 0, 1), first(0, 0)]
    for i, a in enumerate(others):
        for b in others[:i]:
            assert a.noise is not None and b.noise is not None
            assert not torch.equal(a.noise, b.noise) and not torch.equal(a.rows, b.rows)


def test_noise_has_the_deviation_asked_for() -> None:
    images = np.zeros((199, 11, 13), np.uint8)
    [batch] = PictureBatches(images, 199, 0, noise=0.3).epoch(0)
    assert batch.noise is not None and batch.noise.shape == (199, 11, 13, 1) and batch.noise.dtype == torch.float32
    # 199 · 143 draws: the deviation is off by 0.3 / sqrt(2 · 28457) = 0.0013, the mean by 0.0018, as a rule
    assert abs(batch.noise.std().item() - 0.3) < 0.006 and abs(batch.noise.mean().item()) < 0.008
    [batch] = PictureBatches(images, 199, 0, noise=(0.1, 0.5)).epoch(0)
    assert batch.noise is not None
    each = batch.noise.flatten(1).std(dim=1)  # a picture's is off by a seventeenth
    assert 0.07 < each.min() < 0.13 and 0.42 < each.max() < 0.6
    assert abs(each.mean().item() - 0.3) < 0.03  # sd of a uniform mean: 0.115 / sqrt(199) = 0.008


def test_without_shuffling_chosen_rows_come_in_their_order() -> None:
    batches = PictureBatches(numbered(23), 2, 0, rows=np.array([22, 3, 7]), shuffle=False)
    assert [b.rows.tolist() for b in batches.epoch(0)] == [[22, 3], [7]]
    assert [b.images[:, 0, 0, 0].tolist() for b in batches.epoch(5)] == [[22, 3], [7]]
    shuffled = PictureBatches(numbered(23), 2, 0, rows=np.array([22, 3, 7]))
    assert sorted(r for b in shuffled.epoch(0) for r in b.rows.tolist()) == [3, 7, 22]


def test_a_batch_moves_as_a_whole() -> None:
    batch = next(PictureBatches(numbered(3), 2, 0, noise=0.1).epoch(0)).to("meta")
    assert batch.noise is not None
    assert {batch.images.device.type, batch.rows.device.type, batch.noise.device.type} == {"meta"}


def test_grey_and_coloured_pictures_are_read(tmp_path: Path) -> None:
    grey, colour = numbered(4)[..., 0], numbered(7, channels=3)
    np.savez(tmp_path / "a.npz", images=grey, other=colour)
    np.save(tmp_path / "b.npy", colour)
    assert read_pictures(tmp_path / "a.npz").shape == (4, 5, 3, 1)
    assert np.array_equal(read_pictures(tmp_path / "a.npz", "other"), colour)
    assert np.array_equal(read_pictures(tmp_path / "b.npy"), colour)


def test_three_axes_are_grey_pictures_even_if_the_last_has_three() -> None:
    assert pictures_of(np.zeros((7, 5, 3), np.uint8), "x").shape == (7, 5, 3, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no .npz file of pictures, or was cut off: give one with an array 'images', or a folder"),
        (b"\x89PNG\r\n\x1a\n", "is no .npz file of pictures"),
        (bytes(range(256)) * 9, "is no .npz file of pictures"),
        (
            b"no pictures at all\n",
            "is no .npz file of pictures, or was cut off: give one with an array 'images', or a folder",
        ),
        (
            b"PK\x03\x04 cut off",
            "is no .npz file of pictures, or was cut off: give one with an array 'images', or a folder",
        ),
        ({"labels": np.zeros(3)}, "has no array 'images' but labels"),
        ({}, "has no array 'images' but nothing"),
        ({"images": np.zeros((3, 5, 7))}, "of type float64"),
        ({"images": np.zeros((3, 5, 7), np.uint16)}, "of type uint16"),
        ({"images": np.zeros((5, 7), np.uint8)}, r"the shape \[5, 7\]"),
        ({"images": np.zeros((3, 5, 7, 4), np.uint8)}, r"the shape \[3, 5, 7, 4\]"),
        ({"images": np.zeros((0, 5, 7), np.uint8)}, r"the shape \[0, 5, 7\]"),
        (
            {"images": np.array([{}], dtype=object)},
            "is no .npz file of pictures, or was cut off: give one with an array 'images', or a folder",
        ),
    ],
)
def test_what_holds_no_pictures_is_one_sentence(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "x.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    with pytest.raises(UsageError, match=said) as error:
        read_pictures(path)
    assert "\n" not in str(error.value) and "x.npz" in str(error.value) and "pickle" not in str(error.value)


def test_a_truncated_file_and_none_at_all(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=np.random.default_rng(0).integers(0, 256, (9, 7, 7), np.uint8))
    data = (tmp_path / "x.npz").read_bytes()
    for length in (1, 40, len(data) // 2, len(data) - 1):
        (tmp_path / "y.npz").write_bytes(data[:length])
        with pytest.raises(UsageError, match="or was cut off"):
            read_pictures(tmp_path / "y.npz")
    with pytest.raises(UsageError, match="does not exist"):
        read_pictures(tmp_path / "none.npz")
    with pytest.raises(UsageError, match="cannot be read"):
        read_pictures(tmp_path)


@pytest.mark.parametrize("noise", [-0.1, (0.3, 0.1), float("nan"), float("inf"), (-1.0, 1.0)])
def test_noise_that_is_no_deviation(noise: Any) -> None:
    with pytest.raises(UsageError, match="is no standard deviation"):
        PictureBatches(numbered(3), 2, 0, noise=noise)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="1 picture or more, not 0"):
        PictureBatches(numbered(3), 0, 0)
