"""`regard export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.app import RunArgument, app, check_unread


class To(StrEnum):
    onnx = "onnx"
    ctranslate2 = "ctranslate2"


@app.command()
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the folder to make", show_default=False)],
    to: Annotated[To, typer.Option("--to", help="the other program", show_default=False)],
) -> None:
    """Write a finished run of translation for another program, and check that it does the same.

    regard export runs/en-de --to ctranslate2 en-de-ct2

    onnx takes Transformers and recurrent models; ctranslate2 the Transformer of the paper.
    """
    from regard.run.exporting import export as exported

    check_unread(out, run)
    made = exported(run, to.value, out)
    print(f"wrote {out}: {', '.join(made.files)}, {made.size / 1e6:.1f} MB")
    print(f"what it holds probable differs from the run by {made.difference:.1g} at most")
