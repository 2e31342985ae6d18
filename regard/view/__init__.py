"""Pictures of attention: in a terminal, in a notebook, in one HTML file. Nothing here computes attention."""

from regard.view.attention_map import AttentionMap
from regard.view.page import PageItem, engine, notebook, page
from regard.view.terminal import draw, lines

__all__ = ["AttentionMap", "PageItem", "draw", "engine", "lines", "notebook", "page"]
