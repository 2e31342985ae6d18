"""Is hard attention sharper, and what does it cost? Entropy of the weights against word errors, soft against hard.

    python benchmarks/claims/hard.py [--minutes 20] [--comparison FILE]

Spelling to pronunciation on CMUdict (recipes/cmudict-gru.toml), one recipe and budget for all. Soft: softmax, and what
gives exact zeros (entmax, sparsemax, top-k). Hard: one letter, learned by REINFORCE (Xu et al. 2015) or through
Gumbel-softmax, monotonic attention (Raffel et al. 2017), which is hard when it predicts, and both summed over every
letter exactly (Wu & Cotterell 2019).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import claims

SOFT = {"additive": "softmax", "entmax15": "1.5-entmax", "sparsemax": "sparsemax", "top-k:3": "top-3"}
HARD = {
    "hard": "hard, REINFORCE",
    "hard:gumbel": "hard, Gumbel",
    "monotonic": "monotonic",
    "hard:exact": "hard, summed",
    "monotonic:exact": "monotonic, summed",
}
COLOURS = {True: claims.RED, False: claims.BLUE}


def main() -> None:
    parser = claims.parser(__doc__, "hard", 20)
    mechanisms = ",".join((*SOFT, *HARD))
    parser.add_argument("--attention", default=mechanisms, metavar="A,B,…", help=f"mechanisms ({mechanisms})")
    parser.add_argument(
        "--comparison", type=Path, metavar="FILE", help="a comparison.json that has them: train nothing"
    )
    options = parser.parse_args()
    plot = claims.pyplot()
    path = options.comparison or options.out / "comparison.json"
    train, dev = claims.files(options.data, "cmudict/train.tsv", "cmudict/dev.tsv")
    rows = [
        {
            "name": row["attention"],
            "run": run,
            "entropy": entropy(claims.run_folder(path, row["attention"], run["seed"]), dev),
        }
        for row in compared(options, train, dev)["rows"]
        if row["attention"] in options.attention.split(",")
        for run in row["runs"][:1]
    ]
    draw(plot, rows)
    claims.save(plot, options.figure)
    table(rows)


def compared(options: argparse.Namespace, train: Path, dev: Path) -> dict[str, Any]:
    if options.comparison is not None:
        return claims.read_comparison(options.comparison)
    files = {"data.data": train, "data.valid_data": dev}
    return claims.compared(options, "cmudict-gru.toml", files, "--attention", options.attention, "--data", dev)


def entropy(run: Path, dev: Path) -> dict[str, Any]:
    """Of the weights of a sound, in nats; the inputs are those of `regard compare`, resampled for the confidence."""
    import numpy as np

    from regard import Model
    from regard.evaluation import RESAMPLES, SEED
    from regard.evaluation.resampling import bootstrap_sums, interval
    from regard.run.comparing.measuring import LOOKED_AT

    if not claims.finished(run):
        raise claims.Refused(f"{run} is no finished run: --comparison has to stand beside its runs")
    words = list(dict.fromkeys(line.split("\t")[0] for line in dev.read_text(encoding="utf-8").splitlines()))
    chosen = words[:: -(-len(words) // LOOKED_AT)]
    maps = [p.attention for p in Model.load(run).predict(chosen, attention=True) if p.attention is not None]
    means = [each.entropy().mean(axis=(0, 1)) for each in maps]
    sums = np.array([(mean.sum(), len(mean)) for mean in means])
    [drawn] = bootstrap_sums(sums, samples=RESAMPLES, seed=SEED)
    low, high = interval(drawn[:, 0] / drawn[:, 1])
    return {"value": float(sums[:, 0].sum() / sums[:, 1].sum()), "low": low, "high": high}


def draw(plot: Any, rows: Sequence[dict[str, Any]]) -> None:
    _, axes = plot.subplots()
    for row in rows:
        x, y, hard = row["entropy"], row["run"]["scores"][0], row["name"] in HARD
        axes.errorbar(
            x["value"], y["value"], xerr=claims.bars(x["value"], x["low"], x["high"]),
            yerr=claims.bars(y["value"], y["low"], y["high"]), color=COLOURS[hard], marker="s" if hard else "o",
            elinewidth=1.2,
        )  # fmt: skip
    right = max(row["entropy"]["high"] for row in rows) or 1.0
    axes.set_xlim(-0.04 * right, 1.25 * right)
    axes.set_xlabel("entropy of the attention weights, nats (0: one letter has it all)")
    axes.set_ylabel("WER: words with a wrong pronunciation, percent")
    axes.set_title("Is hard attention sharper, and what does it cost?")
    axes.grid(alpha=0.3)
    axes.text(1, 0.98, "■ hard", transform=axes.transAxes, ha="right", va="top", color=COLOURS[True], fontweight="bold")
    axes.text(
        1, 0.92, "● soft", transform=axes.transAxes, ha="right", va="top", color=COLOURS[False], fontweight="bold"
    )
    axes.text(
        1, 0.86, "lines: 95 % confidence", transform=axes.transAxes, ha="right", va="top", color=claims.GREY, fontsize=8
    )
    label(axes, rows, right)


def label(axes: Any, rows: Sequence[dict[str, Any]], right: float) -> None:
    """Names at the right of the points that stand over each other at 0; of the others in turn above and below."""
    bottom, top = axes.get_ylim()
    gap = 0.055 * (top - bottom)
    inner = sorted((row for row in rows if row["entropy"]["value"] > 0.08 * right), key=lambda r: r["entropy"]["value"])
    outer = [row for row in rows if row not in inner]
    beside = 0.045 * right + max((row["entropy"]["high"] for row in outer), default=0.0)
    places = claims.apart([row["run"]["scores"][0]["value"] for row in outer], gap)
    for row, place in zip(outer, places, strict=True):
        y, color = row["run"]["scores"][0]["value"], COLOURS[row["name"] in HARD]
        line = {"arrowstyle": "-", "color": color, "linewidth": 0.5} if abs(place - y) > gap / 10 else None
        at = (row["entropy"]["value"], y)
        axes.annotate(
            name(row), at, xytext=(beside, place), textcoords="data", va="center", color=color, arrowprops=line
        )
    for number, row in enumerate(inner):
        above, score = number % 2 == 0, row["run"]["scores"][0]
        at = (row["entropy"]["value"], score["high"] if above else score["low"])
        axes.annotate(
            name(row), at, xytext=(0, 4 if above else -4), textcoords="offset points", ha="center",
            va="bottom" if above else "top", color=COLOURS[row["name"] in HARD],
        )  # fmt: skip
    axes.set_ylim(bottom - gap, top + gap)


def name(row: dict[str, Any]) -> str:
    """What the figure calls it."""
    return (SOFT | HARD).get(row["name"]) or row["name"]


def table(rows: Sequence[dict[str, Any]]) -> None:
    names = [score["name"] for score in rows[0]["run"]["scores"][:2]]
    cells = [
        [
            row["name"],
            "hard" if row["name"] in HARD else "soft",
            claims.said(row["entropy"], "{:.2f}"),
            *(claims.said(score) for score in row["run"]["scores"][:2]),
            claims.chance(row["run"]["paired"]),
            f"{row['run']['steps']:,}",
        ]
        for row in rows
    ]
    columns = ["weights", "kind", "entropy, nats", *names, f"p against {rows[0]['name']}", "steps"]
    facts = [f"{score['name']}: {score['signature']}." for score in rows[0]["run"]["scores"][:2]]
    facts.append("[low, high]: 95 % bootstrap confidence; entropy of at most 200 words, over all their sounds.")
    claims.write_table(columns, cells, facts)


if __name__ == "__main__":
    sys.exit(claims.ended(main))
