"""The font of pictures: the one that Pillow brings has hardly a letter beyond English."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.cells import cell_len

# Looked for by name where a system keeps its fonts. What is twice as wide, such as Chinese, others have.
NAMES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial Unicode.ttf",
    "Arial.ttf",
    "arial.ttf",
)
WIDE = (
    "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc",
    "Arial Unicode.ttf",
    "msgothic.ttc",
    "malgun.ttf",
    "Hiragino Sans GB.ttc",
)


def font_for(texts: Iterable[str], size: int = 16) -> Any:
    """A font of Pillow that has the letters of the texts, if one is installed; or else the one that Pillow brings."""
    return _font(any(cell_len(text) > len(text) for text in texts), size)


@lru_cache(maxsize=8)
def _font(wide: bool, size: int) -> Any:
    from PIL import ImageFont

    for place in _places(wide):
        try:
            return ImageFont.truetype(place, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _places(wide: bool) -> Iterator[str]:
    if wide:
        yield from WIDE
    # matplotlib, which most have beside Pillow, brings DejaVu; to look for it does not import it.
    plots = importlib.util.find_spec("matplotlib")
    if plots is not None and plots.origin is not None:
        yield str(Path(plots.origin).parent / "mpl-data" / "fonts" / "ttf" / NAMES[0])
    yield from NAMES
