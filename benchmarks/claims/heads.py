"""Do several heads beat one of equal size? Word and phoneme errors with 1, 2, 4 and 8 heads that share 128 features.

    python benchmarks/claims/heads.py [--minutes 20] [--runs 1=RUN 2=RUN …]

Spelling to pronunciation on CMUdict (recipes/cmudict-transformer.toml), 3 + 3 layers of 128 features: heads divide the features, so
that every network has as many parameters. Runs that differ in anything but their heads are refused.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import claims

HEADS = ("1", "2", "4", "8")
SIZE = {"model.dim": 128, "model.feed_forward": 256, "model.encoder_layers": 3, "model.decoder_layers": 3}

FILES = ("data.data", "data.source", "data.target", "data.valid_data", "data.valid_source", "data.valid_target")


def main() -> None:
    parser = claims.parser(__doc__, "heads", 20)
    parser.add_argument("--heads", default=",".join(HEADS), help="how many, each a divisor of the features")
    parser.add_argument("--runs", nargs="+", metavar="N=RUN", help="finished runs, 1=RUN 2=RUN …: train only the rest")
    options = parser.parse_args()
    plot = claims.pyplot()
    train, dev = claims.files(options.data, "cmudict/train.tsv", "cmudict/dev.tsv")
    heads = options.heads.split(",")
    if not all(number.isdecimal() and int(number) > 0 for number in heads):
        raise claims.Refused(f"--heads {options.heads} is no list of numbers: write them as 1,2,4,8")
    given = claims.runs_of(options, heads)
    runs: dict[str, Path] = {}
    for number in heads:
        runs[number] = given.get(number) or trained(options, number, train, dev, list(runs.values()))
    same(runs)
    rows = [measured(options.out, number, run, runs[heads[0]], dev) for number, run in runs.items()]
    if len({row["parameters"] for row in rows}) > 1:
        raise claims.Refused("the runs have not as many parameters, so they do not compare", 1)
    draw(plot, rows)
    claims.save(plot, options.figure)
    table(rows)


def trained(options: argparse.Namespace, heads: str, train: Path, dev: Path, before: list[Path]) -> Path:
    run = options.out / f"heads-{heads}"
    if (run / "recipe.toml").is_file() and recipe(run)["training"]["minutes"] != options.minutes:
        minutes = recipe(run)["training"]["minutes"]
        raise claims.Refused(f"{run} is a run of {minutes:g} minutes: give --minutes {minutes:g}, or another --out")
    values: dict[str, object] = dict(SIZE)
    if before:  # measured once for all, lest two runs differ in it by chance
        values["training.precision"] = recipe(before[0])["training"]["precision"]
    own = [word for text in options.settings for word in ("--set", text)]
    words = [
        claims.ROOT / "recipes" / "cmudict-transformer.toml",
        "--data",
        train,
        "--valid-data",
        dev,
        "--minutes",
        options.minutes,
    ]
    size = claims.setting({"model.heads": int(heads)})
    return claims.trained(run, *words, *claims.setting(values), *own, *size)


def recipe(run: Path) -> dict[str, Any]:
    return tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))


def same(runs: dict[str, Path]) -> None:
    """Refuses runs that differ in more than their heads; where the data lies does not matter."""
    first: dict[str, Any] = {}
    for number, run in runs.items():
        tree = {
            f"{part}.{key}": value
            for part, keys in recipe(run).items()
            for key, value in (keys.items() if isinstance(keys, dict) else (("", keys),))
        }
        if tree.pop("model.heads", None) != int(number):
            raise claims.Refused(f"{run} has not {number} heads: name each run by its heads")
        first = first or tree
        for key in sorted(first.keys() | tree.keys()):
            if first.get(key) != tree.get(key) and key not in FILES:
                raise claims.Refused(
                    f"{run} has {key} = {tree.get(key)}, and the first run {first.get(key)}: give runs that differ in "
                    "their heads alone, or another folder with --out"
                )


def measured(out: Path, heads: str, run: Path, first: Path, dev: Path) -> dict[str, Any]:
    """What `regard evaluate` says of the run, tested against the one with the fewest heads."""
    from safetensors import safe_open

    against = [] if run == first else ["--against", first]
    words = ["evaluate", run, "--data", dev, *against, "--json"]
    said = claims.kept(out / f"heads-{heads}.json", [run, first], *words)
    with safe_open(str(run / "model.safetensors"), "np") as tensors:
        parameters = sum(tensors.get_tensor(name).size for name in tensors.keys())  # noqa: SIM118
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return {"heads": int(heads), "parameters": parameters, "steps": report["steps"], **json.loads(said)}


def draw(plot: Any, rows: list[dict[str, Any]]) -> None:
    figure, panels = plot.subplots(1, 2)
    for axes, place, what, color, marker in (
        (panels[0], 0, "WER: words with a wrong sound, percent", claims.BLUE, "o"),
        (panels[1], 1, "PER: wrong sounds, percent of all sounds", claims.RED, "s"),
    ):
        scores = [row["scores"][place] for row in rows]
        heads = [row["heads"] for row in rows]
        below = [score["value"] - score["low"] for score in scores]
        above = [score["high"] - score["value"] for score in scores]
        values = [score["value"] for score in scores]
        axes.errorbar(heads, values, yerr=[below, above], color=color, marker=marker, linewidth=2, elinewidth=1.2)
        for number, score in zip(heads, scores, strict=True):
            axes.annotate(
                f"{score['value']:.1f}",
                (number, score["value"]),
                xytext=(5, 6),
                textcoords="offset points",
                color=color,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(heads, [str(number) for number in heads])
        axes.minorticks_off()
        axes.set_xlim(min(heads) / 1.3, max(heads) * 1.5)
        axes.set_xlabel("heads (equal parameters in all networks)")
        axes.set_ylabel(what)
        axes.grid(axis="y", alpha=0.3)
    panels[1].text(
        1, 0.99, "lines: 95 % confidence", transform=panels[1].transAxes, ha="right", va="top", color=claims.GREY,
        fontsize=8,
    )  # fmt: skip
    figure.suptitle("Do several heads beat one of equal size?", ha="left", x=0.01)


def table(rows: list[dict[str, Any]]) -> None:
    names = [score["name"] for score in rows[0]["scores"][:2]]
    cells = []
    for row in rows:
        tests = [claims.chance(paired) for paired in row["paired"][:2]] or ["–", "–"]
        scores = [claims.said(score) for score in row["scores"][:2]]
        cells.append([str(row["heads"]), *scores, *tests, f"{row['parameters']:,}", f"{row['steps']:,}"])
    tests = [f"p of {name} against {rows[0]['heads']}" for name in names]
    facts = [f"{score['name']}: {score['signature']}." for score in rows[0]["scores"][:2]]
    facts.append("[low, high]: 95 % bootstrap confidence; p of a paired test, not corrected for their number.")
    claims.write_table(["heads", *names, *tests, "parameters", "steps"], cells, facts)


if __name__ == "__main__":
    sys.exit(claims.ended(main))
