"""What `regard predict` and `show` say of pictures: captions, and where each word looked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regard.cli.app import check_writable
from regard.cli.printing import coloured, console, row_of, say_best, say_left_out, say_notes

ON_A_PAGE = 100  # pictures at most, which stand inside the page


def say_captions(
    model: Any, pictures: Iterator[str], how: Any, prefix: str | None, jsonl: bool, page: Path | None
) -> None:
    """A caption for each picture of a list."""
    from regard.training.checkpoint import write_text
    from regard.view.picture import picture_page

    look = jsonl or page is not None
    shown: list[Any] = []
    number = 0
    said = model.predict_stream(_kept(pictures, page), search=how, prefix=prefix, attention=look)
    for number, caption in enumerate(said, start=1):
        say_notes(caption.notes, number)
        print(row_of(caption) if jsonl else caption.text, flush=False)
        if page is not None and caption.attention is not None and len(shown) < ON_A_PAGE:
            shown.append((caption.text, caption.attention.map()))
    sys.stdout.flush()
    if page is not None:
        write_text(page, picture_page(shown, model.name))
        say_left_out(page, len(shown), number, "pictures")


def _kept(pictures: Iterator[str], page: Path | None) -> Iterator[str]:
    """The pictures of a list, of which none is written over."""
    for picture in pictures:
        if page is not None:
            check_writable(page, picture)
        yield picture


def show_caption(
    model: Any, picture: str, beam: int | None, html: Path | None, png: Path | None, layer: int | None, head: int | None
) -> None:
    """What a picture shows, and where each word looked."""
    from regard.training.checkpoint import write_text
    from regard.view.picture import draw_picture, picture_page, save_sheet

    [caption] = model.predict([picture], beam, attention=True)
    seen = caption.attention.map(layer, head)
    screen = console()
    say_best(screen, caption)
    print(draw_picture(seen, width=max(24, screen.width), color=coloured(screen)))
    if png is not None:
        save_sheet(seen, png)
        print(f"wrote {png}")
    if html is not None:
        write_text(html, picture_page([(caption.text, seen)], model.name))
        print(f"wrote {html}")
