"""The picture engine as a widget of a notebook, whose picked cell comes back to Python. Needs `regard[notebook]`.

A map alone shows itself without it, by `_repr_html_`; there a click stays in the browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from regard.errors import UsageError
from regard.view.attention_map import AttentionMap
from regard.view.page import PageItem, engine, script

_RENDER = """
export default {
  render({ model, el }) {
    const handle = show(el, model.get("data"), {
      onpick(picked) {
        model.set("picked", picked);
        model.save_changes();
      },
    });
    const redraw = () => handle.update(model.get("data").items);
    model.on("change:data", redraw);
    return () => {
      model.off("change:data", redraw);
      handle.destroy();
    };
  },
};
"""


def widget(shown: AttentionMap | PageItem | Sequence[AttentionMap | PageItem], title: str = "") -> Any:
    """A live picture for a notebook cell: `w = widget(p.attention)`, then `w` as the last line of the cell.

    `w.picked` is the cell or word that was clicked last, or None: `{"item", "row", "column", "layer", "head", "words",
    "by"}`, all from 0; layer and head are None for a mean; `words` says whether row and column count words or tokens;
    `by` is "cell", "row" (a word of the output) or "column" (a word of the source). `w.observe(act, "picked")` calls
    `act` at each click. `w.update(other)` draws something else and keeps view, layer and head.

    Raises:
        UsageError: anywidget is not installed.
    """
    return _class()(data={"title": title, "items": _items(shown)})


def _items(shown: AttentionMap | PageItem | Sequence[AttentionMap | PageItem]) -> list[dict[str, Any]]:
    each = [shown] if isinstance(shown, AttentionMap | PageItem) else shown
    items = [PageItem(None, None, None, one) if isinstance(one, AttentionMap) else one for one in each]
    return [item.to_json() for item in items]


@cache
def _class() -> type:
    try:
        import anywidget
        import traitlets
    except ImportError as problem:
        raise UsageError('A widget needs anywidget: install it with pip install "regard[notebook]".') from problem

    class AttentionWidget(anywidget.AnyWidget):
        _esm = script() + _RENDER
        _css = engine("engine.css")
        data = traitlets.Dict().tag(sync=True)
        picked = traitlets.Dict(default_value=None, allow_none=True).tag(sync=True)

        def update(self, shown: AttentionMap | PageItem | Sequence[AttentionMap | PageItem]) -> None:
            self.data = {"title": self.data["title"], "items": _items(shown)}
            self.picked = None

    return AttentionWidget
