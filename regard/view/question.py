"""The answer to a question about a picture and what it came from: as PNG, as one HTML file, in a terminal. Nothing here
computes attention."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from regard.data.images import pillow
from regard.view.attention_map import AttentionMap
from regard.view.lettering import font_for
from regard.view.picture import PictureMap, document, draw_picture, escaped, save_png, section, sheet, shortened
from regard.view.terminal import draw, visible

_ROW, _LABEL, _BAR, _NUMBER, _EDGE = 24, 150, 200, 76, 12  # pixels of a table of bars
_INK, _SOFT, _COLOUR = "black", "#555", "#3a7ad9"


@dataclass(frozen=True, eq=False)
class QuestionView:
    """`answers` are the likeliest ones with their probabilities. `looks` says what each place of the picture gave to
    the answer, and `words` what each word of the question gave, once for each look; a side that the model does not see
    has zeros. `each`, where the model has it, says of each word of the question what it and the places saw of each
    other, which `how` tells in a sentence."""

    question: str
    answers: list[tuple[str, float]]
    looks: PictureMap
    words: AttentionMap
    each: PictureMap | None = None
    how: str = ""

    @property
    def headline(self) -> str:
        return f"{self.question} – {self.answers[0][0]}"

    @property
    def sees_picture(self) -> bool:
        return bool(self.looks.weights.any())

    @property
    def shares(self) -> Float[np.ndarray, "L T"] | None:
        """What each word gave in each look; None where the question is not read."""
        found = self.words.words()
        return found if found.any() else None

    @property
    def tiles(self) -> PictureMap:
        """The picture with the looks at it, none for a model that sees none."""
        if self.sees_picture:
            return self.looks
        return PictureMap(self.looks.picture, [], self.looks.weights[:0])


# --- terminal ---------------------------------------------------------------------------------------------------


def draw_question(view: QuestionView, *, width: int, color: bool) -> str:
    """The answers, the picture as each look saw it, what each word gave, and the picture as each word has it."""
    rows = [f"{share:6.1%}  {visible(answer)}" for answer, share in view.answers]
    wide = max(24, width)
    if view.sees_picture:
        rows += ["", draw_picture(view.looks, width=wide, color=color)]
    if view.shares is not None:
        rows += ["", draw(view.words, width=max(40, width), color=color)]
    if view.each is not None:
        rows += ["", f"{view.how}:", draw_picture(view.each, width=wide, color=color)]
    return "\n".join(rows)


# --- page -------------------------------------------------------------------------------------------------------

_STYLE = """.bars { border-collapse: collapse; margin: 0 2.5rem 2.5rem 0; display: inline-table; vertical-align: top; }
.bars caption { text-align: left; font-weight: 600; padding: 0 0 .5rem; white-space: nowrap; }
.bars th { font-weight: 400; text-align: right; padding: .1rem .7rem .1rem 0; min-width: 4rem; max-width: 16rem; overflow-wrap: break-word; }
.bars thead th { text-align: left; color: GrayText; font-size: .85rem; }
.bars td { padding: .1rem 1rem .1rem 0; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bars i { display: inline-block; height: .7rem; margin-right: .5rem; background: #3a7ad9; border-radius: .1rem; }
.told { color: GrayText; }
"""


def question_page(view: QuestionView, title: str) -> str:
    """One HTML file in ASCII that asks the network for nothing and holds no script: the answers, the picture with the
    looks at it to choose from, what each word of the question gave, and the picture as each word has it."""
    answers = _table("Answers", [""], [(name, [share]) for name, share in view.answers])
    styles, looks = section(0, view.headline, view.tiles)
    parts = [looks]
    if not view.sees_picture:
        parts.append('<p class="told">This model does not look at the picture.</p>\n')
    parts.append(answers)
    shares = view.shares
    if shares is None:
        parts.append('<p class="told">This model does not read the question.</p>\n')
    else:
        names = view.words.target_words if len(shares) > 1 else [""]
        rows = list(zip(view.words.source_words, shares.T.tolist(), strict=True))
        parts.append(_table("What each word gave to the answer", names, rows))
    if view.each is not None:
        more, each = section(1, view.how, view.each)
        styles, parts = styles + more, [*parts, each]
    return document(title, _STYLE + styles, "".join(parts))


def _table(caption: str, columns: list[str], rows: list[tuple[str, list[float]]]) -> str:
    """Names with a bar for each of their shares."""
    head = "".join(f"<th>{escaped(name)}</th>" for name in columns)
    lines = []
    for name, shares in rows:
        bars = "".join(f'<td><i style="width: {9 * share:.3f}rem"></i>{share:.1%}</td>' for share in shares)
        lines.append(f"<tr><th>{escaped(name)}</th>{bars}</tr>\n")
    named = f"<thead><tr><th></th>{head}</tr></thead>\n" if any(columns) else ""
    return f'<table class="bars"><caption>{escaped(caption)}</caption>\n{named}{"".join(lines)}</table>\n'


# --- PNG --------------------------------------------------------------------------------------------------------


def save_question(view: QuestionView, path: Path | str) -> None:
    """What `question_page` shows, as PNG. UsageError for a path that cannot be written."""
    from PIL import ImageDraw

    shares = view.shares
    tables = [("Answers", [(name, [share]) for name, share in view.answers])]
    if shares is not None:
        names = "" if len(shares) == 1 else f" ({', '.join(view.words.target_words)})"
        rows = list(zip(view.words.source_words, shares.T.tolist(), strict=True))
        tables.append((f"What each word gave to the answer{names}", rows))
    top, below = sheet(view.tiles), None if view.each is None else sheet(view.each)
    looks = 1 if shares is None else len(shares)
    wide = max(top.width, below.width if below else 0, 2 * _EDGE + _LABEL + looks * (_BAR + _NUMBER), 560)
    tall = 2 * _ROW + top.height + sum((len(rows) + 2) * _ROW for _, rows in tables)
    tall += 0 if below is None else 2 * _ROW + below.height
    made = pillow().new("RGB", (wide, tall), "white")
    pen, font = ImageDraw.Draw(made), font_for([view.question, *(name for name, _ in view.answers)])
    headline = f"{view.question} - {view.answers[0][0]}"
    pen.text((_EDGE, _EDGE), shortened(visible(headline), wide - 2 * _EDGE, pen, font), _INK, font)
    place = 2 * _ROW
    made.paste(top, (0, place))
    place += top.height
    for title, rows in tables:
        pen.text((_EDGE, place), shortened(title, wide - 2 * _EDGE, pen, font), _SOFT, font)
        _bars(pen, font, place + _ROW, rows)
        place += (len(rows) + 2) * _ROW
    if below is not None:
        pen.text((_EDGE, place), shortened(view.how, wide - 2 * _EDGE, pen, font), _SOFT, font)
        made.paste(below, (0, place + _ROW))
    save_png(made, path)


def _bars(pen: Any, font: Any, top: int, rows: list[tuple[str, list[float]]]) -> None:
    for number, (name, shares) in enumerate(rows):
        y = top + number * _ROW
        label = shortened(visible(name), _LABEL - 12, pen, font)
        pen.text((_EDGE + _LABEL - 12 - pen.textlength(label, font), y), label, _INK, font)
        for look, share in enumerate(shares):
            left = _EDGE + _LABEL + look * (_BAR + _NUMBER)
            long = round((_BAR - 1) * min(1.0, share))
            if long:
                pen.rectangle((left, y + 4, left + long, y + _ROW - 8), fill=_COLOUR)
            pen.text((left + long + 8, y), f"{share:.1%}", _INK, font)
