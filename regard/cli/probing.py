"""`regard probe`: what each head of a finished run is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.app import DataOption, DeviceOption, RunArgument, SourceOption, TargetOption, app
from regard.cli.options import gold_options
from regard.cli.printing import say_report
from regard.errors import UsageError


@app.command()
def probe(
    run: RunArgument,
    source: SourceOption = None,
    target: TargetOption = None,
    data: DataOption = None,
    gold: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="gold links of the given pairs, to score each head's", show_default=False),
    ] = None,
    one_based: Annotated[
        bool | None,
        typer.Option("--one-based/--zero-based", help="what the gold links count from; seen if not given"),
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="how many to look at, evenly over the files")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    device: DeviceOption = "auto",
) -> None:
    """What the loss becomes without each head, and where it looks. Without files: on the run's validation set."""
    from regard.run import Model, evaluation_pairs, gold_links
    from regard.run.folder import RunFolder
    from regard.run.probing import probe as run_probe
    from regard.run.probing import probed_pairs, validation_pairs

    given = source is not None or target is not None or data is not None
    if gold is not None and not given:
        raise UsageError("--gold has the links of given pairs: add --source FILE and --target FILE")
    files = evaluation_pairs(source, target, data) if given else None
    task = RunFolder(run).read_recipe().task
    if task != "translation":
        raise UsageError(
            f"probe says pairs of lines without each head, and {run} is a run of {task}: give one that translates"
        )
    model = Model.load(run, device)
    lines = validation_pairs(model) if files is None else probed_pairs(files)
    with gold_options():
        links = None if gold is None else gold_links(gold, model, lines, one_based=one_based)
    found = run_probe(model, lines, count=pairs, gold=links)
    say_report(found, as_json)
