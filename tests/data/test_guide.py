"""Links between words as targets of attention between tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from regard.batch import BOS, EOS, Batch, rectangle
from regard.data import Corpus, Guide, Tokenizer
from regard.errors import UsageError

LINES = ["ab cd", "cd ab ef", "ef"]


@pytest.fixture(scope="module")
def tokenizers() -> tuple[Tokenizer, Tokenizer]:
    """Characters on the one side, words on the other: one word is several tokens there, and one here."""
    return Tokenizer.train("characters", LINES * 2, 50), Tokenizer.train("words", LINES * 2, 50)


def batch_of(tokenizers: tuple[Tokenizer, Tokenizer], rows: list[int]) -> Batch:
    source, lengths = rectangle([[*tokenizers[0].encode(LINES[i]).ids, EOS] for i in rows])
    target, target_lengths = rectangle([[BOS, *tokenizers[1].encode(LINES[i]).ids, EOS] for i in rows])
    return Batch(source, lengths, target, target_lengths, torch.tensor(rows))


def read(tmp_path: Path, text: str, tokenizers: tuple[Tokenizer, Tokenizer], row: str = "output") -> Guide:
    path = tmp_path / "links.txt"
    path.write_text(text, encoding="utf-8")
    return Guide.read(path, 3, tokenizers, row)  # type: ignore[arg-type]


@pytest.mark.parametrize(("row", "shift"), [("output", 0), ("input", 1)])
def test_links_are_shared_among_the_tokens_of_a_word(
    tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer], row: str, shift: int
) -> None:
    guide = read(tmp_path, "0-1 1-0\n0-0\n\n", tokenizers, row)
    found = guide(batch_of(tokenizers, [1, 0]))
    # "cd ab ef" and "ab cd": five characters of the shorter source and an end, eight and an end of the longer.
    assert found.shape == (2, 4, 9)
    expected = torch.zeros(2, 4, 9)
    # White space belongs to the word before it, so the first word of a source has three characters.
    expected[0, shift + 0, [0, 1, 2]] = 1 / 3
    expected[1, shift + 0, [3, 4]] = 1 / 2  # word 0 says what the second word is
    expected[1, shift + 1, [0, 1, 2]] = 1 / 3
    torch.testing.assert_close(found, expected)


def test_links_beyond_a_sentence_say_nothing(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    guide = read(tmp_path, "7-0 0-9\n\n0-0\n", tokenizers)
    found = guide(batch_of(tokenizers, [0, 2]))
    assert (found[0] == 0).all() and float(found[1].sum()) == pytest.approx(1)


def test_every_link_is_of_two_words_that_are_there(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    source, target = tokenizers
    corpus = Corpus.in_memory([(source.encode(line).ids, target.encode(line).ids) for line in LINES])
    read(tmp_path, "1-1\n2-0\n0-0\n", tokenizers).check(corpus)
    for text, sentence in (
        ("1-1\n0-3\n0-0\n", r"links\.txt, line 2: '0-3' is past the end of a source of 3 and a target of 3 words"),
        ("2-0\n\n\n", r"line 1: '2-0' is past .* of 2 words: count words from 0$"),
        ("1-1 2-2\n3-1\n1-1\n", r"line 1: '2-2' is past .*; no link of it is of a word 0$"),
    ):
        with pytest.raises(UsageError, match=sentence):
            read(tmp_path, text, tokenizers).check(corpus)


@pytest.mark.parametrize(("text", "count"), [("0-0\n" * 4, 4), ("0-0\n" * 2, 2)])
def test_there_is_one_line_for_each_pair(
    tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer], text: str, count: int
) -> None:
    path = tmp_path / "links.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"has {count} lines and the corpus 3: give one line per pair"):
        Guide.read(path, 3, tokenizers, "output", exactly=True)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0-0\n0-0 1\n\n", r"links\.txt, line 2, is no alignment"),
        ("0-0\n0-0\n1--1\n", r"line 3, is no alignment"),
        ("a-b\n\n\n", r"line 1, is no alignment"),
        ("0-0-0\n\n\n", r"line 1, is no alignment"),
        ("0-0\n1-1\n", r"has 2 lines and the corpus at least 3"),
        ("", r"links\.txt is empty"),
    ],
)
def test_a_file_that_is_no_alignment_is_one_sentence(
    tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer], text: str, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        read(tmp_path, text, tokenizers)
