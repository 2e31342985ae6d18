"""Streams of text: every token said once an epoch, documents apart, files made once, masks by chance as asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from regard.batch import BOS, EOS, PAD
from regard.data import Tokenizer
from regard.data.text import TextBatches, TextCorpus, build_text, documents, text_made_of
from regard.errors import UsageError

DRAW = np.random.default_rng(0)
DOCUMENTS = [DRAW.integers(4, 50, n).tolist() for n in DRAW.poisson(9, 101)]
CORPUS = TextCorpus.in_memory(DOCUMENTS)
STREAM = [EOS, *(i for document in DOCUMENTS for i in (*document, EOS))]


def test_the_stream_is_its_documents_with_a_mark_around_each() -> None:
    assert CORPUS.ids.tolist() == STREAM and CORPUS.said == len(STREAM) - 1
    assert [CORPUS.document(d).tolist() for d in range(len(CORPUS))] == DOCUMENTS
    assert CORPUS.characters.tolist() == [len(d) + 1 for d in DOCUMENTS]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("context", [1, 7, 13, 5000])
def test_each_token_is_said_once_an_epoch_in_its_context(context: int, shuffle: bool) -> None:
    for number in (0, 1):
        said = []
        batches = TextBatches(CORPUS, context, 59, seed=3, shuffle=shuffle)
        for batch in batches.epoch(number):
            assert len(batch) <= max(1, 59 // context) and batch.tokens.shape[1] <= context + 1
            for row, (begin, length) in enumerate(zip(batch.rows.tolist(), batch.lengths.tolist(), strict=True)):
                assert batch.tokens[row, :length].tolist() == STREAM[begin : begin + length]
                assert batch.tokens[row, length:].tolist() == [PAD] * (batch.tokens.shape[1] - length)
                said += range(begin + 1, begin + length)
        assert sorted(said) == list(range(1, len(STREAM)))
        assert (said == sorted(said)) == (not shuffle or context == 5000)


def test_a_mark_is_read_as_a_beginning_and_said_as_an_end() -> None:
    [batch] = TextBatches(TextCorpus.in_memory([[7, 8], [9]]), 10, 10, 0, shuffle=False).epoch(0)
    assert batch.read.tolist() == [[BOS, 7, 8, BOS, 9]]
    assert batch.said.tolist() == [[7, 8, EOS, 9, EOS]]
    assert batch.target_tokens == 5
    assert batch.tokens.tolist() == [[EOS, 7, 8, EOS, 9, EOS]]


def test_seed_and_epoch_decide_and_a_start_skips() -> None:
    def tokens(seed: int, number: int, start: int = 0) -> list[list[list[int]]]:
        return [b.tokens.tolist() for b in TextBatches(CORPUS, 11, 60, seed).epoch(number, start)]

    assert tokens(1, 0) == tokens(1, 0)
    assert tokens(1, 0) != tokens(1, 1) and tokens(1, 0) != tokens(2, 0)
    for number in range(5):
        assert tokens(1, number, start=3) == tokens(1, number)[3:]
        assert TextBatches(CORPUS, 11, 60, 1).count(number) == len(tokens(1, number))


def test_blocks_are_cut_elsewhere_in_each_epoch() -> None:
    batches = TextBatches(CORPUS, 11, 60, seed=1)
    firsts = [{int(r) % 11 for b in batches.epoch(n) for r in b.rows if r} for n in range(20)]
    assert all(len(first) == 1 for first in firsts) and len(set.union(*firsts)) > 4


def test_a_corpus_without_documents_has_no_batches() -> None:
    batches = TextBatches(TextCorpus.in_memory([]), 5, 10, 0)
    assert batches.count(0) == 0 and list(batches.epoch(0)) == []
    with pytest.raises(ValueError, match="at least 1 token"):
        TextBatches(CORPUS, 0, 10, 0)


def test_documents_are_lines_paragraphs_or_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes("one\r\ntwo é\n\n \n\nthree\n".encode())
    second.write_bytes(b"\n\nfour\n\n")
    assert list(documents([first, second])) == ["one", "two é", "three", "four"]
    assert list(documents([first, second], "paragraphs")) == ["one\ntwo é", "three", "four"]
    assert [d.strip() for d in documents([first, second], "files")] == ["one\ntwo é\n\n \n\nthree", "four"]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"good\nb\xffd\n")
    with pytest.raises(UsageError, match=r"broken, line 2, byte 2 is not UTF-8"):
        list(documents([broken]))
    with pytest.raises(UsageError, match="does not exist"):
        list(documents([tmp_path / "none"]))
    with pytest.raises(UsageError, match="write lines, paragraphs, files"):
        list(documents([broken], "pages"))  # type: ignore[arg-type]


LINES = ["the cat sat", "  a dog ran off \n", " ", "the dog sat"]


def test_token_files_are_made_once_of_what_they_say(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train("words", LINES, 100)
    built = build_text(iter(LINES), tokenizer, tmp_path / "text", fingerprint="a")
    plain = TextCorpus.of(LINES, tokenizer)
    assert [tokenizer.decode(built.document(d).tolist()) for d in range(3)] == [
        "the cat sat",
        "a dog ran off",
        "the dog sat",
    ]
    assert built.ids.tolist() == plain.ids.tolist() and built.starts.tolist() == plain.starts.tolist()
    assert built.characters.tolist() == plain.characters.tolist() == [12, 14, 12]
    path = tmp_path / "text" / "ids.bin"
    made = path.stat().st_ino
    assert len(build_text(iter([]), tokenizer, tmp_path / "text", fingerprint="a")) == 3
    assert path.stat().st_ino == made and text_made_of(tmp_path / "text") == "a"
    assert len(build_text(iter(LINES[:1]), tokenizer, tmp_path / "text", fingerprint="b")) == 1
    assert text_made_of(tmp_path / "text") == "b"
    path.write_bytes(path.read_bytes()[:-1])
    assert text_made_of(tmp_path / "text") is None
    assert len(build_text(iter(LINES), tokenizer, tmp_path / "text", fingerprint="b")) == 3


def test_chunks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.train("characters", LINES, 100)
    whole = build_text(iter(LINES), tokenizer, tmp_path / "whole", fingerprint="a")
    monkeypatch.setattr("regard.data.text.CHUNK", 2)
    parts = build_text(iter(LINES), tokenizer, tmp_path / "parts", fingerprint="a")
    assert whole.ids.tolist() == parts.ids.tolist() and whole.starts.tolist() == parts.starts.tolist()
    assert whole.characters.tolist() == parts.characters.tolist()


def test_blank_text_leaves_nothing_behind(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train("words", LINES, 100)
    with pytest.raises(UsageError, match="every line is blank"):
        build_text(iter(["", " "]), tokenizer, tmp_path / "text", fingerprint="a")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="at least one line"):
        TextCorpus.of([" "], tokenizer)


def test_a_batch_moves_whole() -> None:
    [batch] = TextBatches(TextCorpus.in_memory([[7, 8]]), 10, 10, 0).epoch(0)
    moved = batch.to(torch.device("cpu"))
    assert type(moved) is type(batch) and moved.tokens.equal(batch.tokens) and len(moved) == 1
