"""`regard predict`, `show` and `evaluate`: what a finished run says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regard.cli import options
from regard.cli.app import (
    BeamOption,
    DataOption,
    DemoOption,
    DeviceOption,
    EnsembleOption,
    MaxTokensOption,
    RunArgument,
    SourceOption,
    TargetOption,
    app,
    check_png,
    check_writable,
    write_page,
)
from regard.cli.options import check_drawing, check_options
from regard.cli.quoting import check_file
from regard.errors import UsageError


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
    from regard.data import read_lines as read_file
    from regard.data.images import naming_lines
    from regard.run.captioning.model import CaptionModel, pictures_in
    from regard.run.forecasting.model import ForecastModel
    from regard.run.language.causal import LanguageModel
    from regard.run.questions.model import QuestionModel

    folder, texts = _run_or_demo(run, demo, None if file == "-" else file)

    def read_lines(of: Path | str) -> Iterator[str]:
        if texts is not None:
            return iter(texts)
        check_file(str(of), folder)
        return read_file(of)

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
    if attention is not None:
        check_writable(attention, None if file == "-" else file)
    other = _other(folder, device)
    if isinstance(other, CaptionModel):
        drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        how = other.search(
            beam=beam,
            count=nbest,
            sampling={name: value for name, value in drawing.items() if value is not None} if sample else None,
            length_penalty=length_penalty,
            no_repeat_ngram=no_repeat_ngram,
            max_length=max_tokens,
        )
        with naming_lines(file):
            _say_captions(other, pictures_in(file), how, prefix, jsonl, attention)
        return
    if other is not None:
        drawing = {"draw": sample, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        drawing |= {"no_repeat_ngram": no_repeat_ngram, "max_tokens": max_tokens}
        chosen: dict[str, Any] = {"how": other.how(**drawing)} if isinstance(other, LanguageModel) else {}
        if isinstance(other, ForecastModel | QuestionModel):
            chosen["name"] = "standard input" if file == "-" else file
        for said in other.said(read_lines(file if file == "-" else Path(file)), jsonl=jsonl, **chosen):
            print(said, flush=False)
        return
    model = _together(folder, ensemble, device)
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    sampling = {name: value for name, value in given.items() if value is not None} if sample else None
    how = model.search(
        beam=1 if stream and beam is None and not sample else beam,
        count=nbest,
        sampling=sampling,
        length_penalty=length_penalty,
        no_repeat_ngram=no_repeat_ngram,
        min_length_ratio=min_length_ratio,
        max_length_ratio=max_length_ratio,
    )
    look = jsonl or attention is not None
    lines = read_lines(file if file == "-" else Path(file))
    if stream:
        _say_at_once(model, lines, how, prefix)
        return
    shown = []
    number = 0
    from regard.run.translation.model import READ_AHEAD

    typed = file == "-" and texts is None and sys.stdin.isatty()  # whoever types wants each answer at once
    said = _predictions(model, lines, 1 if typed else READ_AHEAD, how, look, prefix, tree)
    for number, prediction in enumerate(said, start=1):
        for note in prediction.notes:
            print(f"line {number}: {note}", file=sys.stderr)
        text = prediction.text.replace("\n", " ")
        print(json.dumps(prediction.to_json(), ensure_ascii=False) if jsonl else text, flush=typed)
        seen = prediction.source.strip() and prediction.attention is not None
        if attention is not None and seen and len(shown) < 500:
            shown.append(prediction)
    sys.stdout.flush()
    if attention is not None:
        write_page(attention, shown, model.name)
        if len(shown) < number:
            print(f"{attention} shows {len(shown)} of the {number} lines", file=sys.stderr)


def _run_or_demo(run: str | None, demo: bool, text: str | None) -> tuple[Path, list[str] | None]:
    """The run that was named, or with `--demo` the model that comes with the package; its text stands where a run's
    name would."""
    if not demo:
        if run is None:
            raise UsageError("give the folder of a run, or --demo for the English to French model that comes along")
        return Path(run), None
    if run is not None and text is not None:
        raise UsageError(f"--demo takes one text, and {text!r} is a second: put quotes around the whole")
    from regard.embedded import english_french

    return english_french(), None if run in (None, "-") else (run or "").splitlines() or [""]


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
                for note in partial.prediction.notes:
                    print(f"line {number}: {note}", file=sys.stderr)


def _predictions(
    model: Any, lines: Iterator[str], size: int, how: Any, look: bool, prefix: str | None, tree: bool
) -> Iterator[Any]:
    """What the model says, `size` lines at a time."""
    while chunk := list(islice(lines, size)):
        prefixes = None if prefix is None else [prefix] * len(chunk)
        yield from model.predict(chunk, attention=look, search=how, prefix=prefixes, tree=tree)


def _say_captions(
    model: Any, pictures: Iterator[str], how: Any, prefix: str | None, jsonl: bool, page: Path | None
) -> None:
    from regard.training.checkpoint import write_text
    from regard.view.picture import picture_page

    look = jsonl or page is not None
    shown: list[Any] = []
    number = 0
    said = model.predict_stream(_kept(pictures, page), search=how, prefix=prefix, attention=look)
    for number, caption in enumerate(said, start=1):
        for note in caption.notes:
            print(f"line {number}: {note}", file=sys.stderr)
        print(json.dumps(caption.to_json(), ensure_ascii=False) if jsonl else caption.text, flush=False)
        if page is not None and caption.attention is not None and len(shown) < 100:
            shown.append((caption.text, caption.attention.map()))
    sys.stdout.flush()
    if page is not None:
        write_text(page, picture_page(shown, model.name))
        if len(shown) < number:
            print(f"{page} shows {len(shown)} of the {number} pictures", file=sys.stderr)


def _kept(pictures: Iterator[str], page: Path | None) -> Iterator[str]:
    """The pictures of a list, of which none is written over."""
    for picture in pictures:
        if page is not None:
            check_writable(page, picture)
        yield picture


def _other(run: Path, device: str) -> Any:
    """The model of a run that does not translate; None for one that does."""
    from regard.run.folder import RunFolder
    from regard.run.loading import load

    return None if RunFolder(run).read_recipe().task == "translation" else load(run, device)


def _together(run: Path, others: list[Path] | None, device: str) -> Any:
    """The model of a run, or of several that speak together."""
    from regard.run import Model

    return Model.ensemble([Model.load(each, device) for each in (run, *(others or ()))])


app.command("translate", help="The same as predict.")(predict)


@app.command()
def show(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="the folder of a run", show_default=False)] = None,
    sentence: Annotated[
        str | None, typer.Argument(metavar="SENTENCE", help="or a picture's file", show_default=False)
    ] = None,
    demo: DemoOption = False,
    ensemble: EnsembleOption = None,
    html: Annotated[Path | None, typer.Option(metavar="OUT.html", help="write a page too", show_default=False)] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="of a picture or a series: draw it too", show_default=False)
    ] = None,
    beam: BeamOption = None,
    layer: Annotated[int | None, typer.Option(help="from 0; the mean of all if not given", show_default=False)] = None,
    head: Annotated[int | None, typer.Option(help="from 0; the mean of all if not given", show_default=False)] = None,
    sample: Annotated[bool, typer.Option("--sample", help="of a language model: draw what comes next")] = False,
    seed: Annotated[int | None, typer.Option(help="of --sample", show_default=False)] = None,
    max_tokens: MaxTokensOption = None,
    nearest: Annotated[bool, typer.Option("--nearest", help="the most similar training pairs too")] = False,
    device: DeviceOption = "auto",
) -> None:
    """The prediction for one input, and what each output word looked at."""
    from regard.run.captioning.model import CaptionModel
    from regard.run.language.causal import LanguageModel
    from regard.view import draw

    folder, texts = _run_or_demo(run, demo, sentence)
    sentence = sentence if texts is None else " ".join(texts)
    if sentence is None:
        raise UsageError('give a sentence to look at, as in: regard show RUN "A man is cooking."')
    if not sentence.strip():
        raise UsageError("the sentence is empty: give some words to look at")
    check_options(context, folder, options.SHOW)
    if html is not None:
        check_writable(html, _picture_in(sentence))
    if png is not None:
        check_png(png, _picture_in(sentence))
    if html is not None and png is not None and html.resolve() == png.resolve():
        raise UsageError(f"--html and --png both name {png}: name two files")
    other = _other(folder, device)
    if isinstance(other, CaptionModel):
        _show_caption(other, sentence, beam, html, png, layer, head)
        return
    if isinstance(other, LanguageModel):
        _show_text(other, sentence, other.how(draw=sample, seed=seed, max_tokens=max_tokens), html, layer, head)
        return
    if other is not None:
        chosen = {name: number for name, number in (("layer", layer), ("head", head)) if number is not None}
        console = Console(soft_wrap=True, markup=False)
        print(other.shown(sentence, console.width, console.is_terminal, **chosen))
        for path, save in ((png, "save_picture"), (html, "save_page")):
            if path is not None:
                getattr(other, save)(sentence, path, **chosen)
                print(f"wrote {path}")
        return
    model = _together(folder, ensemble, device)
    [prediction] = model.predict([sentence], beam, attention=True)
    console = Console(soft_wrap=True, markup=False)
    for note in prediction.notes:
        print(note, file=sys.stderr)
    console.print(prediction.text, style="bold", highlight=False, markup=False)
    console.print(f"log-probability {prediction.score:.2f}", style="dim", highlight=False)
    if prediction.attention is None:
        print("this model has a fixed context and no attention to show", file=sys.stderr)
        if nearest:
            _say_nearest(folder, sentence)
        return
    print(draw(prediction.attention, width=console.width, color=console.is_terminal, layer=layer, head=head))
    if nearest:
        _say_nearest(folder, sentence)
    if html is not None:
        write_page(html, [prediction], model.name)
        print(f"wrote {html}")


def _say_nearest(folder: Path, sentence: str) -> None:
    """The training pairs whose sources are most like a sentence, each with how much."""
    from regard.run.translation.nearest import Nearest

    kept = Nearest.open(folder)
    if kept is None:
        print(f"{folder} keeps no training pairs to look in: 'regard train' leaves them in corpus/", file=sys.stderr)
        return
    found = kept.examples(sentence)
    print("\nnearest training pairs" if found else "\nno training pair has anything in common with this")
    for example in found:
        print(f"{example.similarity:.2f}  {example.source}\n      {example.target}")


def _picture_in(sentence: str) -> Path:
    """The file that is looked at, which is not to be written over: all of a sentence, or what it begins with."""
    from regard.run.questions.model import picture_and_question

    try:
        return Path(sentence if Path(sentence).exists() else picture_and_question(sentence)[0])
    except (UsageError, OSError):
        return Path(sentence)


def _show_caption(
    model: Any, picture: str, beam: int | None, html: Path | None, png: Path | None, layer: int | None, head: int | None
) -> None:
    """What a picture shows, and where each word looked."""
    from regard.training.checkpoint import write_text
    from regard.view.picture import draw_picture, picture_page, save_sheet

    [caption] = model.predict([picture], beam, attention=True)
    seen = caption.attention.map(layer, head)
    console = Console(soft_wrap=True, markup=False)
    console.print(caption.text, style="bold", highlight=False, markup=False)
    console.print(f"log-probability {caption.score:.2f}", style="dim", highlight=False)
    print(draw_picture(seen, width=max(24, console.width), color=console.is_terminal))
    if png is not None:
        save_sheet(seen, png)
        print(f"wrote {png}")
    if html is not None:
        write_text(html, picture_page([(caption.text, seen)], model.name))
        print(f"wrote {html}")


def _show_text(model: Any, prompt: str, how: Any, html: Path | None, layer: int | None, head: int | None) -> None:
    """What comes after a prompt, as it is said, and what each word of the whole looked at."""
    from regard.training.checkpoint import write_text
    from regard.view import PageItem, draw, page

    said = prompt.strip()
    print(said, end="", flush=True)
    for piece in model.stream(prompt, how):
        said += piece
        print(piece, end="", flush=True)
    print("\n")
    seen = model.look(said)
    if seen is None:
        print("this model has no attention to show", file=sys.stderr)
        return
    console = Console(soft_wrap=True, markup=False)
    print(draw(seen, width=console.width, color=console.is_terminal, layer=layer, head=head))
    if html is not None:
        write_text(html, page([PageItem(prompt, said, None, seen)], model.name))
        print(f"wrote {html}")


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
    one = _other(run, device)
    if isinstance(one, CaptionModel):
        if data is None or source is not None or target is not None:
            raise UsageError('give --data FILE.jsonl, with lines such as {"image": "…", "captions": ["…", "…"]}')
        second = None if against is None else CaptionModel.load(against, device)
        found = one.evaluate(data, split=split, beam=beam, against=second)
        print(json.dumps(found.to_json(), ensure_ascii=False, indent=1) if as_json else str(found))
        return
    if one is not None:
        beside = {} if against is None else {"against": type(one).load(against, device)}
        print(one.evaluated(source, target, data, as_json, **beside))
        return
    pairs = evaluation_pairs(source, target, data)
    model = _together(run, ensemble, device)
    other = None if against is None else Model.load(against, device)
    report = run_evaluation(model, pairs, beam=beam, against=other, lowercase=lowercase, tokenize=tokenize)
    for sentence in report.left_out:
        print(sentence, file=sys.stderr)
    print(json.dumps(report.to_json(), ensure_ascii=False, indent=1) if as_json else str(report))
