"""What is small enough to come with the package: CMUdict, English spelling → pronunciation, and a model from English to
French.

The notice that goes with the dictionary is `CMUDICT-LICENSE` in this folder; `README.md` there gives format and counts,
and says what the model was trained on.
"""

from __future__ import annotations

import gzip
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Literal

from regard.errors import RegardError, UsageError


def pronunciations(split: Literal["train", "dev"]) -> list[tuple[str, list[str]]]:
    """The words of one side of the split, each with all its pronunciations, in the dictionary's order.

    A pronunciation is ARPAbet phones without stress between single spaces: `("read", ["R EH D", "R IY D"])`. No
    word is on both sides.

    Raises:
        UsageError: `split` is neither "train" nor "dev".
        RegardError: the installed file is missing or damaged.
    """
    if split not in ("train", "dev"):
        raise UsageError(f'the embedded dictionary has the splits "train" and "dev", not {split!r}')
    found: dict[str, list[str]] = {}
    try:
        text = gzip.decompress(files(__name__).joinpath("cmudict.tsv.gz").read_bytes()).decode("utf-8")
        for line in text.removesuffix("\n").split("\n"):
            side, word, phones = line.split("\t")
            if side == split:
                found.setdefault(word, []).append(phones)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise RegardError(
            f"regard/embedded/cmudict.tsv.gz cannot be read ({error}): install Regard again, its files are damaged"
        ) from error
    return list(found.items())


def english_french() -> Path:
    """The folder of a run that translates from English to French.

    Raises:
        RegardError: it is not there.
    """
    folder = Path(str(files(__name__).joinpath("english-french")))
    if not (folder / "model.safetensors").is_file():
        raise RegardError(f"{folder} holds no model: install Regard again, its files are damaged")
    return folder
