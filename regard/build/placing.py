"""Where a network lives: the CPU, or a GPU that this machine has."""

from __future__ import annotations

import re

import torch

from regard.errors import UsageError

CHOICES = "auto, cpu, cuda, cuda:N or mps"


def device(name: str) -> torch.device:
    """ "auto" takes a GPU where there is one. UsageError for what PyTorch does not have here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = re.fullmatch(r"cpu|mps|cuda(?::(\d{1,3}))?", name)
    if found is None:
        raise UsageError(f"there is no device '{name}': write {CHOICES}")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device 'mps' is not there, for PyTorch finds no Metal here: write cpu or auto")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device '{name}' is not there, for PyTorch finds no CUDA here: write cpu or auto")
    if found[1] is not None and int(found[1]) >= (many := torch.cuda.device_count()):
        last = f"cuda:{many - 1}" if many > 1 else "cuda"
        raise UsageError(
            f"device '{name}' is not there, for PyTorch finds {many} of CUDA, from cuda:0 on: write {last}"
        )
    return torch.device(name)
