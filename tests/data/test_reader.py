"""Lines and tables are read as their bytes say: what ends a line, where a pair begins, what is broken."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.data import TablePairs, TextPairs, examine, kept, read_lines
from regard.data.reader import is_pipe, raw_lines, refuse_pipe
from regard.data.text import documents
from regard.errors import UsageError
from regard.run.evaluating import evaluation_pairs


def rows(path: Path, content: bytes) -> list[tuple[int, bytes | None, bytes | None]]:
    path.write_bytes(content)
    return [(pair.line, pair.source, pair.target) for pair in TablePairs(path)]


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=9), min_size=2))
def test_any_text_without_line_feed_stays_one_line(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("x") / "file"
    path.write_bytes(b"first\n" + "".join(line + "\n" for line in lines).encode())
    found = [line.decode() for line in raw_lines(path)]
    assert found == ["first", *lines]


def test_the_shorter_file_ends_in_none(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"a\nb\nc")
    (tmp_path / "t").write_bytes(b"x\n")
    found = [(p.line, p.source, p.target) for p in TextPairs(tmp_path / "s", tmp_path / "t")]
    assert found == [(1, b"a", b"x"), (2, b"b", None), (3, b"c", None)]


def test_a_csv_row_ends_only_at_a_line_feed(tmp_path: Path) -> None:
    strange = "a\rb\u2028c\x85d\x0be\x0cf"
    assert rows(tmp_path / "a.csv", f"{strange},x\r\ng,y\n".encode()) == [(1, strange.encode(), b"x"), (2, b"g", b"y")]


def test_a_csv_pair_has_the_line_where_it_begins(tmp_path: Path) -> None:
    content = b'source,target\n"one\ntwo\nthree",x\n\nfour,"y ""z"""\n'
    assert rows(tmp_path / "a.csv", content) == [(2, b"one\ntwo\nthree", b"x"), (5, b"", b""), (6, b"four", b'y "z"')]


def test_a_quote_left_open_is_said_where_it_opens(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'a,b\n"c,d\n' + b"e,f\n" * 50_000)
    with pytest.raises(UsageError, match=r"a\.csv, line 2: .* look for a double quote that is not closed"):
        examine(TablePairs(tmp_path / "a.csv"))


def test_a_quote_left_open_in_the_first_line_is_said_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'a,"b\n' + b"e,f\n" * 50_000)
    for use in (lambda: TablePairs(tmp_path / "a.csv").header(), lambda: examine(TablePairs(tmp_path / "a.csv"))):
        with pytest.raises(UsageError, match=r"a\.csv, line 1: .* look for a double quote that is not closed"):
            use()


def test_how_a_corpus_is_called_in_a_sentence(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    assert TextPairs(a, b).has == f"{a} and {b} have"
    assert TextPairs(a, a).has == f"{a} as source and target has"
    assert TablePairs(a).has == f"{a} has"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", b"a\tb\nc\xff\td\n"),
        ("a.csv", b"a,b\nc\xff,d\n"),
        ("a.jsonl", b'{"source": "a", "target": "b"}\n{"source": "c\xff", "target": "d"}\n'),
    ],
)
def test_broken_bytes_in_a_table_are_one_dropped_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    corpus = TablePairs(tmp_path / name)
    diagnosis = examine(corpus)
    assert diagnosis.dropped == [(str(tmp_path / name), 2, "byte 2 is not UTF-8")]
    assert list(kept(corpus, diagnosis)) == [(1, "a", "b")]


def test_a_lone_surrogate_and_a_deep_nest_in_json(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"source": "a\\ud800", "target": "b"}\n{"source": "c", "target": "d"}\n')
    assert [line for _, line, _ in examine(TablePairs(tmp_path / "a.jsonl")).dropped] == [1]
    (tmp_path / "a.jsonl").write_bytes(b"[" * 200_000 + b"\n")
    with pytest.raises(UsageError, match="line 1 is not JSON"):
        examine(TablePairs(tmp_path / "a.jsonl"))


def test_crlf_is_found_in_a_tsv_and_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"target\tsource\r\nb\ta\r\nd\tc\r\n")
    corpus = TablePairs(tmp_path / "a.tsv")
    diagnosis = examine(corpus)
    assert [(finding.kind, finding.count) for finding in diagnosis.findings] == [("header", 1), ("crlf", 2)]
    assert list(kept(corpus, diagnosis)) == [(2, "a", "b"), (3, "c", "d")]


def test_standard_input_is_read_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO("\ufeffa\u2028b\r\n\nآخر".encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert list(read_lines("-")) == ["a\u2028b", "", "آخر"]
    Stdin.buffer = io.BytesIO(b"ok\n\xff\n")
    with pytest.raises(UsageError, match="standard input, line 2, byte 1 is not UTF-8"):
        list(read_lines("-"))


def test_what_may_not_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(UsageError, match="secret cannot be read: Permission denied"):
        list(raw_lines(tmp_path / "secret"))


@pytest.mark.parametrize(
    ("packed", "command"),
    [
        (gzip.compress(b"one\ntwo\n"), "gunzip -k"),
        (bz2.compress(b"one\ntwo\n"), "bunzip2 -k"),
        (bz2.compress(b"one\ntwo\n", 1), "bunzip2 -k"),
        (lzma.compress(b"one\ntwo\n"), "unxz -k"),
        (bytes.fromhex("28b52ffd0408410000") + b"one\ntwo\n" + bytes.fromhex("6d5fb37d"), "unzstd"),
        (b"PK\x03\x04\x14\x00\x00\x00\x00\x00", "unzip"),
    ],
)
def test_a_compressed_file_is_said_to_be_one(
    tmp_path: Path, packed: bytes, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v 1.en"
    path.write_bytes(packed)
    (tmp_path / "t").write_bytes(b"eins\nzwei\n")
    for read in (
        lambda: list(read_lines(path)),
        lambda: examine(TextPairs(path, tmp_path / "t")),
        lambda: examine(TextPairs(tmp_path / "t", path)),
        lambda: list(documents([path])),
    ):
        with pytest.raises(UsageError, match=rf"v 1\.en is compressed \(.*\) .*: {command} '.*v 1\.en'$"):
            read()
    (tmp_path / "pairs.tsv.gz").write_bytes(packed)
    with pytest.raises(UsageError, match=rf"pairs\.tsv\.gz is compressed .*: {command} "):
        examine(TablePairs(tmp_path / "pairs.tsv.gz"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(packed)))
    with pytest.raises(UsageError, match=rf"standard input is compressed .*: {command} FILE$"):
        list(read_lines("-"))


def test_text_that_begins_like_a_packing_program_is_text(tmp_path: Path) -> None:
    for text in ("PK", "BZh9 is how bzip2 begins", "7zXZ", "(µ/ý"):
        (tmp_path / "a").write_text(f"{text}\n", encoding="utf-8")
        assert list(read_lines(tmp_path / "a")) == [text]


def test_a_document_of_an_office_program_is_to_be_saved_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"PK\x03\x04\x14\x00\x06\x00")
    with pytest.raises(UsageError, match=r"a\.docx is a document of an office program: save it as UTF-8 text"):
        list(read_lines(tmp_path / "a.docx"))


@contextmanager
def piped(content: bytes) -> Iterator[Path]:
    """What a shell makes of `<(…)`: a pipe that is written to while it is read."""
    end, start = os.pipe()

    def write() -> None:
        with open(start, "wb") as file:
            file.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield Path(f"/dev/fd/{end}")
    finally:
        os.close(end)
        writer.join()


def test_a_pipe_is_read_like_a_file() -> None:
    content = b"\xef\xbb\xbfone\r\n\n\x0ctwo\n" + b"x" * 200_000 + b"\nlast"  # more than a pipe holds at a time
    with piped(content) as path:
        assert is_pipe(path)
        assert list(read_lines(path)) == ["one", "", "\x0ctwo", "x" * 200_000, "last"]
    for start, wrong in ((gzip.compress(b"a\n"), "gunzip"), ("a".encode("utf-16"), "UTF-16"), (b"", "is empty")):
        with piped(start) as path, pytest.raises(UsageError, match=wrong):
            list(read_lines(path))


def test_what_is_read_of_pipes_is_kept_for_a_second_time(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"A\nB\nC\n")
    with piped(b"a\nb\n\n") as source:
        pairs = evaluation_pairs(source, tmp_path / "target", None)
        diagnosis = examine(pairs)
        assert [(line, reason) for _, line, reason in diagnosis.dropped] == [(3, "blank source")]
        assert list(kept(pairs, diagnosis)) == [(1, "a", "A"), (2, "b", "B")]


def test_a_pipe_that_cannot_be_read_twice_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "a.tsv"
    os.mkfifo(fifo)  # which nobody writes to: whoever opens it waits for ever
    assert is_pipe(fifo) and not is_pipe(tmp_path) and not is_pipe("x" * 5000) and not is_pipe("\0")
    for use in (lambda: list(TablePairs(fifo)), lambda: TablePairs(fifo).header(), lambda: refuse_pipe(fifo)):
        with pytest.raises(UsageError, match=r"a\.tsv is a pipe, and .*: write it to a file first"):
            use()
    refuse_pipe(tmp_path / "none")
