"""Attention in a terminal: a row for each target word, a column for each source word.

Widths are counted in terminal cells, so columns stay straight with Chinese, emoji and combining marks. Shades are
drawn in one colour over whatever background the terminal has, so that they read alike on dark and on light ones.
"""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from rich.cells import cell_len, split_graphemes

from regard.errors import UsageError
from regard.view.attention_map import AttentionMap

SHADES = ((0.05, "░"), (0.25, "▒"), (0.5, "▓"), (0.75, "█"))
_FINER = 5  # times, for a map whose rows are spread so widely that most would have no shade
_COLOURS = {"░": (92, 122, 178), "▒": (74, 124, 214), "▓": (52, 130, 240), "█": (38, 142, 255)}
# Most cells of a row's label, of a shortened header and of a narrow column; most lines of an upright header.
_LABEL, _SHORT, _NARROW, _UPRIGHT = 20, 8, 2, 12
_LEFT_TO_RIGHT_MARK = "\u200e"
# Controls, surrogates, line and paragraph separators; and what overrides, embeds or isolates a direction.
_OBEYED = ("Cc", "Cs", "Zl", "Zp")
_TURNING = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def draw(
    map: AttentionMap,
    *,
    width: int | None = None,
    color: bool = False,
    layer: int | None = None,
    head: int | None = None,
    words: bool = True,
) -> str:
    """The map as lines of text, none wider than `width` cells (None: the terminal's), with a legend of shades. They stand for
    smaller weights where most rows would have none, as the mean of many heads has over a long sentence.

    Averaged over layers and heads but for the one chosen (from 0). Source words stand above their columns; where
    they do not all fit side by side they stand upright, a character a line, and where that does not fit either the
    columns go on in a further block. A word too long for its place ends in "…".

    Raises:
        UsageError: a width below 40, a layer or head that is not there.
    """
    width = max(40, shutil.get_terminal_size((100, 24)).columns) if width is None else width
    if width < 40:
        raise UsageError(f"The width is {width} cells; a map needs at least 40.")
    weights = map.words(layer, head) if words else map.mean(layer, head)
    source = [visible(word) for word in (map.source_words if words else map.source)]
    target = [visible(word) for word in (map.target_words if words else map.target)]
    if not source or not target:
        return "There is nothing to draw: the source or the output is empty."
    labels = [cut(word, _LABEL) for word in target]
    margin = max(cell_len(label) for label in labels)
    widths, headers = _columns(source, width - margin - 1)
    drawn: list[str] = []
    finer = _finer(weights)
    for block in _blocks(widths, width - margin - 1):
        if drawn:
            drawn.append("")
        drawn += [(" " * (margin + 1) + "".join(line)).rstrip() for line in zip(*headers[block], strict=True)]
        for label, row in zip(labels, weights * finer, strict=True):
            cells = "".join(_cell(weight, size, color) for weight, size in zip(row[block], widths[block], strict=True))
            drawn.append(f"{' ' * (margin - cell_len(label))}{_isolated(label)} {cells.rstrip()}")
    return "\n".join([*drawn, "", _legend(width, color, finer)])


def lines(map: AttentionMap, *, layer: int | None = None, head: int | None = None) -> str:
    """For each target word the source word that it looks at most: `kocht ← cooking 0.91`, in straight columns."""
    weights = map.words(layer, head)
    pairs = [
        (cut(visible(map.target_words[t]), _LABEL), cut(visible(map.source_words[s]), _LABEL), weights[t, s])
        for s, t in map.alignment(layer, head)
    ]
    left = max((cell_len(target) for target, _, _ in pairs), default=0)
    right = max((cell_len(source) for _, source, _ in pairs), default=0)
    return "\n".join(
        f"{' ' * (left - cell_len(target))}{_isolated(target)} ← "
        f"{_isolated(source)}{' ' * (right - cell_len(source))} {weight:.2f}"
        for target, source, weight in pairs
    )


def shades_told(color: bool = False, finer: int = 1) -> list[str]:
    """What each shade stands for, an entry a shade."""
    told = [(f"{least / finer:.2f}" if finer <= _FINER else f"{least / finer:.3g}", shade) for least, shade in SHADES]
    return [f"· <{told[0][0]}", *(f"{_paint(shade, color)} ≥{least}" for least, shade in told)]


def _finer(weights: Float[np.ndarray, "T S"]) -> int:
    """How many times smaller weights have to be drawn until every second row that looks anywhere has a shade."""
    largest = weights.max(axis=1)
    typical = float(np.median(largest[largest > 0])) if (largest > 0).any() else 1.0
    finer = 1
    while typical * finer < SHADES[0][0]:
        finer *= _FINER
    return finer


def _legend(width: int, color: bool, finer: int) -> str:
    told = shades_told(color, finer)
    if finer <= _FINER:
        return ("  " if width >= 44 else " ").join(told)
    return "\n".join((" ".join(told[:3]), " ".join(told[3:])))  # numbers of more digits


def _blocks(widths: Sequence[int], room: int) -> list[slice]:
    """Runs of columns that fit side by side."""
    blocks, start, used = [], 0, 0
    for number, size in enumerate(widths):
        if number > start and used + size > room:
            blocks.append(slice(start, number))
            start, used = number, 0
        used += size
    return [*blocks, slice(start, len(widths))]


def _columns(source: Sequence[str], room: int) -> tuple[list[int], list[list[str]]]:
    """The cells of each column, and for each column its header, a line an entry, as wide as the column."""
    wide = [max(cell_len(word), _NARROW) + 1 for word in source]
    if sum(wide) <= room and max(wide) <= 2 * _LABEL:
        return wide, [[padded(word, size)] for word, size in zip(source, wide, strict=True)]
    if any(_joins(word) for word in source):
        # Letters that join lose their shape one below the other.
        short = [cut(word, _SHORT) for word in source]
        wide = [max(cell_len(word), _NARROW) + 1 for word in short]
        return wide, [[padded(word, size)] for word, size in zip(short, wide, strict=True)]
    upright = [_characters(word) for word in source]
    upright = [word if len(word) <= _UPRIGHT else [*word[: _UPRIGHT - 1], "…"] for word in upright]
    height = max(len(word) for word in upright)
    return [_NARROW] * len(source), [
        [" " * _NARROW] * (height - len(word)) + [padded(character, _NARROW) for character in word] for word in upright
    ]


def _cell(weight: float, size: int, color: bool) -> str:
    """A column's part of a row: shades with a gap after them, or none where columns are narrow."""
    shown = size if size == _NARROW else size - 1
    shade = next((shade for least, shade in reversed(SHADES) if weight >= least), None)
    if shade is None:
        return "·" + " " * (size - 1)
    return _paint(shade * shown, color) + " " * (size - shown)


def _paint(blocks: str, color: bool) -> str:
    if not color:
        return blocks
    red, green, blue = _COLOURS[blocks[0]]
    return f"\x1b[38;2;{red};{green};{blue}m{blocks}\x1b[0m"


def visible(word: str) -> str:
    """Without what a terminal would obey instead of print: escapes, line ends, and marks that turn the direction."""
    shown = "".join("\ufffd" if unicodedata.category(c) in _OBEYED or c in _TURNING else c for c in word)
    return shown if cell_len(shown) else "∅"


def _characters(word: str) -> list[str]:
    return [word[start:stop] for start, stop, _ in split_graphemes(word)[0]]


def cut(word: str, most: int) -> str:
    """At most so many cells, with "…" where something is missing; never through a character and its marks."""
    if cell_len(word) <= most:
        return word
    kept, used = "", 0
    for start, stop, size in split_graphemes(word)[0]:
        if used + size > most - 1:
            break
        kept, used = kept + word[start:stop], used + size
    return kept + "…"


def padded(word: str, size: int) -> str:
    return _isolated(word) + " " * (size - cell_len(word))


def _isolated(word: str) -> str:
    """Keeps neighbouring right-to-left words from changing places: a terminal orders the words of a line itself."""
    if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in word):
        return _LEFT_TO_RIGHT_MARK + word + _LEFT_TO_RIGHT_MARK
    return word


def _joins(word: str) -> bool:
    return any(unicodedata.bidirectional(c) in ("R", "AL") or unicodedata.category(c) == "Mc" for c in word)
