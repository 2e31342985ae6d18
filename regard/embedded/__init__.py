"""Data small enough to come with the package: CMUdict, English spelling → pronunciation.

The notice that goes with it is `CMUDICT-LICENSE` in this folder; `README.md` there gives format and counts.
"""

from __future__ import annotations

import gzip
import zlib
from importlib.resources import files
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
