"""A sentence on the command line: without its quotes, or where a file belongs."""

from __future__ import annotations

from pathlib import Path

from regard.errors import UsageError

EXTRA = "Got unexpected extra argument"
# What to write, by command, where words stand after what a command takes.
QUOTED = {
    "show": 'put quotes around the whole sentence, as in: regard show RUN "A man is cooking."',
    "embed": 'put quotes around the whole sentence, as in: regard embed RUN "an apple fell" --word apple',
}
PIPED = 'it reads a file or standard input, as in: echo "A man is cooking." | regard {command} RUN -'


def advice(command: str | None, problem: str) -> str | None:
    """What to do about words that a command does not take; None where nothing is known."""
    if not problem.startswith(EXTRA):
        return None
    return PIPED.format(command=command) if command in ("predict", "translate") else QUOTED.get(command or "")


def check_file(file: str, run: Path) -> None:
    """UsageError if a sentence stands where the file belongs that lines are read from."""
    if file == "-" or " " not in file.strip():
        return
    try:
        if Path(file).exists():
            return
    except (OSError, ValueError):  # too long for the name of a file, or with a zero character
        pass
    shown = file if len(file) <= 60 else file[:59] + "…"
    raise UsageError(
        f"there is no file '{shown}', and a sentence is not read from the command line: "
        f'regard show {run} "…" takes one, or write echo "…" | regard predict {run} -'
    )
