"""Is alignment found without supervision? AER of what attention looks at, on pairs aligned by hand, against eflomal.

    python benchmarks/claims/alignment.py [--minutes 30] [--runs en-fr=RUN fr-en=RUN] [--markov en-fr=RUN fr-en=RUN]
        [--eflomal FILE]

The 37 trial pairs of the Hansards. Mechanisms: `regard compare` of recipes/hansards-gru.toml, English to French, on
train.200k and the trial's text, which eflomal is trained on too; none with --attention none. Transformers trained elsewhere
come with --runs: each direction alone, and both symmetrised; layer, head and shift are where the directions agree, never
chosen by gold. Hidden Markov models of recipes/hansards-alignment.toml come with --markov.
Where no eflomal-align is found its published figures are drawn, and marked.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import claims

MECHANISMS = (
    "additive,dot,general,additive+sparsemax,additive+entmax15,location-sensitive,coverage,general+local-m:3,"
    "general+local-p:3"
)
# data/README.md: eflomal 2.0.0, --model 3, on these pairs and the trial.
PUBLISHED = {"eflomal en→fr": 7.9, "eflomal fr→en": 9.3, "eflomal, intersection": 7.8}
# As fast_align's class is published; not on these pairs, so a landmark rather than a rival.
FAST_ALIGN = 16.4
EVERY = 200  # one of so many pairs is for validation, lest a pair of the trial is left out of training for it
GRU, TRANSFORMER, LEXICON, MARKOV, STATISTICAL = (
    "GRU, en→fr", "Transformer", "by a lexicon", "hidden Markov", "statistical",
)  # fmt: skip
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # under numbers that a line crosses
COLOURS = {
    GRU: claims.BLUE,
    TRANSFORMER: claims.GREEN,
    LEXICON: claims.GREEN,
    MARKOV: claims.RED,
    STATISTICAL: claims.GREY,
}


@dataclass(frozen=True)
class Bar:
    """An aligner; `score` has no confidence where it was quoted."""

    name: str
    kind: str
    score: Mapping[str, Any]
    how: str


def main() -> None:
    parser = claims.parser(__doc__, "alignment", 30)
    parser.add_argument("--attention", default=MECHANISMS, metavar="A,B,…", help=f"mechanisms ({MECHANISMS})")
    parser.add_argument("--comparison", type=Path, metavar="FILE", help="a comparison.json: train nothing")
    parser.add_argument("--runs", nargs="+", metavar="NAME=RUN", help="Transformers, en-fr=RUN and fr-en=RUN")
    parser.add_argument("--markov", nargs="+", metavar="NAME=RUN", help="hidden Markov models, likewise")
    parser.add_argument("--eflomal", metavar="FILE", help="eflomal-align, if it is not on PATH")
    options = parser.parse_args()
    plot = claims.pyplot()
    names = [f"hansards_en-fr/{part}" for part in ("train.200k.en", "train.200k.fr", "trial.en", "trial.fr")]
    texts = claims.files(options.data, *names)
    [gold] = claims.files(options.data, "hansards_en-fr/trial.talp")
    ways = ("en-fr", "fr-en")
    runs, markov = claims.runs_of(options, ways), claims.runs_of(options, ways, "markov")
    corpus = written(texts, options.out)

    found = [] if options.attention == "none" else mechanisms(options, corpus, texts[2:], gold)
    lexical = any(
        tomllib.loads((run / "recipe.toml").read_text("utf-8"))["model"].get("lexical") for run in runs.values()
    )
    found += directions(LEXICON if lexical else TRANSFORMER, options.out, runs, texts[2:], gold)
    found += directions(MARKOV, options.out, markov, texts[2:], gold)
    found += eflomal(options, corpus["all"], texts[2:], gold)
    draw(plot, found)
    claims.save(plot, options.figure)
    table(found)


def written(texts: list[Path], out: Path) -> dict[str, list[Path]]:
    """In English and in French: all text for eflomal, its training part with the whole trial, and its validation part."""
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Path]] = {"all": [], "train": [], "valid": []}
    for side, text, trial in (("en", texts[0], texts[2]), ("fr", texts[1], texts[3])):
        pairs, last = lines(text), lines(trial)
        apart = [number % EVERY == EVERY - 1 for number in range(len(pairs))]
        train = [line for line, valid in zip(pairs, apart, strict=True) if not valid]
        valid = [line for line, valid in zip(pairs, apart, strict=True) if valid]
        for part, those in (("all", pairs + last), ("train", train + last), ("valid", valid)):
            path, joined = out / f"{part}.{side}", "\n".join(those) + "\n"
            if not path.is_file() or path.read_text(encoding="utf-8") != joined:  # what is equal keeps its time
                path.write_text(joined, encoding="utf-8")
            found[part].append(path.resolve())
    return found


def mechanisms(options: argparse.Namespace, corpus: dict[str, list[Path]], trial: list[Path], gold: Path) -> list[Bar]:
    if options.comparison is not None:
        comparison = claims.read_comparison(options.comparison)
    else:
        names = ("data.source", "data.target", "data.valid_source", "data.valid_target")
        keys: dict[str, object] = {}
        for name, path in zip(names, corpus["train"] + corpus["valid"], strict=True):
            keys[name] = path
        words = ["--attention", options.attention, "--source", trial[0], "--target", trial[1], "--gold", gold]
        comparison = claims.compared(options, "hansards-gru.toml", keys, *words, "--one-based")
    rows = [(row["attention"], run) for row in comparison["rows"] for run in row["runs"][:1]]
    bars = [
        Bar(name, GRU, run["alignment_error_rate"], f"{run['steps']:,} steps")
        for name, run in rows
        if run["alignment_error_rate"] is not None
    ]
    return sorted(bars, key=lambda bar: bar.score["value"])


def directions(kind: str, out: Path, runs: dict[str, Path], trial: list[Path], gold: Path) -> list[Bar]:
    """Each direction alone, and if both are there both together."""

    def aligned(*words: object) -> dict[str, Any]:
        command = ["align", *words, "--gold", gold, "--one-based", "--json", "--out", out / "both.links"]
        return json.loads(claims.asked(*command))

    given = {"en-fr": trial, "fr-en": trial[::-1]}
    reports, hand = {}, {"en-fr": [], "fr-en": []}
    if len(runs) == 2:
        files = ["--source", trial[0], "--target", trial[1]]
        both = aligned(runs["en-fr"], "--reverse", runs["fr-en"], *files)
        reports["both ways"] = both
        for way, choice in (("en-fr", both["choice"]), ("fr-en", both["reverse_choice"])):
            head = "mean" if choice["head"] is None else choice["head"]
            if kind == TRANSFORMER:
                hand[way] = ["--layer", choice["layer"], "--head", head, "--shift", choice["shift"]]
    for way, run in runs.items():
        turned = ["--reversed-gold"] if way == "fr-en" else []
        files = ["--source", given[way][0], "--target", given[way][1]]
        reports[way.replace("-", "→")] = aligned(run, *files, *hand[way], *turned)
    bars = [Bar(name, kind, report["scores"]["aer"], how(kind, report)) for name, report in reports.items()]
    return sorted(bars, key=lambda bar: bar.score["value"])


def how(kind: str, report: dict[str, Any]) -> str:
    choice = report["choice"]
    if kind == MARKOV:
        return "mean of both probabilities above one half" if report["symmetrise"] else "the likeliest word, if any"
    head = "all heads" if choice["head"] is None else f"head {choice['head']}"
    if kind == LEXICON and report["symmetrise"] is None:
        return "the likeliest token of the lexicon"
    looked = f"layer {choice['layer']}, {head}, shift {choice['shift']}"
    return looked if report["symmetrise"] is None else report["symmetrise"]


def eflomal(options: argparse.Namespace, corpus: list[Path], trial: list[Path], gold: Path) -> list[Bar]:
    """eflomal on the same pairs, or what was published of it."""
    from regard.evaluation import alignment_scores, intersection, parse_links, read_gold

    program = shutil.which(options.eflomal or "eflomal-align")
    if program is None:
        if options.eflomal:
            raise claims.Refused(f"--eflomal {options.eflomal} is no program: name the file of eflomal-align")
        print("no eflomal-align was found: its published figures are quoted", file=sys.stderr)
        return [Bar(name, STATISTICAL, quoted(value), "quoted") for name, value in PUBLISHED.items()]
    outputs = [options.out / f"eflomal.{way}" for way in ("forward", "reverse")]
    if not all(path.is_file() and path.stat().st_mtime > corpus[0].stat().st_mtime for path in outputs):
        command = [program, "--overwrite", "--model", "3", "-s", *corpus[:1], "-t", *corpus[1:]]
        command += ["-f", outputs[0], "-r", outputs[1]]
        if subprocess.run(list(map(str, command)), stdout=sys.stderr).returncode:
            for path in outputs:
                path.unlink(missing_ok=True)
            raise claims.Refused(f"{program} failed, as said above", 1)
    english, french = ([len(line.split()) for line in lines(path)] for path in trial)
    lengths = list(zip(english, french, strict=True))
    wanted = read_gold(gold, lengths, one_based=True)
    # eflomal writes both directions with the English word first.
    forward, reverse = (
        [
            parse_links(line, str(path), number, lengths=those)
            for number, (line, those) in enumerate(zip(lines(path)[-len(lengths) :], lengths, strict=True), start=1)
        ]
        for path in outputs
    )
    both = [intersection(a, b) for a, b in zip(forward, reverse, strict=True)]
    scores = [asdict(alignment_scores(links, wanted).aer) for links in (forward, reverse, both)]
    return [Bar(name, STATISTICAL, s, "run here") for name, s in zip(PUBLISHED, scores, strict=True)]


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def quoted(value: float) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "signature": ""}


def draw(plot: Any, found: list[Bar]) -> None:
    _, axes = plot.subplots()
    place, places, last = 0.0, [], None
    for bar in found:
        if bar.kind != last:
            axes.text(
                -0.01, place, bar.kind, transform=axes.get_yaxis_transform(), ha="right", va="center",
                color=COLOURS[bar.kind], fontweight="bold",
            )  # fmt: skip
            place, last = place + 0.9, bar.kind
        places.append(place)
        color, value, high = COLOURS[bar.kind], bar.score["value"], bar.score["high"]
        axes.barh(
            place, value, color="white" if bar.how == "quoted" else color, edgecolor=color, height=0.75,
            hatch="////" if bar.how == "quoted" else None,
        )  # fmt: skip
        if high is not None:
            axes.errorbar(value, place, xerr=claims.bars(value, bar.score["low"], high), color="black", linewidth=1)
        text = f"{value:.1f}" + (" (quoted)" if bar.how == "quoted" else "")
        axes.annotate(text, (high or value, place), xytext=(5, 0), textcoords="offset points", va="center", bbox=PAPER)
        place += 1
    axes.axvline(FAST_ALIGN, color=claims.ORANGE, linestyle="--", linewidth=1.5)
    axes.annotate(
        f"fast_align's class, published: {FAST_ALIGN}", (FAST_ALIGN, 1), xycoords=("data", "axes fraction"),
        xytext=(3, -1), textcoords="offset points", color="#9A6A00", fontsize=8, va="bottom",
    )  # fmt: skip
    axes.set_yticks(places, [bar.name for bar in found])
    axes.set_ylim(place - 0.4, -0.6)
    right = max(bar.score["high"] or bar.score["value"] for bar in found)
    axes.set_xlim(0, max(right * 1.15, FAST_ALIGN * 1.6))
    axes.set_xlabel("alignment error rate, percent (lower is better; lines: 95 %)")
    axes.set_title("Which word translates which, untaught", pad=18)
    axes.tick_params(axis="y", length=0)


def table(found: list[Bar]) -> None:
    rows = [[bar.name, bar.kind, claims.said(bar.score), bar.how] for bar in found]
    signature = next((bar.score["signature"] for bar in found if bar.score["signature"]), "")
    facts = [
        f"37 trial pairs of the Hansards, [low, high]: 95 % bootstrap confidence; {signature}.",
        "Transformers: layer, head and shift are where both directions agree most, or the default of one alone.",
        f"Quoted: eflomal 2.0.0 by the data's README on these pairs; {FAST_ALIGN}, fast_align's class, is published and "
        "not of these pairs.",
    ]
    claims.write_table(["aligner", "kind", "AER", "how"], rows, facts)


if __name__ == "__main__":
    sys.exit(claims.ended(main))
