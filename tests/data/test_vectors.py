"""Vectors of words from text files: what is found for whom, and what is no such file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from regard.data import Tokenizer
from regard.data.vectors import read_vectors, words_of
from regard.errors import UsageError

LINES = [
    "Der Hund 犬 שלום",
    "der Hund e\u0301te\u0301 犬",
    "שלום der Hund 👩‍👩‍👧 👩‍👩‍👧",
    "e\u0301te\u0301 der Katze",
    "Der Katze",
]


@pytest.fixture
def words() -> Tokenizer:
    return Tokenizer.train("words", LINES, 100)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def found(path: Path, tokenizer: Tokenizer) -> dict[str, list[float]]:
    vectors = read_vectors(path, tokenizer)
    return {tokenizer.tokens([id])[0]: row for id, row in zip(vectors.ids, vectors.rows.tolist(), strict=True)}


def test_words_have_their_rows(tmp_path: Path, words: Tokenizer) -> None:
    file = write(
        tmp_path / "v.txt", "Hund 1 2", "Maus 3 4", "犬 5 -6e-1", "שלום 0.5 8", "e\u0301te\u0301 9 1", "👩‍👩‍👧 2 2"
    )
    assert found(file, words) == {
        "Hund": [1, 2], "犬": [5, pytest.approx(-0.6)], "שלום": [0.5, 8], "e\u0301te\u0301": [9, 1], "👩‍👩‍👧": [2, 2],
    }  # fmt: skip


def test_a_first_line_may_say_how_many_there_are(tmp_path: Path, words: Tokenizer) -> None:
    """word2vec and fastText write one, GloVe does not; fastText ends a line with a space."""
    assert found(write(tmp_path / "v.vec", "2 3", "der 1 2 3 ", "Hund 4 5 6 "), words) == {
        "der": [1, 2, 3], "Der": [1, 2, 3], "Hund": [4, 5, 6],
    }  # fmt: skip


def test_small_letters_stand_in(tmp_path: Path, words: Tokenizer) -> None:
    file = write(tmp_path / "v.txt", "der 1 2", "hund 3 4", "Hund 5 6")
    assert found(file, words) == {"der": [1, 2], "Der": [1, 2], "Hund": [5, 6]}
    assert read_vectors(file, words).lowered == 1  # Der alone


def test_the_first_of_two_lines_counts_and_words_of_several_parts_are_passed_over(
    tmp_path: Path, words: Tokenizer
) -> None:
    file = write(tmp_path / "v.txt", "Hund 1 2", "der Hund 7 7", "Hund 3 4", "", "\u00a0 1 1")
    assert found(file, words) == {"Hund": [1, 2]}


def test_pieces_that_begin_a_word_count_as_it(tmp_path: Path) -> None:
    pieces = Tokenizer.train("bpe", ["low lower lowest low"] * 3, 40)
    assert {"low", "lower"} <= words_of(pieces).keys()
    assert not any(word.startswith("▁") for word in words_of(pieces))
    assert found(write(tmp_path / "v.txt", "low 1 1", "est 2 2"), pieces) == {"▁low": [1, 1]}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["der Hund geht"], "line 1: not all that stands behind 'der' are numbers"),
        (["Hund"], "line 1 has 0 numbers behind its word"),
        (["", "Hund 1"], "line 1 has 0 numbers behind its word"),
        (["x 1 2 3", "Hund 1 2"], "line 2 has 2 numbers behind its word, and the lines before it have 3"),
        (["2 5", "Hund 1 2"], "line 2 has 2 numbers behind its word, and the lines before it have 5"),
        (["Hund 1 zwei"], "line 1: not all that stands behind 'Hund' are numbers"),
        (["x 1 2", "Hund 1 nan"], "line 2: a number of 'Hund' is infinite or none"),
        (["Hund 1 inf"], "infinite or none"),
        (["Hund 1 1e39"], "infinite or none"),
        (["chien 1 2", "chat 3 4"], "has none of the"),
    ],
)
def test_what_is_no_file_of_vectors_is_named(tmp_path: Path, words: Tokenizer, lines: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_vectors(write(tmp_path / "v.txt", *lines), words)


def test_missing_empty_packed_and_binary_files(tmp_path: Path, words: Tokenizer) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"Hund 1 2\n"))
    (tmp_path / "v.bin").write_bytes(b"1 50\nHund " + np.zeros(50, dtype=np.float32).tobytes())
    for name, said in (("no", "does not exist"), ("empty", "is empty"), ("v.gz", "gunzip"), ("v.bin", "binary")):
        with pytest.raises(UsageError, match=said):
            read_vectors(tmp_path / name, words)


def test_bytes_that_are_no_text_hide_one_word_alone(tmp_path: Path, words: Tokenizer) -> None:
    """word2vec cuts long words, within a character, too."""
    file = tmp_path / "v.txt"
    file.write_bytes(b"caf\xc3 1 2\nHund 3 4\n")
    assert found(file, words) == {"Hund": [3, 4]}
