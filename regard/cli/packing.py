"""`regard pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.app import RunArgument, app, check_unread


@app.command()
def pack(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the folder to make", show_default=False)],
    full: Annotated[
        bool,
        typer.Option("--full", help="keep 32-bit weights, which take twice the room; an autoencoder's are always kept"),
    ] = False,
) -> None:
    """A small copy of a finished run, to mail or to serve: it predicts, and cannot be resumed."""
    from regard.run.packing import pack as packed

    check_unread(out, run)
    size = packed(run, out, half=not full)
    print(f"wrote {out}: {size / 1e6:.1f} MB")
