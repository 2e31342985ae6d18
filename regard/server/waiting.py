"""Who waits, and whose lines are said together next."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any

from regard.run import Prediction

ROWS = 64  # short lines that are said at once
SHORT = 256  # characters of a short line, which is of level 0
QUIET, LINGER = 0.003, 0.02  # seconds: nobody new comes for the one, or the other has passed

_number = itertools.count()


def level_of(line: str) -> int:
    """0 up to SHORT characters, one more for each doubling: lines of one level take about as long."""
    return max(0, (len(line) - 1) // SHORT).bit_length()


class Ask:
    """The lines of one request, and their answers as they come.

    `whole` says that its lines must stay together and alone: draws depend on a line's place among the others.
    """

    def __init__(self, lines: Sequence[str], options: Mapping[str, Any], prefixes: Sequence[str] | None = None) -> None:
        self.lines, self.options, self.prefixes = list(lines), dict(options), prefixes
        self.whole = options.get("sample") is not None
        self.alone = self.whole or bool(options.get("steer"))
        self.key = json.dumps([self.options, prefixes is None], sort_keys=True, default=repr)
        if self.alone:
            self.key += f" {next(_number)}"
        self.levels = [level_of(line) for line in self.lines]
        self.future: Future[list[Prediction]] = Future()
        self._answers: dict[int, Prediction] = {}
        self._waiting: dict[int, deque[int]] = {}  # a level's lines, in order
        for number, level in enumerate(self.levels):
            self._waiting.setdefault(0 if self.whole else level, deque()).append(number)

    @property
    def slow(self) -> bool:
        """Whether it would hold up short lines that were said after it on the same thread."""
        heavy = self.options.get("tree") or self.options.get("nbest", 1) > 8
        return self.alone or bool(heavy) or max(self.levels, default=0) > 0

    @property
    def count(self) -> int:
        """Lines that wait; none once nobody wants them."""
        return 0 if self.future.done() else sum(len(lines) for lines in self._waiting.values())

    @property
    def level(self) -> int:
        """That of the first line that waits."""
        return min((lines[0], level) for level, lines in self._waiting.items() if lines)[1]

    def take(self, level: int) -> int | None:
        lines = self._waiting.get(level)
        return lines.popleft() if lines else None

    def answer(self, number: int, prediction: Prediction) -> None:
        self._answers[number] = prediction
        if len(self._answers) == len(self.lines):
            self._settle([self._answers[i] for i in range(len(self.lines))])

    def fail(self, problem: Exception) -> None:
        self._settle(problem)

    def _settle(self, outcome: list[Prediction] | Exception) -> None:
        try:
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)
        except InvalidStateError:
            pass  # the client has gone, or another line has failed already


Batch = list[tuple[Ask, int]]


class Rotation:
    """Asks that take turns. Each in turn leads a batch, and whoever asks the same way adds one line a round to it, so
    a request of a hundred lines gets a share like a request of one."""

    def __init__(self) -> None:
        self._asks: deque[Ask] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def add(self, ask: Ask) -> None:
        with self._changed:
            self._asks.append(ask)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def count(self) -> int:
        """Lines that wait."""
        with self._changed:
            return sum(ask.count for ask in self._asks)

    def wait(self) -> Batch | None:
        """The next batch as soon as there is one; None when closed and all is said.

        Clients that were answered together ask again together: the first of them is let wait a few milliseconds for
        the rest, or it would be said alone and the rest would wait for it.
        """
        with self._changed:
            while not (batch := self._gathered()):
                if self._closed:
                    return None
                self._changed.wait()
            return batch

    def _gathered(self) -> Batch:
        until = time.monotonic() + LINGER
        while not self._closed and 0 < sum(ask.count for ask in self._asks) < ROWS:
            came = self._changed.wait(min(QUIET, max(0.0, until - time.monotonic())))
            if not came or time.monotonic() >= until:
                break
        return self.take()

    def take(self) -> Batch:
        """The next batch, empty if nobody waits. Lines of nobody are dropped here."""
        self._asks = deque(ask for ask in self._asks if ask.count)
        if not self._asks:
            return []
        first = self._asks[0]
        self._asks.rotate(-1)
        level = 0 if first.whole else first.level
        room = len(first.lines) if first.whole else 1 if first.alone else max(1, ROWS >> level)
        sharing = [first, *(ask for ask in self._asks if ask is not first and ask.key == first.key)]
        batch: Batch = []
        while sharing and len(batch) < room:
            for ask in list(sharing):
                number = ask.take(level) if len(batch) < room else None
                if number is None:
                    sharing.remove(ask)
                else:
                    batch.append((ask, number))
        return batch
