"""Which layer, head and row is read: by default, by hand, by gold links, by agreement of two directions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from regard.config.recipe import TrainingPart
from regard.errors import UsageError
from regard.evaluation import Gold
from regard.run import AlignmentChoice, Wanted
from regard.run.aligning.choosing import (
    best_by_agreement,
    best_by_gold,
    choices,
    default_choice,
    guided_choice,
    links_of,
    turn,
)
from tests.run.aligning.links import links


def test_without_anything_to_choose_by_it_is_the_layer_below_the_last() -> None:
    assert [default_choice(layers).layer for layers in (1, 2, 3, 6)] == [0, 1, 1, 4]
    assert default_choice(6) == AlignmentChoice(4, None, "output")


def test_what_is_set_by_hand_stays_and_the_default_comes_first() -> None:
    every = choices(3, 5, Wanted(), default_choice(3), "run")
    assert len(every) == len(set(every)) == 3 * 6 * 2 and every[0] == default_choice(3)
    some = choices(3, 5, Wanted(2, "mean"), default_choice(3), "run")
    assert some == [AlignmentChoice(2, None, "output"), AlignmentChoice(2, None, "input")]
    assert choices(3, 5, Wanted(0, 0, "input"), default_choice(3), "run") == [AlignmentChoice(0, 0, "input")]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"layer": 3}, r"no layer 3 in some-run: it has layers 0 to 2"),
        ({"layer": -1}, r"no layer -1 in some-run"),
        ({"head": 5}, r"no head 5 in some-run: it has heads 0 to 4"),
        ({"shift": "left"}, r"'left'; it must be output or input"),
    ],
)
def test_what_a_model_lacks_cannot_be_wanted(wanted: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        choices(3, 5, Wanted(**wanted), default_choice(3), "some-run")


def random_tables(draw: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> list[Any]:
    """[2, 2 layers, 3 heads + 1, target words], some words without a link."""
    return [draw.integers(-1, sources, (2, 2, 4, targets)) for sources, targets in sizes]


def test_agreement_is_the_overlap_of_both_directions() -> None:
    draw = np.random.default_rng(3)
    sizes = [(2, 3), (5, 1), (1, 4), (3, 3), (4, 2)]
    every = choices(2, 3, Wanted(), default_choice(2), "run")
    for _ in range(7):
        forward, backward = random_tables(draw, sizes), random_tables(draw, [(t, s) for s, t in sizes])

        def overlap(there: AlignmentChoice, back: AlignmentChoice, both: Any = (forward, backward)) -> float:
            a = {(n, link) for n, table in enumerate(both[0]) for link in links_of(table, there)}
            b = {(n, link) for n, table in enumerate(both[1]) for link in turn(links_of(table, back))}
            return 2 * len(a & b) / (len(a) + len(b))

        best = max(overlap(a, b) for a, b in itertools.product(every, every) if a.shift == b.shift)
        found = best_by_agreement(forward, backward, every, every)
        assert overlap(*found) == pytest.approx(best)
        assert found[0].shift == found[1].shift
    # Of equals the first.
    same = [np.zeros((2, 2, 4, 1), dtype=int)]
    assert best_by_agreement(same, same, every, every) == (default_choice(2), default_choice(2))


@pytest.mark.parametrize("turned", [False, True])
def test_gold_links_choose_what_has_the_lowest_error(turned: bool) -> None:
    # Output of head 0 has one link right of two, its input both, all else none; possible links are no error.
    table = np.full((2, 1, 3, 2), -1)
    table[0, 0, 1], table[1, 0, 1], table[0, 0, 2] = [0, 0], [1, 0], [1, 1]
    right = links("1-0 0-1")
    right = turn(right) if turned else right
    every = choices(1, 2, Wanted(), default_choice(1), "run")
    assert best_by_gold([table], [Gold(right, right)], every, turned) == AlignmentChoice(0, 0, "input")
    half = links("0-1")
    gold = Gold(turn(half) if turned else half, turn(links("0-0 0-1")) if turned else links("0-0 0-1"))
    assert best_by_gold([table], [gold], every, turned) == AlignmentChoice(0, 0, "output")


def test_a_guided_head_is_the_one_that_aligns() -> None:
    assert guided_choice(TrainingPart(), 4) is None
    guided = TrainingPart(guided=0.1)
    assert [guided_choice(guided, layers) for layers in (1, 2, 6)] == [
        AlignmentChoice(layer, 0, "output") for layer in (0, 0, 4)
    ]
    other = guided_choice(TrainingPart(guided=0.1, guided_layer=2, guided_row="input"), 3)
    assert other is not None
    assert other == AlignmentChoice(2, 0, "input")
    assert choices(3, 5, Wanted(), other, "run")[0] == other
    assert choices(3, 5, Wanted(head="mean"), other, "run")[0] == AlignmentChoice(2, None, "input")
