"""Where a model looked in a picture at each word: as PNG, as one HTML file, in a terminal. Nothing here computes
attention.

What a word looks at is bright and the rest is dark: the brightness of a place is its weight, as a share of the
word's largest. So a word that looks everywhere alike leaves the picture as it is. On black no light would be seen, so
a picture that is mostly dark, such as a digit written in white, is drawn on grey.
"""

from __future__ import annotations

import base64
import html
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from rich.cells import cell_len

from regard.data.images import pillow
from regard.errors import UsageError
from regard.view.lettering import font_for
from regard.view.terminal import SHADES, cut, padded, shades_told, visible

DARK = 0.2  # what is left of the light where nothing is looked at
GREY = 96  # what black becomes in a picture of which half is darker than `_TOO_DARK`
_TOO_DARK = 40
_TILE, _GAP, _TEXT = 192, 12, 26  # pixels of a contact sheet
_CELLS = 24  # columns of a picture in a terminal
_MARKS = "·" + "".join(shade for _, shade in SHADES)


@dataclass(frozen=True, eq=False)
class PictureMap:
    """Attention of T words over the places of a picture.

    `picture` is `[H, W, C]` in 8 bits, C being 3 or 1; `weights` is `[T, rows, columns]`.

    Raises:
        UsageError: shapes or counts that do not fit together; weights that are negative or not finite.
    """

    picture: UInt8[np.ndarray, "H W C"]
    words: list[str]
    weights: Float[np.ndarray, "T rows columns"]

    def __post_init__(self) -> None:
        picture, weights = np.asarray(self.picture), np.asarray(self.weights, dtype=np.float32)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3) or not picture.size:
            raise UsageError(
                f"The picture is {picture.dtype} of shape {list(picture.shape)}; it must be uint8 [H, W, 3] or [H, W, 1]."
            )
        if weights.ndim != 3 or 0 in weights.shape[1:]:
            raise UsageError(f"The weights have shape {list(weights.shape)}; they must be [words, rows, columns].")
        if len(self.words) != len(weights):
            raise UsageError(f"There are {len(self.words)} words, but weights for {len(weights)}.")
        if not np.isfinite(weights).all() or (weights.size and weights.min() < -1e-6):
            raise UsageError("The weights hold negative numbers or numbers that are not finite; attention has neither.")
        object.__setattr__(self, "picture", np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture)
        object.__setattr__(self, "weights", weights.clip(0))
        object.__setattr__(self, "words", [str(word) for word in self.words])

    @classmethod
    def of(
        cls,
        picture: UInt8[np.ndarray, "H W C"],
        words: Sequence[str],
        weights: Float[np.ndarray, "L H T S"],
        grid: tuple[int, int],
    ) -> PictureMap:
        """From the weights of every layer and head over S = rows · columns places: their mean."""
        weights = np.asarray(weights, dtype=np.float32)
        if weights.ndim != 4 or weights.shape[3] != grid[0] * grid[1]:
            raise UsageError(
                f"The weights have shape {list(weights.shape)}; a grid of {grid[0]}×{grid[1]} needs [layers, heads, T, "
                f"{grid[0] * grid[1]}]."
            )
        mean = weights.mean(axis=(0, 1))
        return cls(picture, list(words), mean.reshape(len(mean), *grid))

    def light(self, word: int, height: int, width: int, smooth: bool = True) -> Float[np.ndarray, "height width"]:
        """How bright each point is, from 0 to 1: the weights smoothly enlarged, or each as it is, their largest made 1."""
        library = pillow()
        weights = self.weights[word]
        if not weights.max() > 0:
            return np.zeros((height, width), dtype=np.float32)
        image = library.fromarray(weights / weights.max())
        how = library.Resampling.BICUBIC if smooth else library.Resampling.NEAREST
        return np.asarray(image.resize((width, height), how)).clip(0, 1)

    @property
    def too_dark(self) -> bool:
        """Whether half of it is so dark that light on it would not be seen; never without a word, which is what gives light."""
        return bool(self.words) and float(np.median(self.picture.max(axis=2))) < _TOO_DARK

    def lit(self, word: int, height: int | None = None, width: int | None = None) -> UInt8[np.ndarray, "H W 3"]:
        """The picture as the word sees it, at its own size or another."""
        shown = self.sized(height, width)
        light = DARK + (1 - DARK) * self.light(word, *shown.shape[:2])
        return np.rint(shown * light[..., None]).astype(np.uint8)

    def sized(self, height: int | None = None, width: int | None = None) -> UInt8[np.ndarray, "H W 3"]:
        """The picture, on grey where it is too dark, at its own size or another."""
        shown = self.picture
        if self.too_dark:
            shown = np.rint(GREY + shown * ((255 - GREY) / 255)).astype(np.uint8)
        if height is None or width is None:
            return shown
        library = pillow()
        return np.asarray(library.fromarray(shown).resize((width, height), library.Resampling.BICUBIC))

    def place(self, word: int) -> tuple[int, int]:
        """Row and column, from 0, of the place that the word looks at most."""
        row, column = divmod(int(self.weights[word].argmax()), self.weights.shape[2])
        return row, column


def save_sheet(map: PictureMap, path: Path | str, *, columns: int = 5) -> None:
    """A PNG: the picture, and then for each word the picture as that word sees it.

    Raises:
        UsageError: no columns; a path that cannot be written.
    """
    save_png(sheet(map, columns=columns), path)


def sheet(map: PictureMap, *, columns: int = 5) -> Any:
    """What `save_sheet` saves, as an image of Pillow."""
    if columns < 1:
        raise UsageError(f"A sheet has at least 1 column, not {columns}.")
    from PIL import ImageDraw

    library = pillow()
    height, width = _scaled(map, _TILE)
    tiles = [("", map.sized(height, width)), *((word, map.lit(i, height, width)) for i, word in enumerate(map.words))]
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    step = (width + _GAP, height + _TEXT + _GAP)
    made = library.new("RGB", (columns * step[0] + _GAP, rows * step[1] + _GAP), "white")
    draw, font = ImageDraw.Draw(made), font_for(map.words)
    for number, (word, pixels) in enumerate(tiles):
        left = _GAP + number % columns * step[0]
        top = _GAP + number // columns * step[1]
        draw.text((left, top), shortened(visible(word), width, draw, font) if word else "", "black", font)
        made.paste(library.fromarray(pixels), (left, top + _TEXT))
    return made


def save_png(image: Any, path: Path | str) -> None:
    """UsageError for a path that cannot be written."""
    try:
        image.save(path, format="PNG")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


def shortened(word: str, width: int, draw: Any, font: Any) -> str:
    """As much of a word as `width` pixels hold."""
    if draw.textlength(word, font) <= width:
        return word
    while word and draw.textlength(word + "…", font) > width:
        word = word[:-1]
    return word + "…"


def _scaled(map: PictureMap, most: int) -> tuple[int, int]:
    height, width = map.picture.shape[:2]
    scale = most / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def draw_picture(map: PictureMap, *, width: int | None = None, color: bool = True, cells: int = _CELLS) -> str:
    """The picture and each word's view of it side by side, two points a character cell (▀), in lines of `width` cells.

    Without colour: for each word its weights in shades, a share of the word's largest. Below stands what brightness or
    shades mean, unless there is no word.

    Raises:
        UsageError: fewer than 8 cells for a picture, or a width that does not hold one.
    """
    width = max(cells, shutil.get_terminal_size((100, 24)).columns) if width is None else width
    if not 8 <= cells <= width:
        raise UsageError(f"A picture of {cells} cells in a width of {width}: give a picture 8 cells or more, and room.")
    high, wide = map.picture.shape[:2]
    lines = text_lines(high, wide, cells)
    tiles = [("", blocks(map.sized(2 * lines, cells)))] if color else []
    for number, word in enumerate(map.words):
        drawn = (
            blocks(map.lit(number, 2 * lines, cells))
            if color
            else shades(map.light(number, lines, cells, smooth=False))
        )
        tiles.append((word, drawn))
    shown = tiled(tiles, width, cells)
    return "\n".join([*shown, *_legend(width, color, map.too_dark)] if map.words else shown[:-1])


def text_lines(height: int, width: int, cells: int) -> int:
    """How many lines of text a picture takes that is so many cells wide: a cell is twice as high as it is wide."""
    return min(2 * cells, max(1, round(cells * height / width / 2)))


def tiled(tiles: Sequence[tuple[str, list[str]]], width: int, cells: int) -> list[str]:
    """Drawn pictures of `cells` columns side by side under their names, in rows that `width` holds, each with an empty line
    behind it."""
    across = max(1, (width + 2) // (cells + 2))
    shown = []
    for start in range(0, len(tiles), across):
        row = tiles[start : start + across]
        labels = [padded(cut(visible(word), cells) if word else "", cells) for word, _ in row]
        shown += ["  ".join(labels).rstrip(), *("  ".join(parts) for parts in zip(*(d for _, d in row), strict=True))]
        shown.append("")
    return shown


def _legend(width: int, color: bool, on_grey: bool) -> list[str]:
    """In lines of `width` cells. The numbers are shares: those of the maps of words, which draw weights, are none."""
    if color:
        told, even = ["Bright: looked at most, each map for itself;"], "as it is: everywhere alike"
        even += "; black is drawn grey" if on_grey else ""
    else:
        told, even = [*shades_told(), "of each map's largest;"], "one shade: everywhere alike"
    lines: list[str] = []
    # A shade stays with its number, words may part.
    for entry in [*told[:-1], *told[-1].split(), *even.split()]:
        gap = "  " if entry[0] in _MARKS else " "
        if lines and cell_len(lines[-1] + gap + entry) <= width:
            lines[-1] += gap + entry
        else:
            lines.append(entry)
    return lines


def blocks(pixels: UInt8[np.ndarray, "H W 3"]) -> list[str]:
    """Each cell shows two points: the upper in the colour of the character, the lower in that behind it."""
    return [
        "".join(
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀" for a, b in zip(upper, lower, strict=True)
        )
        + "\x1b[0m"
        for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True)
    ]


def shades(light: Float[np.ndarray, "H W"]) -> list[str]:
    """Shares from 0 to 1 as characters."""
    return [
        "".join(next((shade for least, shade in reversed(SHADES) if value >= least), "·") for value in row)
        for row in light.tolist()
    ]


def picture_page(maps: Sequence[tuple[str, PictureMap]], title: str) -> str:
    """One HTML file that asks the network for nothing and holds no script: for each (headline, map) the picture, and
    its words to choose from by mouse or arrow keys. In ASCII, so that no encoding can spoil it."""
    sections = [section(number, headline, map) for number, (headline, map) in enumerate(maps)]
    return document(title, "".join(style for style, _ in sections), "".join(body for _, body in sections))


def document(title: str, styles: str, body: str) -> str:
    """A page of sections."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)}</title>
<style>
{_STYLE}{styles}</style>
</head>
<body>
<h1>{escaped(title)}</h1>
{body}</body>
</html>
"""
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


_STYLE = """body { font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 64rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; font-weight: 600; margin: 0 0 .7rem; overflow-wrap: anywhere; }
section { display: grid; grid-template-columns: minmax(0, 24rem) minmax(0, 1fr); gap: 0 1.5rem; margin: 0 0 3rem; }
h2 { grid-column: 1 / -1; }
.seen { background-size: 100% 100%; background-blend-mode: multiply; background-image: var(--light), var(--picture);
  border-radius: .25rem; align-self: start; }
.words { display: grid; grid-template-columns: repeat(auto-fill, minmax(5.5rem, 1fr)); gap: .4rem; align-content: start;
  margin: 0; padding: 0; border: 0; }
.words label { cursor: pointer; padding: .2rem; border-radius: .4rem; border: 2px solid transparent; }
.words label:hover { border-color: rgb(128 128 128 / .6); }
.words label:has(:checked) { border-color: #268eff; }
.words label:has(:focus-visible) { outline: 2px solid #268eff; outline-offset: 2px; }
.words input { position: absolute; opacity: 0; pointer-events: none; }
.words span { display: block; overflow-wrap: anywhere; min-height: 1.45em; }
.means { grid-column: 1 / -1; margin: .7rem 0 0; font-size: .9rem; }
@media (max-width: 40rem) { section { grid-template-columns: 1fr; } .words { margin-top: .8rem; } }
"""


def section(number: int, headline: str, map: PictureMap) -> tuple[str, str]:
    """Styles and elements. Every view is the one picture, multiplied by a small picture of the word's light."""
    height, width = _scaled(map, max(96, min(384, max(map.picture.shape[:2]))))
    small = _scaled(map, 96)
    rows, columns = map.weights.shape[1:]
    name = f"p{number}"
    once = [f"--picture: {data_uri(map.sized(height, width))}"]
    styles = [f"#{name} .seen {{ aspect-ratio: {width} / {height}; }}\n#{name} > .seen {{ --light: var(--l0); }}\n"]
    labels = []
    for i, word in enumerate(["", *map.words]):
        light = np.ones(small) if i == 0 else DARK + (1 - DARK) * map.light(i - 1, *small)
        once.append(f"--l{i}: {data_uri(np.rint(255 * light).astype(np.uint8))}")
        styles.append(f"#{name} .w{i} {{ --light: var(--l{i}); }}\n")
        row, column = map.place(i - 1) if i else (0, 0)
        where = f"looks most at row {row + 1} of {rows}, column {column + 1} of {columns}" if i else "the picture"
        labels.append(
            f'<label class="w{i}"><input type="radio" name="{name}"{" checked" * (i == 0)}>'
            f'<div class="seen" role="img" aria-label="{where}"></div><span>{escaped(word)}</span></label>'
        )
    grey = ", and black is drawn grey" if map.too_dark else ""
    told = f'<p class="means">Bright is where it looked, each picture by its own largest weight{grey}.</p>\n'
    told = told if map.words else ""
    # The large view has the light of the word under the pointer, or else of the one that is chosen.
    for state in (" > :checked", ":hover"):
        for i in range(len(map.words) + 1):
            styles.append(f"#{name}:has(.w{i}{state}) > .seen {{ --light: var(--l{i}); }}\n")
    return f"#{name} {{ {'; '.join(once)}; }}\n" + "".join(styles), (
        f'<section id="{name}">\n<h2>{escaped(headline)}</h2>\n'
        f'<div class="seen" role="img" aria-label="{escaped(headline)}"></div>\n'
        f'<fieldset class="words" aria-label="Words">\n{"".join(labels)}\n</fieldset>\n{told}</section>\n'
    )


def data_uri(pixels: UInt8[np.ndarray, "H W ..."]) -> str:
    buffer = io.BytesIO()
    pillow().fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return f"url(data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')})"


def escaped(text: str) -> str:
    return html.escape("".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text))
