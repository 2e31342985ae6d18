"""Does local attention cost less, and align as well? Seconds and memory against length, and AER.

    python benchmarks/claims/local.py [--comparison runs/claims/alignment/comparison.json]

The cost is what benchmarks/local_attention.py measures: one step forward and backward, T = S, on one thread, after local
attention was found equal to its masked reference. The AER is of the runs that alignment.py made (Luong et al. 2015,
table 6); without them the figure has two panels. The difference to global attention is resampled over the same pairs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import claims

SCOPES = ("global", "local-m", "local-p")
COLOURS = {"global": claims.BLUE, "local-m": claims.ORANGE, "local-p": claims.GREEN}
DARK = COLOURS | {"local-m": "#9A6A00"}  # of letters, which need more contrast
MARKERS = {"global": "o", "local-m": "s", "local-p": "^"}
VISIBLE = {"seconds": 0.0, "mebibytes": 0.1}  # less is of the process, not of the step
ALIGNED = {"global": "general", "local-m": "general+local-m:3", "local-p": "general+local-p:3"}


def main() -> None:
    parser = claims.parser(__doc__, "local", None)
    parser.add_argument("--score", default="general", choices=["dot", "general", "additive"], help="of the attention")
    parser.add_argument("--window", type=int, default=16, help="positions to each side")
    parser.add_argument("--lengths", default="128,256,512,1024,2048", help="of source and target")
    parser.add_argument("--rounds", type=int, default=7, help="in which seconds are measured")
    parser.add_argument("--processes", type=int, default=3, help="in which memory is measured")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="what local_attention.py --json wrote already")
    comparison = claims.ROOT / "runs" / "claims" / "alignment" / "comparison.json"
    parser.add_argument(
        "--comparison", type=Path, metavar="FILE", default=comparison, help=f"of AER ({claims.shown(comparison)})"
    )
    options = parser.parse_args()
    plot = claims.pyplot()
    cost = costs(options)
    found = aligned(options)
    draw(plot, cost, found)
    claims.save(plot, options.figure)
    table(cost, found)


def costs(options: argparse.Namespace) -> dict[str, Any]:
    """What local_attention.py measured, of one score."""
    path = options.measured or options.out / "cost.json"
    if options.measured is None:
        options.out.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, claims.ROOT / "benchmarks" / "local_attention.py", "--json", path]
        for name in ("window", "lengths", "rounds", "processes"):
            command += [f"--{name}", getattr(options, name)]
        command += ["--scores", options.score]
        if subprocess.run(list(map(str, command)), stdout=sys.stderr).returncode:
            raise claims.Refused("benchmarks/local_attention.py failed, as said above", 1)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise claims.Refused(f"{path} cannot be read as what local_attention.py --json writes: {error}") from error
    found["measured"] = [row for row in found["measured"] if row["score"] == options.score]
    if not found["measured"]:
        raise claims.Refused(f"{path} has no measurement of {options.score}: give --score, or measure it")
    return {**found, "score": options.score}


# --- alignment ------------------------------------------------------------------------------------------------------


def aligned(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """For each scope its AER, and the difference of its error to that of global attention; empty without the runs."""
    if not options.comparison.is_file():
        print(f"{claims.shown(options.comparison)} is not there: no AER (alignment.py makes it)", file=sys.stderr)
        return {}
    rows = {row["attention"]: row["runs"] for row in claims.read_comparison(options.comparison)["rows"]}
    found = {
        scope: {"aer": rows[name][0]["alignment_error_rate"], "seed": rows[name][0]["seed"]}
        for scope, name in ALIGNED.items()
        if rows.get(name)
    }
    if "global" not in found:
        return {}
    runs = {s: claims.run_folder(options.comparison, ALIGNED[s], each["seed"]) for s, each in found.items()}
    if all(claims.finished(run) for run in runs.values()):
        for scope, difference in differences(options, runs).items():
            found[scope]["difference"] = difference
    return found


def differences(options: argparse.Namespace, runs: dict[str, Path]) -> dict[str, dict[str, float]]:
    """AER less that of global attention, over the same resampled pairs."""
    from regard.evaluation import RESAMPLES, SEED, AlignmentErrorRate, read_gold, read_links
    from regard.evaluation.resampling import bootstrap_sums, interval

    source, target, gold = claims.files(options.data, *(f"hansards_en-fr/trial.{end}" for end in ("en", "fr", "talp")))
    sides = [path.read_text(encoding="utf-8").removesuffix("\n").split("\n") for path in (source, target)]
    lengths = [(len(one.split()), len(other.split())) for one, other in zip(*sides, strict=True)]
    wanted = read_gold(gold, lengths, one_based=True)
    measured = {}
    for scope, run in runs.items():
        path = options.out / f"{scope}.links"
        options.out.mkdir(parents=True, exist_ok=True)
        claims.asked("align", run, "--source", source, "--target", target, "--out", path)
        measured[scope] = AlignmentErrorRate().measure(read_links(path, lengths), wanted)
    base = measured.pop("global")
    found = {}
    for scope, own in measured.items():
        sums = bootstrap_sums(own.statistics, base.statistics, samples=RESAMPLES, seed=SEED)
        low, high = interval(own.formula(sums[0]) - base.formula(sums[1]))
        found[scope] = {"value": own.value() - base.value(), "low": low, "high": high}
    return found


# --- what a reader sees ---------------------------------------------------------------------------------------------


def draw(plot: Any, cost: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
    widths = [1, 1, 0.62] if found else [1, 1]
    figure, panels = plot.subplots(1, len(widths), width_ratios=widths)
    lengths = sorted({row["length"] for row in cost["measured"]})
    for axes, key, factor, what in (
        (panels[0], "seconds", 1000, "milliseconds of a step"),
        (panels[1], "mebibytes", 1, "memory of a step, MiB"),
    ):
        for scope in SCOPES:
            rows = [row for row in cost["measured"] if row["scope"] == scope]
            rows = [row for row in rows if statistics.median(row[key]) > VISIBLE[key]]
            middle = [factor * statistics.median(row[key]) for row in rows]
            low, high = zip(*(half(row[key]) for row in rows), strict=True) if rows else ((), ())
            below = [m - factor * value for m, value in zip(middle, low, strict=True)]
            above = [factor * value - m for m, value in zip(middle, high, strict=True)]
            axes.errorbar(
                [row["length"] for row in rows], middle, yerr=[below, above], color=COLOURS[scope],
                marker=MARKERS[scope], linewidth=1.8, markersize=5, elinewidth=1.2,
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom, top * (top / bottom) ** 0.25)  # room for the names
        axes.set_xticks(lengths, [str(length) for length in lengths], rotation=45)
        axes.set_xlabel("length S of both sides, tokens")
        axes.set_ylabel(what)
        axes.grid(alpha=0.3)
        _name_lines(axes, cost, key)
    if found:
        _draw_alignment(panels[2], found)
    figure.suptitle(
        "What does it cost to look everywhere" + (", and what does it gain?" if found else "?"), ha="left", x=0.01
    )


def half(values: list[float]) -> tuple[float, float]:
    """The range of the middle half; a busy machine spoils no more than that of the others."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def _name_lines(axes: Any, cost: dict[str, Any], key: str) -> None:
    """Each name in the upper left corner, in the order of the lines at their right end."""
    last = max(row["length"] for row in cost["measured"])
    ends = {row["scope"]: statistics.median(row[key]) for row in cost["measured"] if row["length"] == last}
    base = ends["global"]
    place = 0.98
    for scope in sorted(ends, key=lambda s: -ends[s]):
        ratio = base / max(ends[scope], 1e-9)
        less = "" if scope == "global" else f", {ratio:.1f}× less" if ratio >= 1 else f", {1 / ratio:.1f}× more"
        axes.text(
            0.03, place, f"{scope}{less}", transform=axes.transAxes, va="top", color=DARK[scope], fontweight="bold"
        )  # fmt: skip
        place -= 0.065
    axes.text(0.03, place, f"at S = {last:,}", transform=axes.transAxes, va="top", color=claims.GREY, fontsize=8)


def _draw_alignment(axes: Any, found: dict[str, dict[str, Any]]) -> None:
    for number, (scope, each) in enumerate(found.items()):
        score = each["aer"]
        lengths = claims.bars(score["value"], score["low"], score["high"])
        axes.errorbar(number, score["value"], yerr=lengths, color=COLOURS[scope], marker=MARKERS[scope], linewidth=1.8)
        axes.annotate(
            f"{score['value']:.1f}", (number, score["high"] or score["value"]),
            xytext=(0, 3), textcoords="offset points", ha="center",
            color=DARK[scope],
        )  # fmt: skip
    axes.set_xticks(range(len(found)), list(found), rotation=45)
    axes.set_xlim(-0.6, len(found) - 0.4)
    axes.set_ylim(0, max(each["aer"]["high"] or each["aer"]["value"] for each in found.values()) * 1.12)
    axes.set_ylabel("alignment error rate, percent")
    axes.grid(axis="y", alpha=0.3)


def table(cost: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
    rows = []
    for length in sorted({row["length"] for row in cost["measured"]}):
        here = {row["scope"]: row for row in cost["measured"] if row["length"] == length}
        seconds = {scope: statistics.median(row["seconds"]) for scope, row in here.items()}
        memory = {scope: statistics.median(row["mebibytes"]) for scope, row in here.items()}
        cells = [f"{length:,}", *(f"{seconds[scope] * 1000:.1f}" for scope in SCOPES)]
        cells += [*(f"{memory[scope]:.1f}" for scope in SCOPES)]
        rows.append(cells)
    columns = ["S", *(f"{scope}, ms" for scope in SCOPES), *(f"{scope}, MiB" for scope in SCOPES)]
    facts = [
        f"Cost: score {cost['score']}, T = S, window of {cost['window']} to each side, {cost['dim']} features, fp32, "
        f"{cost['threads']} threads, torch {cost['torch']}; medians, in the figure with the range of the middle half.",
    ]
    for scope, each in found.items():
        text = f"AER {scope} ({ALIGNED[scope]}): {claims.said(each['aer'])}"
        if "difference" in each:
            text += f"; less global: {claims.said(each['difference'], '{:+.1f}')}, paired"
        facts.append(text + ".")
    claims.write_table(columns, rows, facts)


if __name__ == "__main__":
    sys.exit(claims.ended(main))
