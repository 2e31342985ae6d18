"""Pictures of forecasts: in a terminal no line is too wide, pages are ASCII and well-formed, PNG files are PNG files."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from regard.errors import UsageError
from regard.view.forecast import ForecastView, draw_forecast, forecast_page, save_forecast


def view(lines: int = 37, steps: int = 5, column: str = "load", flat: bool = False) -> ForecastView:
    values = np.full(lines, 2.0) if flat else 50 + 20 * np.sin(np.arange(lines) / 3)
    middle = np.full(steps, 2.0) if flat else np.linspace(40, 60, steps)
    weights = np.zeros((2, 3, steps, lines))
    for step in range(steps):
        weights[..., step, step % lines] = 1  # step t looks at line t alone
    past = [f"2024-01-01 {i:03}" for i in range(lines)]
    times = [f"2024-02-01 {i:03}" for i in range(steps)]
    return ForecastView(column, past, values, times, middle - 5 * (not flat), middle, middle + 5 * (not flat), weights)


@pytest.mark.parametrize("width", [50, 80, 133])
@pytest.mark.parametrize(("lines", "steps"), [(2, 1), (37, 5), (501, 48), (7, 131)])
def test_no_line_is_wider_than_the_terminal(width: int, lines: int, steps: int) -> None:
    drawn = draw_forecast(view(lines, steps), width=width)
    assert max(cell_len(line) for line in drawn.split("\n")) <= width
    assert "│" in drawn and f"{lines} lines, and the next {steps}" in drawn


def test_the_map_stands_under_the_chart() -> None:
    rows = draw_forecast(view(), width=100).split("\n")
    rule = next(row.index("│") for row in rows if "│" in row)
    looked = [row for row in rows if row.strip().startswith("2024-02-01") and "█" in row]
    # A line a cell: step t has its one mark on the t-th of the 37 cells before the rule.
    assert [row.index("█") for row in looked] == [rule - 37 + t for t in range(5)]
    assert "40  [35, 45]" in rows[-5] and "60  [55, 65]" in rows[-1]


@pytest.mark.parametrize("lines", [24, 73, 168, 501])
def test_who_looks_everywhere_alike_is_drawn_in_one_shade(lines: int) -> None:
    """However many lines fall into a cell, and in some more than in others."""
    seen = view(lines)
    even = replace(seen, weights=np.full_like(seen.weights, 1 / lines))
    rows = draw_forecast(even, width=100).split("\n")
    looked = [row for row in rows if row.strip().startswith("2024-02-01") and "█" in row]
    assert len(looked) == 5 and all(set(row.split()[-1]) == {"█"} for row in looked)


def test_what_rises_is_drawn_higher() -> None:
    rising = view(5, 30)
    rows = draw_forecast(rising, width=100).split("\n")[1:13]
    rule = rows[0].index("│")
    inked = [
        (r, c) for r, row in enumerate(rows) for c, mark in enumerate(row) if c > rule and 0x2800 < ord(mark) < 0x2900
    ]
    assert min(inked, key=lambda at: at[1])[0] > max(inked, key=lambda at: at[1])[0]


def test_flat_numbers_and_foreign_names_are_drawn() -> None:
    for column in ("気温", "حرارة", "a\x1b[31mb", "$x_1$"):
        drawn = draw_forecast(view(column=column, flat=True), width=60, color=False)
        assert "\x1b" not in drawn and max(cell_len(line) for line in drawn.split("\n")) <= 60
    assert "\x1b[38;2;" in draw_forecast(view(), color=True)


def test_narrow_terminals_and_unknown_heads_are_told() -> None:
    with pytest.raises(UsageError, match="at least 50"):
        draw_forecast(view(), width=40)
    with pytest.raises(UsageError, match="no head 3"):
        draw_forecast(view(), head=3)


class Count(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag not in ("meta", "polygon", "polyline", "line"):
            self.open.append(tag)
        if dict(attrs).get("class") == "cell":
            self.cells.append(str(dict(attrs)["opacity"]))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("polygon", "polyline", "line"):
            assert self.open.pop() == tag


def test_a_page_is_ascii_and_holds_each_weight() -> None:
    text = forecast_page([view(), view(column="<script>気温&")], "run <b>")
    assert text.isascii() and "<script" not in text and "http" not in text.replace("http-equiv", "")
    found = Count()
    found.feed(text)
    assert found.open == [] and found.scripts == 0
    assert found.cells == ["1.00"] * 10  # one cell a step, in two sections


def test_a_png_is_written(tmp_path: Path) -> None:
    save_forecast([view(), view(column="$気", flat=True)], tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(UsageError, match="cannot be written"):
        save_forecast([view()], tmp_path / "no" / "x.png")


def test_the_page_says_how_much_should_lie_within_the_interval() -> None:
    assert "the past, its forecast and its interval. Below" in forecast_page([view()], "t")
    sure = replace(view(), interval=0.8)
    assert "the range that 80 % of what comes should lie in. Below" in forecast_page([sure], "t")
