"""`regard compress`, `decompress` and `denoise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.app import (
    DeviceOption,
    RunArgument,
    app,
    check_png,
    check_writable,
)


@app.command()
def compress(
    run: RunArgument,
    picture: Annotated[Path, typer.Argument(metavar="IN.png", help="PNG, JPEG or the like", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the small file to write", show_default=False)],
    levels: Annotated[
        int | None, typer.Option(min=2, help="of each number; fewer make the file smaller and the picture coarser")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """A picture as a small file, which only the same run can read, by a run of autoencoder."""
    from regard.run.autoencoder.model import PictureModel
    from regard.run.pictures import write_bytes

    check_writable(out, picture, example=f"{picture.stem}.rgpc")
    model = PictureModel.load(run, device)
    made = model.compress(model.read(picture), levels)
    write_bytes(out, made)
    print(f"wrote {out}: {len(made):,} bytes, and {picture} has {picture.stat().st_size:,}")


@app.command()
def decompress(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="IN", help="what compress wrote", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT.png", help="the picture to write", show_default=False)],
    device: DeviceOption = "auto",
) -> None:
    """The picture in a small file that compress wrote."""
    from regard.run.autoencoder.model import PictureModel
    from regard.run.pictures import png, read_bytes, write_bytes

    check_png(out, file)
    write_bytes(out, png(PictureModel.load(run, device).decompress(read_bytes(file), str(file))))
    print(f"wrote {out}")


@app.command()
def denoise(
    run: RunArgument,
    picture: Annotated[Path, typer.Argument(metavar="IN.png", help="PNG, JPEG or the like", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT.png", help="the picture to write", show_default=False)],
    device: DeviceOption = "auto",
) -> None:
    """A picture without its noise, by a run of autoencoder that was trained with data.noise."""
    from regard.run.autoencoder.model import PictureModel
    from regard.run.pictures import png, write_bytes

    check_png(out, picture)
    model = PictureModel.load(run, device)
    write_bytes(out, png(model.denoise(model.read(picture))))
    print(f"wrote {out}")
