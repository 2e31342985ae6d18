"""The page of a forecast in Chromium."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from regard.view.forecast import ForecastView, forecast_page


def test_a_phone_moves_the_chart_and_not_the_page_and_its_letters_can_be_read(browser: Browser, tmp_path: Path) -> None:
    lines, steps = 168, 24
    past, times = [f"2024-12-01 {i:03}" for i in range(lines)], [f"2024-12-08 {i:03}" for i in range(steps)]
    middle = np.linspace(1, 2, steps)
    weights = np.full((1, 1, steps, lines), 1 / lines)
    view = ForecastView("load", past, np.linspace(0, 1, lines), times, middle - 1, middle, middle + 1, weights)
    file = tmp_path / "forecast.html"
    file.write_text(forecast_page([view], "demand"), encoding="ascii")
    window = browser.new_page(viewport={"width": 390, "height": 844})
    window.goto(file.as_uri())
    assert window.evaluate("document.documentElement.scrollWidth") <= 390
    # The box around 11 pixels of text is about 13 of them high; on a page of 390 it had been 5.
    assert window.locator("svg text").first.bounding_box()["height"] >= 9  # type: ignore[index]
    chart = window.locator(".chart")
    assert chart.evaluate("e => { e.scrollLeft = 1e6; return e.scrollLeft }") > 200
    right = window.locator("svg .next").bounding_box()
    assert right is not None and right["x"] + right["width"] <= 390  # what is forecast can be reached
    window.close()
