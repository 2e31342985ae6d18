"""What the scripts of the claims share: their options, Regard's command line, the figure and the table.

A script trains through `regard compare` and `regard train`, which leave finished runs alone, so it can be stopped and
repeated. Exit status 2: matplotlib, the data or a run is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[2]
# Okabe & Ito's colours, which the colour-blind tell apart too; black text stands on none of them.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676"
LARGEST = 80_000  # bytes of a figure in the repository


class Refused(Exception):
    """One sentence: what is missing or went wrong; and the exit status."""

    def __init__(self, sentence: str, status: int = 2) -> None:
        super().__init__(sentence)
        self.status = status


def parser(description: str | None, name: str, minutes: float | None) -> argparse.ArgumentParser:
    """The options that every claim has; without `minutes` those of a script that trains nothing are left out."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data"))
    found.add_argument("--data", type=Path, metavar="DIR", default=data, help=f"the data folder ({data})")
    out = ROOT / "runs" / "claims" / name
    found.add_argument("--out", type=Path, metavar="DIR", default=out, help=f"where runs go ({shown(out)})")
    figure = ROOT / "docs" / "results" / "figures" / f"{name}.png"
    found.add_argument("--figure", type=Path, metavar="FILE", default=figure, help=f"what is drawn ({shown(figure)})")
    if minutes is not None:
        found.add_argument("--minutes", type=float, default=minutes, help=f"of each training ({minutes:g})")
        settable(found)
    return found


def settable(parser: argparse.ArgumentParser) -> None:
    """The option for any key of the recipes that a script trains by."""
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="any key of a recipe"
    )


def ended(main: Callable[[], None]) -> int:
    """Runs a script's main; what is refused is one sentence on stderr."""
    from regard.errors import RegardError

    try:
        main()
    except (Refused, RegardError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return error.status if isinstance(error, Refused) else error.exit_status
    except KeyboardInterrupt:
        print("stopped; run the same command to go on", file=sys.stderr)
        return 130
    return 0


def shown(path: Path) -> str:
    """The path as short as it can be said."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def files(folder: Path, *names: str) -> list[Path]:
    """The files of the data folder, absolute."""
    found = [folder.resolve() / name for name in names]
    for path in found:
        if not path.is_file():
            raise Refused(f"{path} is missing: name the data folder with --data DIR, or in REGARD_DATA")
    return found


def runs_of(options: argparse.Namespace, known: Sequence[str], option: str = "runs") -> dict[str, Path]:
    """What `--runs NAME=RUN …`, or another option, names, each a finished run."""
    found: dict[str, Path] = {}
    for text in getattr(options, option) or []:
        name, equals, path = text.partition("=")
        if not equals or name not in known:
            raise Refused(f"--{option} {text}: write NAME=RUN, where NAME is {' or '.join(known)}")
        if not finished(Path(path)):
            raise Refused(f"--{option} {text}: {path} is no finished run; give a folder that 'regard train' made")
        found[name] = Path(path).resolve()
    return found


# --- Regard's command line ------------------------------------------------------------------------------------------


def regard(*words: object) -> None:
    """A command of Regard's; what it says is seen on stderr, for stdout is the table's."""
    _called([sys.executable, "-m", "regard", *map(str, words)], sys.stderr)


def asked(*words: object) -> str:
    """What a command of Regard's prints."""
    return _called([sys.executable, "-m", "regard", *map(str, words)], subprocess.PIPE)


def _called(command: list[str], stdout: int | TextIO) -> str:
    said = shlex.join(["regard", *command[3:]])
    print(f"$ {said}", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=stdout, text=True, encoding="utf-8")
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise Refused(f"'{said[:60]} …' ended with status {done.returncode}, as said above", done.returncode)
    return done.stdout or ""


def setting(values: Mapping[str, object]) -> list[str]:
    """`--set KEY=VALUE` for each; strings are quoted as TOML has them."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(_plain(value))}")]


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def compared(options: argparse.Namespace, recipe: str, values: Mapping[str, object], *words: object) -> dict[str, Any]:
    """The comparison.json of `regard compare` in `options.out`; `values` are keys of the recipe, which the user's
    settings overrule."""
    own = [word for text in options.settings for word in ("--set", text)]
    budget = ["--minutes", options.minutes, "--out", options.out]
    regard("compare", ROOT / "recipes" / recipe, *words, *budget, *setting(values), *own)
    return read_comparison(options.out / "comparison.json")


def read_comparison(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{path} is no comparison that 'regard compare' wrote: {error}") from error
    for row in found["rows"]:
        for failure in row["failures"]:
            print(f"{row['attention']}, seed {failure['seed']}: {failure['error']}", file=sys.stderr)
    if not any(row["runs"] for row in found["rows"]):
        raise Refused(f"{path} has no mechanism that came to its end", 1)
    return found


def run_folder(comparison: Path, mechanism: str, seed: int) -> Path:
    """Where `regard compare` put a run."""
    return comparison.parent / f"{mechanism.replace(':', '-')}-{seed}"


def finished(run: Path) -> bool:
    return (run / "report.json").is_file() and (run / "model.safetensors").is_file()


def trained(run: Path, *words: object) -> Path:
    """The run that `regard train WORDS` makes; left alone where it is finished, gone on with where it was stopped."""
    if finished(run):
        print(f"{shown(run)} is trained already", file=sys.stderr)
    elif (run / "state").exists():
        regard("train", "--out", run, "--resume")
    else:
        regard("train", *words, "--out", run)
    return run


def kept(path: Path, runs: Sequence[Path], *words: object) -> str:
    """What a command of Regard's prints, kept beside `path` for as long as no run is newer."""
    mark = hashlib.blake2b(" ".join(map(str, words)).encode(), digest_size=4).hexdigest()
    path = path.with_stem(f"{path.stem}-{mark}")  # another run or file is another command
    made = max((run / "model.safetensors").stat().st_mtime for run in runs)
    if not path.is_file() or path.stat().st_mtime < made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(asked(*words), encoding="utf-8")
    return path.read_text(encoding="utf-8")


# --- what a reader sees ---------------------------------------------------------------------------------------------


def pyplot() -> Any:
    """matplotlib in the style of the figures. Called first, so that nothing is trained for a figure that cannot be."""
    try:
        import matplotlib
    except ImportError as error:
        raise Refused("the figure needs matplotlib: install it with 'pip install regard[plot]'") from error
    matplotlib.use("agg")
    from matplotlib import pyplot as plot

    plot.rcParams.update(
        {
            "figure.figsize": (7, 4), "figure.dpi": 150, "figure.constrained_layout.use": True, "font.size": 9,
            "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11, "axes.titlelocation": "left",
            "axes.titleweight": "bold", "figure.titlesize": 11, "figure.titleweight": "bold", "errorbar.capsize": 3,
            "hatch.linewidth": 0.6,
        }
    )  # fmt: skip
    return plot


def bars(value: float, low: float | None, high: float | None) -> list[list[float]]:
    """The two lengths of an error bar; none of them where there is no confidence."""
    return [[value - low if low is not None else 0.0], [high - value if high is not None else 0.0]]


def apart(values: Sequence[float], gap: float) -> list[float]:
    """The places nearest to the values, in their order, of which no two are closer than `gap`."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    groups: list[tuple[float, int]] = []  # the middle of labels that touch, and how many they are
    for i in order:
        middle, count = values[i], 1
        while groups and middle - (count - 1) * gap / 2 < groups[-1][0] + (groups[-1][1] - 1) * gap / 2 + gap:
            other, size = groups.pop()
            middle, count = (middle * count + other * size) / (count + size), count + size
        groups.append((middle, count))
    places = [middle + (n - (count - 1) / 2) * gap for middle, count in groups for n in range(count)]
    return [places[order.index(i)] for i in range(len(values))]


def save(plot: Any, path: Path) -> None:
    from PIL import Image  # matplotlib brings it

    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    plot.savefig(drawn)
    plot.close("all")
    # A palette makes the file a third as large.
    Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True, dpi=(150, 150))
    size = path.stat().st_size
    print(f"wrote {shown(path)}, {size / 1000:.0f} KB", file=sys.stderr)
    if size > LARGEST:
        print(f"{shown(path)} is larger than {LARGEST // 1000} KB: draw fewer things", file=sys.stderr)


def said(score: Mapping[str, Any] | None, form: str = "{:.1f}") -> str:
    """A score of a report with its confidence."""
    if score is None:
        return "–"
    value = form.format(score["value"])
    if score["low"] is None:
        return value
    return f"{value} [{form.format(score['low'])}, {form.format(score['high'])}]"


def chance(paired: Mapping[str, Any] | None) -> str:
    """The p of a paired test."""
    if paired is None:
        return "–"
    return "< 0.001" if paired["p_value"] < 0.001 else f"{paired['p_value']:.3f}"


def write_table(columns: Sequence[str], rows: Sequence[Sequence[str]], facts: Sequence[str]) -> None:
    """The table and what has to be known of it, as Markdown on stdout."""
    from regard.run.comparing.comparison import machine, table

    print(f"\n{table(columns, rows)}\n")
    for fact in (*facts, f"Machine: {machine()}."):
        print(f"- {fact}")
