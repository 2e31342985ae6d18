"""Does context resolve an ambiguous word? Sense accuracy on CoarseWSD-20, static against contextual vectors by layer.

    python benchmarks/claims/senses.py [--minutes 60] [--run RUN]
    python benchmarks/claims/senses.py --text FILE           # only writes the text that the model is trained on

A masked language model (recipes/english-masked.toml) learns from unlabelled English; then `regard embed --senses` tells
the senses of 20 words from its vectors. The sentences that are tested are not in the text it learns from.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import claims

SENSES = "coarsewsd20"
MARKS = re.compile(r"([.,!?;:()\"]|'(?=s\b|re\b|ve\b|ll\b|m\b|d\b))")
WAYS = {"nearest": "1 nearest", "mean": "nearest mean", "regression": "logistic regression"}


def main() -> None:
    parser = claims.parser(__doc__, "senses", 60)
    parser.add_argument("--text", type=Path, metavar="FILE", help="write the text here, and leave")
    parser.add_argument("--run", type=Path, metavar="RUN", help="a finished run that reads English: train none")
    options = parser.parse_args()
    if options.text is not None:
        write_text(options.data, options.text)
        return
    plot = claims.pyplot()
    folder = senses_of(options.data)
    run = options.run or trained(options)
    if not claims.finished(run):
        raise claims.Refused(f"{run} is no finished run; give a folder that 'regard train' made")
    said = claims.kept(options.out / "senses.json", [run], "embed", run, "--senses", folder, "--json")
    found = json.loads(said)
    draw(plot, found)
    claims.save(plot, options.figure)
    table(found)


def trained(options: argparse.Namespace) -> Path:
    text = options.out / "english.txt"
    if not text.is_file():
        write_text(options.data, text)
    own = [word for each in options.settings for word in ("--set", each)]
    words = [claims.ROOT / "recipes" / "english-masked.toml", "--data", text, "--minutes", options.minutes, *own]
    return claims.trained(options.out / "english-masked", *words)


# --- the text -------------------------------------------------------------------------------------------------------


def write_text(data: Path, path: Path) -> None:
    """One sentence a line, each once, in small letters and in an order that chance has mixed, always the same."""
    lines = sorted({line for line in sentences(data) if len(line.split()) > 2})
    random.Random(1).shuffle(lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    words = sum(len(line.split()) for line in lines)
    print(f"wrote {claims.shown(path)}: {len(lines):,} sentences, {words:,} words", file=sys.stderr)


def sentences(data: Path) -> Iterator[str]:
    names = ("tatoeba_en-fr/train.en", "multi30k/train.en", "hansards_en-fr/train.200k.en", "clinc150/train.tsv")
    for path in claims.files(data, *names):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield plain(line.split("\t")[0])
    from regard.run.embedding.senses import read_folders

    for word in read_folders([senses_of(data)]):
        yield from (plain(each.text) for each in word.train)


def plain(line: str) -> str:
    """As CoarseWSD-20 is written: small letters, marks apart from words."""
    return " ".join(MARKS.sub(r" \1", line.lower().replace("’", "'")).split())


def senses_of(data: Path) -> Path:
    folder = data.resolve() / SENSES
    if not folder.is_dir():
        raise claims.Refused(f"{folder} is missing: name the data folder with --data DIR, or in REGARD_DATA")
    return folder


# --- what a reader sees ---------------------------------------------------------------------------------------------


def draw(plot: Any, found: dict[str, Any]) -> None:
    """Accuracy by layer; what the static vectors of a sentence tell as a dashed line each."""
    figure, axes = plot.subplots()
    static, around, *layers = found["rows"]
    names = ["static", *(str(number) for number in range(1, len(layers) + 1))]
    colors = (claims.GREEN, claims.ORANGE, claims.BLUE)
    for (way, label), color, marker in zip(WAYS.items(), colors, "^so", strict=True):
        scores = [row[way]["accuracy"] for row in (static, *layers)]
        bars = [claims.bars(s["value"], s["low"], s["high"]) for s in scores]
        axes.errorbar(
            range(len(scores)),
            [s["value"] for s in scores],
            yerr=[[bar[side][0] for bar in bars] for side in (0, 1)],
            color=color,
            marker=marker,
            linewidth=2,
            elinewidth=1,
            label=label,
        )
        axes.axhline(around[way]["accuracy"]["value"], color=color, linestyle="--", linewidth=1)
    axes.plot([], [], color=claims.GREY, linestyle="--", linewidth=1, label="mean of the sentence's static vectors")
    axes.axhline(found["majority"]["value"], color=claims.GREY, linestyle=":", label="commonest sense of each word")
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("vector of the word: static, then layer by layer")
    axes.set_ylabel("accuracy of senses, percent")
    axes.legend(frameon=False, loc="lower right")
    axes.set_title(f"Does context resolve an ambiguous word? {len(found['words'])} words of CoarseWSD-20")
    figure.align_labels()


def table(found: dict[str, Any]) -> None:
    rows = [
        [
            row["vectors"],
            *(claims.said(row[way]["accuracy"]) for way in WAYS),
            claims.said(row["regression"]["macro_f1"]),
        ]
        for row in found["rows"]
    ]
    facts = [
        f"Commonest sense of each word: {claims.said(found['majority'])}.",
        f"{found['test']:,} sentences ({found['tested_on']}), senses learned from {found['train']:,} others; "
        f"{len(found['words'])} words.",
        "[low, high]: 95 % bootstrap confidence.",
    ]
    claims.write_table(["vectors", *WAYS.values(), "macro-F1 of the regression"], rows, facts)
    best = max(found["rows"], key=lambda row: row["regression"]["accuracy"]["value"])["vectors"]
    number = [row["vectors"] for row in found["rows"]].index(best)
    cells = []
    for word, kinds in found["by_word"].items():
        cells.append([word, *(claims.said(kinds[i][way]["accuracy"]) for i in (0, number) for way in ("regression",))])
    claims.write_table(["word", "static", best], cells, ["Accuracy of the logistic regression."])


if __name__ == "__main__":
    sys.exit(claims.ended(main))
