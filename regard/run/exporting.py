"""`export`: a finished run for other programs, with all that they need beside the weights."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from regard.batch import BOS, EOS, SPECIAL_TOKENS
from regard.errors import UsageError
from regard.run.folder import RunFolder
from regard.run.translation.model import Model
from regard.training.checkpoint import Unwritable, write_text

Format = Literal["onnx", "ctranslate2"]
FORMAT = 1  # of regard.json


@dataclass(frozen=True)
class Exported:
    files: list[str]
    size: int  # bytes
    difference: float  # the largest between what the model and what the copy holds probable


def export(run: Path, to: Format, out: Path) -> Exported:
    """Writes a run that translates into the new folder `out`: the model in the other program's form, checked against
    the run, its tokenizers, and `regard.json`, which says how to use them.

    Raises:
        UsageError: `run` is no finished run of translation, `out` exists, or the other program has nothing like it.
        RegardError: what was written does something else than the model.
    """
    from regard.export.ctranslate2 import write_ctranslate2
    from regard.export.onnx import write_onnx

    if out.exists():
        raise UsageError(f"{out} exists: name a folder that does not")
    model = Model.load(run, "cpu")
    network, recipe = model.network.float(), model.recipe
    if network.lexical:
        means = "a hidden Markov model" if recipe.model.kind == "hidden-markov" else "a lexicon"
        raise UsageError(f"{run} aligns words by {means} and is not exported: give a run that translates")
    decoding, read = recipe.decoding, recipe.data.max_length
    said = math.ceil((decoding.max_length_ratio or 1.0) * read) + decoding.max_length_extra
    longest = max(read + 1, said)
    facts: dict[str, Any] = {"format": FORMAT, "to": to, "run": model.name}
    beside = out.with_name(out.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        tokenizers = (model.source_tokenizer, model.target_tokenizer)
        if to == "onnx":
            graphs = write_onnx(network, (tokenizers[0].size, tokenizers[1].size), beside, longest=longest)
            facts |= {"memory": graphs.memory, "state": graphs.state}
            difference = graphs.difference
        else:
            difference = write_ctranslate2(network, *tokenizers, beside, longest=longest)
        facts |= {
            "tokenizers": _tokenizers(RunFolder(run), bool(recipe.data.shared_vocabulary), beside),
            "special_tokens": list(SPECIAL_TOKENS),
            "begin": BOS,
            "end": EOS,
            "max_length": read,
            "decoding": decoding.model_dump(mode="json", exclude={"batch_tokens"}),
            "largest_difference": difference,
            "versions": {name: version(name) for name in ("regard", "torch", to)},
        }
        write_text(beside / "regard.json", json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
        os.replace(beside, out)
    except (OSError, Unwritable) as error:
        raise UsageError(f"{Unwritable(out, error).problem}: make room or choose another folder") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    paths = sorted(out.iterdir())
    return Exported([path.name for path in paths], sum(path.stat().st_size for path in paths), difference)


def _tokenizers(folder: RunFolder, shared: bool, out: Path) -> dict[str, str]:
    names = {}
    for side in ("source", "target"):
        path = folder.tokenizer(side, shared)
        shutil.copyfile(path, out / path.name)
        names[side] = path.name
    return names
