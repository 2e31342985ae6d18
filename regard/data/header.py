"""Whether the first line of a table is a header: names of its columns, and no pair.

Only a few names that hardly any pair consists of are believed. A line such as `en,de` may be a pair of a dictionary (`is`
is Spanish `es`), and one pair too many costs nothing where one too few is lost, so the doctor asks and nobody else acts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from regard.config.language_names import NAMES
from regard.config.languages import KNOWN
from regard.data.diagnosis import Finding

# What source and target are called in headers, the first pair of names that is there; in any order, among other columns.
SIDES = (("source", "target"), ("src", "tgt"), ("src", "trg"), ("input", "output"))
# What the sides are called too, but may be text.
LIKE_SIDES = (("question", "answer"), ("prompt", "completion"), ("word", "pronunciation"))
# The code of a language, maybe with its country or script: pt-br, zh_hans.
CODE = re.compile(r"([a-z]{2})([-_]([a-z]{2}|[a-z]{4}))*")
# Languages as English calls them, and some that it calls otherwise, too.
LANGUAGES = frozenset(name.lower() for name in NAMES.values()) | {
    "cantonese",
    "filipino",
    "mandarin",
    "slovene",
    "sorbian",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What the columns of the two sides are called, in lower case, and which ones they are, from 0."""

    names: tuple[str, str]
    places: tuple[int, int]


def header_of(cells: Sequence[str]) -> Header | None:
    """What the cells of a first line say of the columns; None where they are a pair."""
    found = [cell.strip().lower() for cell in cells]
    for names in SIDES:
        if set(names) <= set(found):
            return Header(names, (found.index(names[0]), found.index(names[1])))
    return None


def looks_like_header(source: str, target: str) -> bool:
    """Whether a first pair, which is taken for one, may be the languages or the names of its columns."""
    names = source.strip().lower(), target.strip().lower()
    languages = all(name in LANGUAGES for name in names) or all(_is_code(name) for name in names)
    return names[0] != names[1] and (languages or names in LIKE_SIDES or names[::-1] in LIKE_SIDES)


def _is_code(name: str) -> bool:
    match = CODE.fullmatch(name)
    return match is not None and match[1] in KNOWN


def believed(name: str, header: Header) -> Finding:
    """What the doctor says of a first line that is no pair."""
    source, target = (
        f"column {place + 1} ('{called}')" for place, called in zip(header.places, header.names, strict=True)
    )
    sentence = f"line 1 of {name} is a header and no pair: {source} is the source and {target} the target"
    if header.names != SIDES[0]:
        sentence += "; if it is a pair, write a line with source and target above it"
    return Finding("header", 1, [1], sentence)


def suspected(name: str, source: str, target: str) -> Finding:
    """What the doctor says of a first pair that looks like a header."""
    sentence = (
        f"line 1 of {name} looks like a header ('{source}' and '{target}') and is taken for a pair: if it names the "
        "columns, call the two that are to be read source and target there"
    )
    return Finding("header", 1, [1], sentence)
