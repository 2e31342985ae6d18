"""The command line: the program, the options that commands share, and what they do with files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from regard.errors import UsageError

ORDER = (
    "train", "predict", "translate", "serve", "show", "evaluate", "score", "compare", "align", "probe", "embed", "pack", "export", "doctor", "compress",
    "decompress", "denoise", "demo",
)  # fmt: skip


class InOrder(typer.core.TyperGroup):
    """Commands as people need them, not as files are imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    cls=InOrder,
    name="regard",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Sequence-to-sequence learning with attention that you can see.",
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="the folder of a run", show_default=False)]
EnsembleOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--ensemble", metavar="RUN2", help="speak together with this run, too; may be repeated", show_default=False
    ),
]
SourceOption = Annotated[Path | None, typer.Option(help="one source a line", show_default=False)]
TargetOption = Annotated[Path | None, typer.Option(help="the target of each line", show_default=False)]
DataOption = Annotated[Path | None, typer.Option(help="pairs as .tsv, .csv or .jsonl instead", show_default=False)]
BeamOption = Annotated[
    int | None, typer.Option(min=1, help="hypotheses kept while searching; the recipe's if not given")
]
MaxTokensOption = Annotated[
    int | None, typer.Option(min=1, help="of a language model: how many tokens to say at most", show_default=False)
]
DemoOption = Annotated[
    bool, typer.Option("--demo", help="with the small English to French model that comes along, instead of a run")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")]


def tree_of(
    recipe: Path | None,
    given: dict[str, Path | None],
    minutes: float | None,
    steps: int | None,
    settings: list[str],
    resume: bool,
) -> tuple[dict[str, Any], str]:
    """Recipe, then options, then --set: the later counts more. Paths become absolute, so that a run can resume
    from anywhere."""
    from regard.config import merge, read_toml, rooted, setting
    from regard.data.reader import refuse_pipe

    for path in given.values():
        if path is not None:
            refuse_pipe(path)
    tree: dict[str, Any] = {}
    if recipe is not None:
        tree = rooted(read_toml(recipe), recipe.resolve().parent)
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
        tree = merge(tree, rooted(setting(text), Path.cwd()))
    if recipe is None and not resume and "task" not in tree and not tree.get("data"):
        raise UsageError("there is nothing to train on: give a recipe, or --source FILE --target FILE, or --data FILE")
    if recipe is None and not resume and "task" not in tree and "drawn" in tree.get("data", {}):
        raise UsageError("data.drawn is of questions about pictures: add --task visual-question")
    return tree, str(recipe) if recipe is not None else "the command line"


def check_writable(path: Path, *read: Path | str | None, example: str = "attention.html") -> None:
    """Before minutes of work, not after. What is `read` is not to be written over. An `example` is a file's name."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file to write, such as {path / example}")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"{path} cannot be written: the folder {path.resolve().parent} does not exist; make it first")
    check_unread(path, *read)


def check_unread(path: Path, *read: Path | str | None) -> None:
    """Nothing that is read may be written over, by whatever name it goes, nor be where a file is written first."""
    real = Path(os.path.realpath(path))
    for each in read:
        if each is None:
            continue
        if _same(path, each):
            raise UsageError(f"{path} is what is to be read: name another place to write to")
        # A folder is first written beside its link, a file beside what the link leads to.
        if any(place.name and _same(place.with_name(place.name + ".part"), each) for place in (path, real)):
            raise UsageError(f"{each} is what is to be read, and {path} is first written there: name another place")


def _same(path: Path, other: Path | str) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # one is not there, or is a sentence
        return False


def check_png(path: Path, *read: Path | str | None) -> None:
    check_writable(path, *read, example="picture.png")
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} does not end in .png, and pictures are written as PNG: name it {path.stem}.png")


def write_page(path: Path, predictions: list[Any], title: str) -> None:
    from regard.training.checkpoint import write_text
    from regard.view import page

    write_text(path, page([p.page_item() for p in predictions], title))


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="print the version and leave")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="with any command: where a bug is")] = False,  # main takes it
) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(f"regard {version_of('regard')}")
        raise typer.Exit
