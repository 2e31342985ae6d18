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


class Lane(threading.Thread):
    """Says what waits in its rotation until it is closed."""

    def __init__(self, model: Model, name: str, measures: Measures) -> None:
        super().__init__(name=f"regard-{name}", daemon=True)
        self.model, self.model_name, self.measures = model, name, measures
        self.waiting = Rotation()
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
        batch = [(ask, number) for ask, number in batch if not ask.future.done()]
        if not batch:
            return
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
        for (ask, number), prediction in zip(batch, predictions, strict=True):
            ask.answer(number, prediction)

    def _apart(self, batch: Batch, problem: Exception) -> None:
        """Each ask again by itself, so that only the one whose line fails hears of it."""
        asks: dict[int, Ask] = {id(ask): ask for ask, _ in batch}
        if len(asks) == 1:
            batch[0][0].fail(refusal_of(problem, self.model_name))
            return
        for ask in asks.values():
            self._say([(other, number) for other, number in batch if other is ask])
