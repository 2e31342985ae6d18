"""The thread that speaks for a model: a batch at a time, each answer to the one who asked."""

from __future__ import annotations

import copy
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from regard.errors import UsageError
from regard.server.refusals import Refusal
from regard.server.waiting import Ask, Batch, Rotation

if TYPE_CHECKING:
    from regard.run import Model
    from regard.server.measures import Measures

LOG = logging.getLogger("regard.server")
MOST_LANES = 3


def twin(model: Model) -> Model:
    """The same model with the same parameters, not copies of them, in modules of its own.

    What observes or steers a model hangs on its modules, and must not be seen by another thread.
    """
    network = model.network
    shared = [*network.parameters(), *network.buffers()]
    other = copy.copy(model)
    other.network = copy.deepcopy(network, {id(tensor): tensor for tensor in shared})
    return other


def refusal_of(problem: Exception, name: str) -> Refusal:
    """What a client hears of it: wrong use is told, the rest is for the log."""
    if isinstance(problem, Refusal):
        return problem
    if isinstance(problem, UsageError):
        return Refusal(422, str(problem))
    LOG.error("%s failed", name, exc_info=problem)
    return Refusal(503, f"{name} failed at this input ({type(problem).__name__}); the log of the server says more")


def lanes_and_threads(cores: int, threads: int | None = None) -> tuple[int, int]:
    """How many lanes say short lines at the same time on a CPU, and with how many threads of PyTorch each.

    `threads` is what the user wants each to have. Two searches of one thread need not meet after each operation, as
    the two threads of one search must, which spin until then on the core of who answers. While the clients of one lane
    are answered, the other speaks. More than three would mostly wait for the interpreter. From four cores on, one is
    left to who answers.
    """
    if threads is not None:
        return max(1, min(MOST_LANES, cores // max(1, threads))), max(1, threads)
    lanes = max(1, min(MOST_LANES, cores))
    return lanes, max(1, (cores - 1) // lanes)


class Lane(threading.Thread):
    """Says what waits in its rotation, which it may share with other lanes, until it is closed."""

    def __init__(self, model: Model, name: str, measures: Measures, waiting: Rotation | None = None) -> None:
        super().__init__(name=f"regard-{name}", daemon=True)
        self.model, self.model_name, self.measures = model, name, measures
        self.waiting = Rotation() if waiting is None else waiting
        self.rate = 0.0  # lines a second, of late

    def run(self) -> None:
        while (batch := self.waiting.wait()) is not None:
            started = time.monotonic()
            self._say(batch)
            spent = time.monotonic() - started
            rate = len(batch) / max(spent, 1e-6)
            self.rate = rate if not self.rate else 0.8 * self.rate + 0.2 * rate
            self.measures.batch(self.model_name, len(batch), spent)

    def _say(self, batch: Batch) -> None:
        wanted: Batch = []
        gone: Batch = []
        for ask, number in batch:
            (gone if ask.future.done() else wanted).append((ask, number))
        if gone:
            self.waiting.ended(gone)
        if not wanted:
            return
        batch = wanted
        first = batch[0][0]
        options: dict[str, Any] = dict(first.options)
        if first.prefixes is not None:
            options["prefix"] = [ask.prefixes[number] for ask, number in batch if ask.prefixes is not None]
        try:
            predictions = self.model.predict([ask.lines[number] for ask, number in batch], **options)
        except Exception as problem:
            self._apart(batch, problem)
            return
        self.measures.tokens(self.model_name, sum(len(p.tokens) for p in predictions))
        self.waiting.ended(batch)
        for (ask, number), prediction in zip(batch, predictions, strict=True):
            ask.answer(number, prediction)

    def _apart(self, batch: Batch, problem: Exception) -> None:
        """Each ask again by itself, so that only the one whose line fails hears of it."""
        asks: dict[int, Ask] = {id(ask): ask for ask, _ in batch}
        if len(asks) == 1:
            self.waiting.ended(batch)
            batch[0][0].fail(refusal_of(problem, self.model_name))
            return
        for ask in asks.values():
            self._say([(other, number) for other, number in batch if other is ask])
