"""Labelled pictures: what is read of them, what is wrong with a line, and batches that keep pictures and classes together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regard.data.images import pillow
from regard.data.picture_labels import LabelledPictureBatches, pictures_held_out, read_labelled_pictures
from regard.errors import UsageError


def lines(path: Path, *rows: Any) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_name_pictures_beside_the_file_or_in_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    pillow().new("L", (2, 2)).save(tmp_path / "images" / "b.png")
    path = lines(
        tmp_path / "a.jsonl",
        {"image": "a.png", "label": " 猫 "},
        "",
        {"label": 7, "image": "b.png", "more": [1]},
    )
    found = read_labelled_pictures(path)
    assert found.files == [tmp_path / "a.png", tmp_path / "images" / "b.png"] and found.images is None
    assert (found.lines, found.classes, found.unit, len(found)) == ([1, 3], ["猫", "7"], "line", 2)
    assert found.labelled.rows == [(1, "", "猫"), (3, "", "7")]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"label": "x"}, '"image" is missing'),
        ({"image": "", "label": "x"}, '"image" is empty'),
        ({"image": 3, "label": "x"}, '"image" is no text'),
        ({"image": "a.png"}, '"label" is missing'),
        ({"image": "a.png", "label": " "}, '"label" is empty'),
        ({"image": "a.png", "label": None}, '"label" is no text'),
        ({"image": "a.png", "label": True}, '"label" is no text'),
        ({"image": "a.png", "label": 1.5}, '"label" is no text'),
        ({"image": "a.png", "label": "a\0"}, "NUL"),
        ({"image": "a" * 5000, "label": "x"}, "cannot be read"),
        ({"image": "first.png", "label": "x"}, "has a class already, in line 1"),
        ("[1]", "is no object"),
        ("{", "is not JSON"),
        ('{"image": "a.png", "label": "x", "label": "y"}', '"label" twice'),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number(tmp_path: Path, row: Any, words: str) -> None:
    path = lines(tmp_path / "a.jsonl", {"image": "first.png", "label": "x"}, "", row)
    with pytest.raises(UsageError) as error:
        read_labelled_pictures(path)
    said = str(error.value)
    assert said.startswith(f"{path}, line 3") and words in said and "\n" not in said


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a.png\tx\n")
    np.savez(tmp_path / "unlabelled.npz", images=np.zeros((3, 2, 2), dtype=np.uint8))
    none = {"images": np.zeros((0, 2, 2), dtype=np.uint8), "labels": np.zeros(0, dtype=np.int64)}
    np.savez(tmp_path / "none.npz", **none)
    lines(tmp_path / "empty.jsonl", "", " ")
    for name, words in (
        ("a.tsv", "'.tsv' is no known kind of labelled pictures"),
        ("unlabelled.npz", "has no array 'labels'"),
        ("none.npz", "holds no picture"),
        ("empty.jsonl", "has no line"),
        ("gone.npz", "does not exist"),
        ("gone.jsonl", "does not exist"),
    ):
        with pytest.raises(UsageError, match=words):
            read_labelled_pictures(tmp_path / name)


def arrays(path: Path) -> Path:
    images = np.arange(40 * 3 * 2, dtype=np.uint8).reshape(40, 3, 2)
    np.savez(path, images=images, labels=np.arange(40) % 4)
    return path


def test_arrays_and_the_share_that_is_kept(tmp_path: Path) -> None:
    found = read_labelled_pictures(arrays(tmp_path / "a.npz"))
    assert found.images is not None and found.images.shape == (40, 3, 2, 1) and found.unit == "picture"
    train, valid = pictures_held_out(found, 0.2, 7)
    assert sorted(train.lines + valid.lines) == list(range(1, 41)) and len(valid) == 8
    assert sorted(valid.classes) == sorted(["0", "1", "2", "3"] * 2)
    for part in (train, valid):
        assert part.images is not None
        for line, label, image in zip(part.lines, part.classes, part.images, strict=True):
            assert label == str((line - 1) % 4) and np.array_equal(image, found.images[line - 1])
    assert pictures_held_out(found, 0.2, 7)[1].lines == valid.lines != pictures_held_out(found, 0.2, 8)[1].lines


def test_batches_keep_a_picture_and_its_class_together(tmp_path: Path) -> None:
    found = read_labelled_pictures(arrays(tmp_path / "a.npz"))
    assert found.images is not None
    labels = [int(name) for name in found.classes]
    batches = LabelledPictureBatches(found.images, labels, 7, 3)
    seen = []
    for batch in batches.epoch(1):
        assert len(batch) == batch.target_tokens <= 7 and batch.source_lengths.tolist() == [3] * len(batch)
        for image, label, row in zip(batch.source, batch.labels.tolist(), batch.rows.tolist(), strict=True):
            assert label == labels[row] and torch.equal(image, torch.from_numpy(found.images[row]))
            seen.append(row)
    assert sorted(seen) == list(range(40)) and seen != list(range(40)) and batches.count(1) == 6
    rest = [batch.rows.tolist() for batch in batches.epoch(1, 2)]
    assert rest == [batch.rows.tolist() for batch in batches.epoch(1)][2:]
    with pytest.raises(ValueError, match="one class"):
        LabelledPictureBatches(found.images, [0], 7, 3)
