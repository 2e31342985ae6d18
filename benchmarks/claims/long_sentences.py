"""Does attention rescue long sentences? BLEU by source length, of a GRU with one fixed context and with attention.

    python benchmarks/claims/long_sentences.py [--minutes 30] [--runs additive=RUN none=RUN]

Bahdanau et al. 2014, figure 2, on Multi30k English to German: both networks have the same recipe and budget. Scored on
test_2016_flickr. What the fixed context keeps of the attention's BLEU is resampled over the same sentences for both.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import claims

NAMES = {"additive": "Bahdanau's attention", "none": "one fixed context"}
COLOURS = {"additive": claims.BLUE, "none": claims.RED}
BOUNDS = (5, 8, 11, 14, 17, 20, 25)


def main() -> None:
    parser = claims.parser(__doc__, "long_sentences", 30)
    parser.add_argument("--runs", nargs="+", metavar="NAME=RUN", help="additive=RUN none=RUN: train nothing")
    parser.add_argument("--bounds", default=",".join(map(str, BOUNDS)), help="the longest sources of the buckets")
    options = parser.parse_args()
    plot = claims.pyplot()
    names = [f"multi30k/{part}.{side}" for part in ("train", "val", "test_2016_flickr") for side in ("en", "de")]
    *training, source, target = claims.files(options.data, *names)
    runs = claims.runs_of(options, tuple(NAMES)) if options.runs else trained(options, training, source, target)
    if runs.keys() != NAMES.keys():
        raise claims.Refused("this claim is about two runs: give --runs additive=RUN none=RUN, or neither")

    outputs = {
        name: claims.kept(options.out / f"{name}.de", [run], "predict", run, source).removesuffix("\n").split("\n")
        for name, run in runs.items()
    }
    sources, references = lines(source), [[line] for line in lines(target)]
    rows = measured(outputs, sources, references, [int(bound) for bound in options.bounds.split(",")])
    draw(plot, rows)
    claims.save(plot, options.figure)
    table(rows, len(sources))


def trained(options: Any, training: Sequence[Path], source: Path, target: Path) -> dict[str, Path]:
    keys = ("data.source", "data.target", "data.valid_source", "data.valid_target")
    words = ("--attention", ",".join(NAMES), "--source", source, "--target", target)
    claims.compared(options, "multi30k-gru.toml", dict(zip(keys, training, strict=True)), *words)
    return {name: claims.run_folder(options.out / "comparison.json", name, 1) for name in NAMES}


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def measured(
    outputs: dict[str, list[str]], sources: list[str], references: list[list[str]], bounds: Sequence[int]
) -> list[dict[str, Any]]:
    """For each bucket that has sentences, and for all of them last: its name, its size, a score for each run, and the
    share that the run without attention keeps."""
    from regard.evaluation import Bleu, by_length, score

    buckets = {name: by_length(said, references, sources, Bleu(), bounds=bounds) for name, said in outputs.items()}
    lengths = [len(each.split()) for each in sources]
    rows = []
    for number, bucket in enumerate(buckets["additive"]):
        if bucket.count:
            longest = bucket.longest if bucket.longest is not None else max(lengths)
            inside = [i for i, length in enumerate(lengths) if bucket.shortest <= length <= longest]
            scores = {name: those[number].score for name, those in buckets.items()}
            share = kept_share(outputs, references, inside)
            shortest = max(bucket.shortest, min(lengths))
            several = str(longest) if shortest == longest else f"{shortest}–{longest}"
            label = f"{bucket.shortest}+" if bucket.longest is None else several
            rows.append({"label": label, "count": bucket.count, "scores": scores, "share": share})
    scores = {name: score(Bleu(), said, references) for name, said in outputs.items()}
    share = kept_share(outputs, references, range(len(sources)))
    return [*rows, {"label": "all", "count": len(sources), "scores": scores, "share": share}]


def kept_share(outputs: dict[str, list[str]], references: list[list[str]], inside: Sequence[int]) -> dict[str, float]:
    """BLEU without attention / BLEU with it, over the same resampled sentences."""
    import numpy as np

    from regard.evaluation import RESAMPLES, SEED, Bleu
    from regard.evaluation.resampling import bootstrap_sums, interval

    chosen = [references[i] for i in inside]
    none, additive = (Bleu().measure([outputs[name][i] for i in inside], chosen) for name in ("none", "additive"))
    sums = bootstrap_sums(none.statistics, additive.statistics, samples=RESAMPLES, seed=SEED)
    ratios = none.formula(sums[0]) / np.maximum(additive.formula(sums[1]), 1e-9)
    low, high = interval(ratios)
    return {"value": none.value() / max(additive.value(), 1e-9), "low": low, "high": high}


def draw(plot: Any, rows: list[dict[str, Any]]) -> None:
    _, axes = plot.subplots()
    buckets = rows[:-1]
    for shift, name in ((-0.04, "additive"), (0.04, "none")):  # lest the bars of confidence hide each other
        scores = [row["scores"][name] for row in buckets]
        places = [number + shift for number in range(len(buckets))]
        lengths = [claims.bars(s.value, s.low, s.high) for s in scores]
        both = [[side[0][0] for side in lengths], [side[1][0] for side in lengths]]
        axes.errorbar(
            places, [s.value for s in scores], yerr=both, color=COLOURS[name], marker="o", linewidth=2, elinewidth=1.2
        )
        axes.annotate(
            NAMES[name], (places[-1], scores[-1].value), xytext=(10, 0), textcoords="offset points", color=COLOURS[name],
            fontweight="bold", va="center",
        )  # fmt: skip
    axes.set_xticks(range(len(buckets)), [f"{row['label']}\n({row['count']})" for row in buckets])
    axes.set_xlim(-0.4, len(buckets) + 1.1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("length of the English source, words (number of sentences)")
    axes.set_ylabel("BLEU of the German output, percent")
    axes.set_title("Does a translator without attention lose the long sentences?")
    axes.grid(axis="y", alpha=0.3)
    note = "bars: 95 % bootstrap confidence"
    axes.text(1, 0.98, note, transform=axes.transAxes, ha="right", va="top", color=claims.GREY, fontsize=8)


def table(rows: list[dict[str, Any]], sentences: int) -> None:
    from dataclasses import asdict

    columns = ["source words", "sentences", *(f"BLEU, {what}" for what in NAMES.values()), "fixed / attention"]
    cells = []
    for row in rows:
        scores = [claims.said(asdict(row["scores"][name])) for name in NAMES]
        cells.append([row["label"], f"{row['count']:,}", *scores, claims.said(row["share"], "{:.2f}")])
    signature = rows[-1]["scores"]["additive"].signature
    facts = [f"{sentences:,} sentences, source words counted between white space; BLEU: {signature}."]
    claims.write_table(columns, cells, [*facts, "[low, high]: 95 % bootstrap confidence, the ratio's paired."])


if __name__ == "__main__":
    sys.exit(claims.ended(main))
