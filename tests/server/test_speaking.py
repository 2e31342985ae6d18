"""Several lanes for one model: how many, that they speak at the same time, and that each has its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from regard.errors import UsageError
from regard.run import Model, Prediction
from regard.server.measures import Measures
from regard.server.speakers import Served, Speaker
from regard.server.speaking import lanes_and_threads
from regard.server.waiting import FEW, Ask


@pytest.mark.parametrize(
    ("cores", "threads", "wanted"),
    [
        (1, None, (1, 1)),
        (2, None, (2, 1)),
        (3, None, (3, 1)),
        (4, None, (3, 1)),
        (7, None, (3, 2)),
        (16, None, (3, 5)),
        (2, 1, (2, 1)),
        (2, 2, (1, 2)),
        (2, 5, (1, 5)),
        (16, 4, (3, 4)),
        (5, 0, (3, 1)),
    ],
)
def test_lanes_fit_on_the_cores(cores: int, threads: int | None, wanted: tuple[int, int]) -> None:
    assert lanes_and_threads(cores, threads) == wanted


def speaker_of(model: Model, lanes: int) -> Speaker:
    return Speaker(model, Served.of(model, "tiny", (None, None)), Measures(), lanes)


def test_lanes_speak_at_the_same_time(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)
    sizes: list[int] = []
    networks: set[int] = set()

    def predict(self: Model, lines: Sequence[str], **_: Any) -> list[Prediction]:
        sizes.append(len(lines))
        networks.add(id(self.network))
        both.wait(60)  # breaks unless the other lane is here too
        return [Prediction(line, line.upper(), 0.0, [], []) for line in lines]

    monkeypatch.setattr(Model, "predict", predict)
    speaker = speaker_of(model, 2)
    lines = [f"line {n}" for n in range(2 * FEW + 1)]
    ask = Ask(lines, {})
    speaker.short.add(ask)
    assert [p.text for p in ask.future.result(60)] == [line.upper() for line in lines]
    assert sorted(sizes) == [FEW, FEW + 1] and len(networks) == 2
    speaker.close()
    assert speaker.count == 0 and not any(lane.is_alive() for lane in speaker.lanes)


def test_lanes_share_parameters_and_nothing_else(model: Model) -> None:
    speaker = speaker_of(model, 3)
    speaker.close()
    assert len(speaker.lanes) == 4  # and one for long texts
    first, *others = [list(lane.model.network.parameters()) for lane in speaker.lanes]
    for other in others:
        assert all(a is b for a, b in zip(first, other, strict=True))
    modules = [{id(module) for module in lane.model.network.modules()} for lane in speaker.lanes]
    assert all(not modules[i] & modules[j] for i in range(4) for j in range(i))


def test_a_line_that_fails_is_told_apart_in_every_lane(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(_: Model, lines: Sequence[str], **__: Any) -> list[Prediction]:
        if "bad" in lines:
            raise UsageError("no")
        return [Prediction(line, line.upper(), 0.0, [], []) for line in lines]

    monkeypatch.setattr(Model, "predict", predict)
    speaker = speaker_of(model, 2)
    asks = [Ask(["bad" if n % 7 == 3 else f"line {n}"], {}) for n in range(37)]
    for ask in asks:
        speaker.short.add(ask)
    for n, ask in enumerate(asks):
        if n % 7 == 3:
            assert str(ask.future.exception(60)) == "no"
        else:
            assert ask.future.result(60)[0].text == f"LINE {n}"
    speaker.close()
    assert speaker.short.count == 0 and speaker.short._said == 0


def test_lanes_say_what_one_says(tiny: Callable[[str], Model]) -> None:
    model = tiny("transformer")
    words = ["one", "two", "three", "four", "five", "六", "سبعة", "huit", "नौ", "ten", "élf"]
    lines = [" ".join(words[(n * k) % 11] for k in range(1, 2 + n % 5)) for n in range(29)]
    with torch.inference_mode():
        wanted = [p.text for p in model.predict(lines)]
    speaker = speaker_of(model, 2)
    asks = [Ask([line], {"attention": True} if n % 3 else {}) for n, line in enumerate(lines)]
    for ask in asks:
        speaker.short.add(ask)
    found = [ask.future.result(60)[0] for ask in asks]
    speaker.close()
    assert [p.text for p in found] == wanted and [p.source for p in found] == lines
    assert [p.attention is not None for p in found] == [n % 3 > 0 for n in range(29)]
