"""Pairs from files, as they are written: one line after the other, whatever is wrong with them.

Only `\\n` or `\\r\\n` ends a line: a form feed, U+0085 or U+2028 within a sentence must not shift every later pair.
"""

from __future__ import annotations

import csv
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import cast

from regard.data.header import Header, header_of
from regard.data.json_lines import parse_object
from regard.errors import UsageError

BOM = b"\xef\xbb\xbf"
CHUNK = 1 << 20
# What stands for a lone "\r" while a CSV file is taken apart: no bytes decode to it, not even broken ones.
LONE_CR = "\ud800"
# How compressed files begin, which no UTF-8 text does (but PK and BZh, of which as much is taken as no text has), and
# what unpacks them.
COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip -k"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"\xfd7zXZ\0": ("xz", "unxz -k"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unzstd"),
    **{b"BZh%d1AY&SY" % level: ("bzip2", "bunzip2 -k") for level in range(1, 10)},
}
OFFICE = (".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp")  # which are zip files, too


@dataclass(frozen=True, slots=True)
class RawPair:
    """A pair as bytes, without `\\n`. A `\\r` before it is still at the end of a side; of a TSV line, at the target's.

    A side is None where its file has ended before the other.
    """

    line: int  # from 1, as in an editor
    source: bytes | None
    target: bytes | None


def raw_lines(path: Path) -> Iterator[bytes]:
    """Lines without `\\n`; a `\\r` before it is still there. A final `\\n` does not begin another line.

    A pipe is read as it comes, and but once: see `refuse_pipe`. UsageError for what is no readable text file.
    """
    try:
        file = cast(BufferedReader, open(path, "rb", buffering=CHUNK))  # noqa: SIM115 - the with below closes it
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: check the path") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder: give a file with one item a line") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        start = file.peek()  # what can be looked at without reading it, as a pipe cannot be wound back
        if not start:
            raise UsageError(f"{path} is empty: give a file with one item a line")
        _refuse_compressed(start, str(path))
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise UsageError(f"{path} is UTF-16: save it as UTF-8")
        if start.count(0) > max(8, len(start) // 100):
            raise UsageError(f"{path} is a binary file: give UTF-8 text with one item a line")
        for number, line in enumerate(file):
            line = line.removesuffix(b"\n")
            yield line.removeprefix(BOM) if number == 0 else line


def is_pipe(path: Path | str) -> bool:
    """Whether this names a pipe: `/dev/stdin` behind one, `<(…)` of a shell, or what mkfifo makes."""
    try:
        return Path(path).is_fifo()
    except OSError:  # it may not be looked at, or its name is too long for a file's
        return False


def refuse_pipe(path: Path | str) -> None:
    """UsageError for a pipe where a file is read more than once. Nothing is read of it: a named one would stand still
    at the second time, and another would seem empty."""
    if is_pipe(path):
        raise UsageError(f"{path} is a pipe, and this is read more than once: write it to a file first")


def _refuse_compressed(start: bytes, name: str | None = None) -> None:
    """UsageError if a file, or standard input without a name, begins as one of a packing program."""
    for magic, (kind, program) in COMPRESSED.items():
        if start.startswith(magic):
            if name is not None and name.lower().endswith(OFFICE):
                raise UsageError(f"{name} is a document of an office program: save it as UTF-8 text")
            do = f"unpack it first, as in: {program} {shlex.quote(name or 'FILE')}"
            raise UsageError(f"{name or 'standard input'} is compressed ({kind}) and no text: {do}")


def read_lines(path: Path | str) -> Iterator[str]:
    """The lines of a UTF-8 file, or of standard input for "-", for prediction. UsageError names what is not UTF-8."""
    name = "standard input" if path == "-" else str(path)
    lines = _standard_input() if path == "-" else raw_lines(Path(path))
    for number, line in enumerate(lines, start=1):
        try:
            yield line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{name}, line {number}, byte {error.start + 1} is not UTF-8: save the file as UTF-8"
            ) from error


def _standard_input() -> Iterator[bytes]:
    for number, line in enumerate(sys.stdin.buffer):
        if number == 0:
            _refuse_compressed(line)
        line = line.removesuffix(b"\n")
        yield line.removeprefix(BOM) if number == 0 else line


@dataclass(frozen=True)
class TextPairs:
    """Two line-aligned files."""

    source: Path
    target: Path

    @property
    def name(self) -> str:
        if self.source == self.target:
            return f"{self.source} as source and target"
        return f"{self.source} and {self.target}"

    @property
    def has(self) -> str:
        """The name and its verb, for sentences: one file has, two have."""
        return f"{self.name} {'has' if self.source == self.target else 'have'}"

    def __iter__(self) -> Iterator[RawPair]:
        sources, targets = raw_lines(self.source), raw_lines(self.target)
        number = 0
        while True:
            source, target = next(sources, None), next(targets, None)
            if source is None and target is None:
                return
            number += 1
            yield RawPair(number, source, target)


@dataclass(frozen=True)
class PipedPairs(TextPairs):
    """Two line-aligned files of which one is a pipe at least, or both: what is read is kept, for a second time."""

    _read: list[RawPair] = field(default_factory=list, init=False, repr=False, compare=False)

    def __iter__(self) -> Iterator[RawPair]:
        if not self._read:
            self._read.extend(super().__iter__())
        return iter(self._read)


@dataclass(frozen=True)
class TablePairs:
    """One file with both sides: `.tsv` or `.csv` (the first two columns, or those that a header calls source and
    target, or so: see `header.SIDES`), or `.jsonl` (keys source and target)."""

    data: Path

    @property
    def name(self) -> str:
        return str(self.data)

    @property
    def has(self) -> str:
        """The name and its verb, for sentences."""
        return f"{self.name} has"

    @property
    def columns(self) -> bool:
        """Whether it has columns, which a header may name, and no keys."""
        return self.data.suffix.lower() in (".tsv", ".csv")

    def first_cells(self) -> list[str]:
        """The cells of the first line of a `.tsv` or a `.csv`."""
        refuse_pipe(self.data)
        if self.data.suffix.lower() == ".csv":
            return next(row for _, row in self._csv_rows())
        return [cell.decode("utf-8", "replace") for cell in next(raw_lines(self.data)).removesuffix(b"\r").split(b"\t")]

    def header(self) -> Header | None:
        """What the first line calls the columns of both sides; None where it is a pair."""
        return header_of(self.first_cells()) if self.columns else None

    def __iter__(self) -> Iterator[RawPair]:
        if is_pipe(self.data):  # whose name says nothing of what it holds, and in which no header can be looked for
            raise UsageError(
                f"{self.data} is a pipe, and no table: write it to a file first, named .tsv, .csv or .jsonl"
            )
        match self.data.suffix.lower():
            case ".tsv":
                return self._tsv()
            case ".csv":
                return self._csv()
            case ".jsonl" | ".ndjson":
                return self._jsonl()
            case other:
                if other in (".gz", ".zip", ".xz", ".zst", ".bz2"):
                    next(raw_lines(self.data))  # which says how to unpack it
                raise UsageError(f"{self.data}: '{other}' is no known kind of table; give .tsv, .csv or .jsonl")

    def _tsv(self) -> Iterator[RawPair]:
        places = (0, 1)
        for number, line in enumerate(raw_lines(self.data), start=1):
            text = line.removesuffix(b"\r")
            cells, ending = text.split(b"\t"), line[len(text) :]
            if number == 1 and (header := header_of([c.decode("utf-8", "replace") for c in cells])) is not None:
                places = header.places
                continue
            if not line.strip():
                yield RawPair(number, b"", b"")
                continue
            if len(cells) <= max(places):
                raise UsageError(
                    f"{self.data}, line {number} has {len(cells)} column{'s' * (len(cells) != 1)}: separate source and "
                    "target by a tab"
                )
            yield RawPair(number, cells[places[0]], cells[places[1]] + ending)

    def _csv(self) -> Iterator[RawPair]:
        """The line of a pair is the one where it begins."""
        places = (0, 1)
        for index, (number, row) in enumerate(self._csv_rows()):
            if index == 0 and (header := header_of(row)) is not None:
                places = header.places
                continue
            if not row:
                yield RawPair(number, b"", b"")
                continue
            if len(row) <= max(places):
                raise UsageError(
                    f"{self.data}, line {number} has {len(row)} column{'s' * (len(row) != 1)}: "
                    "separate source and target by a comma"
                )
            source, target = (row[p].replace(LONE_CR, "\r").encode("utf-8", "surrogateescape") for p in places)
            yield RawPair(number, source, target)

    def _csv_rows(self) -> Iterator[tuple[int, list[str]]]:
        """As RFC 4180 has it: a quoted cell may hold line ends. Each row has the number of the line where it begins."""
        ended = 0
        rows = csv.reader(_csv_lines(self.data))
        try:
            for row in rows:
                number, ended = ended + 1, rows.line_num
                yield number, row
        except csv.Error as error:
            raise UsageError(
                f"{self.data}, line {ended + 1}: {error}: look for a double quote that is not closed"
            ) from error

    def _jsonl(self) -> Iterator[RawPair]:
        for number, line in enumerate(raw_lines(self.data), start=1):
            if not line.strip():
                yield RawPair(number, b"", b"")
                continue
            # Broken bytes within a text are the doctor's: they cost the pair, not the file.
            text, where = line.decode("utf-8", "surrogateescape"), f"{self.data}, line {number}"
            lacks = 'has no text under "{}": every line needs source and target'
            row = parse_object(text, where, lacks.format("source"))
            sides = []
            for key in ("source", "target"):
                if not isinstance(row.get(key), str):
                    raise UsageError(f"{where} {lacks.format(key)}")
                sides.append(_bytes(row[key]))
            yield RawPair(number, *sides)


def _csv_lines(path: Path) -> Iterator[str]:
    """For the csv module, which would end a row at a lone `\\r`, too."""
    for line in raw_lines(path):
        text = line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        yield text.replace("\r", LONE_CR) + "\n"


def _bytes(text: str) -> bytes:
    """Broken bytes as they were in the file, and what no file holds, such as `"\\ud800"`, as the doctor finds it."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
