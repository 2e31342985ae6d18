"""The command line. Every command is a few lines over `regard.run`; errors are one sentence on stderr."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regard.errors import RegardError, UsageError

app = typer.Typer(
    name="regard",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Sequence-to-sequence learning with attention that you can see.",
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="the folder of a run", show_default=False)]
SourceOption = Annotated[Path | None, typer.Option(help="one source a line", show_default=False)]
TargetOption = Annotated[Path | None, typer.Option(help="the target of each line", show_default=False)]
DataOption = Annotated[Path | None, typer.Option(help="pairs as .tsv, .csv or .jsonl instead", show_default=False)]
BeamOption = Annotated[
    int | None, typer.Option(min=1, help="hypotheses kept while searching; the recipe's if not given")
]
MaxTokensOption = Annotated[
    int | None, typer.Option(min=1, help="of a language model: how many tokens to say at most", show_default=False)
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, or auto")]


@app.command()
def train(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE.toml]", show_default=False)] = None,
    source: SourceOption = None,
    target: TargetOption = None,
    data: DataOption = None,
    valid_source: Annotated[Path | None, typer.Option(help="sources to validate on", show_default=False)] = None,
    valid_target: Annotated[Path | None, typer.Option(help="their targets", show_default=False)] = None,
    valid_data: Annotated[Path | None, typer.Option(help="validation pairs in one file", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(metavar="RUN", help="the folder to make", show_default=False)] = None,
    minutes: Annotated[float | None, typer.Option(help="how long training may take", show_default=False)] = None,
    steps: Annotated[int | None, typer.Option(help="how many updates", show_default=False)] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="any key of a recipe, such as model.kind=recurrent"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in --out")] = False,
) -> None:
    """Train on pairs of lines. Sizes, tokenizer and schedule follow from the corpus.

    regard train --source train.en --target train.de --out runs/en-de
    """
    from regard.run import train as run_training
    from regard.run.loading import examples

    given = {
        "source": source, "target": target, "data": data,
        "valid_source": valid_source, "valid_target": valid_target, "valid_data": valid_data,
    }  # fmt: skip
    tree, origin = _tree(recipe, given, minutes, steps, set_ or [], resume)
    if out is None:
        if recipe is None:
            raise UsageError("say where the run shall go: --out runs/NAME")
        out = Path("runs") / recipe.stem
    console = Console(soft_wrap=True, markup=False)
    run_training(tree, out, console, origin=origin, resume=resume)
    console.print("\n  ".join([f"\nThe run is in {out}. Try it:", *examples(out)]), highlight=False)


def _tree(
    recipe: Path | None,
    given: dict[str, Path | None],
    minutes: float | None,
    steps: int | None,
    settings: list[str],
    resume: bool,
) -> tuple[dict[str, Any], str]:
    """Recipe, then options, then --set: the later counts more. Paths become absolute, so that a run can resume
    from anywhere."""
    from regard.config import merge, read_toml, setting

    tree: dict[str, Any] = {}
    if recipe is not None:
        tree = read_toml(recipe)
        data = tree.get("data")
        if isinstance(data, dict):
            for key in (*given, "alignment"):
                here, value = recipe.resolve().parent, data.get(key)
                if isinstance(value, str):
                    data[key] = str((here / value).resolve())
                elif isinstance(value, list):  # several files of text
                    data[key] = [str((here / str(each)).resolve()) for each in value]
        model = tree.get("model")
        if isinstance(model, dict) and isinstance(model.get("weights"), str):  # of a backbone
            model["weights"] = str((recipe.resolve().parent / model["weights"]).resolve())
    chosen: dict[str, Any] = {key: str(path.resolve()) for key, path in given.items() if path is not None}
    if chosen:
        # Naming other training files sets aside the recipe's, whatever form they have.
        replaced = [n for n in ("source", "target", "data") if {"source", "target", "data"} & chosen.keys()]
        replaced += [
            n for n in ("valid_source", "valid_target", "valid_data") if any(c.startswith("valid") for c in chosen)
        ]
        old = tree.get("data", {})
        tree["data"] = {k: v for k, v in old.items() if k not in replaced} | chosen
    budget = {name: value for name, value in (("minutes", minutes), ("steps", steps)) if value is not None}
    if budget:
        tree = merge(tree, {"training": budget})
    for text in settings:
        tree = merge(tree, setting(text))
    if recipe is None and not chosen and not resume:
        raise UsageError("there is nothing to train on: give a recipe, or --source FILE --target FILE, or --data FILE")
    return tree, str(recipe) if recipe is not None else "the command line"


@app.command()
def predict(
    run: RunArgument,
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="one input a line; - is standard input")] = "-",
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
    device: DeviceOption = "auto",
) -> None:
    """One output line for each input line, in order. An empty line gives an empty line."""
    from regard.data import read_lines
    from regard.run import Model
    from regard.run.caption_model import CaptionModel, pictures_in
    from regard.run.language import LanguageModel

    if nbest > 1 and not jsonl:
        raise UsageError("--nbest gives several outputs a line, which plain lines cannot hold: add --jsonl")
    other = _other(run, device)
    if isinstance(other, CaptionModel):
        if min_length_ratio is not None or max_length_ratio is not None:
            raise UsageError("a picture has no length that a caption's could be a ratio of: use --max-tokens")
        drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        how = other.search(
            beam=beam,
            count=nbest,
            sampling={name: value for name, value in drawing.items() if value is not None} if sample else None,
            length_penalty=length_penalty,
            no_repeat_ngram=no_repeat_ngram,
            max_length=max_tokens,
        )
        _say_captions(other, pictures_in(file), how, prefix, jsonl, attention)
        return
    if other is not None:
        drawing = {"draw": sample, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        drawing |= {"no_repeat_ngram": no_repeat_ngram, "max_tokens": max_tokens}
        chosen = {"how": other.how(**drawing)} if isinstance(other, LanguageModel) else {}
        for said in other.said(read_lines(file if file == "-" else Path(file)), jsonl=jsonl, **chosen):
            print(said, flush=False)
        return
    model = Model.load(run, device)
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    sampling = {name: value for name, value in given.items() if value is not None} if sample else None
    how = model.search(
        beam=beam,
        count=nbest,
        sampling=sampling,
        length_penalty=length_penalty,
        no_repeat_ngram=no_repeat_ngram,
        min_length_ratio=min_length_ratio,
        max_length_ratio=max_length_ratio,
    )
    if attention is not None:
        _check_writable(attention)
    look = jsonl or attention is not None
    lines = read_lines(file if file == "-" else Path(file))
    shown = []
    number = 0
    for number, prediction in enumerate(_predictions(model, lines, how, look, prefix), start=1):
        for note in prediction.notes:
            print(f"line {number}: {note}", file=sys.stderr)
        text = prediction.text.replace("\n", " ")
        print(json.dumps(prediction.to_json(), ensure_ascii=False) if jsonl else text, flush=False)
        if attention is not None and prediction.attention is not None and len(shown) < 500:
            shown.append(prediction)
    sys.stdout.flush()
    if attention is not None:
        _write_page(attention, shown, model.name)
        if len(shown) < number:
            print(f"{attention} shows {len(shown)} of the {number} lines", file=sys.stderr)


def _predictions(model: Any, lines: Iterator[str], how: Any, look: bool, prefix: str | None) -> Iterator[Any]:
    from itertools import islice

    size = 8 if not sys.stdin.isatty() else 1  # a person who types wants each answer at once
    size = 512 if size > 1 else size
    while chunk := list(islice(lines, size)):
        prefixes = None if prefix is None else [prefix] * len(chunk)
        yield from model.predict(chunk, attention=look, search=how, prefix=prefixes)


def _say_captions(
    model: Any, pictures: Iterator[str], how: Any, prefix: str | None, jsonl: bool, page: Path | None
) -> None:
    from regard.training.checkpoint import write_text
    from regard.view.picture import picture_page

    if page is not None:
        _check_writable(page)
    look = jsonl or page is not None
    shown: list[Any] = []
    number = 0
    said = model.predict_stream(pictures, search=how, prefix=prefix, attention=look)
    for number, caption in enumerate(said, start=1):  # noqa: B007 - it is the count in the end
        print(json.dumps(caption.to_json(), ensure_ascii=False) if jsonl else caption.text, flush=False)
        if page is not None and caption.attention is not None and len(shown) < 100:
            shown.append((caption.text, caption.attention.map()))
    sys.stdout.flush()
    if page is not None:
        write_text(page, picture_page(shown, model.name))
        if len(shown) < number:
            print(f"{page} shows {len(shown)} of the {number} pictures", file=sys.stderr)


def _other(run: Path, device: str) -> Any:
    """The model of a run that does not translate; None for one that does."""
    from regard.run.folder import RunFolder
    from regard.run.loading import load

    return None if RunFolder(run).read_recipe().task == "translation" else load(run, device)


app.command("translate", help="The same as predict.")(predict)


def _check_writable(path: Path, read: Path | None = None) -> None:
    """Before minutes of work, not after. What is `read` is not to be written over."""
    if read is not None and path.resolve() == read.resolve():
        raise UsageError(f"{path} is what is to be read: name another file to write")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file to write, such as {path / 'attention.html'}")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"{path} cannot be written: the folder {path.resolve().parent} does not exist; make it first")


def _write_page(path: Path, predictions: list[Any], title: str) -> None:
    from regard.training.checkpoint import write_text
    from regard.view import PageItem, page

    items = [PageItem(p.source, p.text, p.score, p.attention) for p in predictions]
    write_text(path, page(items, title))


@app.command()
def show(
    run: RunArgument,
    sentence: Annotated[str, typer.Argument(metavar="SENTENCE", help="or a picture's file", show_default=False)],
    html: Annotated[Path | None, typer.Option(metavar="OUT.html", help="write a page too", show_default=False)] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="of a picture: write a sheet too", show_default=False)
    ] = None,
    beam: BeamOption = None,
    layer: Annotated[int | None, typer.Option(help="from 0; the mean of all if not given", show_default=False)] = None,
    head: Annotated[int | None, typer.Option(help="from 0; the mean of all if not given", show_default=False)] = None,
    sample: Annotated[bool, typer.Option("--sample", help="of a language model: draw what comes next")] = False,
    seed: Annotated[int | None, typer.Option(help="of --sample", show_default=False)] = None,
    max_tokens: MaxTokensOption = None,
    device: DeviceOption = "auto",
) -> None:
    """The prediction for one input, and what each output word looked at."""
    from regard.run import Model
    from regard.run.caption_model import CaptionModel
    from regard.run.language import LanguageModel
    from regard.view import draw

    if html is not None:
        _check_writable(html)
    if not sentence.strip():
        raise UsageError("the sentence is empty: give some words to look at")
    other = _other(run, device)
    if isinstance(other, CaptionModel):
        _show_caption(other, sentence, beam, html, png, layer, head)
        return
    if png is not None:
        raise UsageError("--png draws where words looked in a picture, and this run reads none: use --html")
    if isinstance(other, LanguageModel):
        _show_text(other, sentence, other.how(draw=sample, seed=seed, max_tokens=max_tokens), html, layer, head)
        return
    if other is not None:
        console = Console(soft_wrap=True, markup=False)
        print(other.shown(sentence, console.width, console.is_terminal))
        return
    model = Model.load(run, device)
    [prediction] = model.predict([sentence], beam, attention=True)
    console = Console(soft_wrap=True, markup=False)
    for note in prediction.notes:
        print(note, file=sys.stderr)
    console.print(prediction.text, style="bold", highlight=False, markup=False)
    console.print(f"log-probability {prediction.score:.2f}", style="dim", highlight=False)
    if prediction.attention is None:
        print("this model has a fixed context and no attention to show", file=sys.stderr)
        return
    print(draw(prediction.attention, width=console.width, color=console.is_terminal, layer=layer, head=head))
    if html is not None:
        _write_page(html, [prediction], model.name)
        print(f"wrote {html}")


def _show_caption(
    model: Any, picture: str, beam: int | None, html: Path | None, png: Path | None, layer: int | None, head: int | None
) -> None:
    """What a picture shows, and where each word looked."""
    from regard.training.checkpoint import write_text
    from regard.view.picture import draw_picture, picture_page, save_sheet

    if png is not None:
        _check_png(png, Path(picture))
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
    run: RunArgument,
    source: SourceOption = None,
    target: TargetOption = None,
    data: DataOption = None,
    against: Annotated[
        Path | None, typer.Option(metavar="RUN2", help="test whether the difference is real", show_default=False)
    ] = None,
    beam: BeamOption = None,
    lowercase: Annotated[
        str | None,
        typer.Option(metavar="LANGUAGE", help="also score lower-cased and tokenised as of this language, such as de"),
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
    from regard.run.caption_model import CaptionModel

    one = _other(run, device)
    if isinstance(one, CaptionModel):
        if data is None or source is not None or target is not None:
            raise UsageError('give --data FILE.jsonl, with lines such as {"image": "…", "captions": ["…", "…"]}')
        second = None if against is None else CaptionModel.load(against, device)
        found = one.evaluate(data, split=split, beam=beam, against=second)
        print(json.dumps(found.to_json(), ensure_ascii=False, indent=1) if as_json else str(found))
        return
    if split is not None:
        raise UsageError("--split chooses among captions, and this run has none: leave it out")
    if one is not None:
        print(one.evaluated(source, target, data, as_json))
        return
    pairs = evaluation_pairs(source, target, data)
    model = Model.load(run, device)
    other = None if against is None else Model.load(against, device)
    report = run_evaluation(model, pairs, beam=beam, against=other, lowercase=lowercase)
    print(json.dumps(report.to_json(), ensure_ascii=False, indent=1) if as_json else str(report))


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
    from regard.run.picture_model import PictureModel
    from regard.run.pictures import write_bytes

    _check_writable(out, picture)
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
    from regard.run.picture_model import PictureModel
    from regard.run.pictures import png, read_bytes, write_bytes

    _check_png(out, file)
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
    from regard.run.picture_model import PictureModel
    from regard.run.pictures import png, write_bytes

    _check_png(out, picture)
    model = PictureModel.load(run, device)
    write_bytes(out, png(model.denoise(model.read(picture))))
    print(f"wrote {out}")


def _check_png(path: Path, read: Path) -> None:
    _check_writable(path, read)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} does not end in .png, and pictures are written as PNG: name it {path.stem}.png")


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
            "if not given",
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
        _check_writable(out)
    pairs = given_pairs(files)
    model = Model.load(run, device)
    found = Alignments(
        model,
        pairs,
        reverse=None if reverse is None else Model.load(reverse, device),
        heuristic=symmetrise,  # type: ignore[arg-type]
        wanted=wanted,
        gold=None if gold is None else gold_links(gold, model, pairs, one_based=one_based, reverse=reversed_gold),
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
    report = found.report()
    print(
        json.dumps(report.to_json(), ensure_ascii=False, indent=1) if as_json else str(report),
        file=sys.stderr if out is None else sys.stdout,
    )


def _wanted(layer: int | None, head: str | None, shift: str | None) -> Any:
    from regard.run import Wanted

    if head not in (None, "mean") and not head.isdecimal():
        raise UsageError(f"--head {head} is no head: write its number, from 0, or mean")
    return Wanted(layer, head if head in (None, "mean") else int(head), shift)  # type: ignore[arg-type]


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
    if as_json:
        print(json.dumps(diagnosis.to_json(), ensure_ascii=False, indent=1))
    else:
        print(diagnosis)
    if diagnosis.fatal:
        raise typer.Exit(1)


@app.command()
def compare(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", show_default=False)],
    attention: Annotated[
        str,
        typer.Option(
            metavar="A,B,…",
            help="mechanisms, such as additive,dot+sparsemax,general+local-p:3,none",
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
    again to go on, or with more mechanisms to add to the table.

    regard compare recipes/my.toml --attention additive,dot,none --minutes 20
    """
    import shlex

    from regard.run import GoldFile, evaluation_pairs
    from regard.run import compare as run_comparison

    files = ("source", "target", "data", "valid_source", "valid_target", "valid_data")
    tree, origin = _tree(recipe, dict.fromkeys(files), None, None, set_ or [], False)
    named = not (source is None and target is None and data is None)
    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError as error:
        raise UsageError(f"--seeds {seeds} is no list of whole numbers: write them as 1,2,3") from error
    out = out or Path("runs") / f"compare-{recipe.stem}"
    options = {
        "attention": attention, "minutes": minutes, "out": out, "seeds": seeds, "source": source, "target": target,
        "data": data, "gold": gold,
    }  # fmt: skip
    words = ["regard", "compare", str(recipe)]
    words += [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    words += [] if one_based is None else ["--one-based" if one_based else "--zero-based"]
    words += [word for text in set_ or [] for word in ("--set", text)]
    run_comparison(
        tree,
        attention.split(","),
        minutes,
        numbers,
        out,
        Console(soft_wrap=True, markup=False),
        evaluation_pairs(source, target, data) if named else None,
        None if gold is None else GoldFile(gold, one_based),
        origin=origin,
        command=shlex.join(words),
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="RUN", help="the folder to make")] = Path("runs/demo"),
    minutes: Annotated[float, typer.Option(help="how long training may take")] = 2.5,
    again: Annotated[bool, typer.Option("--again", help="train anew if the folder is there")] = False,
) -> None:
    """Learn English pronunciation from the data that comes with the package, and look at it."""
    from regard.run import demonstrate

    demonstrate(out, minutes, Console(soft_wrap=True, markup=False), again=again)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="print the version and leave")] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(f"regard {version_of('regard')}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        given = ["--help"]
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        return _guarded(lambda: app(given, prog_name="regard", standalone_mode=False))
    except Exception as error:  # the last line of defence: never a traceback unless it was asked for
        if debug:
            traceback.print_exc()
            return 1
        return _say(
            f"{type(error).__name__}: {error} (this is a bug in regard: run again with --debug to see where)", 1
        )


def _guarded(run: Callable[[], Any]) -> int:
    try:
        result = run()
    except RegardError as error:
        return _say(str(error), error.exit_status)
    except typer.exceptions.TyperException as error:
        return _say(error.format_message().rstrip(".") + ": see 'regard --help'", 2)
    except (typer.Abort, KeyboardInterrupt):
        return _say("interrupted", 130)
    except BrokenPipeError:
        # The reader has gone, as with `| head`: nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _say(sentence: str, status: int) -> int:
    print(f"regard: {sentence}", file=sys.stderr)
    return status
