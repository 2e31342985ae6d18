"""The class of a picture and where it was looked at: as PNG, as one HTML file, in a terminal. Nothing here computes
attention."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regard.data.images import pillow
from regard.view.lettering import font_for
from regard.view.picture import PictureMap, document, draw_picture, save_png, section, sheet, shortened
from regard.view.terminal import visible

_EDGE, _ROW, _WIDTH = 12, 24, 420  # pixels


@dataclass(frozen=True, eq=False)
class ClassifiedPicture:
    """`top` are the likeliest classes with their probabilities, `looks` what each place of the picture gave to each look
    of the model."""

    top: list[tuple[str, float]]
    looks: PictureMap

    @property
    def headline(self) -> str:
        return ", ".join(f"{visible(label)} {share:.1%}" for label, share in self.top)


def draw_classified(view: ClassifiedPicture, *, width: int, color: bool) -> str:
    """The classes, and the picture as each look saw it."""
    rows = [f"{share:6.1%}  {visible(label)}" for label, share in view.top]
    return "\n".join([*rows, "", draw_picture(view.looks, width=max(24, width), color=color)])


def classified_page(picture: str, view: ClassifiedPicture, title: str) -> str:
    """One HTML file in ASCII that asks the network for nothing and holds no script: the name of the picture, its
    classes, and the looks at it to choose from."""
    return document(title, *section(0, f"{picture} – {view.headline}", view.looks))


def save_classified(view: ClassifiedPicture, path: Path | str) -> None:
    """The classes, a line each, over the picture and its looks, as PNG. UsageError for a path that cannot be written."""
    from PIL import ImageDraw

    below = sheet(view.looks)
    wide, top = max(_WIDTH, below.width), 2 * _EDGE + _ROW * len(view.top)
    made = pillow().new("RGB", (wide, top + below.height), "white")
    pen, font = ImageDraw.Draw(made), font_for(label for label, _ in view.top)
    for number, (label, share) in enumerate(view.top):
        line = shortened(f"{share:.1%}  {visible(label)}", wide - 2 * _EDGE, pen, font)
        pen.text((_EDGE, _EDGE + number * _ROW), line, "black", font)
    made.paste(below, (0, top))
    save_png(made, path)
