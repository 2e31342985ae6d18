"""Do plain recipes reach the published baselines of pronunciation (SIGMORPHON 2021) and inflection (2016)?

    python benchmarks/claims/sigmorphon.py [--only dut,kor,german] [--seeds 1,2,3] [--transformer] [--minutes 7] [--set KEY=VALUE]

recipes/sigmorphon-g2p.toml for six languages and recipes/inflection.toml for three, by their own budgets, scored on the dev words
with a beam of 5. With several seeds, each model is scored and all of them together, as the baselines of 2021 are ensembles;
--transformer adds a model of recipes/sigmorphon-transformer.toml, by the first seed and without --set. The dev words choose
the snapshot too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import claims


@dataclass(frozen=True)
class Language:
    """Which recipe reads it, through which script, and what the shared task's baseline has: word errors in percent on
    dev and on test; for inflection the errors that the goal allows."""

    recipe: str
    script: str | None = None
    baseline: tuple[float | None, float] = (None, 7.0)
    settings: dict[str, object] = field(default_factory=dict)


G2P, TRANSFORMER = "sigmorphon-g2p.toml", "sigmorphon-transformer.toml"
JAMO: dict[str, object] = {"data.source_tokenizer": "words", "training.choose_by": "exact-match"}
LANGUAGES = {
    "hun": Language(G2P, None, (1.5, 1.8), {"model.hidden": 256, "model.dropout": 0.2, "training.label_smoothing": 0}),
    "fre": Language(G2P, None, (7.4, 8.5)),
    "dut": Language(G2P, None, (10.8, 14.7)),
    "kor": Language(G2P, "jamo.py", (18.4, 16.3), JAMO),
    "ita": Language(G2P, None, (22.0, 19.0), {"training.steps": 3000, "training.validate_every": 100}),
    "eng_us": Language(
        G2P,
        None,
        (45.13, 41.94),
        {"training.batch_tokens": 1024, "training.steps": 6000, "training.validate_every": 300},
    ),
    "german": Language("inflection.toml", "inflection.py"),
    "finnish": Language("inflection.toml", "inflection.py"),
    "spanish": Language("inflection.toml", "inflection.py"),
}


def main() -> None:
    parser = claims.parser(__doc__, "sigmorphon", None)
    parser.add_argument("--minutes", type=float, help="of each training (as its recipe says)")
    claims.settable(parser)
    parser.add_argument("--only", default=",".join(LANGUAGES), metavar="A,B,…", help=f"of {', '.join(LANGUAGES)}")
    parser.add_argument("--seeds", default="1", metavar="A,B,…", help="a model for each, and all of them together (1)")
    parser.add_argument("--transformer", action="store_true", help="of pronunciation: a Transformer, too")
    options = parser.parse_args()
    options.seeds = seeds(options.seeds)
    chosen = options.only.split(",")
    for name in chosen:
        if name not in LANGUAGES:
            raise claims.Refused(f"--only {name}: write languages as {','.join(LANGUAGES)}")
    table([{"name": name, **measured(options, name, LANGUAGES[name])} for name in chosen])


def seeds(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise claims.Refused(f"--seeds {text}: write different whole numbers with commas between them, such as 1,2,3")
    return [int(part) for part in parts]


def measured(options: argparse.Namespace, name: str, language: Language) -> dict[str, Any]:
    """The scores of each seed's model and of all together; minutes and steps are of all."""
    train, dev = pairs(options, name, language)
    own = [word for text in options.settings for word in ("--set", text)]
    words = ["--data", train, "--valid-data", dev, *claims.setting(language.settings)]
    words += [] if options.minutes is None else ["--minutes", options.minutes]
    ways = [(name if seed == 1 else f"{name}-{seed}", language.recipe, [*words, *own], seed) for seed in options.seeds]
    if options.transformer and language.recipe == G2P:
        reading = claims.setting({k: v for k, v in language.settings.items() if k in JAMO})
        words = ["--data", train, "--valid-data", dev, *reading]
        ways.append((f"{name}-transformer", TRANSFORMER, words, options.seeds[0]))
    runs, each, spent = [], [], {"steps": 0, "minutes": 0.0}
    for place, recipe, how, seed in ways:
        folder = options.out / place
        runs.append(claims.trained(folder, claims.ROOT / "recipes" / recipe, *how, "--set", f"seed={seed}"))
        each.append(scores(folder.with_suffix(".json"), runs[-1:], dev))
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        spent = {"steps": spent["steps"] + report["steps"], "minutes": spent["minutes"] + report["seconds"] / 60}
    together = scores(options.out / f"{name}-together.json", runs, dev) if len(runs) > 1 else None
    return {"each": each, "together": together, **spent}


def scores(path: Path, runs: Sequence[Path], dev: Path) -> dict[str, Any]:
    """What `regard evaluate` says of a run, or of several that speak together."""
    others = [word for run in runs[1:] for word in ("--ensemble", run)]
    return json.loads(claims.kept(path, runs, "evaluate", runs[0], *others, "--data", dev, "--json"))


def pairs(options: argparse.Namespace, name: str, language: Language) -> tuple[Path, Path]:
    """Training and dev pairs as Regard reads them; what a script makes of the data lies beside the runs."""
    if language.recipe == G2P:
        train, dev = claims.files(options.data, *(f"sigmorphon2021_g2p/{name}_{s}.tsv" for s in ("train", "dev")))
    else:
        folder = "sigmorphon2016_inflection"
        train, dev = claims.files(options.data, *(f"{folder}/{name}-task1-{s}" for s in ("train", "dev")))
    if language.script is None:
        return train, dev
    train, dev = (
        prepared(options.out / f"{name}-{split}.tsv", language.script, path)
        for split, path in (("train", train), ("dev", dev))
    )
    return train, dev


def prepared(path: Path, script: str, source: Path) -> Path:
    command = [sys.executable, str(claims.ROOT / "recipes" / script), str(source)]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode:
        raise claims.Refused(f"recipes/{script} ended with status {done.returncode}, as said above")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(done.stdout)
    return path


def table(rows: list[dict[str, Any]]) -> None:
    cells = []
    for row in rows:
        on_dev, on_test = LANGUAGES[row["name"]].baseline
        each = [wrong(report) for report in row["each"]]
        values = ", ".join(f"{score['value']:.1f}" for score in each)
        cells.append(
            [
                row["name"],
                claims.said(each[0]) if len(each) == 1 else values,
                claims.said(None if row["together"] is None else wrong(row["together"])),
                "–" if on_dev is None else f"{on_dev:.1f}",
                f"{on_test:.1f}",
                f"{row['minutes']:.1f}",
                f"{row['steps']:,}",
            ]
        )
    alone, together = "wrong words, %, by model", "all together"
    columns = ["language", alone, together, "baseline, dev", "baseline, test, or goal", "minutes", "steps"]
    facts = [f"{score['name']}: {score['signature']}." for score in rows[0]["each"][0]["scores"][:1]]
    facts.append("[low, high]: 95 % bootstrap confidence over the dev words. Minutes and steps are of all models.")
    claims.write_table(columns, cells, facts)


def wrong(report: dict[str, Any]) -> dict[str, Any]:
    """Words said wrong, in percent, whether the run counts those or the right ones."""
    found = {score["name"]: score for score in report["scores"]}
    if "WER" in found:
        return found["WER"]
    right = next(score for name, score in found.items() if "exact" in name.lower())
    return {"value": 100 - right["value"], "low": 100 - right["high"], "high": 100 - right["low"]}


if __name__ == "__main__":
    sys.exit(claims.ended(main))
