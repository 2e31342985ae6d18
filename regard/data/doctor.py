"""The corpus doctor: what is wrong with a corpus, line by line, in one pass over it."""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from regard.data.diagnosis import Diagnosis, Finding, SideStatistics, Statistics
from regard.data.header import believed, looks_like_header, suspected
from regard.data.reader import RawPair, TablePairs, TextPairs
from regard.data.scripts import MARKS, unspaced_letters
from regard.errors import UsageError

SHOWN = 5  # line numbers named in a sentence
TYPES = 200_000  # distinct words are counted up to here, so that memory stays bounded
REMEMBERED = 50_000_000  # pairs among which duplicates are looked for, at 8 bytes each
NUMBERS = re.compile(r"\d+")
# What other programs leave between the pieces of a word, and in which share of the lines it is no chance.
SEGMENTED = {"@@": re.compile(r"\S@@(?: |$)"), "▁": re.compile("(?:^| )▁")}
SEGMENTED_SHARE = 0.2
ASKING = "?!？！؟"  # marks that a sentence and its translation both end in
# What ends a line, which a cell of a table may hold, and what other programs take for it.
STRANGE_ENDS = re.compile("[\n\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e]|\r(?!\\Z)")

_KINDS = {
    "blank-source": "have an empty source and a target",
    "blank-target": "have an empty target and a source",
    "blank-both": "are empty on both sides",
    "invalid-utf8": "are not UTF-8",
    "nul": "hold NUL characters",
    "length-ratio": "have sides of lengths that do not go together",
    "crlf": "end in CRLF; the CR is removed",
    "line-separator": "hold a line end within the text, U+2028, U+0085 or another character that some programs take for "
    "the end of a line",
    "duplicate": "repeat an earlier pair",
    "copied": "have a target that is their source",
    "long": "have more words than data.max_length allows tokens",
}
_DROPPED = {"blank-source", "blank-target", "blank-both", "invalid-utf8", "nul", "length-ratio"}


class _Side:
    """Counts of one side."""

    def __init__(self) -> None:
        self.lines = self.words = self.characters = self.most_words = self.most_characters = self.single = 0
        self.unspaced = self.letters = self.marks = 0
        self.types: set[str] = set()
        self.alphabet: set[str] = set()

    def add(self, text: str) -> int:
        words = text.split()
        self.lines += 1
        self.words += len(words)
        self.single += len(words) == 1
        self.characters += len(text)
        self.most_words = max(self.most_words, len(words))
        self.most_characters = max(self.most_characters, len(text))
        if len(self.types) < TYPES:
            self.types.update(words[: TYPES - len(self.types)])
        self.alphabet.update(text)
        if letters := unspaced_letters(text):
            self.unspaced += 1
            self.letters += letters
            self.marks += MARKS.search(text) is not None
        return len(words)

    def statistics(self) -> SideStatistics:
        many, unspaced = max(self.lines, 1), max(self.unspaced, 1)
        return SideStatistics(
            self.words / many,
            self.most_words,
            self.characters / many,
            len(self.types),
            len(self.alphabet),
            self.most_characters,
            self.single / many,
            self.unspaced / many,
            self.letters / unspaced,
            self.marks / unspaced,
        )


class _Examination:
    """What is known so far. Of each pair 25 bytes are kept, whatever its length."""

    def __init__(self, pairs: TextPairs | TablePairs, max_length: int | None) -> None:
        self.pairs, self.max_length = pairs, max_length
        self.names = (str(pairs.source), str(pairs.target)) if isinstance(pairs, TextPairs) else (str(pairs.data),) * 2
        self.columns = isinstance(pairs, TablePairs) and pairs.columns
        self.found: dict[str, tuple[int, list[int]]] = {}
        self.headers: list[Finding] = []  # what may be one, of which there is one at most
        self.dropped: list[tuple[str, int, str]] = []
        self.sides = (_Side(), _Side())
        self.kept = self.lines = 0
        self.counts = [0, 0]
        # By side and mark: how many lines, and the first ones.
        self.segmented: dict[tuple[int, str], tuple[int, list[int]]] = {}
        # A number for each kept pair: its line, its hash, its log ratio of lengths (NaN where it is too short to
        # judge), and whether digits or closing marks of its sides differ.
        self.numbers, self.hashes, self.ratios, self.offbeat = array("q"), array("Q"), array("d"), array("b")

    def _paths(self) -> list[Path]:
        return [self.pairs.source, self.pairs.target] if isinstance(self.pairs, TextPairs) else [self.pairs.data]

    def note(self, kind: str, line: int) -> None:
        count, lines = self.found.get(kind, (0, []))
        if len(lines) < SHOWN:
            lines.append(line)
        self.found[kind] = (count + 1, lines)

    def drop(self, kind: str, line: int, side: int, reason: str | None = None) -> None:
        self.note(kind, line)
        self.dropped.append((self.names[side], line, reason or kind))

    def look(self, pair: RawPair) -> None:
        self.lines += 1
        for side, raw in enumerate((pair.source, pair.target)):
            self.counts[side] += raw is not None
        if pair.source is None or pair.target is None:
            return
        if pair.source.endswith(b"\r") or pair.target.endswith(b"\r"):
            self.note("crlf", pair.line)
        texts: list[str] = []
        for side, raw in enumerate((pair.source, pair.target)):
            try:
                texts.append(raw.removesuffix(b"\r").decode("utf-8"))
            except UnicodeDecodeError as error:
                self.drop("invalid-utf8", pair.line, side, f"byte {error.start + 1} is not UTF-8")
                return
            if "\0" in texts[-1]:
                self.drop("nul", pair.line, side, "NUL character")
                return
        source, target = texts
        blank = (not source.strip(), not target.strip())
        if any(blank):
            kind = "blank-both" if all(blank) else "blank-source" if blank[0] else "blank-target"
            self.drop(kind, pair.line, 0 if blank[0] else 1, kind.replace("-", " "))
            return
        self._keep(pair.line, source, target)

    def _keep(self, line: int, source: str, target: str) -> None:
        self.kept += 1
        if line == 1 and self.columns and looks_like_header(source, target):
            self.headers.append(suspected(self.pairs.name, source.strip(), target.strip()))
        words = self.sides[0].add(source), self.sides[1].add(target)
        if STRANGE_ENDS.search(source) or STRANGE_ENDS.search(target):
            self.note("line-separator", line)
        if source == target:
            self.note("copied", line)
        for side, text in enumerate((source, target)):
            for mark, pieces in SEGMENTED.items():
                if mark in text and pieces.search(text):
                    count, lines = self.segmented.get((side, mark), (0, []))
                    self.segmented[side, mark] = count + 1, [*lines, line][:SHOWN]
        if self.max_length is not None and max(words) > self.max_length:
            self.note("long", line)
        if len(self.hashes) < REMEMBERED:
            digest = hashlib.blake2b(f"{source}\0{target}".encode(), digest_size=8).digest()
            self.hashes.append(int.from_bytes(digest, "little"))
        self.numbers.append(line)
        # Of fewer than four words no ratio can be judged.
        self.ratios.append(math.log((len(target) + 5) / (len(source) + 5)) if max(words) >= 4 else math.nan)
        digits = [sorted(NUMBERS.findall(text)) for text in (source, target)]
        self.offbeat.append(digits[0] != digits[1] or (source[-1] in ASKING) != (target[-1] in ASKING))

    def finish(self) -> Diagnosis:
        findings = [*self.headers]
        if isinstance(self.pairs, TablePairs) and (header := self.pairs.header()) is not None:
            findings.append(believed(self.pairs.name, header))
        self._find_duplicates()
        if self.counts[0] != self.counts[1]:
            findings.append(self._unequal())
        else:
            self._judge_ratios()
        for path in dict.fromkeys(self._paths()):  # one file may be both sides
            if _starts_with_bom(path):
                findings.append(Finding("bom", 1, [1], f"{path} begins with a byte order mark, which is removed"))
        findings += self._segmented()
        for kind, (count, lines) in self.found.items():
            findings.append(self._finding(kind, count, sorted(lines)))
        statistics = Statistics(*(side.statistics() for side in self.sides))
        kept = 0 if self.counts[0] != self.counts[1] else self.kept
        dropped = sorted(self.dropped, key=lambda each: each[1])
        return Diagnosis(self.pairs.name, self.lines, kept, findings, dropped, statistics)

    def _find_duplicates(self) -> None:
        """A repetition has the hash of an earlier pair. That two different pairs of ten million share one of 64 bits
        has a chance of three in a million."""
        hashes = np.asarray(self.hashes)
        order = np.argsort(hashes, kind="stable")
        again = np.sort(order[1:][hashes[order[1:]] == hashes[order[:-1]]])
        if len(again):
            self.found["duplicate"] = len(again), [self.numbers[i] for i in again[:SHOWN].tolist()]

    def _finding(self, kind: str, count: int, lines: list[int]) -> Finding:
        where = ", ".join(map(str, lines)) + (", …" if count > len(lines) else "")
        dropped = kind in _DROPPED
        does = _KINDS[kind] if count > 1 else _singular(_KINDS[kind])
        if kind == "duplicate" and len(self.numbers) > REMEMBERED:
            does += f" among the first {REMEMBERED:,}"
        sentence = f"{count:,} line{'s' * (count > 1)} {does}{'; dropped' if dropped else ''} (line {where})"
        return Finding(kind, count, lines, sentence, dropped=dropped)

    def _segmented(self) -> Iterator[Finding]:
        """Sides that another program has cut into subwords: their marks would be learned, and said, as text."""
        for (side, mark), (count, lines) in sorted(self.segmented.items()):
            if count < SEGMENTED_SHARE * self.sides[side].lines:
                continue
            name = self.names[side]
            if self.names[0] == self.names[1]:
                name = f"{('source', 'target')[side]} of {name}"
            yield Finding(
                "segmented",
                count,
                lines,
                f"{name} was cut into subwords beforehand: {count / self.sides[side].lines:.0%} of its lines hold the mark "
                f"{mark} (line {', '.join(map(str, lines))}{', …' * (count > len(lines))}); give the raw text, for Regard "
                "makes subwords of its own",
            )

    def _judge_ratios(self) -> None:
        """Drops pairs whose ratio of lengths is far from the corpus's own, measured by its median deviation."""
        every = np.asarray(self.ratios)
        ratios = every[~np.isnan(every)]
        if len(ratios) < 20:
            return
        middle = np.median(ratios)
        limit = max(8 * 1.4826 * float(np.median(np.abs(ratios - middle))), math.log(4))
        for i in np.flatnonzero(np.abs(every - middle) > limit).tolist():
            self.kept -= 1
            why = f"the target is {math.exp(self.ratios[i]):.2g} times as long as the source"
            self.drop("length-ratio", self.numbers[i], 1, why)

    def _unequal(self) -> Finding:
        first = _shift_begins(
            np.asarray(self.numbers),
            np.asarray(self.ratios),
            np.asarray(self.offbeat),
            min(self.counts),
        )
        shorter = 0 if self.counts[0] < self.counts[1] else 1
        suspicion = (
            f"from about line {first} on the pairs do not go together, so look for a missing or extra line there"
            if first is not None
            else f"{self.names[shorter]} may have been cut off at its end"
        )
        sentence = (
            f"{self.names[0]} has {self.counts[0]:,} lines and {self.names[1]} has {self.counts[1]:,}: line n of the one "
            f"has to be the translation of line n of the other; {suspicion}"
        )
        return Finding("line-counts", 1, [first or min(self.counts) + 1], sentence, fatal=True)


def _singular(does: str) -> str:
    for plural, one in (
        ("have ", "has "),
        ("are ", "is "),
        ("hold ", "holds "),
        ("repeat ", "repeats "),
        ("end ", "ends "),
    ):
        if does.startswith(plural):
            return one + does.removeprefix(plural)
    return does


def _starts_with_bom(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(3) == b"\xef\xbb\xbf"


def _shift_begins(
    numbers: Int[np.ndarray, " P"], ratios: Float[np.ndarray, " P"], offbeat: Int[np.ndarray, " P"], lines: int
) -> int | None:
    """The line after which pairs stop going together: where two levels of disagreement explain the lines best.

    A pair disagrees when its numbers or closing marks differ, or its lengths do. If the share of disagreement
    hardly changes, nothing was shifted.
    """
    if lines < 10:
        return None
    judged = ~np.isnan(ratios)
    first = ratios[judged][: max(1, int(judged.sum()) // 4)]
    centre = float(np.median(first)) if len(first) else 0.0
    wrong = np.zeros(lines)
    # Tables of one file have no unequal sides, so a pair's line is its place here.
    wrong[numbers - 1] = offbeat + np.where(judged, np.minimum(1.0, np.abs(ratios - centre)), 0.0)
    before = np.cumsum(wrong)[:-1]
    many = np.arange(1, lines)
    left, right = before / many, (wrong.sum() - before) / (lines - many)
    gain = np.where(right > left, (right - left) ** 2 * many * (lines - many), 0.0)
    best = int(np.argmax(gain))
    place = best + 2  # the first line of the right part, from 1
    if gain[best] <= 0 or place > lines - 2:  # the end of a file that was cut off, maybe within a line
        return None
    return place if right[best] > 1.5 * left[best] + 0.05 else None


def examine(pairs: TextPairs | TablePairs, *, max_length: int | None = None) -> Diagnosis:
    """Reads the corpus once. UsageError where a file cannot be read at all.

    Dropped are lines without a side, with bytes that are no text, and with lengths that no translation has; the
    rest is only said. Lines with more words than `max_length` (tokens) are among it, since each word is a token at
    least; which lines have more tokens only `build_corpus` knows, and leaves them out.
    """
    examination = _Examination(pairs, max_length)
    for pair in pairs:
        examination.look(pair)
    return examination.finish()


def kept(pairs: TextPairs | TablePairs, diagnosis: Diagnosis) -> Iterator[tuple[int, str, str]]:
    """The pairs to train on: line number, source, target; without line ends and byte order marks.

    UsageError if a file is no longer what was examined.
    """
    dropped = {line for _, line, _ in diagnosis.dropped}
    for pair in pairs:
        if pair.line in dropped or pair.source is None or pair.target is None:
            continue
        try:
            source, target = (raw.removesuffix(b"\r").decode("utf-8") for raw in (pair.source, pair.target))
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{pairs.name}, line {pair.line} changed while it was read: start again when nobody writes to it"
            ) from error
        yield pair.line, source, target
