"""Who waits, and whose lines are said together next."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any

from regard.run import Prediction

ROWS = 64  # short lines that are said at once
SHORT = 256  # characters of a short line, which is of level 0
FEW = 8  # lines that are not divided between lanes, since a batch of fewer is hardly faster
QUIET, LINGER = 0.008, 0.05  # seconds: nobody new comes for the one, or the other has passed

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
        self.rest = self.owed = len(self.lines)  # those that no batch has taken, and that none has said
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
        return 0 if self.future.done() else self.rest

    @property
    def level(self) -> int:
        """That of the first line that waits."""
        return min((lines[0], level) for level, lines in self._waiting.items() if lines)[1]

    def take(self, level: int) -> int | None:
        lines = self._waiting.get(level)
        if not lines:
            return None
        self.rest -= 1
        return lines.popleft()

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
    a request of a hundred lines gets a share like a request of one.

    `lanes` threads take batches of it and divide the lines evenly. `clock` counts seconds.
    """

    def __init__(self, lanes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.lanes = lanes
        self._clock = clock
        self._asks: deque[Ask] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._lines = 0  # that wait
        self._said = 0  # lines that are being said
        self._due = 0  # asks that were answered just now, and whose clients have not asked again
        self._stirred = clock()  # when somebody last asked or got an answer

    def add(self, ask: Ask) -> None:
        with self._changed:
            now = self._clock()
            self._due = 0 if now - self._stirred > QUIET else max(0, self._due - 1)
            self._stirred = now
            self._asks.append(ask)
            self._lines += ask.rest
            # Lanes that await the rest of their clients look again by themselves: to wake them for each would cost
            # more than it brings.
            if self._lines == ask.rest or self._enough():
                self._changed.notify_all()
        ask.future.add_done_callback(lambda _: self._drop(ask))

    def _drop(self, ask: Ask) -> None:
        """Nobody wants what is left of it, if anything is."""
        with self._changed:
            self._lines -= ask.rest
            ask.rest = 0

    def ended(self, batch: Batch) -> None:
        """This one, which `take` gave, is said, and its answers are about to go out."""
        with self._changed:
            self._said -= len(batch)
            for ask, _ in batch:
                ask.owed -= 1
                self._due += not ask.owed and not ask.future.done()
            self._stirred = self._clock()

    def heard(self) -> None:
        """A client gets its answer at this moment, and may ask again in the next."""
        self._stirred = self._clock()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def count(self) -> int:
        """Lines that wait."""
        return self._lines

    def wait(self) -> Batch | None:
        """The next batch as soon as there is one; None when closed and all is said."""
        since: float | None = None
        with self._changed:
            while True:
                if not self._lines:
                    if self._closed:
                        return None
                    since = None
                    self._changed.wait()
                    continue
                since = self._clock() if since is None else since
                pause = self.pause(since)
                if pause <= 0:
                    if batch := self.take():
                        return batch
                else:
                    self._changed.wait(pause)

    def pause(self, since: float) -> float:
        """Seconds to let pass before the next batch, for a lane that has seen lines waiting since then.

        Clients that were answered together ask again together: the first of them are let wait a few milliseconds for
        the rest, as long as more of them come, or they would be said in a small batch and the rest would wait for it.
        Who comes while nobody was answered just now is said at once.
        """
        return 0.0 if self._enough() else min(self._stirred + QUIET, since + LINGER) - self._clock()

    def _enough(self) -> bool:
        return self._closed or not self._due or self._lines >= ROWS

    def take(self) -> Batch:
        """The next batch, empty if nobody waits. Lines of nobody are dropped here.

        Of all lines that wait or are being said a lane takes its share, so that no other has nothing to do.
        """
        with self._changed:
            for ask in self._asks:
                if not ask.count:
                    self._drop(ask)
            self._asks = deque(ask for ask in self._asks if ask.rest)
            if not self._asks:
                return []
            first = self._asks[0]
            self._asks.rotate(-1)
            level = 0 if first.whole else first.level
            room = len(first.lines) if first.whole else 1 if first.alone else max(1, ROWS >> level)
            if not first.whole:
                room = min(room, max(FEW, -(-(self._lines + self._said) // self.lanes)))
            batch = self._filled(first, level, room)
            self._lines -= len(batch)
            self._said += len(batch)
            if self._lines:
                self._changed.notify_all()
            return batch

    def _filled(self, first: Ask, level: int, room: int) -> Batch:
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
