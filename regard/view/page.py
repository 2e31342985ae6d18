"""One HTML file with everything in it: open it from disk, send it, keep it. It asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regard.view.attention_map import AttentionMap


@dataclass(frozen=True, slots=True)
class PageItem:
    """One prediction: the source and output as people read them, its log-probability, and what was looked at.
    `label` says whose it is, where a page shows several models."""

    source: str
    output: str
    score: float | None
    attention: AttentionMap | None
    label: str | None = None

    def to_json(self) -> dict[str, Any]:
        shown = {
            "source": self.source,
            "output": self.output,
            "score": self.score if self.score is not None and math.isfinite(self.score) else None,
            "attention": None if self.attention is None else self.attention.to_json(packed=True),
        }
        return shown if self.label is None else shown | {"label": self.label}


def page(predictions: Sequence[PageItem], title: str) -> str:
    """The whole file, in ASCII, so that no encoding can spoil it. Predictions may be none."""
    return _document({"title": title, "items": [item.to_json() for item in predictions]}, title)


def notebook(attention: AttentionMap) -> str:
    """A frame for a notebook cell. Its styles, names and keys cannot meet those of the notebook or another map."""
    item = {"source": None, "output": None, "score": None, "attention": attention.to_json(packed=True)}
    document = _document({"title": "", "items": [item]}, "Attention")
    height = min(900, 330 + 30 * max(8, len(attention.target_words)))
    return (
        f'<iframe srcdoc="{html.escape(document)}" sandbox="allow-scripts" title="Attention" '
        f'style="width:100%;height:{height}px;border:0;color-scheme:normal"></iframe>'
    )


def engine(name: str) -> str:
    """A part of the picture engine, `engine.js` or `engine.css`, as the page and the server use it."""
    return files("regard.view").joinpath(name).read_text(encoding="utf-8")


def _document(data: dict[str, Any], title: str) -> str:
    # The data stands first, so the engine finds it; its last line starts the engine.
    script = (
        _plain(engine("engine.js"))
        + '\nshow(document.body, JSON.parse(document.getElementById("data").textContent));\n'
    )
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_ascii(html.escape(title))}</title>
<style>
{engine("engine.css")}</style>
</head>
<body>
<noscript>This page draws with JavaScript, all of which is in this file.</noscript>
<script type="application/json" id="data">{_embedded(data)}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def _embedded(data: dict[str, Any]) -> str:
    """JSON in which nothing can end the script element or start a comment, in ASCII."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(script: str) -> str:
    """A script whose strings say "\\u2190" instead of an arrow."""
    return re.sub(r"[^\x00-\x7f]", lambda found: f"\\u{ord(found[0]):04x}", script)


def _ascii(text: str) -> str:
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
