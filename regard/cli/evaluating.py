"""`regard evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli import options
from regard.cli.aligners import check_translates
from regard.cli.app import (
    BeamOption,
    DataOption,
    DeviceOption,
    EnsembleOption,
    RunArgument,
    SourceOption,
    TargetOption,
    app,
)
from regard.cli.models import other_model, together
from regard.cli.options import check_options
from regard.cli.printing import say_notes, say_report
from regard.errors import UsageError


@app.command()
def evaluate(
    context: typer.Context,
    run: RunArgument,
    source: SourceOption = None,
    target: TargetOption = None,
    data: DataOption = None,
    ensemble: EnsembleOption = None,
    against: Annotated[
        Path | None, typer.Option(metavar="RUN2", help="test whether the difference is real", show_default=False)
    ] = None,
    beam: BeamOption = None,
    lowercase: Annotated[
        str | None,
        typer.Option(metavar="LANGUAGE", help="also score lower-cased and tokenised as of this language, such as de"),
    ] = None,
    tokenize: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="how sacreBLEU cuts words: 13a, intl, zh, char, none, …; follows from the target language or its script",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help='of captions: only lines with this "split"', show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Scores with their signatures and 95 % confidence, and by source length."""
    from regard.run import Model, evaluation_pairs
    from regard.run import evaluate as run_evaluation
    from regard.run.captioning.model import CaptionModel

    check_options(context, run, options.EVALUATE)
    check_translates(run, *(ensemble or ()), *(() if against is None else (against,)))
    one = other_model(run, ensemble, device)
    if isinstance(one, CaptionModel):
        if data is None or source is not None or target is not None:
            raise UsageError('give --data FILE.jsonl, with lines such as {"image": "…", "captions": ["…", "…"]}')
        second = None if against is None else CaptionModel.load(against, device)
        captions = one.evaluate(data, split=split, beam=beam, against=second)
        say_notes(captions.notes)
        say_report(captions, as_json)
        return
    if one is not None:
        beside = {} if against is None else {"against": one.load(against, device)}
        print(one.evaluated(source, target, data, as_json, **beside))
        return
    pairs = evaluation_pairs(source, target, data)
    model = together(run, ensemble, device)
    other = None if against is None else Model.load(against, device)
    report = run_evaluation(model, pairs, beam=beam, against=other, lowercase=lowercase, tokenize=tokenize)
    say_notes(report.notes)
    say_report(report, as_json)
