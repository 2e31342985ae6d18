"""Whose lines are said together, in which order: by hand."""

from __future__ import annotations

import threading
import time

import pytest

from regard.run import Prediction
from regard.server.waiting import ROWS, Ask, Rotation, level_of


def said(line: str) -> Prediction:
    return Prediction(line, line.upper(), 0.0, [], [])


def lines_of(rotation: Rotation) -> list[str]:
    return [ask.lines[number] for ask, number in rotation.take()]


@pytest.mark.parametrize(
    ("length", "level"), [(0, 0), (1, 0), (256, 0), (257, 1), (512, 1), (513, 2), (1024, 2), (5000, 5)]
)
def test_levels_double(length: int, level: int) -> None:
    assert level_of("x" * length) == level


def test_a_line_each_in_turn() -> None:
    rotation = Rotation()
    for name, count in (("a", 5), ("b", 1), ("c", 3)):
        rotation.add(Ask([f"{name}{n}" for n in range(count)], {}))
    assert rotation.count == 9
    assert lines_of(rotation) == ["a0", "b0", "c0", "a1", "c1", "a2", "c2", "a3", "a4"]
    assert rotation.take() == [] and rotation.count == 0


def test_a_large_request_leaves_room() -> None:
    rotation = Rotation()
    rotation.add(Ask([f"a{n}" for n in range(3 * ROWS)], {}))
    assert lines_of(rotation) == [f"a{n}" for n in range(ROWS)]
    rotation.add(Ask(["b"], {}))
    rotation.add(Ask(["c"], {}))
    second = lines_of(rotation)
    assert {"b", "c"} <= set(second) and len(second) == ROWS
    assert lines_of(rotation) == [f"a{n}" for n in range(2 * ROWS - 2, 3 * ROWS - 2)]


def test_other_options_lead_in_turn() -> None:
    rotation = Rotation()
    rotation.add(Ask([f"a{n}" for n in range(2 * ROWS)], {"beam": 1}))
    rotation.add(Ask(["b"], {"beam": 2}))
    rotation.add(Ask(["c"], {"beam": 1}))
    rotation.add(Ask(["d"], {"beam": 2}))
    rotation.add(Ask(["e"], {"beam": 2}, [""]))  # begins in a given way, which the others do not
    first = lines_of(rotation)
    assert first[:2] == ["a0", "c"] and len(first) == ROWS
    assert [lines_of(rotation) for _ in range(3)] == [
        ["b", "d"],
        ["e"],
        [f"a{n}" for n in range(ROWS - 1, 2 * ROWS - 1)],
    ]


def test_like_lengths_go_together() -> None:
    rotation = Rotation()
    rotation.add(Ask(["short", "l" * 300, "m" * 310], {}))
    rotation.add(Ask(["brief", "n" * 400], {}))
    assert lines_of(rotation) == ["short", "brief"]
    assert [line[0] for line in lines_of(rotation)] == ["n", "l", "m"]


def test_draws_stay_whole_and_alone() -> None:
    rotation = Rotation()
    lines = ["one", "t" * 300] * ROWS
    rotation.add(Ask(lines, {"sample": {"seed": 1}}))
    rotation.add(Ask(["one"], {"sample": {"seed": 1}}))
    assert lines_of(rotation) == lines and lines_of(rotation) == ["one"]


def test_answers_go_back_in_order_and_the_dead_are_dropped() -> None:
    rotation = Rotation()
    ask, gone = Ask(["a", "b", "c"], {}), Ask(["x", "y"], {})
    rotation.add(ask)
    rotation.add(gone)
    gone.future.cancel()
    assert rotation.count == 3
    batch = rotation.take()
    assert [each.lines[n] for each, n in batch] == ["a", "b", "c"]
    for each, number in reversed(batch):
        assert not each.future.done()
        each.answer(number, said(each.lines[number]))
    assert [p.text for p in ask.future.result()] == ["A", "B", "C"]
    ask.fail(RuntimeError())  # too late, and no harm
    gone.answer(0, said("x"))


def test_a_failure_ends_the_whole_request() -> None:
    rotation = Rotation()
    ask = Ask(["a"] * (ROWS + 5), {})
    rotation.add(ask)
    rotation.take()
    ask.fail(ValueError("no"))
    assert rotation.count == 0 and rotation.take() == []


def test_waiting_ends_with_closing() -> None:
    rotation = Rotation()
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.extend([rotation.wait(), rotation.wait()]))
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    rotation.add(Ask(["a"], {}))
    time.sleep(0.1)
    rotation.close()
    thread.join(10)
    assert not thread.is_alive() and found[1] is None
