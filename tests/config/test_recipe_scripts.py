"""The scripts beside the recipes: what they make of words, and one sentence for what they cannot read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from regard.data.images import read_picture
from regard.data.questions import read_questions
from regard.data.relational import generate

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def run(script: str, *words: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, RECIPES / script, *words], capture_output=True, text=True, encoding="utf-8")


def test_features_stand_behind_the_letters(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("aalen\tpos=V,tense=PST\tgeaalt\nà la\tpos=N\tà\u2028la\n", encoding="utf-8")
    done = run("inflection.py", path)
    assert done.stdout.split("\n")[:2] == ["a a l e n pos=V tense=PST\tgeaalt", "à ▁ l a pos=N\tà\u2028la"]


def test_syllables_become_letters_and_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes("한국\th a n\u2028g\r\n가\tk a\n".encode())
    letters = "\u1112 \u1161 \u11ab \u1100 \u116e \u11a8"  # h a n, g u k, by the Unicode chart
    assert run("jamo.py", path).stdout.split("\n") == [f"{letters}\th a n\u2028g", "\u1100 \u1161\tk a", ""]


@pytest.mark.parametrize(
    ("script", "content", "sentence"),
    [
        ("inflection.py", b"", "words is empty"),
        ("inflection.py", b"a\tpos=V\tb\nc\xff\tpos=V\td\n", "words, line 2: byte 1 is no UTF-8"),
        ("inflection.py", b"a\tb\n", "words, line 1: write lemma, features and form"),
        ("inflection.py", b"a\tpos\tb\n", "line 1: write features as key=value"),
        ("inflection.py", None, "cannot be read"),
        ("jamo.py", b"", "words is empty"),
        ("jamo.py", b"a\xff", "words, byte 1 is no UTF-8"),
        ("jamo.py", None, "cannot be read"),
        ("trec.py", b"", "words is empty"),
        ("trec.py", b"NUM:date When ?\nWhen ?\n", "words, line 2: write KIND:fine and a question"),
        ("trec.py", b"NUM:date When\t?\n", "words, line 1: write KIND:fine and a question"),
        ("trec.py", b"NUM:date When ?\nHUM:ind When ?\n", "words, line 2: 'When ?' is HUM here and NUM before"),
        ("trec.py", None, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, script: str, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "words"
    if content is not None:
        path.write_bytes(content)
    done = run(script, path)
    assert done.returncode and sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_drawn_pictures_and_their_questions_are_files(tmp_path: Path) -> None:
    done = run("relational.py", tmp_path / "d", "--pictures", "3", "--seed", "5", "--size", "40")
    assert done.returncode == 0 and done.stderr == ""
    pixels, drawn = generate(3, 5, size=40)
    read = read_questions(tmp_path / "d" / "questions.jsonl")
    assert [(row.picture, row.text, row.answer) for row in read.rows] == [
        (row.picture, row.text, row.answer) for row in drawn.rows
    ]
    assert [path.name for path in read.files] == ["0.png", "1.png", "2.png"]
    assert all((read_picture(path) == picture).all() for path, picture in zip(read.files, pixels, strict=True))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--pictures", "0"], "0 pictures cannot be drawn: ask for 1 or more"),
        (["--size", "9"], "six shapes have no room on 9×9 pixels"),
        (["--seed", "-1"], "the seed is -1"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    done = run("relational.py", tmp_path / "d", *options)
    assert done.returncode and sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "d").exists()
    (tmp_path / "file").write_text("")
    done = run("relational.py", tmp_path / "file")
    assert done.returncode and "cannot be written" in done.stderr and len(done.stderr.splitlines()) == 1


def test_questions_stand_before_their_coarse_kind(tmp_path: Path) -> None:
    path = tmp_path / "questions.label"
    path.write_bytes(
        b"DESC:manner How did it end ?\nHUM:ind Who is Am\xe9lie ?\r\n\nDESC:def How did it end ?\nNUM:date  When ?\n"
    )
    done = run("trec.py", path)
    assert done.stdout == "How did it end ?\tDESC\nWho is Amélie ?\tHUM\nWhen ?\tNUM\n" and done.stderr == ""
