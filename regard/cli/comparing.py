"""`regard align` and `compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.app import (
    DataOption,
    DeviceOption,
    RunArgument,
    SourceOption,
    TargetOption,
    app,
    check_unread,
    check_writable,
    tree_of,
)
from regard.cli.options import gold_options
from regard.cli.printing import console, say_report
from regard.errors import UsageError


@app.command()
def align(
    run: RunArgument,
    source: SourceOption = None,
    target: TargetOption = None,
    data: DataOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the links here; printed if not given", show_default=False)
    ] = None,
    reverse: Annotated[
        Path | None, typer.Option(metavar="RUN2", help="a run from target to source, to link both ways")
    ] = None,
    symmetrise: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="how both ways become one: intersection, union, grow-diag, grow-diag-final, or grow-diag-final-and "
            "if not given; of models that sum over alignments, posterior",
            show_default=False,
        ),
    ] = None,
    gold: Annotated[
        Path | None, typer.Option(metavar="FILE", help="gold links, a line a pair, to score against")
    ] = None,
    tune: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="choose layer, head and shift on the first N gold pairs; score the rest"),
    ] = None,
    layer: Annotated[int | None, typer.Option(help="from 0; chosen if not given", show_default=False)] = None,
    head: Annotated[
        str | None, typer.Option(metavar="H", help="from 0, or mean; chosen if not given", show_default=False)
    ] = None,
    shift: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="look a target word up at its output or its input; chosen if not given"),
    ] = None,
    one_based: Annotated[
        bool | None,
        typer.Option("--one-based/--zero-based", help="what the gold links count from; seen if not given"),
    ] = None,
    reversed_gold: Annotated[
        bool, typer.Option("--reversed-gold", help="the gold links name the target word first")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="report as JSON")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Which source word each target word of given pairs comes from: a line of 0-0 1-2 links for each pair, in order.

    The report goes to stdout if the links go to a file, otherwise to stderr.
    """
    from regard.evaluation import write_links
    from regard.run import Alignments, Model, evaluation_pairs, given_pairs, gold_links
    from regard.training.checkpoint import write_text

    wanted = _wanted(layer, head, shift)
    files = evaluation_pairs(source, target, data)
    if out is not None:
        check_writable(out, source, target, data, gold)
    pairs = given_pairs(files)
    model = Model.load(run, device)
    with gold_options("--reversed-gold"):
        links = None if gold is None else gold_links(gold, model, pairs, one_based=one_based, reverse=reversed_gold)
    found = Alignments(
        model,
        pairs,
        reverse=None if reverse is None else Model.load(reverse, device),
        heuristic=symmetrise,  # type: ignore[arg-type]
        wanted=wanted,
        gold=links,
        tune=tune or 0,
    )
    lines = []
    for number, aligned in enumerate(found, start=1):
        for note in aligned.notes:
            print(f"pair {number}: {note}", file=sys.stderr)
        if out is None:
            print(write_links(aligned.links), flush=False)
        else:
            lines.append(write_links(aligned.links) + "\n")
    sys.stdout.flush()
    if out is not None:
        write_text(out, "".join(lines))
    say_report(found.report(), as_json, sys.stderr if out is None else sys.stdout)


def _wanted(layer: int | None, head: str | None, shift: str | None) -> Any:
    from regard.run import Wanted

    if head not in (None, "mean") and not head.isdecimal():
        raise UsageError(f"--head {head} is no head: write its number, from 0, or mean")
    return Wanted(layer, head if head in (None, "mean") else int(head), shift)  # type: ignore[arg-type]


@app.command()
def compare(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", show_default=False)],
    attention: Annotated[
        str,
        typer.Option(
            metavar="A,B,…",
            help="mechanisms, such as additive,dot+sparsemax,general+local-p:3,none; cross:entmax15 is of one place of a Transformer",
            show_default=False,
        ),
    ],
    minutes: Annotated[float | None, typer.Option(help="how long each may train", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="runs/compare-RECIPE if not given")] = None,
    seeds: Annotated[str, typer.Option(metavar="1,2,…", help="each mechanism trains once with each")] = "1",
    source: SourceOption = None,
    target: TargetOption = None,
    data: DataOption = None,
    gold: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="gold links of these pairs, to score alignments", show_default=False),
    ] = None,
    one_based: Annotated[
        bool | None,
        typer.Option("--one-based/--zero-based", help="what the gold links count from; seen if not given"),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any key of a recipe, as in train")
    ] = None,
) -> None:
    """Train attention mechanisms with one recipe and one budget, and put their figures into one table.

    Scored on --source and --target, or --data, or else the recipe's validation files. A mechanism is a score, a
    normalizer, a scope, or several of them joined by +; what it does not name is the recipe's. Run the same command
    again to go on, or with more mechanisms to add to the table; those of before stay in it.

    regard compare recipes/my.toml --attention additive,dot,none --minutes 20
    """
    import shlex

    from regard.run import GoldFile, evaluation_pairs
    from regard.run import compare as run_comparison

    files = ("source", "target", "data", "valid_source", "valid_target", "valid_data")
    tree, origin = tree_of(recipe, dict.fromkeys(files), None, None, set_ or [], False)
    named = not (source is None and target is None and data is None)
    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError as error:
        raise UsageError(f"--seeds {seeds} is no list of whole numbers: write them as 1,2,3") from error
    out = out or Path("runs") / f"compare-{recipe.stem}"
    for name in ("comparison.md", "comparison.json", "comparison.html"):
        check_unread(out / name, source, target, data, gold)
    options = {
        "attention": attention, "minutes": minutes, "out": out, "seeds": seeds, "source": source, "target": target,
        "data": data, "gold": gold,
    }  # fmt: skip
    words = ["regard", "compare", str(recipe)]
    words += [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    words += [] if one_based is None else ["--one-based" if one_based else "--zero-based"]
    words += [word for text in set_ or [] for word in ("--set", text)]
    with gold_options():
        run_comparison(
            tree,
            attention.split(","),
            minutes,
            numbers,
            out,
            console(),
            evaluation_pairs(source, target, data) if named else None,
            None if gold is None else GoldFile(gold, one_based),
            origin=origin,
            command=shlex.join(words),
        )
