"""Forecasts as pictures: what came, what is to come and between which bounds, and what of the past each step looked at.

In a terminal, as a page that opens offline, and as PNG (with matplotlib). Letters: L layers, H heads, T steps to come, S
lines of the past.
"""

from __future__ import annotations

import html
import math
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.cells import cell_len, set_cell_size

from regard.errors import UsageError
from regard.view.attention_map import AttentionMap
from regard.view.terminal import SHADES

HEIGHT, ROWS = 12, 24  # lines of the chart, and steps of the map at most
_BRAILLE = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # the dots of a cell, left and right, from the top
_WIDE, _CHART, _ROW = 900, 300, 14  # a page's picture: its width, its chart's height, a row of its map


@dataclass(frozen=True, eq=False)
class ForecastView:
    """One column: `values [S]` at the times `past`, and `low`, `middle`, `high [T]` at `times`. `weights [L, H, T, S]`. Of what
    comes the share `interval` should lie between `low` and `high`."""

    column: str
    past: list[str]
    values: Float[np.ndarray, " S"]
    times: list[str]
    low: Float[np.ndarray, " T"]
    middle: Float[np.ndarray, " T"]
    high: Float[np.ndarray, " T"]
    weights: Float[np.ndarray, "L H T S"]
    interval: float | None = None

    @property
    def between(self) -> str:
        """What lies between `low` and `high`, in words."""
        return (
            "its interval"
            if self.interval is None
            else f"the range that {100 * self.interval:g} % of what comes should lie in"
        )

    def looked(self, layer: int | None = None, head: int | None = None) -> Float[np.ndarray, "T S"]:
        """Averaged over layers and heads but for the one chosen. UsageError if there is no such."""
        return AttentionMap.of_words(self.weights, self.past, self.times).mean(layer, head)

    def bounds(self) -> tuple[float, float]:
        """The least and the greatest of all numbers, never equal."""
        least = float(min(self.values.min(), self.low.min()))
        most = float(max(self.values.max(), self.high.max()))
        return (least, most) if most > least else (least - 1, most + 1)


# --- terminal ---------------------------------------------------------------------------------------------------


def draw_forecast(
    view: ForecastView, *, width: int = 100, color: bool = False, layer: int | None = None, head: int | None = None
) -> str:
    """A chart, under it on the same columns what each step looked at, and the numbers. UsageError below 50 cells."""
    if width < 50:
        raise UsageError(f"the width is {width} cells; a forecast needs at least 50")
    low, high = view.bounds()
    labels = [f"{number:.5g}" for number in (high, (low + high) / 2, low)]
    margin = max(*(len(label) for label in labels), *(cell_len(time) for time in view.times)) + 1
    room = width - margin - 2  # a space before the past, a rule after it
    steps, lines = len(view.times), len(view.past)
    ahead = max(4, min(room // 2, round(room * steps / (steps + lines)))) if steps + lines > room else steps
    behind = min(room - ahead, lines)
    chart = _chart(view, behind, ahead, color)
    rows = []
    for number, line in enumerate(chart):
        label = {0: labels[0], HEIGHT // 2: labels[1], HEIGHT - 1: labels[2]}.get(number, "")
        rows.append(f"{label:>{margin}} {line}".rstrip())
    ends = f"{view.past[0]} … {view.past[-1]}"
    title = f"{_cut(view.column, width - 30)}: {lines} lines, and the next {steps}"
    axis = " " * (margin + 1) + _cut(ends, behind + ahead)
    return "\n".join(
        [title, *rows, axis, "", *_map(view, behind, margin, width, color, layer, head), "", *_numbers(view)]
    )


def _chart(view: ForecastView, behind: int, ahead: int, color: bool) -> list[str]:
    """HEIGHT lines of behind + 1 + ahead cells: the past, a rule, the future within its interval."""
    low, high = view.bounds()

    def level(number: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """From 0 at the top to 4 HEIGHT - 1 dots below it."""
        return (high - number) / (high - low) * (4 * HEIGHT - 1)

    past = _curve(level(view.values), behind)
    # The forecast begins where the past ends, so that the eye can follow.
    future = _curve(level(view.middle), ahead)
    top, bottom = (np.interp(np.arange(ahead), *_spread(level(edge), ahead)) for edge in (view.high, view.low))
    lines = []
    for row in range(HEIGHT):
        line = "".join(_paint(chr(0x2800 + dots), "past", color) if dots else " " for dots in past[row]) + "│"
        for column, dots in enumerate(future[row]):
            within = top[column] <= 4 * row + 3 and bottom[column] >= 4 * row
            mark = chr(0x2800 + dots) if dots else "░" if within else " "
            line += _paint(mark, "future" if dots else "interval", color) if mark != " " else " "
        lines.append(line)
    return lines


def _spread(levels: Float[np.ndarray, " N"], cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each number stands along so many cells, for interpolation."""
    return (np.arange(len(levels)) + 0.5) * cells / len(levels) - 0.5, levels


def _curve(levels: Float[np.ndarray, " N"], cells: int) -> list[list[int]]:
    """A line through the levels, as the dots of HEIGHT rows of cells."""
    dots = [[0] * cells for _ in range(HEIGHT)]
    places, known = _spread(levels, 2 * cells)
    fine = np.interp(np.arange(2 * cells), places, known)
    if len(levels) > 2 * cells:  # several numbers a dot: from the least to the greatest of them
        owner = (np.arange(len(levels)) * 2 * cells) // len(levels)
        tops = [levels[owner == x].min() for x in range(2 * cells)]
        ends = [levels[owner == x].max() for x in range(2 * cells)]
    else:
        tops = ends = list(fine)
    before: float | None = None
    for x, (top, end) in enumerate(zip(tops, ends, strict=True)):
        first, last = round(top), round(end)
        if before is not None:  # joined to where the line was
            middle = (round(before) + first) // 2
            first, last = min(first, middle), max(last, middle)
        for y in range(max(0, first), min(4 * HEIGHT - 1, last) + 1):
            dots[y // 4][x // 2] |= _BRAILLE[x % 2][y % 4]
        before = float(end)
    return dots


def _map(
    view: ForecastView, behind: int, margin: int, width: int, color: bool, layer: int | None, head: int | None
) -> list[str]:
    """A row for each step to come, or for several: what it gave to the past, on the columns of the chart."""
    looked = view.looked(layer, head)
    owner = np.arange(looked.shape[1]) * behind // looked.shape[1]
    cells = np.zeros((len(looked), behind))
    np.add.at(cells.T, owner, looked.T)
    cells /= np.bincount(owner, minlength=behind).clip(1)  # the mean: some cells have a line more than others
    groups = np.array_split(np.arange(len(looked)), min(ROWS, len(looked)))
    rows = []
    for group in groups:
        row = cells[group].mean(axis=0)
        row = row / max(float(row.max()), 1e-12)
        shades = [next((shade for least, shade in reversed(SHADES) if share >= least), "·") for share in row]
        line = "".join(_paint(shade, "past", color) if shade != "·" else shade for shade in shades)
        label = _cut(view.times[group[0]], margin)
        rows.append(f"{' ' * (margin - cell_len(label))}{label} {line}")
    parts = [f"· <{SHADES[0][0]:.2f}", *(f"{shade} ≥{least:.2f}" for least, shade in SHADES)]
    wide = width >= 66
    return [*rows, ("  " if wide else " ").join(parts) + (" of the row's largest" if wide else " of most")]


def _numbers(view: ForecastView) -> list[str]:
    size = max(cell_len(time) for time in view.times)
    rows = zip(view.times, view.middle, view.low, view.high, strict=True)
    return [f"{' ' * (size - cell_len(t))}{t} {m:10.5g}  [{low:.5g}, {high:.5g}]" for t, m, low, high in rows]


def _cut(text: str, most: int) -> str:
    """At most so many cells, without what a terminal would obey instead of print."""
    shown = "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)
    return shown if cell_len(shown) <= most else set_cell_size(shown, max(1, most - 1)).rstrip() + "…"


def _paint(mark: str, what: str, color: bool) -> str:
    if not color:
        return mark
    red, green, blue = {"past": (52, 130, 240), "future": (230, 120, 30), "interval": (190, 150, 110)}[what]
    return f"\x1b[38;2;{red};{green};{blue}m{mark}\x1b[0m"


# --- page -------------------------------------------------------------------------------------------------------


def forecast_page(
    views: Sequence[ForecastView], title: str, *, layer: int | None = None, head: int | None = None
) -> str:
    """One HTML file in ASCII that asks the network for nothing: for each column a chart, and under it the map of the
    attention. A cell tells its times and its weight under the pointer."""
    body = "\n".join(_section(view, layer, head) for view in views)
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(title)}</title>
<style>
:root {{ --ink: #1d2430; --soft: #6b7686; --paper: #fff; --past: #2f6fde; --next: #c75b12; --rule: #d8dde4 }}
@media (prefers-color-scheme: dark) {{
:root {{ --ink: #e6eaf0; --soft: #98a3b3; --paper: #14181f; --past: #6ea3ff; --next: #ff9a52; --rule: #333b47 }} }}
body {{ font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
max-width: 1000px; padding: 0 1rem }}
/* On a phone a chart is moved sideways: as wide as the page its letters could not be read. */
.chart {{ overflow-x: auto }}
svg {{ width: 100%; min-width: 52rem; height: auto; display: block }}
svg text {{ font-size: 11px; fill: var(--soft) }}
.past {{ fill: none; stroke: var(--past); stroke-width: 1.5 }}
.next {{ fill: none; stroke: var(--next); stroke-width: 2 }}
.band {{ fill: var(--next); opacity: .22 }}
.rule {{ stroke: var(--rule) }}
.cell {{ fill: var(--past) }}
.cell:hover {{ stroke: var(--ink) }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ padding: .1rem .8rem; text-align: right; border-bottom: 1px solid var(--rule) }}
p {{ color: var(--soft) }}
</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
{body}
</body>
</html>
"""
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _section(view: ForecastView, layer: int | None, head: int | None) -> str:
    name = html.escape(view.column)
    rows = "".join(
        f"<tr><th>{html.escape(t)}</th><td>{m:.5g}</td><td>{low:.5g}</td><td>{high:.5g}</td></tr>"
        for t, m, low, high in zip(view.times, view.middle, view.low, view.high, strict=True)
    )
    return f"""<section>
<h2>{name}</h2>
<div class="chart" tabindex="0">{_svg(view, layer, head)}</div>
<p>Above: the past, its forecast and {view.between}. Below: how much each step to come (a row) gave to each line of
the past; the fuller the colour, the more, and the fullest of a row is its largest.</p>
<table><tr><th>{html.escape("time")}</th><th>{name}</th><th>from</th><th>to</th></tr>{rows}</table>
</section>"""


def _svg(view: ForecastView, layer: int | None, head: int | None) -> str:
    steps, lines = len(view.times), len(view.past)
    low, high = view.bounds()
    left, each = 118, (_WIDE - 118) / (steps + lines)

    def points(numbers: Float[np.ndarray, " N"], start: int) -> list[str]:
        return [
            f"{left + (start + i + 0.5) * each:.1f},{12 + (high - number) / (high - low) * (_CHART - 24):.1f}"
            for i, number in enumerate(numbers.tolist())
        ]

    drawn = [
        f'<polygon class="band" points="{" ".join([*points(view.high, lines), *points(view.low, lines)[::-1]])}"/>',
        f'<polyline class="past" points="{" ".join(points(view.values, 0))}"/>',
        f'<polyline class="next" points="{" ".join(points(view.middle, lines))}"/>',
        f'<line class="rule" x1="{left + lines * each:.1f}" x2="{left + lines * each:.1f}" y1="0" y2="{_CHART}"/>',
    ]
    for number in (high, (low + high) / 2, low):
        y = 12 + (high - number) / (high - low) * (_CHART - 24)
        drawn.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{number:.5g}</text>')
    drawn += [
        f'<text x="{left}" y="{_CHART + 12}">{html.escape(view.past[0])}</text>',
        f'<text x="{left + lines * each - 4:.1f}" y="{_CHART + 12}" text-anchor="end">{html.escape(view.past[-1])}</text>',
    ]
    top = _CHART + 24
    for step, row in enumerate(view.looked(layer, head)):
        y = top + step * _ROW
        label = html.escape(view.times[step])
        drawn.append(f'<text x="{left - 6}" y="{y + _ROW - 3}" text-anchor="end">{label}</text>')
        most = max(float(row.max()), 1e-12)
        for line, weight in enumerate(row.tolist()):
            if weight >= 0.02 * most:
                drawn.append(
                    f'<rect class="cell" x="{left + line * each:.1f}" y="{y}" width="{each:.2f}" height="{_ROW - 1}" '
                    f'opacity="{weight / most:.2f}"><title>{label} looks at {html.escape(view.past[line])}: '
                    f"{weight:.3f}</title></rect>"
                )
    tall = top + steps * _ROW
    label = html.escape(f"{view.column}: forecast and attention", quote=True)
    return f'<svg viewBox="0 0 {_WIDE} {tall}" role="img" aria-label="{label}">{"".join(drawn)}</svg>'


# --- PNG --------------------------------------------------------------------------------------------------------


def save_forecast(
    views: Sequence[ForecastView], path: Path, *, layer: int | None = None, head: int | None = None
) -> None:
    """A PNG with a chart and a map for each column. UsageError where matplotlib is missing."""
    figure_class, canvas_class = _matplotlib()
    tall = [2.6, 0.6 + 0.09 * max(12, len(views[0].times))]
    figure: Any = figure_class(figsize=(10, sum(tall) * len(views)), layout="constrained")
    canvas_class(figure)
    grid = figure.subplots(2 * len(views), 1, squeeze=False, gridspec_kw={"height_ratios": tall * len(views)})[:, 0]
    for chart, below, view in zip(grid[::2], grid[1::2], views, strict=True):
        lines, steps = len(view.past), len(view.times)
        ahead = np.arange(lines, lines + steps)
        chart.plot(np.arange(lines), view.values, color="#2f6fde", linewidth=1)
        chart.fill_between(ahead, view.low, view.high, color="#c75b12", alpha=0.25, linewidth=0)
        chart.plot(ahead, view.middle, color="#c75b12")
        chart.set_title(_plain(f"{view.column}: the past, its forecast and {view.between}"), loc="left", fontsize=10)
        looked = view.looked(layer, head)
        shares = looked / np.maximum(looked.max(axis=1, keepdims=True), 1e-12)
        below.imshow(shares, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        told = "how much each step to come (a row) gave to each line of the past: the row's largest is the fullest"
        below.set_title(told, loc="left", fontsize=10)
        shown = list(range(0, steps, max(1, math.ceil(steps / 8))))
        below.set_yticks(shown, [_plain(view.times[step]) for step in shown])
        marked = np.unique(np.linspace(0, lines - 1, 5).astype(int)).tolist()
        for axes in (chart, below):
            axes.set_xlim(-0.5, lines + steps - 0.5)
            axes.set_xticks(marked, [_plain(view.past[line]) for line in marked] if axes is below else [])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box stands for it
            figure.savefig(path, format="png", dpi=110)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _plain(text: str) -> str:
    """Without what matplotlib would take for mathematics."""
    return text.replace("$", r"\$")


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("a forecast as PNG needs matplotlib: pip install 'regard[plot]'; or use --html") from error
    return Figure, FigureCanvasAgg
