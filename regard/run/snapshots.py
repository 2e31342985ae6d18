"""The best model so far, and the last few, of which a mean can be made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from regard.run.folder import RunFolder
from regard.training.checkpoint import load_tensors, save_tensors
from regard.training.loop import Progress


class Snapshots:
    """Keeps `model.safetensors`, the best by validation, and the last `count` validated models beside it."""

    def __init__(self, folder: RunFolder, count: int) -> None:
        self.folder, self.count = folder, count

    def keep(self, parameters: Mapping[str, Tensor], progress: Progress, best: bool) -> None:
        if best:
            self.write_best(parameters)
        if self.count > 1:
            self.folder.snapshots.mkdir(exist_ok=True)
            save_tensors(self.folder.snapshots / f"{progress.step:09}.safetensors", parameters)
            for old in self._files()[: -self.count]:
                old.unlink()

    def write_best(self, parameters: Mapping[str, Tensor]) -> None:
        save_tensors(self.folder.weights, parameters, {"format": "regard 1"})

    def best(self) -> dict[str, Tensor]:
        return load_tensors(self.folder.weights)

    def average(self) -> dict[str, Tensor] | None:
        """The mean of the last ones; None where there is only one."""
        files = self._files()
        if len(files) < 2:
            return None
        total = {name: t.double() for name, t in load_tensors(files[0]).items()}
        for file in files[1:]:
            for name, tensor in load_tensors(file).items():
                total[name] += tensor.double()
        return {name: (t / len(files)).to(torch.float32) for name, t in total.items()}

    def forget_after(self, step: int) -> None:
        """Takes back what was kept after the state that a training goes on from."""
        for file in self._files():
            if int(file.stem) > step:
                file.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.folder.snapshots.glob("*.safetensors"))
