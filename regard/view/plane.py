"""A word that moves in the plane from layer to layer, and the words that pull it, as a picture. Nothing here computes
vectors or weights.

The plane is that of the two principal components of the word's own vectors, static and of every layer, of all sentences;
all vectors are made length 1 before, for it is their direction that says what they mean. The other words lie far away from
it, all on one side, so they are drawn nearer: in the direction in which each differs from the mean of them all.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from regard.errors import RegardError, UsageError

# Okabe & Ito's colours, which the colour-blind tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#767676"
FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans", "WenQuanYi Zen Hei", "Unifont",
    "Noto Sans Devanagari", "Noto Sans Arabic", "Noto Sans Thai", "FreeSans", "Arial Unicode MS",
)  # fmt: skip
LABELLED, LONGEST = 6, 88  # sentences that have a line of the legend each, and how many of its characters


@dataclass(frozen=True, eq=False)
class Move:
    """One sentence: the vectors of its word, from the static one up, and of the words that pull it, with what each
    gives to it."""

    sentence: str
    path: Float[np.ndarray, "layers D"]
    names: list[str]
    others: Float[np.ndarray, "W D"]
    weights: list[float]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.others) or len(self.names) != len(self.weights):
            raise UsageError(
                f"There are {len(self.names)} names for {len(self.others)} vectors and {len(self.weights)} weights."
            )
        if self.path.ndim != 2 or not len(self.path) or self.path.shape[1] != np.shape(self.others)[-1]:
            raise UsageError("A path is one vector or more, of as many numbers as those of the other words.")


def pyplot() -> Any:
    """matplotlib, without a window. UsageError says how to get it."""
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError(
            "pictures of vectors need matplotlib: install it with 'pip install \"regard[plot]\"'"
        ) from error
    matplotlib.use("agg")
    from matplotlib import pyplot as plot

    return plot


def plane(
    points: Float[np.ndarray, "N D"], others: Float[np.ndarray, "W D"]
) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "W 2"], tuple[float, float]]:
    """The points, made length 1, on their two principal components; the others, less their mean, on the same, as far
    out as the farthest point at most; and the share of the points' variance that each component holds. Of a component
    the number that is largest in size is positive, so that the same points give the same picture."""
    unit = _unit(points)
    around = unit - unit.mean(axis=0)
    _, sizes, axes = np.linalg.svd(around, full_matrices=False)
    axes = axes[:2]
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    flat, beside = np.zeros((len(points), 2)), np.zeros((len(others), 2))
    flat[:, : len(axes)] = around @ axes.T
    if len(others):
        directions = _unit(others)
        beside[:, : len(axes)] = (directions - directions.mean(axis=0)) @ axes.T
        size = np.linalg.norm(beside, axis=1).max()
        beside *= np.linalg.norm(flat, axis=1).max() / size if size > 0 else 1.0
    shares = np.square(sizes) / max(np.square(sizes).sum(), 1e-30)
    first, second = (*shares[:2], 0.0, 0.0)[:2]
    return flat, beside, (float(first), float(second))


def _unit(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def save_plane(moves: Sequence[Move], path: Path, title: str) -> None:
    """Writes the picture as PNG.

    Raises:
        UsageError: nothing to draw, or matplotlib is missing.
        RegardError: the file cannot be written.
    """
    if not moves:
        raise UsageError("There is no sentence to draw; give at least one.")
    plot = pyplot()
    paths, others = (np.concatenate([getattr(move, name) for move in moves]) for name in ("path", "others"))
    flat, beside, shares = plane(paths, others)
    drawn = io.BytesIO()
    style = {"font.family": _fonts(), "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with plot.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")  # a box stands for what no font here can write
        lines = min(len(moves), LABELLED)
        figure, axes = plot.subplots(figsize=(7.5, 5.2 + 0.22 * lines), dpi=150, layout="constrained")
        named: set[str] = set()
        for number, move in enumerate(moves):
            steps, flat = np.split(flat, [len(move.path)])
            around, beside = np.split(beside, [len(move.others)])
            _draw(axes, move, steps, around, COLORS[number % len(COLORS)], named)
            if number < LABELLED:
                said = textwrap.shorten(move.sentence, LONGEST, placeholder=" …")
                axes.plot([], [], color=COLORS[number % len(COLORS)], marker="o", label=_plain(said))
        axes.set_title(_plain(title), loc="left", fontweight="bold")
        axes.set_xlabel(f"first principal component ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"second ({shares[1]:.0%})")
        axes.margins(0.09)
        axes.axhline(0, color=GREY, linewidth=0.4, zorder=0)
        axes.axvline(0, color=GREY, linewidth=0.4, zorder=0)
        figure.legend(loc="outside lower left", frameon=False, fontsize=8)
        plot.savefig(drawn, format="png")
        plot.close(figure)
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        raise RegardError(f"{path} cannot be written ({error.strerror}): make room or choose another folder") from error


def _draw(
    axes: Any, move: Move, path: Float[np.ndarray, "L 2"], others: Float[np.ndarray, "W 2"], color: str, named: set[str]
) -> None:
    """A square where the word stands without a sentence, an arrow for each layer, a line to each word that pulls it. A
    word of several sentences is named once."""
    for name, place, weight in zip(move.names, others, move.weights, strict=True):
        ends = np.stack((path[-1], place)).T
        axes.plot(*ends, color=color, linewidth=0.4 + 16 * weight, alpha=0.25, solid_capstyle="round", zorder=1)
        axes.plot(*place, "o", color=GREY, markersize=3, zorder=2)
        if name not in named:
            axes.annotate(_plain(name), place, xytext=(4, 3), textcoords="offset points", fontsize=8, zorder=6)
            named.add(name)
    axes.plot(*path.T, alpha=0)  # arrows do not count in what the axes show
    for number, (before, after) in enumerate(pairwise(path), start=1):
        axes.annotate("", after, before, arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.8}, zorder=3)
        if number < len(path) - 1:
            axes.annotate(
                str(number), after, xytext=(3, -9), textcoords="offset points", fontsize=7.5, color=color, zorder=4
            )
    axes.plot(*path[0], "s", color="black", markersize=7, zorder=5)
    axes.plot(*path[-1], "o", color=color, markersize=9, markeredgecolor="black", zorder=5)


def _plain(text: str) -> str:
    """A dollar sign begins no formula, and an underscore in front hides no line of the legend."""
    return ("\u200b" if text.startswith("_") else "") + text.replace("$", r"\$")


def _fonts() -> list[str]:
    """Those of a few scripts that are installed."""
    from matplotlib import font_manager

    there = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in FONTS if name in there]
