"""`regard train`, `doctor` and `demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.app import (
    DataOption,
    SourceOption,
    TargetOption,
    app,
    tree_of,
)
from regard.cli.printing import console, say_report
from regard.errors import UsageError


@app.command()
def train(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE.toml]", show_default=False)] = None,
    task: Annotated[
        str | None,
        typer.Option(help="what is learned; translation, or what the recipe says, if not given", show_default=False),
    ] = None,
    source: SourceOption = None,
    target: TargetOption = None,
    data: DataOption = None,
    valid_source: Annotated[Path | None, typer.Option(help="sources to validate on", show_default=False)] = None,
    valid_target: Annotated[Path | None, typer.Option(help="their targets", show_default=False)] = None,
    valid_data: Annotated[Path | None, typer.Option(help="validation pairs in one file", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(metavar="RUN", help="the folder to make", show_default=False)] = None,
    begin_with: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="begin with the weights, tokenizer and sizes of this run, as model.pretrained does",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="how long training may take", show_default=False)] = None,
    steps: Annotated[int | None, typer.Option(help="how many updates", show_default=False)] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="any key of a recipe, such as model.kind=recurrent"),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="go on with the run in --out: only its budget, device and tensorboard can change"
        ),
    ] = False,
) -> None:
    """Train on pairs of lines. Sizes, tokenizer and schedule follow from the corpus.

    regard train --source train.en --target train.de --out runs/en-de

    With --task on something else: classification, language-model, masked-language-model, visual-question, captioning,
    autoencoder, forecasting.

    regard train --task language-model --data text.txt --out runs/lm

    With --from on from a run that was trained before, to other pairs: of another field, or of related languages.

    regard train --from runs/en-de --source medicine.en --target medicine.de --out runs/medicine
    """
    from regard.run import train as run_training
    from regard.run.loading import examples

    given = {
        "source": source, "target": target, "data": data,
        "valid_source": valid_source, "valid_target": valid_target, "valid_data": valid_data,
    }  # fmt: skip
    named = {"task": task, "model.pretrained": None if begin_with is None else str(begin_with.resolve())}
    settings = [f"{key}={json.dumps(value)}" for key, value in named.items() if value is not None] + (set_ or [])
    tree, origin = tree_of(recipe, given, minutes, steps, settings, resume)
    if out is None:
        if recipe is None:
            raise UsageError("say where the run shall go: --out runs/NAME")
        out = Path("runs") / recipe.stem
    screen = console()
    run_training(tree, out, screen, origin=origin, resume=resume)
    screen.print("\n  ".join([f"\nThe run is in {out}. Try it:", *examples(out)]), highlight=False)


@app.command()
def doctor(
    source: SourceOption = None,
    target: TargetOption = None,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What is wrong with a corpus, line by line. Exit status 1 where training would be wrong."""
    from regard.run import diagnose

    diagnosis = diagnose(source, target, data)
    say_report(diagnosis, as_json)
    if diagnosis.fatal:
        raise typer.Exit(1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="RUN", help="the folder to make")] = Path("runs/demo"),
    minutes: Annotated[float, typer.Option(help="how long training may take")] = 2.5,
    again: Annotated[bool, typer.Option("--again", help="train anew if the folder is there")] = False,
) -> None:
    """Learn English pronunciation from the data that comes with the package, and look at it."""
    from regard.run import demonstrate

    demonstrate(out, minutes, console(), again=again)
