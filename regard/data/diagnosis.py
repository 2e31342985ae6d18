"""What the corpus doctor has found: which lines, what becomes of them, and what the kept ones look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regard.errors import RegardError

# From here on lines without spaces are sentences: entries of a lexicon hardly ever hold marks, and those of Wiktionary have
# 4 to 6 letters in Thai, Khmer, Burmese and kana; idioms of Chinese have 4 characters, which count as 8.
TEXT_MARKS, TEXT_LETTERS = 0.25, 10.0


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
    """Of the kept lines of one side. Words lie between white space; `distinct_words` is counted up to 200,000."""

    mean_words: float = 0.0
    max_words: int = 0
    mean_characters: float = 0.0
    distinct_words: int = 0
    distinct_characters: int = 0
    max_characters: int = 0
    single_words: float = 0.0  # share of lines that are one word
    unspaced_lines: float = 0.0  # share of lines in scripts that put no space between words, and of these
    unspaced_letters: float = 0.0  # the mean number of letters; a Chinese character is two
    unspaced_marks: float = 0.0  # the share that has a stop or a comma

    @property
    def unspaced_text(self) -> bool:
        """Whether lines are text in such a script, and not single words of it."""
        text = self.unspaced_marks >= TEXT_MARKS or self.unspaced_letters >= TEXT_LETTERS
        return self.unspaced_lines > 0.5 and text


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

    def left_out(self) -> list[str]:
        """What scores are without, a sentence for each kind of dropped line."""
        return [
            f"left out of the {self.lines:,} lines of {self.name}: {each.sentence.replace('; dropped', '')}"
            for each in self.findings
            if each.dropped
        ]

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
