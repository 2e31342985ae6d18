"""Headless Chromium, one for all tests here: `make browser`. Not part of the other tests, which need no browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from regard.view import PageItem, page

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip


@dataclass
class Shown:
    """A page that is open, and what it said and asked for since it was opened."""

    page: Page
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium if it is installed, or else Playwright's own."""
    with sync_playwright() as play:
        started = play.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=FLAGS
        )
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """Opens a standalone file with these items. At the end no test may have heard a complaint or a request."""
    seen: list[Shown] = []

    def act(
        items: Sequence[PageItem],
        *,
        width: int = 1200,
        height: int = 800,
        tables: Any = (),
        facts: Any = (),
        **options: Any,
    ) -> Shown:
        path = tmp_path / f"{len(seen)}.html"
        path.write_text(page(items, "Title", tables, facts), encoding="ascii")
        window = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=1, **options)
        window.set_default_timeout(8000)
        shown = Shown(window)
        seen.append(shown)
        window.on("console", lambda message: shown.problems.append(message.text))
        window.on("pageerror", lambda error: shown.problems.append(str(error)))
        window.on("request", lambda request: shown.requests.append(request.url))
        window.goto(path.as_uri())
        return shown

    yield act
    for shown in seen:
        assert shown.problems == []
        assert [url for url in shown.requests if not url.startswith(("file:", "blob:"))] == []
        shown.page.close()
