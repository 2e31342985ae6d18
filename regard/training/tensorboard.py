"""The curves of a training for TensorBoard, which reads a folder of event files while it grows."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from regard.errors import UsageError

# Where a number stands among the curves: what is learned, how good it is on the validation set, and how fast it goes.
GROUPS = {"loss": "train/loss", "lr": "train/learning_rate", "gradient_norm": "train/gradient_norm"}
VALID = "valid_"


def check_tensorboard() -> None:
    """UsageError where it is not installed."""
    if find_spec("tensorboard") is None:
        raise UsageError("training.tensorboard needs one package more: pip install 'regard[tensorboard]'")


class TensorBoard:
    """Writes the rows of `metrics.jsonl` as scalars under a folder. Nothing is written before `resume_at`."""

    def __init__(self, folder: Path) -> None:
        check_tensorboard()
        self.folder = folder
        self._writer: Any = None

    def resume_at(self, step: int) -> None:
        """What an earlier try wrote after this step is not drawn."""
        from torch.utils.tensorboard import SummaryWriter  # a second of imports, for who asks

        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1 if step else None)

    def write(self, row: Mapping[str, Any]) -> None:
        """A row: `step`, and numbers by name, of which those of the validation begin with `valid_`."""
        for name, value in row.items():
            if name in ("step", "epoch", "seconds", "best"):
                continue
            tag = f"valid/{name.removeprefix(VALID)}" if name.startswith(VALID) else GROUPS.get(name, f"speed/{name}")
            self._writer.add_scalar(tag, value, row["step"])
        if any(name.startswith(VALID) for name in row):
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
