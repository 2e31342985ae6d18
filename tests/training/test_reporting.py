"""What is said of a training to people and to programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from regard.errors import UsageError
from regard.training.loop import Progress
from regard.training.reporting import MetricsFile, Terminal
from regard.training.tensorboard import TensorBoard

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


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """As TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder)).Reload()
    return {tag: [(each.step, each.value) for each in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_reads_the_rows_of_the_file_and_not_those_of_a_lost_try(tmp_path: Path) -> None:
    def begin(step: int) -> MetricsFile:
        metrics = MetricsFile(tmp_path / "metrics.jsonl", every=1, curves=TensorBoard(tmp_path / "curves"))
        metrics.resume_at(step)
        return metrics

    first = begin(0)
    for step in (1, 2, 3):
        first.step(Progress(step=step), FACTS | {"loss": float(step)})
    first.validated(Progress(step=3), {"valid_loss": 4.0, "valid_bleu": 20.5}, best=True)
    first.close()
    again = begin(2)  # killed after the state of step 2 was written
    again.step(Progress(step=3), FACTS | {"loss": 30.0})
    again.close()
    found = scalars(tmp_path / "curves")
    assert found["train/loss"] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert found["train/learning_rate"][0] == (1, pytest.approx(0.1)) and found["speed/tokens_per_second"][0] == (
        1,
        132,
    )
    assert not found.get("valid/bleu"), "the try that validated was lost"
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == found["train/loss"]


def test_curves_of_the_validation_stand_apart(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl", curves=TensorBoard(tmp_path / "curves"))
    metrics.resume_at(0)
    metrics.validated(Progress(step=7), {"valid_loss": 4.0, "valid_bleu": 20.5}, best=True)
    assert scalars(tmp_path / "curves") == {"valid/loss": [(7, 4.0)], "valid/bleu": [(7, 20.5)]}, "before it is closed"
    metrics.close()


def test_without_tensorboard_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regard.training.tensorboard.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"^training\.tensorboard needs .*: pip install 'regard\[tensorboard\]'$"):
        TensorBoard(tmp_path)
