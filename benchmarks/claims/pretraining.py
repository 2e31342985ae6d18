"""What does pre-training bring? Kinds of questions (TREC-6) or intents (CLINC150) learned from 100, 1,000 and all labels,
by an encoder that has read English before and by the same one from scratch.

    python benchmarks/claims/pretraining.py --run runs/english-masked [--task clinc150 --labels 300,1000,all]

Both have the same tokenizer, the same sizes and as many steps; they differ in the weights they begin with. The run is
one of recipes/english-masked.toml. Of TREC a fifth of the questions is kept from training; CLINC150 has its own val.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import claims
from senses import plain

LABELS = ("100", "1000", "all")
TASKS = {"trec": "6 kinds of questions, TREC", "clinc150": "150 intents, CLINC150"}
Items = list[tuple[str, str]]  # text and class
LINES = {"scratch": "from scratch", "pretrained": "pre-trained"}


def main() -> None:
    parser = claims.parser(__doc__, "pretraining", None)
    parser.add_argument("--run", type=Path, metavar="RUN", required=True, help="a run of masked-language-model")
    parser.add_argument("--task", choices=TASKS, default="trec", help="what is learned (trec)")
    parser.add_argument("--labels", default=",".join(LABELS), help="how many, or all")
    parser.add_argument("--steps", type=int, default=600, help="of each training (600)")
    claims.settable(parser)
    options = parser.parse_args()
    if not claims.finished(options.run):
        raise claims.Refused(f"{options.run} is no finished run; make one by recipes/english-masked.toml")
    labels = options.labels.split(",")
    if not all(number == "all" or (number.isdecimal() and int(number) > 1) for number in labels):
        raise claims.Refused(f"--labels {options.labels} is no list of numbers: write them as 100,1000,all")
    plot = claims.pyplot()
    train, valid = items_of(options)
    classes = len({label for _, label in train})
    few = [number for number in labels if number.isdecimal() and not classes <= int(number) <= len(train)]
    if few:
        raise claims.Refused(f"--labels {few[0]}: write from {classes}, one of each class, to {len(train)}")
    valid_file = write(options.out / f"{options.task}-valid.tsv", valid)
    blank = scratch(options)
    rows = []
    for number in labels:
        some = write(options.out / f"{options.task}-train-{number}.tsv", part(train, number))
        for way, run in (("scratch", blank), ("pretrained", options.run.resolve())):
            rows.append({"labels": number, "way": way, **measured(options, number, way, run, some, valid_file)})
    draw(plot, rows, labels, options.task)
    claims.save(plot, options.figure)
    table(rows)


def items_of(options: argparse.Namespace) -> tuple[Items, Items]:
    """What is learned from and what is asked, both in an order that chance has mixed."""
    if options.task == "clinc150":
        files = claims.files(options.data, "clinc150/train.tsv", "clinc150/val.tsv")
        train, valid = (
            [
                (plain(text), label)
                for text, label in (line.split("\t") for line in path.read_text("utf-8").splitlines())
            ]
            for path in files
        )
    else:
        [path] = claims.files(options.data, "trec/train_5500.label")
        found = [line.partition(" ") for line in path.read_text("latin-1").splitlines()]
        train = sorted({(plain(text), label.partition(":")[0]) for label, _, text in found})
        valid = []
    random.Random(1).shuffle(train)
    if not valid:
        cut = len(train) // 5
        train, valid = train[cut:], train[:cut]
    return train, valid


def part(train: Items, number: str) -> Items:
    """So many items: the first of each class, then the first of the others."""
    if number == "all":
        return train
    first: dict[str, tuple[str, str]] = {}
    for item in train:
        first.setdefault(item[1], item)
    chosen = set(first.values())
    rest = [item for item in train if item not in chosen]
    return [*first.values(), *rest][: int(number)]


def write(path: Path, items: Items) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\t{label}\n" for text, label in items), encoding="utf-8")
    return path


def scratch(options: argparse.Namespace) -> Path:
    """The same run with weights that have learned nothing: as it was before its first step."""
    import shutil

    import torch

    from regard.build.language import masked_language_model
    from regard.config.language import MaskedLanguageModelRecipe
    from regard.run.folder import RunFolder
    from regard.run.language.reading import read_tokenizer
    from regard.training.checkpoint import parameters_of, save_tensors

    folder, blank = RunFolder(options.run), RunFolder(options.out / "untrained")
    recipe = folder.read_recipe_of(MaskedLanguageModelRecipe)
    blank.path.mkdir(parents=True, exist_ok=True)
    for path in (folder.recipe, folder.tokenizer("text", True), folder.report):
        shutil.copy(path, blank.path)
    torch.manual_seed(recipe.seed)
    network = masked_language_model(recipe.model, read_tokenizer(folder).size, recipe.data.context or 0)
    save_tensors(blank.weights, parameters_of(network), {"format": "regard 1"})
    return blank.path


def measured(
    options: argparse.Namespace, number: str, way: str, begun: Path, train: Path, valid: Path
) -> dict[str, Any]:
    own = [word for each in options.settings for word in ("--set", each)]
    words = [claims.ROOT / "recipes" / "clinc150-pretrained.toml", "--data", train, "--valid-data", valid]
    values = claims.setting({"model.pretrained": str(begun.resolve())})
    run = claims.trained(
        options.out / f"{options.task}-{way}-{number}", *words, "--steps", options.steps, *values, *own
    )
    said = claims.kept(
        options.out / f"{options.task}-{way}-{number}.json", [run], "evaluate", run, "--data", valid, "--json"
    )
    return json.loads(said)


def draw(plot: Any, rows: list[dict[str, Any]], labels: list[str], task: str) -> None:
    _, axes = plot.subplots()
    for (way, label), color, marker in zip(LINES.items(), (claims.ORANGE, claims.BLUE), "so", strict=True):
        scores = [row["scores"][0] for row in rows if row["way"] == way]
        bars = [claims.bars(s["value"], s["low"], s["high"]) for s in scores]
        values = [s["value"] for s in scores]
        error = [[bar[side][0] for bar in bars] for side in (0, 1)]
        axes.errorbar(range(len(values)), values, yerr=error, color=color, marker=marker, linewidth=2, label=label)
        for place, value in enumerate(values):
            axes.annotate(f"{value:.1f}", (place, value), xytext=(6, -10), textcoords="offset points", color=color)
    axes.set_xticks(range(len(labels)), [f"{int(n):,}" if n.isdecimal() else n for n in labels])
    axes.set_xlabel("labelled texts to learn from")
    axes.set_ylabel("accuracy on the validation texts, percent")
    axes.legend(frameon=False, loc="lower right")
    axes.set_title(f"What does pre-training bring? {TASKS[task]}")


def table(rows: list[dict[str, Any]]) -> None:
    cells = [[row["labels"], LINES[row["way"]], *(claims.said(score) for score in row["scores"][:2])] for row in rows]
    facts = [
        f"{rows[0]['sentences']:,} validation texts, which also chose the snapshot and the temperature; a test set is not "
        "at hand.",
        "[low, high]: 95 % bootstrap confidence.",
    ]
    claims.write_table(["labels", "encoder", "accuracy", "macro-F1"], cells, facts)


if __name__ == "__main__":
    sys.exit(claims.ended(main))
