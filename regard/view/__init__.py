"""Pictures of attention: in a terminal, in a notebook, in one HTML file. Nothing here computes attention."""

from regard.view.attention_map import AttentionMap
from regard.view.page import MODULES, PageItem, engine, page, script
from regard.view.terminal import draw, lines

__all__ = ["MODULES", "AttentionMap", "PageItem", "draw", "engine", "lines", "page", "script"]
