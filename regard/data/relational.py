"""Drawn pictures of six coloured shapes and questions about one of them or about several, after Sort-of-CLEVR.

Santoro et al. (2017, §4.3) ask about squares and circles; here there are triangles too, so that a guess is worth less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from regard.data.questions import Question, Questions
from regard.errors import UsageError

COLOURS = {
    "red": (214, 39, 40), "green": (44, 140, 44), "blue": (31, 80, 200), "orange": (255, 150, 20),
    "gray": (127, 127, 127), "yellow": (240, 220, 60),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle")
RELATIONAL = ("nearest", "furthest", "count", "left of")
ANSWERS = ("1", "2", "3", "4", "5", "6", *SHAPES, "no", "yes")
SMALLEST = 26  # below that six shapes may find no room
MARGIN = 1.0  # pixels: nobody sees which is nearer where less lies between


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the shape of each of `COLOURS` stands, in pixels from the top left: `places [6, 2]`, row and column."""

    shapes: tuple[str, ...]
    places: Int[np.ndarray, "6 2"]
    size: int

    def distances(self, one: int) -> Float[np.ndarray, " 6"]:
        return np.hypot(*(self.places - self.places[one]).T.astype(np.float64))


def generate(count: int, seed: int, *, size: int = 64) -> tuple[UInt8[np.ndarray, "N H W 3"], Questions]:
    """`count` pictures of `size`×`size` pixels, and of each a question of every kind, about colours drawn by chance.

    Picture i and its questions follow from (seed, i) alone, so fewer of them are the first of more. A kind has no
    question about a picture where nobody could tell the answer, such as which of two is nearer.
    """
    if count < 1:
        raise UsageError(f"{count} pictures cannot be drawn: ask for 1 or more")
    if seed < 0:
        raise UsageError(f"the seed is {seed}: it is 0 or more")
    if size < SMALLEST:
        raise UsageError(f"six shapes have no room on {size}×{size} pixels: give {SMALLEST} or more")
    pixels = np.full((count, size, size, 3), 255, dtype=np.uint8)
    rows: list[Question] = []
    for number, canvas in enumerate(pixels):
        chance = np.random.default_rng([seed, number])
        scene = arranged(chance, size)
        draw(scene, canvas)
        for kind, ask in KINDS.items():
            # Which colours are asked about is another draw for every kind.
            for one, other in zip(chance.permutation(6).tolist(), chance.permutation(6).tolist(), strict=True):
                asked = None if one == other else ask(scene, one, other)
                if asked is not None:
                    rows.append(Question(len(rows) + 1, number, *asked, kind))
                    break
    return pixels, Questions(f"{count} drawn pictures", rows, [])


def arranged(chance: np.random.Generator, size: int) -> Scene:
    """Six shapes at random that do not touch."""
    radius = radius_of(size)
    places: list[Int[np.ndarray, " 2"]] = []
    while len(places) < 6:
        place = chance.integers(radius, size - radius, 2)
        if all(np.abs(place - other).max() > 2 * radius for other in places):
            places.append(place)
    return Scene(tuple(SHAPES[i] for i in chance.integers(0, 3, 6)), np.stack(places), size)


def radius_of(size: int) -> int:
    """A shape covers `2 · radius + 1` pixels each way."""
    return size // 13


def draw(scene: Scene, canvas: UInt8[np.ndarray, "H W 3"]) -> None:
    """Stamps the shapes of a scene onto a picture."""
    radius = radius_of(scene.size)
    for shape, (row, column), colour in zip(scene.shapes, scene.places, COLOURS.values(), strict=True):
        part = canvas[row - radius : row + radius + 1, column - radius : column + radius + 1]
        part[_stamp(shape, radius)] = colour


@cache
def _stamp(shape: str, radius: int) -> Bool[np.ndarray, "D D"]:
    down, across = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    if shape == "circle":
        return down**2 + across**2 <= (radius + 0.3) ** 2
    if shape == "square":
        return np.ones(down.shape, dtype=bool)
    return 2 * np.abs(across) <= down + radius


Asked = tuple[str, str] | None


def _name(colour: int) -> str:
    return list(COLOURS)[colour]


def _said(yes: bool | np.bool_) -> str:
    return "yes" if yes else "no"


def _shape(scene: Scene, one: int, _: int) -> Asked:
    return f"what is the shape of the {_name(one)} object?", scene.shapes[one]


def _side(scene: Scene, one: int, _: int) -> Asked:
    middle = (scene.size - 1) / 2
    return f"is the {_name(one)} object on the left?", _said(scene.places[one, 1] < middle)


def _height(scene: Scene, one: int, _: int) -> Asked:
    middle = (scene.size - 1) / 2
    return f"is the {_name(one)} object at the top?", _said(scene.places[one, 0] < middle)


def _extreme(scene: Scene, one: int, words: str, sign: int) -> Asked:
    away = sign * scene.distances(one)
    away[one] = np.inf
    first, second = np.argsort(away)[:2]
    if away[second] - away[first] < MARGIN:
        return None
    return f"what is the shape of the object {words} the {_name(one)} one?", scene.shapes[first]


def _nearest(scene: Scene, one: int, _: int) -> Asked:
    return _extreme(scene, one, "nearest to", 1)


def _furthest(scene: Scene, one: int, _: int) -> Asked:
    return _extreme(scene, one, "furthest from", -1)


def _count(scene: Scene, one: int, _: int) -> Asked:
    same = scene.shapes.count(scene.shapes[one])
    return f"how many objects have the shape of the {_name(one)} one?", str(same)


def _left_of(scene: Scene, one: int, other: int) -> Asked:
    gap = int(scene.places[other, 1] - scene.places[one, 1])
    if abs(gap) < MARGIN:
        return None
    return f"is the {_name(one)} object left of the {_name(other)} one?", _said(gap > 0)


KINDS: dict[str, Callable[[Scene, int, int], Asked]] = {
    "shape": _shape, "side": _side, "height": _height, "nearest": _nearest, "furthest": _furthest, "count": _count,
    "left of": _left_of,
}  # fmt: skip
