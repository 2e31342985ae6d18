"""What is said of a training: a line of JSON for programs, a moving line or plain ones for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from regard.training.checkpoint import write_text
from regard.training.loop import Observer, Progress
from regard.training.tensorboard import TensorBoard


class MetricsFile:
    """`metrics.jsonl`: a JSON object every `every` steps, of means over them, and one at each validation. `curves` are
    told the same."""

    def __init__(self, path: Path, every: int = 10, curves: TensorBoard | None = None) -> None:
        self.path, self.every, self.curves = path, every, curves
        self._window: list[Mapping[str, float]] = []

    def resume_at(self, step: int) -> None:
        """Forgets what was written after the state that a training goes on from."""
        if self.curves is not None:
            self.curves.resume_at(step)
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue  # the last line of a killed run may be cut
        write_text(self.path, "".join(line + "\n" for line in kept))

    def step(self, progress: Progress, facts: Mapping[str, float]) -> None:
        self._window.append(facts)
        if progress.step % self.every == 0:
            self._write(progress, self._means())

    def validated(self, progress: Progress, facts: Mapping[str, float], best: bool) -> None:
        self._write(progress, {**self._means(), **facts, "best": best})

    def _means(self) -> dict[str, float]:
        window, self._window = self._window, []
        if not window:
            return {}
        means = {name: sum(f[name] for f in window) / len(window) for name in window[0]}
        # Speeds are averaged as times are: the mean of the reciprocals.
        means["tokens_per_second"] = sum(f["tokens"] for f in window) / sum(f["seconds"] for f in window)
        means["lr"] = window[-1]["lr"]
        means["tokens"] = sum(f["tokens"] for f in window)
        del means["seconds"]
        return means

    def _write(self, progress: Progress, facts: Mapping[str, Any]) -> None:
        row = {"step": progress.step, "epoch": progress.epoch, "seconds": round(progress.seconds, 2)}
        row |= {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in facts.items()}
        with open(self.path, "a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(row) + "\n")
        if self.curves is not None:
            self.curves.write(row)

    def close(self) -> None:
        if self.curves is not None:
            self.curves.close()


class Terminal:
    """A moving line on a terminal, a plain line every so many steps elsewhere, and a line for each validation. `counted`
    is what a batch's `target_tokens` are: tokens, pictures."""

    def __init__(self, console: Console, spent: Callable[[], float], every: int = 100, counted: str = "tokens") -> None:
        self.console, self.spent, self.every, self.counted = console, spent, every, counted
        self._bar: Bar | None = None
        self._task: Any = None
        self._speed = 0.0
        self._loss = 0.0

    def step(self, progress: Progress, facts: Mapping[str, float]) -> None:
        speed = facts["tokens"] / max(facts["seconds"], 1e-9)
        self._speed = speed if progress.step == 1 or not self._speed else 0.95 * self._speed + 0.05 * speed
        self._loss = facts["loss"] if not self._loss else 0.95 * self._loss + 0.05 * facts["loss"]
        said = f"step {progress.step}  loss {self._loss:.3f}  {self._speed:,.0f} {self.counted}/s"
        if self.console.is_terminal:
            self._moving().update(self._task, completed=1000 * self.spent(), description=said)
        elif progress.step % self.every == 0:
            left = _left(progress.seconds, self.spent())
            self.console.print(
                f"{said}  epoch {progress.epoch + 1}  {_clock(progress.seconds)} gone{left}", highlight=False
            )

    def validated(self, progress: Progress, facts: Mapping[str, float], best: bool) -> None:
        shown = "  ".join(f"{name.removeprefix('valid_')} {value:.4g}" for name, value in facts.items())
        mark = "  ← best so far" if best else ""
        self.console.print(
            f"step {progress.step}, epoch {progress.epoch + 1}, {_clock(progress.seconds)}: {shown}{mark}",
            highlight=False,
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _moving(self) -> Bar:
        if self._bar is None:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=1000)
            self._bar.start()
        return self._bar


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _left(seconds: float, spent: float) -> str:
    return f", about {_clock(seconds / spent - seconds)} left" if spent > 0.002 else ""


class Several:
    """Tells all of them."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = observers

    def step(self, progress: Progress, facts: Mapping[str, float]) -> None:
        for observer in self.observers:
            observer.step(progress, facts)

    def validated(self, progress: Progress, facts: Mapping[str, float], best: bool) -> None:
        for observer in self.observers:
            observer.validated(progress, facts, best)
