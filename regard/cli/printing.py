"""What commands print in the same way: reports, rows of JSON, notes, an output with how probable it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console


def console() -> Console:
    """Standard output as lines are drawn for it: none is broken, and what looks like markup is text."""
    return Console(soft_wrap=True, markup=False)


def coloured(screen: Console) -> bool:
    """Whether pictures may have colours: on a terminal, unless the variable NO_COLOR asks for none (no-color.org)."""
    return screen.is_terminal and not screen.no_color


def say_report(report: Any, as_json: bool, file: TextIO | None = None) -> None:
    """A report, as people read it or as JSON."""
    print(json.dumps(report.to_json(), ensure_ascii=False, indent=1) if as_json else str(report), file=file)


def row_of(said: Any) -> str:
    """A prediction as a line of JSON."""
    return json.dumps(said.to_json(), ensure_ascii=False)


def say_notes(notes: Sequence[str], number: int | None = None) -> None:
    """What about an input deserves a word; with its number where there are several."""
    for note in notes:
        print(note if number is None else f"line {number}: {note}", file=sys.stderr)


def say_best(where: Console, said: Any) -> None:
    """An output and its log-probability."""
    where.print(said.text, style="bold", highlight=False, markup=False)
    where.print(f"log-probability {said.score:.2f}", style="dim", highlight=False)


def say_left_out(page: Any, shown: int, number: int, what: str) -> None:
    """That a page shows fewer than there are."""
    if shown < number:
        print(f"{page} shows {shown} of the {number} {what}", file=sys.stderr)
