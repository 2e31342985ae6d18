"""Which tasks an option of `regard predict`, `show` and `evaluate` is of: for another one it is refused, not passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import typer

from regard.errors import UsageError

Tasks = Mapping[str, tuple[str, ...]]

SEARCHING = ("translation", "captioning")
DRAWING = (*SEARCHING, "language-model")
SAMPLING, RANKING = ("temperature", "top_k", "top_p", "seed"), ("beam", "length_penalty")
LAYERED = (*DRAWING, "masked-language-model", "forecasting")
PICTURES = "classification of pictures"  # which has options that the one of texts does not have
TOGETHER = ("translation", "classification", PICTURES)  # of which several models make one

PREDICT: Tasks = {
    **dict.fromkeys(("beam", "nbest", "length_penalty", "prefix", "attention"), SEARCHING),
    **dict.fromkeys(("sample", *SAMPLING, "no_repeat_ngram"), DRAWING),
    "max_tokens": ("captioning", "language-model"),
    "stream": ("translation", "language-model"),
    "ensemble": TOGETHER,
    **dict.fromkeys(("tree", "min_length_ratio", "max_length_ratio", "unknown"), ("translation",)),
}
SHOW: Tasks = {
    "beam": SEARCHING,
    **dict.fromkeys(("sample", "seed", "max_tokens"), ("language-model",)),
    **dict.fromkeys(("layer", "head"), LAYERED),
    "html": (*LAYERED, "classification", PICTURES, "visual-question", "autoencoder"),
    "png": ("captioning", "forecasting", "visual-question", PICTURES, "autoencoder"),
    "nearest": ("translation",),
    "ensemble": TOGETHER,
}
EVALUATE: Tasks = {
    "against": (*DRAWING, "classification", PICTURES, "visual-question", "forecasting"),
    "beam": SEARCHING,
    "lowercase": ("translation",),
    "tokenize": ("translation",),
    "ensemble": TOGETHER,
    "split": ("captioning",),
}
# What there is to say beyond leaving it out.
INSTEAD = {
    ("max_tokens", "translation"): "use --max-length-ratio",
    ("max_length_ratio", "captioning"): "use --max-tokens",
    ("png", "translation"): "use --html",
    ("png", "language-model"): "use --html",
    ("png", "masked-language-model"): "use --html",
    ("png", "classification"): "use --html",
}


@contextmanager
def gold_options(target_first: str = "turn its links round") -> Iterator[None]:
    """While gold links are read: the settings that a sentence advises are named as options. `target_first` is what to do
    about links that have the target word first."""
    from regard.evaluation import Setting, SettingError

    options = {
        Setting("one_based", False): "--zero-based",
        Setting("one_based", True): "--one-based",
        Setting("reverse", False): "leave out --reversed-gold",
        Setting("reverse", True): target_first,
    }
    try:
        yield
    except SettingError as error:
        raise UsageError(error.written(options.__getitem__)) from error


def check_options(context: typer.Context, folder: Path, tasks: Tasks) -> None:
    """UsageError for the first option that was given and that the run's task does not have."""
    from regard.config.classification import ClassificationRecipe
    from regard.run.folder import RunFolder

    recipe = RunFolder(folder).read_recipe()
    task = PICTURES if isinstance(recipe, ClassificationRecipe) and recipe.reads_pictures else recipe.task
    for name, those in tasks.items():
        source = context.get_parameter_source(name)
        if task in those or source is None or source.name != "COMMANDLINE":
            continue
        *most, last = those
        of = f"{', '.join(most)} and {last}" if most else last
        advice = INSTEAD.get((name, task), "leave it out")
        raise UsageError(f"--{name.replace('_', '-')} is of {of}, and {folder} is a run of {task}: {advice}")


def check_drawing(context: typer.Context, folder: Path) -> None:
    """UsageError for an option of drawing where nothing is drawn, and for one of searching where something is. With a
    language model each option of drawing asks for it."""
    from regard.run.folder import RunFolder

    if RunFolder(folder).read_recipe().task not in SEARCHING:
        return
    drawn = context.params["sample"]
    for name in RANKING if drawn else SAMPLING:
        if context.params.get(name) is None:
            continue
        option = f"--{name.replace('_', '-')}"
        if drawn:
            raise UsageError(f"{option} says how to search, and --sample draws instead: leave out one of them")
        raise UsageError(
            f"{option} says how to draw, and without --sample the best output is searched for: add --sample"
        )
