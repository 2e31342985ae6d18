"""`regard show`."""

from __future__ import annotations

import sys
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
    check_png,
    check_writable,
    write_page,
)
from regard.cli.captions import show_caption
from regard.cli.models import other_model, run_or_demo, together
from regard.cli.options import check_options
from regard.cli.printing import coloured, console, say_best, say_notes
from regard.errors import UsageError


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

    folder, texts = run_or_demo(run, demo, sentence)
    sentence = sentence if texts is None else " ".join(texts)
    if sentence is None:
        raise UsageError('give a sentence to look at, as in: regard show RUN "A man is cooking."')
    if not sentence.strip():
        raise UsageError("the sentence is empty: give some words to look at")
    check_options(context, folder, options.SHOW)
    check_translates(folder, *(ensemble or ()))
    if html is not None:
        check_writable(html, _picture_in(sentence))
    if png is not None:
        check_png(png, _picture_in(sentence))
    if html is not None and png is not None and html.resolve() == png.resolve():
        raise UsageError(f"--html and --png both name {png}: name two files")
    other = other_model(folder, ensemble, device)
    if isinstance(other, CaptionModel):
        show_caption(other, sentence, beam, html, png, layer, head)
        return
    if isinstance(other, LanguageModel):
        _show_text(other, sentence, other.how(draw=sample, seed=seed, max_tokens=max_tokens), html, layer, head)
        return
    if other is not None:
        _show_other(other, sentence, html, png, {"layer": layer, "head": head})
        return
    model = together(folder, ensemble, device)
    [prediction] = model.predict([sentence], beam, attention=True)
    screen = console()
    say_notes(prediction.notes)
    say_best(screen, prediction)
    if prediction.attention is None:
        print("this model has a fixed context and no attention to show", file=sys.stderr)
    else:
        print(draw(prediction.attention, width=screen.width, color=coloured(screen), layer=layer, head=head))
    if nearest:
        _say_nearest(folder, sentence)
    if html is not None and prediction.attention is not None:
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


def _show_other(model: Any, sentence: str, html: Path | None, png: Path | None, choice: dict[str, int | None]) -> None:
    """What any other model says, drawn in its own way."""
    chosen = {name: number for name, number in choice.items() if number is not None}
    screen = console()
    print(model.shown(sentence, screen.width, coloured(screen), **chosen))
    for path, save in ((png, "save_picture"), (html, "save_page")):
        if path is not None:
            getattr(model, save)(sentence, path, **chosen)
            print(f"wrote {path}")


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
    screen = console()
    print(draw(seen, width=screen.width, color=coloured(screen), layer=layer, head=head))
    if html is not None:
        write_text(html, page([PageItem(prompt, said, None, seen)], model.name))
        print(f"wrote {html}")
