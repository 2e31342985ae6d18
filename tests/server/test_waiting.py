"""Whose lines are said together, in which order: by hand."""

from __future__ import annotations

import threading
import time

import pytest

from regard.run import Prediction
from regard.server.waiting import FEW, LINGER, QUIET, ROWS, Ask, Batch, Rotation, level_of


def said(line: str) -> Prediction:
    return Prediction(line, line.upper(), 0.0, [], [])


def lines_of(rotation: Rotation) -> list[str]:
    return [ask.lines[number] for ask, number in rotation.take()]


class Clock:
    """Stands still until it is told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(rotation: Rotation, *names: str) -> list[Ask]:
    asks = [Ask([name], {}) for name in names]
    for ask in asks:
        rotation.add(ask)
    return asks


def answer(rotation: Rotation, batch: Batch) -> None:
    rotation.ended(batch)
    for ask, number in batch:
        ask.answer(number, said(ask.lines[number]))


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


def test_who_comes_alone_is_said_at_once() -> None:
    clock = Clock()
    rotation = Rotation(clock=clock)
    asked(rotation, "a")
    assert rotation.pause(clock.now) == 0
    answer(rotation, rotation.take())
    for _ in range(3):  # one client that asks again and again
        clock.now += 0.001
        asked(rotation, "a")
        assert rotation.pause(clock.now) == 0
        answer(rotation, rotation.take())
    clock.now += QUIET * 1.01
    asked(rotation, "b", "c")  # none of them was answered just now
    assert rotation.pause(clock.now) == 0


def test_clients_answered_together_are_awaited_while_they_come() -> None:
    clock = Clock()
    rotation = Rotation(clock=clock)
    asked(rotation, *"abcde")
    answer(rotation, rotation.take())
    clock.now += 0.005
    rotation.heard()
    clock.now += 0.004  # longer than QUIET after the end, not after the last of them heard it
    asked(rotation, "f")
    since = clock.now
    assert rotation.pause(since) == pytest.approx(QUIET)
    clock.now += 0.75 * QUIET
    assert rotation.pause(since) == pytest.approx(0.25 * QUIET)
    asked(rotation, "g", "h")
    assert rotation.pause(since) == pytest.approx(QUIET)
    clock.now += QUIET * 1.001
    assert rotation.pause(since) <= 0  # the other two take their time
    assert lines_of(rotation) == ["f", "g", "h"]
    asked(rotation, "i")
    assert rotation.pause(clock.now) == 0  # and are no longer awaited


def test_all_who_were_answered_are_back() -> None:
    clock = Clock()
    rotation = Rotation(clock=clock)
    asked(rotation, *"abc")
    answer(rotation, rotation.take())
    pauses = []
    for name in "def":
        asked(rotation, name)
        pauses.append(rotation.pause(clock.now) > 0)
    assert pauses == [True, True, False]


def test_a_full_batch_and_the_end_await_nobody() -> None:
    rotation = Rotation(clock=Clock())
    asked(rotation, *"abc")
    answer(rotation, rotation.take())
    asked(rotation, "d")
    assert rotation.pause(1000.0) > 0
    rotation.add(Ask(["e"] * (ROWS - 2), {}))
    assert rotation.pause(1000.0) > 0
    asked(rotation, "f")
    assert rotation.pause(1000.0) == 0
    rotation = Rotation(clock=Clock())
    asked(rotation, *"abc")
    answer(rotation, rotation.take())
    asked(rotation, "d")
    rotation.close()
    assert rotation.pause(1000.0) == 0


def test_nobody_is_let_wait_for_long() -> None:
    clock = Clock()
    rotation = Rotation(clock=clock)
    asked(rotation, *(str(n) for n in range(50)))
    answer(rotation, rotation.take())
    asked(rotation, "a")
    since = clock.now
    waited = 0.0
    while (pause := rotation.pause(since)) > 0:
        clock.now += min(pause, QUIET / 2)
        waited += min(pause, QUIET / 2)
        asked(rotation, "b")
    assert waited == pytest.approx(LINGER)


def test_clients_that_left_are_not_awaited() -> None:
    rotation = Rotation(clock=Clock())
    first, second = asked(rotation, "a", "b")
    batch = rotation.take()
    second.future.cancel()
    answer(rotation, batch)
    assert first.future.done()
    asked(rotation, "c")
    assert rotation.pause(1000.0) == 0


def test_lanes_divide_the_lines() -> None:
    rotation = Rotation(lanes=2, clock=Clock())
    asked(rotation, *(str(n) for n in range(49)))
    assert [len(rotation.take()) for _ in range(3)] == [25, 24, 0]
    rotation = Rotation(lanes=3, clock=Clock())
    asked(rotation, *(str(n) for n in range(31)))
    assert [len(rotation.take()) for _ in range(4)] == [11, 11, 9, 0]


def test_a_lane_leaves_what_another_will_have_room_for() -> None:
    rotation = Rotation(lanes=2, clock=Clock())
    asked(rotation, *(str(n) for n in range(11)))
    first = rotation.take()
    assert len(first) == FEW and rotation.count == 3
    asked(rotation, *(str(n) for n in range(40)))
    assert len(rotation.take()) == 26 and rotation.count == 17  # of 51, of which the other says 8
    answer(rotation, first)
    assert len(rotation.take()) == 17


def test_few_lines_and_draws_are_not_divided() -> None:
    rotation = Rotation(lanes=2, clock=Clock())
    asked(rotation, *(str(n) for n in range(FEW)))
    assert len(rotation.take()) == FEW
    draws = Ask([str(n) for n in range(3 * FEW)], {"sample": {"seed": 1}})
    rotation.add(draws)
    assert len(rotation.take()) == 3 * FEW


def test_two_lanes_have_each_a_part_at_the_same_time() -> None:
    rotation = Rotation(lanes=2)
    asks = asked(rotation, *(f"line {n}" for n in range(23)))
    both, sizes = threading.Barrier(2), []

    def lane() -> None:
        while (batch := rotation.wait()) is not None:
            sizes.append(len(batch))
            both.wait(60)  # breaks unless the other has one too
            answer(rotation, batch)

    threads = [threading.Thread(target=lane) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert [ask.future.result(60)[0].text for ask in asks] == [f"LINE {n}" for n in range(23)]
    rotation.close()
    for thread in threads:
        thread.join(60)
    assert sorted(sizes) == [11, 12] and rotation.count == 0


def test_a_request_said_in_parts_is_awaited_once() -> None:
    rotation = Rotation(lanes=2, clock=Clock())
    ask = Ask([str(n) for n in range(2 * FEW + 1)], {})
    rotation.add(ask)
    first, second = rotation.take(), rotation.take()
    answer(rotation, first)
    assert not ask.future.done()
    answer(rotation, second)
    assert [p.source for p in ask.future.result()] == [str(n) for n in range(2 * FEW + 1)]
    asked(rotation, "a")
    assert rotation.pause(1000.0) == 0


def test_what_nobody_wants_is_counted_no_more() -> None:
    rotation = Rotation(lanes=2, clock=Clock())
    large, small = Ask([str(n) for n in range(3 * ROWS)], {}), Ask(["x"], {})
    rotation.add(large)
    rotation.add(small)
    assert len(rotation.take()) == ROWS
    large.future.cancel()
    assert rotation.count == 0  # "x" was among them
    asked(rotation, "y")
    assert rotation.count == 1 and lines_of(rotation) == ["y"]
