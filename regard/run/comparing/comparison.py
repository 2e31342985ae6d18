"""What a comparison found, as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from regard.evaluation import LengthBucket, PairedResult, Score
from regard.run.comparing.alone import Memory
from regard.run.translation.prediction import Prediction

NOTHING = "–"


@dataclass(frozen=True)
class Measurement:
    """One finished run. Speeds are target tokens per second; `entropy` is in nats; None is what was not measured.
    `examples` are the first inputs of the set as this run says them."""

    seed: int
    scores: list[Score]
    lengths: list[LengthBucket]
    paired: PairedResult | None
    entropy: float | None
    error_rate: Score | None
    training_speed: float | None
    prediction_speed: float
    memory: Memory
    parameters: int
    steps: int
    seconds: float
    examples: list[Prediction] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "scores": [s.to_json() for s in self.scores],
            "by_source_length": [b.to_json() for b in self.lengths],
            "paired": None if self.paired is None else self.paired.to_json(),
            "entropy": self.entropy,
            "alignment_error_rate": None if self.error_rate is None else self.error_rate.to_json(),
            "training_tokens_per_second": self.training_speed,
            "prediction_tokens_per_second": self.prediction_speed,
            "peak_memory": self.memory.to_json(),
            "parameters": self.parameters,
            "steps": self.steps,
            "seconds": self.seconds,
        }


@dataclass
class Row:
    """A mechanism: a measurement for each seed that came to its end, and a sentence for each that did not."""

    name: str
    runs: list[Measurement] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def remark(self) -> str:
        sentences = list(dict.fromkeys(self.failures.values()))
        if len(sentences) == 1 and not self.runs:
            return sentences[0]
        one = len(self.runs) + len(self.failures) == 1
        return "; ".join(said if one else f"seed {seed}: {said}" for seed, said in self.failures.items())

    def to_json(self) -> dict[str, Any]:
        failures = [{"seed": seed, "error": said} for seed, said in self.failures.items()]
        return {"attention": self.name, "runs": [r.to_json() for r in self.runs], "failures": failures}


Table = tuple[list[str], list[list[str]]]
"""The names of the columns, and the rows."""


@dataclass
class Comparison:
    """What `regard compare` says. Every row but `first` was tested against `first`."""

    rows: list[Row]
    command: str
    origin: str
    data: str
    sentences: int
    beam: int
    seeds: list[int]
    budget: str
    precision: str

    @property
    def first(self) -> Row | None:
        return next((row for row in self.rows if row.runs), None)

    @property
    def _aligned(self) -> bool:
        return any(run.error_rate is not None for row in self.rows for run in row.runs)

    def to_json(self) -> dict[str, Any]:
        return {
            "command": self.command,
            "recipe": self.origin,
            "data": self.data,
            "sentences": self.sentences,
            "beam": self.beam,
            "seeds": self.seeds,
            "budget": self.budget,
            "precision": self.precision,
            "machine": machine(),
            "rows": [row.to_json() for row in self.rows],
        }

    def __str__(self) -> str:
        """The tables, as Markdown that is readable as it is."""
        return "\n\n".join(table(columns, rows) for columns, rows in self.tables())

    def markdown(self) -> str:
        """The whole report."""
        parts = [f"# Attention compared: {', '.join(row.name for row in self.rows)}"]
        parts += [f"```\n{self.command}\n```"] if self.command else []
        return "\n\n".join([*parts, str(self), "\n".join(f"- {fact}" for fact in self.facts())]) + "\n"

    def tables(self) -> list[Table]:
        """The scores of each mechanism; and where sources differ in length, its first score by length."""
        return [found for found in (self._table(), self._lengths()) if found[1]]

    def _table(self) -> Table:
        first = self.first
        columns = ["attention"]
        if first is not None:
            columns += [score.name for score in first.runs[0].scores]
            columns += [f"p against {first.name}"] if len(self.rows) > 1 else []
            columns += ["AER"] if self._aligned else []
            columns += ["entropy", "training tokens/s", "prediction tokens/s", "peak MiB", "parameters", "steps"]
        remarked = any(row.failures for row in self.rows)
        columns += ["remark"] if remarked else []
        rows = []
        for row in self.rows:
            cells = [row.name]
            if first is not None:
                numbers = self._cells(row) if row.runs else []
                cells += numbers or [NOTHING] * (len(columns) - 1 - remarked)
            rows.append([*cells, *([row.remark] if remarked else [])])
        return columns, rows

    def _cells(self, row: Row) -> list[str]:
        runs = row.runs
        cells = [scored([run.scores[i] for run in runs]) for i in range(len(runs[0].scores))]
        if len(self.rows) > 1:
            cells.append(", ".join(_chance(run.paired.p_value) for run in runs if run.paired) or NOTHING)
        if self._aligned:
            cells.append(scored([run.error_rate for run in runs if run.error_rate is not None]))
        memory = [run.memory.resident for run in runs]
        device = [run.memory.device for run in runs if run.memory.device]
        return [
            *cells,
            _mean([run.entropy for run in runs], "{:.2f}"),
            _mean([run.training_speed for run in runs]),
            _mean([run.prediction_speed for run in runs]),
            _most(memory) + (f" + {_most(device)} on the GPU" if device else ""),
            f"{runs[0].parameters:,}",
            _mean([run.steps for run in runs]),
        ]

    def _lengths(self) -> Table:
        """The first metric by source length; no row where all sources are about as long."""
        first = self.first
        if first is None:
            return [], []
        filled = [i for i, bucket in enumerate(first.runs[0].lengths) if bucket.count]
        if len(filled) < 2:
            return [], []
        buckets = first.runs[0].lengths
        columns = [f"{first.runs[0].scores[0].name} by source words"]
        columns += [f"{buckets[i].label} ({buckets[i].count:,})" for i in filled]
        rows = []
        for row in self.rows:
            if row.runs:
                cells = [[run.lengths[i].score for run in row.runs] for i in filled]
                rows.append([row.name, *(scored([s for s in those if s is not None]) for those in cells)])
        return columns, rows

    def facts(self) -> list[str]:
        """What the tables rest on, and what their columns mean."""
        first = self.first
        facts = [
            f"Recipe: {self.origin}; each mechanism trained for {self.budget}, in {self.precision}; "
            f"{'seed' if len(self.seeds) == 1 else 'seeds'} {', '.join(map(str, self.seeds))}.",
            f"Scored on {self.data}: {self.sentences:,} inputs, beam {self.beam}. "
            "[low, high]: 95 % bootstrap confidence of one run"
            + ("." if len(self.seeds) == 1 else "; (low to high): the range over the seeds, after their mean."),
        ]
        if first is not None:
            run = first.runs[0]
            facts += [f"{score.name}: {score.signature}" for score in run.scores]
            tested = next((r.paired for row in self.rows for r in row.runs if r.paired), None)
            if tested is not None:
                facts.append(
                    f"p: two-sided, of a paired test of {run.scores[0].name} ({tested.signature}), "
                    "not corrected for the number of tests."
                )
            facts.append(
                "Entropy: of the attention weights, in nats; the mean over target tokens, layers and heads. "
                "Training tokens/s: target tokens, without validation. Peak MiB: resident memory of the training."
            )
        return [*facts, f"Machine: {machine()}."]


def scored(scores: Sequence[Score]) -> str:
    """One score with its confidence, or several as their mean and range."""
    if not scores:
        return NOTHING
    if len(scores) == 1:
        return str(scores[0]).removeprefix(scores[0].name).strip()
    values = [score.value for score in scores]
    return f"{fmean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand under each other; the last is as wide as it likes."""
    lines = [[_safe(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[i]) for row in lines) for i in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        pad: list[Callable[[int], str]] = [cells[0].ljust, *(cell.rjust for cell in cells[1:])]
        if columns[-1] == "remark":
            pad[-1] = lambda _: cells[-1]
        return "| " + " | ".join(of(width) for of, width in zip(pad, widths, strict=True)) + " |"

    last = ":---" if columns[-1] == "remark" else None
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    rule = [*rule[:-1], last or rule[-1]]
    return "\n".join([line(lines[0]), "| " + " | ".join(rule) + " |", *(line(row) for row in lines[1:])])


def machine() -> str:
    """What the numbers were measured on."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{name}, {os.cpu_count()} processors, {torch.get_num_threads()} threads{gpu}, {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def _safe(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")


def _mean(values: Sequence[float | None], form: str = "{:,.0f}") -> str:
    known = [value for value in values if value is not None]
    return form.format(fmean(known)) if known else NOTHING


def _most(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):,.0f}" if known else NOTHING


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
