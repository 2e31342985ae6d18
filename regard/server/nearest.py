"""GET /v1/nearest: the training pairs that are most like a text, where a run keeps them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from regard.run.translation.nearest import Example, Nearest
from regard.server.answering import Reply
from regard.server.limits import Gate
from regard.server.predicting import until_gone
from regard.server.reading import check_text
from regard.server.refusals import Refusal
from regard.server.speakers import Speakers
from regard.server.speaking import refusal_of

MOST = 100  # examples of one request


def routes(speakers: Speakers, gate: Gate) -> APIRouter:
    """`/v1/nearest`."""
    router = APIRouter(tags=["predict"])
    shelves: dict[str, Shelf] = {}

    async def allowed(request: Request) -> None:
        gate.authorise(request)

    @router.get(
        "/v1/nearest",
        summary="The training pairs that are most like a text",
        dependencies=[Depends(allowed)],
        response_class=Reply,
    )
    async def nearest(
        request: Request,
        text: Annotated[str, Query(description="what their sources shall be like")],
        model: Annotated[str | None, Query(description="a name of /v1/models; the first if not given")] = None,
        count: Annotated[int, Query(ge=1, le=MOST, description="how many")] = 5,
    ) -> Response:
        check_text(text, "text", gate.limits.characters)
        name = speakers.speaker(model).served.name
        if name not in shelves:
            shelves[name] = Shelf(name, speakers.folders.get(name))
        found = await until_gone(request, shelves[name].examples(text, count, gate.limits.queue, gate.limits.seconds))
        return Reply({"examples": [asdict(each) for each in found]})

    def close() -> None:
        for shelf in shelves.values():
            shelf.close()

    speakers.at_close.append(close)
    return router


class Shelf:
    """The examples of one run, which are looked up on a thread of their own: the first time they are put in order."""

    def __init__(self, name: str, folder: Path | None) -> None:
        self.name, self.folder = name, folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"regard-{name}-nearest")
        self._waiting = 0
        self._opened = False
        self._nearest: Nearest | None = None

    async def examples(self, text: str, count: int, room: int, seconds: float) -> list[Example]:
        """At most `count` of them.

        Raises:
            Refusal: 404 if the run keeps none, 429 if more than `room` texts wait, 504 if it takes too many seconds.
        """
        if self._waiting >= room:
            raise Refusal(429, f"{self._waiting:,} texts wait already: ask again in a second", retry_after=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._look, text, count)
        except TimeoutError:
            raise Refusal(504, f"this took longer than {seconds:g} seconds and was given up: ask again") from None
        except Exception as problem:
            raise refusal_of(problem, self.name) from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Ends the thread; what waits is given up."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _look(self, text: str, count: int) -> list[Example]:
        if not self._opened:
            self._nearest = None if self.folder is None else Nearest.open(self.folder)
            self._opened = True
        if self._nearest is None:
            raise Refusal(
                404, f"{self.name} keeps no training pairs to look in: serve the folder that 'regard train' wrote"
            )
        return self._nearest.examples(text, count)


__all__ = ["routes"]
