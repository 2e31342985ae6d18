"""A line of JSON as one object, and the sentences about lines that are none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from regard.data.json_lines import parse_object
from regard.data.picture_lines import read_picture_lines
from regard.data.reader import TablePairs
from regard.errors import UsageError
from regard.run.captioning.data import check_split


def test_an_object_is_read_as_it_is_written() -> None:
    text = '{"a": [1, {"a": null}], "שלום": "猫 👩‍🚀 é", "": {"a": 1.5}}'
    found = {"a": [1, {"a": None}], "שלום": "猫 👩‍🚀 é", "": {"a": 1.5}}
    assert parse_object(text, "x") == parse_object(text.encode(), "x") == found
    assert parse_object(" {}\r", "x") == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("", "x, line 3 is not JSON (expecting value at character 1): write one object a line"),
        ('{"a": }', "x, line 3 is not JSON (expecting value at character 7): write one object a line"),
        ("{'a': 1}", "is not JSON (expecting property name enclosed in double quotes at character 2)"),
        ('{"a": 1} {"b": 2}', "is not JSON (extra data at character 10): write one object a line"),
        ("[" * 100_000, "is not JSON (it is nested too deeply)"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON that can be read (Exceeds the limit"),
        (b'{"a": "\xff"}', "is not JSON (byte 8 is not UTF-8): save the file as UTF-8"),
        ("[1]", "x, line 3 is no object: write one object a line"),
        ("null", "x, line 3 is no object: write one object a line"),
        ('{"a": 1, "b": 2, "a": 1}', 'x, line 3 has the key "a" twice: leave one out'),
        ('{"a": {"b": 2, "\\u0062": 3}}', 'x, line 3 has the key "b" twice: leave one out'),
        (f'{{"{"k" * 99}": 1, "{"k" * 99}": 2}}', f'has the key "{"k" * 60}…" twice'),
    ],
)
def test_what_is_wrong_is_one_sentence(line: str | bytes, wrong: str) -> None:
    with pytest.raises(UsageError, match=re.escape(wrong)) as raised:
        parse_object(line, "x, line 3")
    assert "\n" not in str(raised.value)


def test_a_reader_may_say_what_it_needs_of_an_object() -> None:
    with pytest.raises(UsageError, match=r"^x has no text$"):
        parse_object("[]", "x", "has no text")


def test_readers_of_lines_refuse_a_key_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"image": "a.png", "captions": ["a"]}\n{"image": "a.png", "captions": ["a"], "captions": ["b"]}\n')
    for read in (lambda: list(read_picture_lines(path)), lambda: check_split(path, "train")):
        with pytest.raises(UsageError, match=r'a\.jsonl, line 2 has the key "captions" twice'):
            read()
    path.write_text('{"source": "a", "target": "b", "source": "c"}\n')
    with pytest.raises(UsageError, match=r'a\.jsonl, line 1 has the key "source" twice'):
        list(TablePairs(path))
    path.write_text('\n[{"split": "train"}]\n')
    with pytest.raises(UsageError, match=r"a\.jsonl, line 2 is no object"):
        check_split(path, "train")
