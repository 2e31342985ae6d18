"""`pack`: a finished run made small, to mail or to put into a program. It predicts, and cannot be resumed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch

from regard.config import write_toml
from regard.config.recipe import VECTORS
from regard.errors import UsageError
from regard.run.folder import RunFolder
from regard.run.weights import check_weights
from regard.training.checkpoint import Unwritable, load_tensors, save_tensors, write_text

# What the paths of a machine would tell, and what training alone needs.
OWN = ("source", "target", "data", "valid_source", "valid_target", "valid_data", "alignment")
# Of the model: their names say what it was made from.
BEGUN_WITH = ("pretrained", "weights", "vectors", *VECTORS)
# A file that an autoencoder made small can be read with the very same weights alone.
EXACT = ("autoencoder",)


def pack(run: Path, out: Path, *, half: bool = True) -> int:
    """Writes the run's recipe without the names of its files, its tokenizers, its scores and its weights, with `half`
    as 16-bit floating-point numbers (an autoencoder's never), into the new folder `out`. Returns how many bytes that is.

    Raises:
        UsageError: `run` is no finished run, or `out` exists.
    """
    folder = RunFolder(run)
    recipe = folder.read_recipe()
    check_weights(folder)
    if out.exists():
        raise UsageError(f"{out} exists: name a folder that does not")
    tensors = load_tensors(folder.weights)
    if half and recipe.task not in EXACT:
        tensors = {name: _half(name, tensor, folder.weights) for name, tensor in tensors.items()}
    tree = recipe.model_dump(mode="json")
    for key in OWN:
        if key in tree.get("data", {}):
            tree["data"][key] = None
    for key in BEGUN_WITH:
        if tree.get("model", {}).get(key):
            tree["model"][key] = Path(tree["model"][key]).name
    beside = out.with_name(out.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        write_text(beside / folder.recipe.name, write_toml(tree))
        for path in sorted(folder.path.glob("*.json")):  # tokenizers, classes, scaling, and the report
            write_text(beside / path.name, json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False))
        save_tensors(beside / folder.weights.name, tensors)
        for path in beside.iterdir():
            path.chmod(0o644)  # it is made to be given away
        os.replace(beside, out)
    except (OSError, Unwritable) as error:
        raise UsageError(f"{Unwritable(out, error).problem}: make room or choose another folder") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return sum(path.stat().st_size for path in out.iterdir())


def _half(name: str, tensor: torch.Tensor, path: Path) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    small = tensor.half()
    if not small.isfinite().all():
        raise UsageError(f"'{name}' in {path} has numbers that 16 bits cannot hold: pack it with --full")
    return small
