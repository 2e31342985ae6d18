"""`regard predict`, which is `regard translate` too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli import options
from regard.cli.aligners import check_translates
from regard.cli.app import (
    BeamOption,
    DemoOption,
    DeviceOption,
    EnsembleOption,
    MaxTokensOption,
    app,
    check_writable,
    write_page,
)
from regard.cli.captions import say_captions
from regard.cli.models import demo_file, other_model, run_or_demo, together
from regard.cli.options import check_drawing, check_options
from regard.cli.printing import row_of, say_left_out, say_notes
from regard.cli.quoting import check_file
from regard.errors import UsageError

ON_A_PAGE = 500  # outputs at most


@app.command()
def predict(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="the folder of a run", show_default=False)] = None,
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="one input a line; - is standard input")] = "-",
    demo: DemoOption = False,
    ensemble: EnsembleOption = None,
    beam: BeamOption = None,
    nbest: Annotated[int, typer.Option(min=1, help="outputs per input (with --jsonl)")] = 1,
    sample: Annotated[bool, typer.Option("--sample", help="draw instead of searching")] = False,
    temperature: Annotated[float | None, typer.Option(help="of --sample", show_default=False)] = None,
    top_k: Annotated[int | None, typer.Option(help="of --sample; 0 is all", show_default=False)] = None,
    top_p: Annotated[float | None, typer.Option(help="of --sample", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="of --sample", show_default=False)] = None,
    max_tokens: MaxTokensOption = None,
    length_penalty: Annotated[float | None, typer.Option(help="0 prefers short outputs", show_default=False)] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option(help="no n tokens twice", show_default=False)] = None,
    min_length_ratio: Annotated[float | None, typer.Option(help="of the source's tokens", show_default=False)] = None,
    max_length_ratio: Annotated[float | None, typer.Option(help="of the source's tokens", show_default=False)] = None,
    unknown: Annotated[
        str | None,
        typer.Option(
            metavar="keep|replace|forbid",
            help="what becomes of a word that the model has none for: the source word that it looked at replaces it",
            show_default=False,
        ),
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="how every output must begin", show_default=False)] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="a JSON object a line: text, score, tokens, alignment")
    ] = False,
    attention: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="write a page that shows the attention", show_default=False)
    ] = None,
    tree: Annotated[bool, typer.Option("--tree", help="what the search considered (with --jsonl)")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="print words as they come; greedy, or with --beam as they are settled")
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """One output line for each input line, in order. An empty line gives an empty line."""
    from regard.data.picture_lines import naming_lines
    from regard.run.captioning.model import CaptionModel, pictures_in

    folder, texts = run_or_demo(run, demo, None if file == "-" else file)
    if texts is not None and run is not None and demo_file(run):
        file, texts = run, None
    check_options(context, folder, options.PREDICT)
    check_drawing(context, folder)
    if nbest > 1 and not jsonl:
        raise UsageError("--nbest gives several outputs a line, which plain lines cannot hold: add --jsonl")
    if tree and not jsonl:
        raise UsageError("--tree gives more than a plain line can hold: add --jsonl")
    if stream and (jsonl or attention is not None):
        raise UsageError(
            "--stream prints words alone, as they come: leave it out, or leave out --jsonl and --attention"
        )
    check_translates(folder, *(ensemble or ()))
    if attention is not None:
        check_writable(attention, None if file == "-" else file)
    drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    sampling = {name: value for name, value in drawing.items() if value is not None} if sample else None
    searching = {"sampling": sampling, "length_penalty": length_penalty, "no_repeat_ngram": no_repeat_ngram}
    other = other_model(folder, ensemble, device)
    if isinstance(other, CaptionModel):
        how = other.search(beam=beam, count=nbest, max_length=max_tokens, **searching)
        places: dict[Path, str] = {}
        with naming_lines(file, places=places):
            say_captions(other, pictures_in(file, places), how, prefix, jsonl, attention)
        return
    if other is not None:
        drawing |= {"draw": sample, "no_repeat_ngram": no_repeat_ngram, "max_tokens": max_tokens}
        lines = _lines(file, texts, folder)
        if stream:
            for piece in other.said_at_once(lines, other.how(**drawing)):
                print(piece, end="", flush=True)
            return
        _say_others(other, lines, file, jsonl, drawing)
        return
    model = together(folder, ensemble, device)
    how = model.search(
        beam=1 if stream and beam is None and not sample else beam,
        count=nbest,
        min_length_ratio=min_length_ratio,
        max_length_ratio=max_length_ratio,
        unknown=unknown,
        **searching,
    )
    lines = _lines(file, texts, folder)
    if stream:
        _say_at_once(model, lines, how, prefix)
        return
    typed = file == "-" and texts is None and sys.stdin.isatty()  # whoever types wants each answer at once
    said = _predictions(model, lines, typed, how, jsonl or attention is not None, prefix, tree)
    _say_predictions(model, said, typed, jsonl, attention)


app.command("translate", help="The same as predict.")(predict)


def _lines(file: str, texts: list[str] | None, run: Path) -> Iterator[str]:
    """The inputs: those of a file or of standard input, unless they were written on the command line."""
    from regard.data import read_lines

    if texts is not None:
        return iter(texts)
    check_file(file, run)
    return read_lines(file if file == "-" else Path(file))


def _say_others(model: Any, lines: Iterator[str], file: str, jsonl: bool, drawing: dict[str, Any]) -> None:
    """What a model says that neither translates nor describes pictures, each in its own way."""
    from regard.run.classification import PictureClassifier, TextClassifier
    from regard.run.forecasting.model import ForecastModel
    from regard.run.language.causal import LanguageModel
    from regard.run.questions.model import QuestionModel

    chosen: dict[str, Any] = {"how": model.how(**drawing)} if isinstance(model, LanguageModel) else {}
    if isinstance(model, TextClassifier | PictureClassifier | ForecastModel | QuestionModel):
        chosen["name"] = "standard input" if file == "-" else file
    for said in model.said(lines, jsonl=jsonl, **chosen):
        print(said, flush=False)


def _predictions(
    model: Any, lines: Iterator[str], typed: bool, how: Any, look: bool, prefix: str | None, tree: bool
) -> Iterator[Any]:
    """What the model says, a few hundred lines at a time, or each when it is `typed`."""
    from regard.run.translation.model import READ_AHEAD

    while chunk := list(islice(lines, 1 if typed else READ_AHEAD)):
        prefixes = None if prefix is None else [prefix] * len(chunk)
        yield from model.predict(chunk, attention=look, search=how, prefix=prefixes, tree=tree)


def _say_predictions(model: Any, said: Iterator[Any], typed: bool, jsonl: bool, page: Path | None) -> None:
    """A line for each, and the page that shows what they looked at."""
    shown: list[Any] = []
    number = 0
    for number, prediction in enumerate(said, start=1):
        say_notes(prediction.notes, number)
        print(row_of(prediction) if jsonl else prediction.text.replace("\n", " "), flush=typed)
        seen = prediction.source.strip() and prediction.attention is not None
        if page is not None and seen and len(shown) < ON_A_PAGE:
            shown.append(prediction)
    sys.stdout.flush()
    if page is not None:
        write_page(page, shown, model.name)
        say_left_out(page, len(shown), number, "lines")


def _say_at_once(model: Any, lines: Iterator[str], how: Any, prefix: str | None) -> None:
    """What is settled of each line, as soon as it is."""
    for number, line in enumerate(lines, start=1):
        said = 0
        for partial in model.stream(line, search=how, prefix=prefix):
            text = partial.settled.replace("\n", " ")
            print(text[said:], end="", flush=True)
            said = max(said, len(text))
            if partial.finished:
                print(flush=True)
                say_notes(partial.prediction.notes, number)
