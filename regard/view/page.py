"""One HTML file with everything in it: open it from disk, send it, keep it. It asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regard.view.attention_map import AttentionMap

# A module stands after those it imports.
MODULES = (
    "dom.js",
    "writing.js",
    "numbers.js",
    "colours.js",
    "scene.js",
    "branches.js",
    "table.js",
    "heatmap.js",
    "lines.js",
    "tree.js",
    "heads.js",
    "steps.js",
    "sentences.js",
    "report.js",
    "engine.js",
)


@dataclass(frozen=True, slots=True)
class PageItem:
    """One prediction: the source and output as people read them (None: the words of the attention stand for
    them), its log-probability, and what was looked at.

    `label` says whose it is, where a page shows several models. `log_probabilities` has one number for each target
    token of the attention, so that what was said in doubt can be marked. `nbest` are the other ways to say the same
    source, this one first; `tree` is what the beam search tried: `{"nodes": [{"id", "parent", "step", "token",
    "log_probability", "score", "state"}, …]}`, where the state is kept, pruned, finished or best.
    """

    source: str | None
    output: str | None
    score: float | None
    attention: AttentionMap | None
    label: str | None = None
    tree: Mapping[str, Any] | None = None
    nbest: Sequence[PageItem] = ()
    log_probabilities: Sequence[float] | None = None

    def to_json(self) -> dict[str, Any]:
        """What the picture engine reads; what there is none of is left out."""
        shown: dict[str, Any] = {
            "source": self.source,
            "output": self.output,
            "score": _number(self.score),
            "attention": None if self.attention is None else self.attention.to_json(packed=True),
        }
        if self.label is not None:
            shown["label"] = self.label
        if self.tree is not None:
            shown["tree"] = {"nodes": [{key: _number(part) for key, part in n.items()} for n in self.tree["nodes"]]}
        if self.nbest:
            shown["nbest"] = [other.to_json() for other in self.nbest]
        if self.log_probabilities is not None:
            # A token that could not be said has probability 0, which a finite number must stand for.
            shown["log_probabilities"] = [max(-1e4, float(each)) for each in self.log_probabilities]
        return shown


def page(
    predictions: Sequence[PageItem],
    title: str,
    tables: Sequence[tuple[Sequence[str], Sequence[Sequence[str]]]] = (),
    facts: Sequence[str] = (),
) -> str:
    """The whole file, in ASCII, so that no encoding can spoil it. Predictions may be none. Above them stand `tables`, each the
    names of its columns and its rows, and under those `facts`, sentences of what they rest on."""
    data: dict[str, Any] = {"title": title, "items": [item.to_json() for item in predictions]}
    if tables:
        data["tables"] = [{"columns": list(columns), "rows": [list(row) for row in rows]} for columns, rows in tables]
        data["facts"] = [fact for fact in facts if fact]
    return _document(data, title)


def _number(part: Any) -> Any:
    """JSON holds no infinity and no NaN."""
    return None if isinstance(part, float) and not math.isfinite(part) else part


def framed(attention: AttentionMap) -> str:
    """A frame for a notebook cell. Its styles, names and keys cannot meet those of the notebook or another map."""
    document = _document({"title": "", "items": [PageItem(None, None, None, attention).to_json()]}, "Attention")
    height = min(900, 400 + 30 * max(8, len(attention.target_words)))
    return (
        f'<iframe srcdoc="{html.escape(document)}" sandbox="allow-scripts allow-downloads" title="Attention" '
        f'style="width:100%;height:{height}px;border:0;color-scheme:normal"></iframe>'
    )


def engine(name: str) -> str:
    """A file of the picture engine, one of `MODULES` or `engine.css`, as the page and the server use it."""
    return files("regard.view").joinpath(name).read_text(encoding="utf-8")


def script() -> str:
    """The modules of the engine as one script without imports or exports, in ASCII; it declares `show`."""
    parts = [re.sub(r"^import .*;\n|^export ", "", engine(name), flags=re.MULTILINE) for name in MODULES]
    return _plain("\n".join(parts))


def _document(data: dict[str, Any], title: str) -> str:
    # The data stands first, so the engine finds it; its last line starts the engine.
    run = script() + '\nshow(document.body, JSON.parse(document.getElementById("data").textContent));\n'
    digest = base64.b64encode(hashlib.sha256(run.encode("utf-8")).digest()).decode("ascii")
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
<script type="module">{run}</script>
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
