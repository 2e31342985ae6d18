"""The scripts beside the recipes: what they make of words, and one sentence for what they cannot read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, RECIPES / script, path], capture_output=True, text=True, encoding="utf-8")


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
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, script: str, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "words"
    if content is not None:
        path.write_bytes(content)
    done = run(script, path)
    assert done.returncode and sentence in done.stderr and len(done.stderr.splitlines()) == 1
