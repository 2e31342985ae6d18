"""A picture, what an autoencoder makes of it, and what lies between: in a terminal, as PNG, as one HTML file."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from regard.data.images import pillow
from regard.view.lettering import font_for
from regard.view.picture import blocks, data_uri, document, escaped, save_png, shades, shortened, text_lines, tiled
from regard.view.terminal import visible

CODES = "Each code goes from its least number, black, to its greatest, white."
_CELLS = 28  # columns of a picture in a terminal
_TILE, _GAP, _TEXT, _HEAD = 224, 12, 26, 40  # pixels
_STYLE = """section.panels { display: flex; flex-wrap: wrap; gap: 1rem; }
.panels h2, .panels .means { flex-basis: 100%; margin: 0; }
figure { margin: 0; max-width: 14rem; }
figure img { display: block; width: 14rem; border-radius: .25rem; image-rendering: pixelated; }
"""


@dataclass(frozen=True, eq=False)
class RestoredPicture:
    """`panels` are pictures by name, `[H, W, C]` in 8 bits, C being 3 or 1, each of a size of its own; `headline` says how
    near the restored one is."""

    headline: str
    panels: Sequence[tuple[str, UInt8[np.ndarray, "H W C"]]]


def draw_restored(view: RestoredPicture, *, width: int, color: bool) -> str:
    """The headline and the panels side by side, two points a character cell; without colour in shades, white the darkest
    one."""
    tiles = []
    for name, pixels in view.panels:
        lines = text_lines(pixels.shape[0], pixels.shape[1], _CELLS)
        grey = _sized(pixels, lines, _CELLS).mean(axis=-1) / 255
        tiles.append((name, blocks(_sized(pixels, 2 * lines, _CELLS)) if color else shades(grey)))
    most = max(len(drawn) for _, drawn in tiles)
    level = [(name, [*drawn, *[" " * _CELLS] * (most - len(drawn))]) for name, drawn in tiles]
    width = max(_CELLS, width)
    told = textwrap.wrap(CODES if color else f"From · black to █ white. {CODES}", width)
    return "\n".join([visible(view.headline), "", *tiled(level, width, _CELLS), *told])


def save_restored(view: RestoredPicture, path: Path | str) -> None:
    """The headline over the panels, as PNG. UsageError for a path that cannot be written."""
    from PIL import ImageDraw

    tiles = [(name, _fitted(pixels)) for name, pixels in view.panels]
    wide = _GAP + sum(tile.shape[1] + _GAP for _, tile in tiles)
    high = _HEAD + _TEXT + max(tile.shape[0] for _, tile in tiles) + _GAP
    made = pillow().new("RGB", (wide, high), "white")
    pen, font = ImageDraw.Draw(made), font_for([view.headline])
    pen.text((_GAP, _GAP), shortened(visible(view.headline), wide - 2 * _GAP, pen, font), "black", font)
    left = _GAP
    for name, tile in tiles:
        pen.text((left, _HEAD), shortened(name, tile.shape[1], pen, font), "black", font)
        made.paste(pillow().fromarray(tile), (left, _HEAD + _TEXT))
        left += tile.shape[1] + _GAP
    save_png(made, path)


def restored_page(view: RestoredPicture, title: str) -> str:
    """One HTML file in ASCII that asks the network for nothing and holds no script."""
    figures = "".join(
        f'<figure><img alt="{escaped(name)}" src="{data_uri(_three(pixels))[4:-1]}"><figcaption>{escaped(name)}</figcaption>'
        "</figure>\n"
        for name, pixels in view.panels
    )
    return document(
        title,
        _STYLE,
        f'<section class="panels">\n<h2>{escaped(view.headline)}</h2>\n{figures}<p class="means">{CODES}</p>\n</section>\n',
    )


def _three(pixels: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W 3"]:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _sized(pixels: UInt8[np.ndarray, "H W C"], height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    library = pillow()
    return np.asarray(library.fromarray(_three(pixels)).resize((width, height), library.Resampling.BOX))


def _fitted(pixels: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "h w 3"]:
    """With sides of a tile at most; small pictures are enlarged point by point, so that nothing is made smooth."""
    height, width = pixels.shape[:2]
    scale = _TILE / max(height, width)
    library = pillow()
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = library.Resampling.NEAREST if scale > 1 else library.Resampling.BOX
    return np.asarray(library.fromarray(_three(pixels)).resize(size, how))
