"""Does a model that copies repeat what it has never seen? The share of copied rare words, with the copy and without.

    python benchmarks/claims/copying.py [--minutes 4] [--kinds dialogue,summaries]

recipes/dialogue.toml and recipes/summaries.toml (pointer-generator, See et al. 2017, with coverage) and the same with
`model.copy_source = false`, one budget for all, on dialogues and reports that recipes/facts.py makes. A rare word is one
that is in no line of the training data; it is copied if it is in the source, in the reference and in the output.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import claims

KINDS = ("dialogue", "summaries")
WAYS: dict[str, tuple[str, dict[str, object]]] = {
    "own": ("says words of its own", {"model.copy_source": False, "training.coverage": 0.0}),
    "copy": ("copies", {"training.coverage": 0.0}),
    "coverage": ("copies, coverage loss", {}),
}


def main() -> None:
    parser = claims.parser(__doc__, "copying", 4)
    parser.add_argument("--kinds", default=",".join(KINDS), metavar="A,B", help=f"of {', '.join(KINDS)}")
    options = parser.parse_args()
    rows = []
    for kind in options.kinds.split(","):
        if kind not in KINDS:
            raise claims.Refused(f"--kinds {kind}: write {','.join(KINDS)}")
        folder = made(options.out, kind)
        for way in WAYS:
            rows.append({"kind": kind, "way": way, **measured(options, kind, way, folder)})
    table(rows)


def made(out: Path, kind: str) -> Path:
    """The folder of the generated pairs."""
    folder = out / f"{kind}-data"
    done = subprocess.run([sys.executable, str(claims.ROOT / "recipes" / "facts.py"), kind, str(folder)])
    if done.returncode:
        raise claims.Refused(f"recipes/facts.py ended with status {done.returncode}, as said above")
    return folder


def measured(options: argparse.Namespace, kind: str, way: str, folder: Path) -> dict[str, Any]:
    train, dev = folder / "train.tsv", folder / "dev.tsv"
    own = [word for text in options.settings for word in ("--set", text)]
    words = ["--data", train, "--valid-data", dev, "--minutes", options.minutes, *claims.setting(WAYS[way][1])]
    run = options.out / f"{kind}-{way}"
    claims.trained(run, claims.ROOT / "recipes" / f"{kind}.toml", *words, *own)
    sources, references = columns(dev)
    asked = options.out / f"{kind}.sources"
    asked.write_text("".join(f"{line}\n" for line in sources), encoding="utf-8")
    said = claims.kept(run.with_suffix(".out"), [run], "predict", run, asked).removesuffix("\n").split("\n")
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    known = {word for line in train.read_text(encoding="utf-8").splitlines() for word in line.split()}
    return {
        "copied": copied(sources, references, said, known),
        "exact": share([(float(a == b), 1.0) for a, b in zip(said, references, strict=True)]),
        "steps": report["steps"],
        "minutes": report["seconds"] / 60,
    }


def columns(path: Path) -> tuple[list[str], list[str]]:
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [row[0] for row in rows], [row[1] for row in rows]


def copied(sources: Sequence[str], references: Sequence[str], said: Sequence[str], known: set[str]) -> dict[str, float]:
    """Of the rare words that are in a source and its reference, the percentage that the output has."""
    counts = []
    for source, reference, output in zip(sources, references, said, strict=True):
        asked = (set(source.split()) & set(reference.split())) - known
        if asked:
            counts.append((float(len(asked & set(output.split()))), float(len(asked))))
    if not counts:
        raise claims.Refused("no word of the dev lines is new: their names have to be others than those trained on", 1)
    return share(counts)


def share(counts: Sequence[tuple[float, float]]) -> dict[str, float]:
    """In percent, with the bootstrap confidence over lines."""
    import numpy as np

    from regard.evaluation import RESAMPLES, SEED
    from regard.evaluation.resampling import bootstrap_sums, interval

    sums = np.array(counts)
    [drawn] = bootstrap_sums(sums, samples=RESAMPLES, seed=SEED)
    low, high = interval(100 * drawn[:, 0] / drawn[:, 1])
    return {"value": float(100 * sums[:, 0].sum() / sums[:, 1].sum()), "low": low, "high": high}


def table(rows: list[dict[str, Any]]) -> None:
    cells = [
        [
            row["kind"],
            WAYS[row["way"]][0],
            claims.said(row["copied"]),
            claims.said(row["exact"]),
            f"{row['minutes']:.1f}",
            f"{row['steps']:,}",
        ]
        for row in rows
    ]
    columns = ["data", "model", "rare words copied, %", "answers exact, %", "minutes", "steps"]
    facts = ["Rare: in no line of the training data. [low, high]: 95 % bootstrap confidence over lines; one seed."]
    claims.write_table(columns, cells, facts)


if __name__ == "__main__":
    sys.exit(claims.ended(main))
