"""Lines that name pictures: what they hold, and one sentence for what they lack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regard.data.picture_lines import PictureLine, read_picture_lines
from regard.errors import UsageError


def written(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_lines_about_pictures(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "within.png").touch()
    (tmp_path / "beside.png").touch()
    path = written(
        tmp_path,
        {"image": "beside.png", "captions": ["a dog", "two dogs"], "split": "train"},
        "",
        {"image": "within.png", "caption": "a cat", "split": "dev"},
        {"image": "sub/gone.png", "captions": ["nothing"]},
    )
    assert list(read_picture_lines(path)) == [
        PictureLine(1, tmp_path / "beside.png", ("a dog", "two dogs")),
        PictureLine(3, tmp_path / "images" / "within.png", ("a cat",)),
        PictureLine(4, tmp_path / "sub" / "gone.png", ("nothing",)),
    ]
    assert [each.line for each in read_picture_lines(path, split="dev")] == [3, 4]
    path = written(tmp_path, {"image": "beside.png", "question": "What?", "answer": "yes"})
    assert list(read_picture_lines(path, ("question", "answer"))) == [
        PictureLine(1, tmp_path / "beside.png", (), "What?", "yes")
    ]


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("{", r"line 2 is not JSON"),
        ("[" * 100_000, r"line 2 is not JSON"),
        ([1], r"line 2 is no object"),
        ({"captions": ["a"]}, r'line 2: "image" is missing'),
        ({"image": 3, "captions": ["a"]}, r'line 2: "image" is no text'),
        ({"image": " ", "captions": ["a"]}, r'line 2: "image" is empty'),
        ({"image": "a.png"}, r'line 2: "captions" is missing'),
        ({"image": "a.png", "captions": []}, r'line 2: "captions" is empty'),
        ({"image": "a.png", "captions": "a dog"}, r'line 2: "captions" is no list'),
        ({"image": "a.png", "captions": ["a", 2]}, r'line 2: "captions" is no list'),
        ({"image": "a.png", "captions": ["a", ""]}, r'line 2: "captions" is no list'),
        ({"image": "a.png", "caption": None}, r'line 2: "caption" is no text'),
        (b"\xff", r"line 2 is not JSON"),
        ({"image": "a.png", "caption": "a\0b"}, r'line 2: "caption" holds the character NUL: leave it out'),
        ({"image": "a.png", "captions": ["a", "r\ud800ed"]}, r'line 2: "captions" holds half of a surrogate pair'),
        ({"image": "a" * 5000, "captions": ["a"]}, r"line 2: a{60}… cannot be read \(.*\): check the picture's name$"),
    ],
)
def test_a_line_that_lacks_something_is_named(tmp_path: Path, row: object, wrong: str) -> None:
    path = written(tmp_path, {"image": "a.png", "caption": "x"})
    more = row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode()
    path.write_bytes(path.read_bytes() + more + b"\n")
    with pytest.raises(UsageError, match=wrong) as raised:
        list(read_picture_lines(path))
    assert str(path) in str(raised.value)


def test_a_question_needs_its_answer_and_a_file_its_lines(tmp_path: Path) -> None:
    path = written(tmp_path, {"image": "a.png", "question": "What?", "split": "train"})
    with pytest.raises(UsageError, match=r'line 1: "answer" is missing'):
        list(read_picture_lines(path, ("question", "answer")))
    for key, given in (("question", "Wh\0at?"), ("answer", "r\ud800ed"), ("answer", "\0")):
        strange = written(tmp_path, {"image": "a.png", "question": "What?", "answer": "red"} | {key: given})
        with pytest.raises(UsageError, match=f'line 1: "{key}" holds'):
            list(read_picture_lines(strange, ("question", "answer")))
    path = written(tmp_path, {"image": "a.png", "question": "What?", "split": "train"})
    with pytest.raises(UsageError, match='no line with "split": "test"'):
        list(read_picture_lines(path, ("question",), split="test"))
