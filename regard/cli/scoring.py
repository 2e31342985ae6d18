"""`regard score`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.app import (
    DataOption,
    DeviceOption,
    EnsembleOption,
    RunArgument,
    SourceOption,
    TargetOption,
    app,
    write_page,
)
from regard.cli.printing import say_left_out, say_notes
from regard.errors import UsageError

ON_A_PAGE = 500  # pairs at most


@app.command()
def score(
    run: RunArgument,
    source: SourceOption = None,
    target: TargetOption = None,
    data: DataOption = None,
    ensemble: EnsembleOption = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="a JSON object a line: score, tokens and the log-probability of each")
    ] = False,
    attention: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="write a page that shows the attention", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """How probable a run holds given outputs: the log-probability of each target after its source, a number a line.

    regard score runs/en-de --source test.en --target somebodys.de > scores.txt

    A number counts all tokens and the end; the mean of all, and the perplexity of a token, are said at last.
    """
    from regard.cli.app import check_writable
    from regard.run import Model, evaluation_pairs, given_pairs
    from regard.run.folder import RunFolder
    from regard.run.translation.scoring import perplexity

    task = RunFolder(run).read_recipe().task
    if task != "translation":
        raise UsageError(f"score reads pairs of lines, and {run} is a run of {task}: use 'regard evaluate'")
    if attention is not None:
        check_writable(attention, source, target, data)
    pairs = given_pairs(evaluation_pairs(source, target, data))
    if not pairs:
        raise UsageError("there is no pair to score: give files with one line for each pair")
    model = Model.ensemble([Model.load(each, device) for each in (run, *(ensemble or ()))])
    found = model.score([a for a, _ in pairs], [b for _, b in pairs], attention=attention is not None)
    for number, each in enumerate(found, start=1):
        say_notes(each.notes, number)
        row = {"score": each.score, "tokens": each.tokens, "log_probabilities": each.log_probabilities}
        print(json.dumps(row, ensure_ascii=False) if jsonl else f"{each.score:.4f}")
    sys.stdout.flush()
    if attention is not None:
        write_page(attention, found[:ON_A_PAGE], model.name)
        say_left_out(attention, min(len(found), ON_A_PAGE), len(found), "pairs")
    tokens = sum(len(each.log_probabilities) for each in found)
    mean = sum(each.score for each in found) / len(found)
    print(
        f"{len(found):,} pair{'s' * (len(found) != 1)}, {tokens:,} tokens: {mean:.2f} a pair, perplexity {perplexity(found):.2f}",
        file=sys.stderr,
    )
