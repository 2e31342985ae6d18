from __future__ import annotations

import html
import re
import sys

import numpy as np
import pytest

from regard.errors import UsageError
from regard.view import AttentionMap, PageItem
from regard.view import notebook as module
from regard.view.notebook import widget


def one(words: list[str]) -> AttentionMap:
    return AttentionMap.of_words(np.full((1, 2, len(words), len(words)), 1 / len(words)), words, words)


def test_a_widget_holds_what_is_shown_and_hears_what_is_picked() -> None:
    made = widget([one(["a", "b"]), PageItem("x", "y", -1.0, None)], "Title")
    assert made.data["title"] == "Title"
    assert [item["source"] for item in made.data["items"]] == [None, "x"]
    assert made.data["items"][0]["attention"]["shape"] == [1, 2, 2, 2]
    heard: list[object] = []
    made.observe(lambda change: heard.append(change["new"]), "picked")
    made.set_state({"picked": {"row": 1, "column": 0}})
    assert made.picked == {"row": 1, "column": 0} and heard == [{"row": 1, "column": 0}]
    made.update(one(["c"]))
    assert made.data["title"] == "Title" and made.data["items"][0]["attention"]["source"] == ["c"]
    assert made.picked is None
    assert widget(one(["a"])).data["items"][0]["attention"]["source"] == ["a"], "widgets share nothing"
    assert len(made.data["items"]) == 1


def test_the_widget_is_one_module_that_asks_for_nothing() -> None:
    text = str(widget(one(["a"]))._esm)
    assert (
        text.count("export default") == 1
        and "import " not in text
        and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    )


def test_without_anywidget_it_says_what_to_install_and_a_map_shows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    module._class.cache_clear()
    with pytest.raises(UsageError, match=r"regard\[notebook\]"):
        widget(one(["a"]))
    shown = one(["a", "<b>"])._repr_html_()
    document = html.unescape(re.findall(r'srcdoc="([^"]*)"', shown)[0])
    assert document.startswith("<!doctype html>") and "show(document.body" in document
    assert set(re.findall(r"https?://[\w./]+", document)) <= {"http://www.w3.org/2000/svg"}
    assert 'sandbox="allow-scripts allow-downloads"' in shown, "the frame cannot reach the notebook"
