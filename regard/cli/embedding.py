"""`regard embed`: a word as a vector."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.app import DeviceOption, RunArgument, app, check_png
from regard.cli.printing import say_notes
from regard.errors import UsageError


@app.command()
def embed(
    run: RunArgument,
    sentence: Annotated[
        str | None,
        typer.Argument(metavar="[SENTENCE|FILE|-]", help="or a file with one a line; - is standard input"),
    ] = None,
    word: Annotated[
        str | None, typer.Option(metavar="WORD", help="the word whose vectors are wanted", show_default=False)
    ] = None,
    occurrence: Annotated[
        int | None, typer.Option(min=1, help="which one, where the word is there several times", show_default=False)
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="draw how the word moves in the plane", show_default=False)
    ] = None,
    senses: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="instead: how well vectors tell the senses of a word of CoarseWSD-20, or of each of its words",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with the vectors")] = False,
    device: DeviceOption = "auto",
) -> None:
    """A word in its sentence: its static vector, what each layer makes of it, what is near, and what it looks at."""
    if senses:
        if sentence is not None or word is not None or png is not None:
            raise UsageError("--senses reads its own sentences: leave out the sentence, --word and --png")
        from regard.run.embedding.senses import measure_senses

        found = measure_senses(run, senses, device)
        print(json.dumps(found.to_json(), ensure_ascii=False, indent=1) if as_json else str(found))
        return
    if sentence is None or word is None:
        raise UsageError('give a sentence and its word, such as regard embed RUN "an apple fell" --word apple')
    if png is not None:
        check_png(png, Path(sentence))
        from regard.view.plane import pyplot

        pyplot()  # before the model is read, should it be missing
    from regard.run.embedding.word import Embedder

    lines = _lines(sentence)
    model = Embedder.load(run, device)
    if lines is None:
        numbers, words, blank = None, [model.embed(sentence, word, occurrence)], 0
        say_notes(words[0].notes)
    else:
        numbers, words = _embedded(model, lines, word, occurrence)
        blank = sum(not line.strip() for line in lines)
    if as_json:
        print(json.dumps(_facts(model.name, word, words, numbers, blank), ensure_ascii=False))
    else:
        heads = [""] * len(words) if numbers is None else [f"line {number}: " for number in numbers]
        print("\n\n".join(f"{head}{each}" for head, each in zip(heads, words, strict=True)))
        if numbers is not None and len(words) > 1:
            print(f"\n{_between(words, numbers)}")
    if blank:
        print(f"{blank:,} line{'s are' if blank > 1 else ' is'} blank and left out", file=sys.stderr)
    if png is not None:
        from regard.run.embedding.moving import moves
        from regard.view.plane import save_plane

        save_plane(moves(words), png, f"{words[0].word} by {model.name}")
        print(f"wrote {png}", file=sys.stderr if as_json else sys.stdout)


def _lines(sentence: str) -> list[str] | None:
    """All lines of a file, the blank ones too; None where a sentence was written instead."""
    from regard.data import read_lines

    try:
        place = Path(sentence)
        file = sentence == "-" or (place.exists() and not place.is_dir())  # a pipe, too
    except (OSError, ValueError):  # a sentence too long for a file's name, or one with a zero character
        file = False
    if not file:
        return None
    lines = list(read_lines(sentence if sentence == "-" else Path(sentence)))
    if not any(line.strip() for line in lines):
        raise UsageError(f"{'standard input' if sentence == '-' else sentence} holds no sentence: write one a line")
    return lines


def _embedded(model: Any, lines: list[str], word: str, occurrence: int | None) -> tuple[list[int], list[Any]]:
    """The lines that have the word, by their numbers from 1; what is wrong with others that are not blank goes to
    stderr."""
    numbers, found, problems = [], [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(model.embed(line, word, occurrence))
            numbers.append(number)
        except UsageError as error:
            problems.append(f"line {number}: {error}")
    if not found:
        raise UsageError(problems[0])
    for problem in problems:
        print(problem, file=sys.stderr)
    for number, each in zip(numbers, found, strict=True):
        say_notes(each.notes, number)
    return numbers, found


def _facts(run: str, word: str, words: list[Any], numbers: list[int] | None, blank: int) -> dict[str, Any]:
    """Of a file, which line each sentence is and how many are blank."""
    facts: dict[str, Any] = {"run": run, "word": word}
    if numbers is None:
        return facts | {"sentences": [each.to_json() for each in words]}
    rows = [{"line": number, **each.to_json()} for number, each in zip(numbers, words, strict=True)]
    return facts | {"blank_lines": blank, "sentences": rows}


def _between(words: list[Any], numbers: list[int]) -> str:
    """How alike the first lines find the word, layer by layer."""
    from itertools import combinations

    from regard.run.embedding.word import aligned, apart

    cosines = apart(words)
    pairs = list(combinations(range(min(len(words), 4)), 2))
    head = ["cosine between lines", *(f"{numbers[a]} and {numbers[b]}" for a, b in pairs)]
    rows = [
        [f"layer {number}" if number else "static", *(f"{layer[a, b]:.3f}" for a, b in pairs)]
        for number, layer in enumerate(cosines)
    ]
    return aligned([head, *rows])
