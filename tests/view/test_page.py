from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from regard import view
from regard.view import MODULES, AttentionMap, PageItem, engine, page, script

NASTY = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>&amp;&lt;",
    '" onload="alert(1)',
    "\u2028\u2029\x00\x1b[31m",
    "👩‍👩‍👧‍👦 هذا 男人 e\u0301 \ud800",
]


class Reader(HTMLParser):
    """Elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.append("")
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data

    def script(self, kind: str) -> str:
        return self.texts[
            self.tags.index(("script", {"type": kind, "id": "data"} if "json" in kind else {"type": kind}))
        ]


def item(words: list[str], score: float | None = -1.5) -> PageItem:
    count = len(words)
    weights = np.full((2, 3, count, count), 1 / count, dtype=np.float32)
    return PageItem(" ".join(words), " ".join(words), score, AttentionMap.of_words(weights, words, words))


def data_of(text: str) -> dict:
    return json.loads(Reader(text).script("application/json"))


def test_what_goes_in_comes_out() -> None:
    found = data_of(page([item(["Ein", "Mann"]), PageItem("a", "", None, None)], "Titel"))
    assert found["title"] == "Titel"
    first, second = found["items"]
    assert (first["source"], first["output"], first["score"]) == ("Ein Mann", "Ein Mann", -1.5)
    assert first["attention"]["shape"] == [2, 3, 2, 2]
    numbers = np.frombuffer(base64.b64decode(first["attention"]["weights"]["uint16"]), dtype="<u2")
    assert np.allclose(numbers / 65535, 0.5, atol=1e-5)
    assert second == {"source": "a", "output": "", "score": None, "attention": None}


def test_tables_and_what_they_rest_on_go_with_it() -> None:
    found = data_of(page([], "t", [(["attention", "BLEU"], [["dot", "1.0"]])], ["seed 1", ""]))
    assert found["tables"] == [{"columns": ["attention", "BLEU"], "rows": [["dot", "1.0"]]}]
    assert found["facts"] == ["seed 1"]
    assert not {"tables", "facts"} & data_of(page([], "t")).keys()


@pytest.mark.parametrize("text", NASTY)
def test_no_text_breaks_out(text: str) -> None:
    made = page([item([text, "x"])], text)
    plain = page([item(["a", "x"])], "a")
    assert [tag for tag, _ in Reader(made).tags] == [tag for tag, _ in Reader(plain).tags]
    assert [names.keys() for _, names in Reader(made).tags] == [names.keys() for _, names in Reader(plain).tags]
    assert data_of(made)["items"][0]["attention"]["source"] == [text, "x"]
    embedded = Reader(made).script("application/json")
    assert not set("<>&") & set(embedded)
    assert made.isascii(), "no encoding can spoil it, and lone surrogates can be written"
    assert Reader(made).script("module") == Reader(plain).script("module")


def test_the_page_is_whole_and_asks_the_network_for_nothing() -> None:
    made = page([item(["a", "b"])], "t")
    assert made.startswith("<!doctype html>")
    for tag, attributes in Reader(made).tags:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert not {"src", "href"} & attributes.keys()
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", made))
    assert addresses <= {"http://www.w3.org/2000/svg"}, "the one address is the name of SVG, which nothing loads"
    assert "@import" not in made and "url(" not in made


def test_only_our_script_may_run() -> None:
    made = page([item(["a"])], "t")
    policies = [a["content"] for _, a in Reader(made).tags if a.get("http-equiv") == "Content-Security-Policy"]
    policy = policies[0] or ""
    digest = base64.b64encode(hashlib.sha256(Reader(made).script("module").encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_the_engine_writes_text_and_never_markup() -> None:
    whole = script()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "fetch(",
                 "XMLHttpRequest", "import ", "import(", "export ", "</script", "localStorage"):  # fmt: skip
        assert word not in whole
    assert "export function show(root, data, options = {})" in engine("engine.js")
    assert whole.isascii()


def test_modules_stand_after_what_they_import_and_share_no_name() -> None:
    """One script is made of them for the file that opens offline."""
    declared: list[str] = []
    for number, name in enumerate(MODULES):
        text = engine(name)
        imported = re.findall(r'^import \{[^}]*\} from "\./([a-z]+\.js)";$', text, flags=re.MULTILINE)
        assert len(imported) == text.count("import "), f"{name}: one line an import"
        assert set(imported) <= set(MODULES[:number]), name
        declared += re.findall(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", text, flags=re.MULTILINE)
    assert sorted(set(declared)) == sorted(declared)
    kept = {path.name for path in Path(view.__file__).parent.glob("*.js")}
    assert kept == set(MODULES), "each file is in the list"


def test_the_engine_reads_the_keys_that_a_map_writes() -> None:
    whole = script()
    for key in AttentionMap.of_words(np.ones((1, 1, 1, 1)), ["a"], ["x"]).to_json():
        assert re.search(rf"\b(attention|map|item)\.{key}\b|\bweights\b", whole), key


def test_tree_other_outputs_and_confidence_go_with_it() -> None:
    node = {"id": 0, "parent": None, "step": 1, "token": "a", "log_probability": float("-inf"), "score": -1.0}
    other = PageItem("a", "b", -2.0, None)
    made = item(["a"])
    whole = PageItem("a", "a", -1.0, made.attention, tree={"nodes": [node]}, nbest=[made, other],
                     log_probabilities=[float("-inf")])  # fmt: skip
    found = data_of(page([whole], "t"))["items"][0]
    assert found["tree"] == {"nodes": [node | {"log_probability": None}]}
    assert [way["output"] for way in found["nbest"]] == ["a", "b"] and found["nbest"][1]["attention"] is None
    assert math.exp(found["log_probabilities"][0]) == 0
    assert not {"tree", "nbest", "log_probabilities", "label"} & data_of(page([made], "t"))["items"][0].keys()


def test_scores_that_json_cannot_hold_are_left_out() -> None:
    for score in (float("-inf"), float("nan"), None):
        assert data_of(page([item(["a"], score)], "t"))["items"][0]["score"] is None


def test_no_predictions_and_many() -> None:
    assert data_of(page([], "nothing"))["items"] == []
    many = page([item(["word"] * 20)] * 50, "many")
    assert len(data_of(many)["items"]) == 50
    assert len(many) < 600_000
