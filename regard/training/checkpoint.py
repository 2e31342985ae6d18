"""Saving so that nothing is lost: every file appears whole or not at all, and never as pickle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from regard.errors import RegardError, UsageError


class Unwritable(RegardError):
    """A file that cannot be written. Who knows more of what is lost says other things to do about the `problem`."""

    def __init__(self, path: Path, error: Exception) -> None:
        if isinstance(error, Unwritable):  # a file of a folder that is made beside `path`
            self.reason: str = error.reason
        else:
            self.reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.problem = f"{path} cannot be written ({self.reason})"
        super().__init__(f"{self.problem}: make room or name another file")


def write_text(path: Path, text: str) -> None:
    """UTF-8, with its ends of lines as they are, written as `write_bytes` writes."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes beside, then renames: a reader sees the old file or the new one, and a kill in between loses neither.

    A link stays, and what it leads to is written. A pipe or a device is no file to rename over: it takes the bytes.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise Unwritable(path, error) from error


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".part")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        _remove(beside)
        raise


def _remove(path: Path) -> None:
    with suppress(OSError):  # where nothing can be written, nothing can be removed, and why it failed is said already
        path.unlink()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, str] | None = None) -> None:
    """A safetensors file, written as `write_bytes` writes. Tensors that share memory are stored once each."""
    real = Path(os.path.realpath(path))
    beside = real.with_name(real.name + ".part")
    try:
        beside.touch()
        mode = beside.stat().st_mode  # what the umask gives; the library's own files are their owner's alone
        save_file(
            {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, beside, dict(note or {})
        )
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(beside, mode)
        os.replace(beside, real)
    except (OSError, SafetensorError) as error:
        _remove(beside)
        raise Unwritable(path, error) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path} is missing: the run was not finished or not copied whole") from error
    except (SafetensorError, OSError) as error:
        raise UsageError(
            f"{path} cannot be read as safetensors ({error}): it was cut off or is another file"
        ) from error


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and persistent buffer once, under the first of its names: tied weights are one tensor."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor.detach()
    return found


def load_parameters(model: nn.Module, tensors: Mapping[str, Tensor], origin: Path) -> None:
    """Copies tensors saved by `parameters_of` into a model of the same shape."""
    wanted = parameters_of(model)
    missing = sorted(wanted.keys() - tensors.keys())
    foreign = sorted(tensors.keys() - wanted.keys())
    if missing or foreign:
        what = f"lacks '{missing[0]}'" if missing else f"has '{foreign[0]}', which the recipe does not know"
        raise UsageError(f"{origin} does not belong to the recipe beside it: it {what}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            if tensor.shape != tensors[name].shape:
                raise UsageError(
                    f"{origin} does not belong to the recipe beside it: '{name}' is "
                    f"{list(tensors[name].shape)} there and {list(tensor.shape)} by the recipe"
                )
            tensor.copy_(tensors[name])


def save_state(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """A resumable state as a folder of two files. The folder is exchanged whole."""
    beside, old = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".old")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        save_tensors(beside / "tensors.safetensors", tensors)
        write_text(beside / "facts.json", json.dumps(dict(facts), indent=1) + "\n")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            os.replace(folder, old)
        os.replace(beside, folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, Unwritable) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise Unwritable(folder, error) from error


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_state` wrote. A kill between its two renames leaves the older state, which is as good."""
    if not folder.exists():
        folder = folder.with_name(folder.name + ".old")
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no state to resume from: train without --resume") from error
    return load_tensors(folder / "tensors.safetensors"), facts


def has_state(folder: Path) -> bool:
    return any((f / "facts.json").exists() for f in (folder, folder.with_name(folder.name + ".old")))
