"""Do plain recipes reach the published baselines of pronunciation (SIGMORPHON 2021) and inflection (2016)?

    python benchmarks/claims/sigmorphon.py [--only dut,kor,german] [--minutes 7] [--set KEY=VALUE]

recipes/sigmorphon-g2p.toml for six languages and recipes/inflection.toml for three, one seed and budget each, scored on the
dev words with a beam of 5. The dev words choose the snapshot too, and the baselines of 2021 are ensembles.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
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


G2P = "sigmorphon-g2p.toml"
LANGUAGES = {
    "hun": Language(G2P, None, (1.5, 1.8)),
    "fre": Language(G2P, None, (7.4, 8.5)),
    "dut": Language(G2P, None, (10.8, 14.7)),
    "kor": Language(G2P, "jamo.py", (18.4, 16.3), {"data.source_tokenizer": "words"}),
    "ita": Language(G2P, None, (22.0, 19.0), {"training.batch_tokens": 512}),
    "eng_us": Language(G2P, None, (45.13, 41.94)),
    "german": Language("inflection.toml", "inflection.py"),
    "finnish": Language("inflection.toml", "inflection.py"),
    "spanish": Language("inflection.toml", "inflection.py"),
}


def main() -> None:
    parser = claims.parser(__doc__, "sigmorphon", 7)
    parser.add_argument("--only", default=",".join(LANGUAGES), metavar="A,B,…", help=f"of {', '.join(LANGUAGES)}")
    options = parser.parse_args()
    chosen = options.only.split(",")
    for name in chosen:
        if name not in LANGUAGES:
            raise claims.Refused(f"--only {name}: write languages as {','.join(LANGUAGES)}")
    table([{"name": name, **measured(options, name, LANGUAGES[name])} for name in chosen])


def measured(options: argparse.Namespace, name: str, language: Language) -> dict[str, Any]:
    train, dev = pairs(options, name, language)
    own = [word for text in options.settings for word in ("--set", text)]
    words = ["--data", train, "--valid-data", dev, "--minutes", options.minutes, *claims.setting(language.settings)]
    run = claims.trained(options.out / name, claims.ROOT / "recipes" / language.recipe, *words, *own)
    said = claims.kept(options.out / f"{name}.json", [run], "evaluate", run, "--data", dev, "--json")
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return {"steps": report["steps"], "minutes": report["seconds"] / 60, **json.loads(said)}


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
        score = wrong(row)
        on_dev, on_test = LANGUAGES[row["name"]].baseline
        cells.append(
            [
                row["name"],
                claims.said(score),
                "–" if on_dev is None else f"{on_dev:.1f}",
                f"{on_test:.1f}",
                f"{row['minutes']:.1f}",
                f"{row['steps']:,}",
            ]
        )
    columns = ["language", "wrong words, %", "baseline, dev", "baseline, test, or goal", "minutes", "steps"]
    facts = [f"{score['name']}: {score['signature']}." for score in rows[0]["scores"][:1]]
    facts.append("[low, high]: 95 % bootstrap confidence over the dev words; one seed.")
    claims.write_table(columns, cells, facts)


def wrong(row: dict[str, Any]) -> dict[str, Any]:
    """Words said wrong, in percent, whether the run counts those or the right ones."""
    scores = {score["name"]: score for score in row["scores"]}
    if "WER" in scores:
        return scores["WER"]
    right = next(score for name, score in scores.items() if "exact" in name.lower())
    return {"value": 100 - right["value"], "low": 100 - right["high"], "high": 100 - right["low"]}


if __name__ == "__main__":
    sys.exit(claims.ended(main))
