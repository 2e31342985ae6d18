"""The thread that says single lines token by token, all that are asked for in turn."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from regard.server.speaking import refusal_of, twin

if TYPE_CHECKING:
    from regard.run import Model
    from regard.server.measures import Measures

AT_ONCE = 16  # streams that are stepped in turn; the others wait for one of them to end


class Stream:
    """One line on its way to one client. Made and read in the client's event loop."""

    def __init__(self, line: str, options: Mapping[str, Any]) -> None:
        self.line, self.options = line, dict(options)
        self.gone = False
        self.partials: Iterator[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()

    async def next(self) -> Any:
        """The next Partial, None after the last. Raises what went wrong."""
        came = await self._arrived.get()
        if isinstance(came, Exception):
            raise came
        return came

    def put(self, what: Any) -> None:
        """Called by the thread."""
        try:
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, what)
        except RuntimeError:
            self.gone = True  # the loop is closed, and its client with it


class Streams(threading.Thread):
    """Each stream has modules of its own, for what looks or steers stays on them from one step to the next."""

    def __init__(self, model: Model, name: str, measures: Measures) -> None:
        super().__init__(name=f"regard-{name}-streams", daemon=True)
        # Copied before anybody uses it, and never used itself: no observer is on it when it is copied again.
        self.model, self.model_name, self.measures = twin(model), name, measures
        self._waiting: deque[Stream] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def count(self) -> int:
        """Streams that have not begun."""
        with self._changed:
            return sum(not stream.gone for stream in self._waiting)

    def add(self, stream: Stream) -> None:
        with self._changed:
            self._waiting.append(stream)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    # One inference mode around all of them: generators that are stepped in turn would leave it in the wrong order.
    @torch.inference_mode()
    def run(self) -> None:
        live: list[Stream] = []
        while True:
            with self._changed:
                while not live and not self._waiting and not self._closed:
                    self._changed.wait()
                while self._waiting and len(live) < AT_ONCE:
                    live.append(self._waiting.popleft())
            if not live:
                return
            live = [stream for stream in live if self._step(stream)]

    def _step(self, stream: Stream) -> bool:
        """Says one more token; whether more are to come."""
        if stream.gone:
            self._end(stream)
            return False
        try:
            if stream.partials is None:
                stream.partials = iter(twin(self.model).stream(stream.line, **stream.options))
            partial = next(stream.partials, None)
        except Exception as problem:
            stream.put(refusal_of(problem, self.model_name))
            self._end(stream)
            return False
        stream.put(partial)
        if partial is None:
            self._end(stream)
        else:
            self.measures.tokens(self.model_name, 1)
        return partial is not None

    def _end(self, stream: Stream) -> None:
        close = getattr(stream.partials, "close", None)
        stream.partials = None
        if close is not None:
            close()
