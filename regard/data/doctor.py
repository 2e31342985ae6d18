"""The corpus doctor: what is wrong with a corpus, line by line, in one pass over it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regard.data.reader import RawPair, TablePairs, TextPairs
from regard.errors import RegardError

SHOWN = 5  # line numbers named in a sentence
TYPES = 200_000  # distinct words are counted up to here, so that memory stays bounded
REMEMBERED = 5_000_000  # pairs whose hashes are kept to find duplicates
NUMBERS = re.compile(r"\d+")
# What other programs take for the end of a line.
STRANGE_ENDS = re.compile("[\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e]|\r(?!$)")

_KINDS = {
    "blank-source": "have an empty source and a target",
    "blank-target": "have an empty target and a source",
    "blank-both": "are empty on both sides",
    "invalid-utf8": "are not UTF-8",
    "nul": "hold NUL characters",
    "length-ratio": "have sides of lengths that do not go together",
    "crlf": "end in CRLF; the CR is removed",
    "line-separator": "hold U+2028, U+0085 or another character that some programs take for the end of a line",
    "duplicate": "repeat an earlier pair",
    "copied": "have a target that is their source",
}
_DROPPED = {"blank-source", "blank-target", "blank-both", "invalid-utf8", "nul", "length-ratio"}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: on how many lines, which are the first, whether they are dropped."""

    kind: str
    count: int
    lines: list[int]
    sentence: str
    fatal: bool = False
    dropped: bool = False


@dataclass
class SideStatistics:
    mean_words: float = 0.0
    max_words: int = 0
    mean_characters: float = 0.0
    distinct_words: int = 0
    distinct_characters: int = 0


@dataclass
class Statistics:
    source: SideStatistics = field(default_factory=SideStatistics)
    target: SideStatistics = field(default_factory=SideStatistics)


@dataclass(frozen=True)
class Diagnosis:
    """`pairs` is how many are kept; `dropped` says of each other one: file, line, reason."""

    name: str
    lines: int
    pairs: int
    findings: list[Finding]
    dropped: list[tuple[str, int, str]]
    statistics: Statistics

    @property
    def fatal(self) -> bool:
        return any(finding.fatal for finding in self.findings)

    def write_dropped(self, path: Path) -> None:
        """`dropped.tsv`: file, line, reason."""
        text = "file\tline\treason\n" + "".join(f"{file}\t{line}\t{why}\n" for file, line, why in self.dropped)
        try:
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise RegardError(
                f"{path} cannot be written ({error.strerror}): make room or choose another folder"
            ) from error

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "lines": self.lines,
            "pairs": self.pairs,
            "fatal": self.fatal,
            "findings": [vars(f) for f in self.findings],
            "dropped": [{"file": f, "line": n, "reason": r} for f, n, r in self.dropped],
            "statistics": {"source": vars(self.statistics.source), "target": vars(self.statistics.target)},
        }

    def __str__(self) -> str:
        sides = (("source", self.statistics.source), ("target", self.statistics.target))
        text = [f"{self.name}: {self.lines:,} lines, {self.pairs:,} pairs to train on"]
        text += [
            f"  {name}: {s.mean_words:.1f} words and {s.mean_characters:.1f} characters a line, "
            f"{s.distinct_words:,} different words, {s.distinct_characters:,} different characters"
            for name, s in sides
        ]
        text += [("✗ " if f.fatal else "- ") + f.sentence for f in self.findings] or ["nothing is wrong with it"]
        return "\n".join(text)


class _Side:
    """Counts of one side."""

    def __init__(self) -> None:
        self.words = self.characters = self.longest = 0
        self.types: set[str] = set()
        self.alphabet: set[str] = set()

    def add(self, text: str) -> int:
        words = text.split()
        self.words += len(words)
        self.longest = max(self.longest, len(words))
        self.characters += len(text)
        if len(self.types) < TYPES:
            self.types.update(words)
        self.alphabet.update(text)
        return len(words)

    def statistics(self, pairs: int) -> SideStatistics:
        many = max(pairs, 1)
        return SideStatistics(
            self.words / many, self.longest, self.characters / many, len(self.types), len(self.alphabet)
        )


class _Examination:
    def __init__(self, pairs: TextPairs | TablePairs) -> None:
        self.pairs = pairs
        self.names = (str(pairs.source), str(pairs.target)) if isinstance(pairs, TextPairs) else (str(pairs.data),) * 2
        self.found: dict[str, tuple[int, list[int]]] = {}
        self.dropped: list[tuple[str, int, str]] = []
        self.seen: set[int] = set()
        self.sides = (_Side(), _Side())
        self.kept = self.lines = 0
        self.counts = [0, 0]
        self.ratios: list[tuple[float, int]] = []  # log ratio and line, of pairs long enough to judge
        self.offbeat: list[int] = []  # numbers of lines whose digits or closing marks do not go together

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
        words = self.sides[0].add(source), self.sides[1].add(target)
        if STRANGE_ENDS.search(source) or STRANGE_ENDS.search(target):
            self.note("line-separator", line)
        mark = int.from_bytes(hashlib.blake2b(f"{source}\0{target}".encode(), digest_size=8).digest(), "little")
        if mark in self.seen:
            self.note("duplicate", line)
        elif len(self.seen) < REMEMBERED:
            self.seen.add(mark)
        if source == target:
            self.note("copied", line)
        if max(words) >= 4:  # of fewer words no ratio can be judged
            self.ratios.append((math.log((len(target) + 5) / (len(source) + 5)), line))
        digits = [sorted(NUMBERS.findall(text)) for text in (source, target)]
        if digits[0] != digits[1] or (source[-1] in "?!") != (target[-1] in "?!？！؟"):
            self.offbeat.append(line)

    def finish(self) -> Diagnosis:
        findings: list[Finding] = []
        if self.counts[0] != self.counts[1]:
            findings.append(self._unequal())
        else:
            self._judge_ratios()
        for side, path in enumerate(self._paths()):
            if _starts_with_bom(path):
                findings.append(
                    Finding("bom", 1, [1], f"{self.names[side]} begins with a byte order mark, which is removed")
                )
        for kind, (count, lines) in self.found.items():
            findings.append(self._finding(kind, count, sorted(lines)))
        statistics = Statistics(*(side.statistics(self.kept) for side in self.sides))
        kept = 0 if self.counts[0] != self.counts[1] else self.kept
        return Diagnosis(self.pairs.name, self.lines, kept, findings, self.dropped, statistics)

    def _finding(self, kind: str, count: int, lines: list[int]) -> Finding:
        where = ", ".join(map(str, lines)) + (", …" if count > len(lines) else "")
        dropped = kind in _DROPPED
        does = _KINDS[kind] if count > 1 else _singular(_KINDS[kind])
        sentence = f"{count:,} line{'s' * (count > 1)} {does}{'; dropped' if dropped else ''} (line {where})"
        return Finding(kind, count, lines, sentence, dropped=dropped)

    def _judge_ratios(self) -> None:
        """Drops pairs whose ratio of lengths is far from the corpus's own, measured by its median deviation."""
        if len(self.ratios) < 20:
            return
        ordered = sorted(ratio for ratio, _ in self.ratios)
        middle = ordered[len(ordered) // 2]
        deviations = sorted(abs(ratio - middle) for ratio in ordered)
        limit = max(8 * 1.4826 * deviations[len(deviations) // 2], math.log(4))
        for ratio, line in self.ratios:
            if abs(ratio - middle) > limit:
                self.kept -= 1
                self.drop("length-ratio", line, 1, f"the target is {math.exp(ratio):.2g} times as long as the source")

    def _unequal(self) -> Finding:
        first = _shift_begins(self.ratios, self.offbeat, min(self.counts))
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


def _shift_begins(ratios: list[tuple[float, int]], offbeat: list[int], lines: int) -> int | None:
    """The line after which pairs stop going together: where two levels of disagreement explain the lines best.

    A pair disagrees when its numbers or closing marks differ, or its lengths do. If the share of disagreement
    hardly changes, nothing was shifted.
    """
    if lines < 10:
        return None
    middle = sorted(r for r, _ in ratios[: max(1, len(ratios) // 4)])
    centre = middle[len(middle) // 2] if middle else 0.0
    wrong = [0.0] * (lines + 1)
    for line in offbeat:
        if line <= lines:
            wrong[line] += 1.0
    for ratio, line in ratios:
        if line <= lines:
            wrong[line] += min(1.0, abs(ratio - centre))
    total = sum(wrong)
    best, place, before = 0.0, None, 0.0
    for line in range(1, lines + 1):
        before += wrong[line]
        left, right = before / line, (total - before) / max(1, lines - line)
        gain = (right - left) ** 2 * line * (lines - line)
        if right > left and gain > best:
            best, place = gain, line + 1
    if place is None or place > lines - 2:  # the end of a file that was cut off, maybe within a line
        return None
    left = sum(wrong[1:place]) / (place - 1)
    right = sum(wrong[place:]) / (lines - place + 1)
    return place if right > 1.5 * left + 0.05 else None


def examine(pairs: TextPairs | TablePairs) -> Diagnosis:
    """Reads the corpus once. UsageError where a file cannot be read at all."""
    examination = _Examination(pairs)
    for pair in pairs:
        examination.look(pair)
    return examination.finish()


def kept(pairs: TextPairs | TablePairs, diagnosis: Diagnosis) -> Iterator[tuple[int, str, str]]:
    """The pairs to train on: line number, source, target; without line ends and byte order marks."""
    dropped = {line for _, line, _ in diagnosis.dropped}
    for pair in pairs:
        if pair.line in dropped or pair.source is None or pair.target is None:
            continue
        source, target = (raw.removesuffix(b"\r").decode("utf-8") for raw in (pair.source, pair.target))
        yield pair.line, source, target
