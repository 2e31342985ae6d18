"""What is said of a training to people and to programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from regard.training.loop import Progress
from regard.training.reporting import MetricsFile, Terminal

FACTS = {"loss": 2.5, "lr": 0.1, "gradient_norm": 1.0, "tokens": 66, "seconds": 0.5}


@pytest.mark.parametrize("counted", ["tokens", "pictures"])
def test_speed_is_said_in_what_a_batch_counts_and_written_under_one_key(counted: str, tmp_path: Path) -> None:
    written = io.StringIO()
    terminal = Terminal(Console(file=written, width=200), lambda: 0.5, every=1, counted=counted)
    metrics = MetricsFile(tmp_path / "metrics.jsonl", every=1)
    for observer in (terminal, metrics):
        observer.step(Progress(step=1, seconds=30.0), FACTS)
    assert f"132 {counted}/s" in written.getvalue() and ("tokens/s" in written.getvalue()) == (counted == "tokens")
    [row] = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert row["tokens"] == 66 and row["tokens_per_second"] == 132
