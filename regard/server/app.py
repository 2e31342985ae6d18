"""The server as an ASGI application."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.util import find_spec
from inspect import signature

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regard.server import nearest, pages, predicting
from regard.server.answering import PRIVATE, Reply, refuse, refused
from regard.server.limits import Gate
from regard.server.measures import TYPE, Measures
from regard.server.refusals import Refusal
from regard.server.speakers import Speakers

LOG = logging.getLogger("regard.server")
ABOUT = (
    "Translation with the attention behind it. Answers are JSON; what is not answered is "
    '{"error": "one sentence"} with status 400, 401, 404, 413, 422, 429 (with Retry-After), 503 or 504.'
)
EVENTS = (
    'With "stream": true the answer is text/event-stream: an event "token" for each step, then "done" with the '
    'prediction, or "error".'
)


def application(
    speakers: Speakers,
    *,
    key: str | None = None,
    cors: Sequence[str] = (),
    failed: Callable[[str], None] | None = None,
) -> FastAPI:
    """Serves the speakers, which begin to load when the application starts. `failed` hears if one cannot be."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        speakers.start(failed)
        yield
        speakers.close()

    app = FastAPI(
        title="Regard",
        version=version("regard"),
        description=f"{ABOUT} {EVENTS}",
        docs_url=None,  # FastAPI's own page fetches scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    gate = Gate(speakers.limits, key)
    routers = [predicting.routes(speakers, gate), nearest.routes(speakers, gate)]
    if find_spec("regard.server.libretranslate") is not None:
        routers.append(importlib.import_module("regard.server.libretranslate").routes(speakers, gate))
    for router in routers:
        app.include_router(router)
    _add_state(app, speakers, gate)
    app.include_router(pages.routes())
    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Outermost, measures=speakers.measures, known=_paths(app), direct=_direct(routers))
    if cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


def _add_state(app: FastAPI, speakers: Speakers, gate: Gate) -> None:
    @app.get("/health", tags=["state"], summary="Whether the server runs")
    async def health() -> Response:
        return Reply({"status": "ok"})

    @app.get("/ready", tags=["state"], summary="Whether all models are loaded: 200, or 503 before that")
    async def ready() -> Response:
        if speakers.ready:
            return Reply({"status": "ready"})
        raise Refusal(503, speakers.problem or "models are still being loaded: ask again in a few seconds", 2)

    @app.get("/metrics", tags=["state"], summary="Requests, seconds, queues, batches and tokens, for Prometheus")
    async def metrics(request: Request) -> Response:
        gate.authorise(request)
        return Response(speakers.measures.text(), media_type=TYPE, headers=PRIVATE)


def _paths(app: FastAPI) -> set[str]:
    """The paths that metrics tell apart; all others are one."""
    return {*app.openapi()["paths"], "/", "/docs", "/openapi.json"}


Endpoint = Callable[[Request], Awaitable[Response]]


def _direct(routers: Sequence[APIRouter]) -> dict[str, Endpoint]:
    """What is posted to a path and takes the bare request, by path."""
    found: dict[str, Endpoint] = {}
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.methods == {"POST"} and "{" not in route.path:
                assert list(signature(route.endpoint).parameters) == ["request"], route.path
                found[route.path] = route.endpoint
    return found


async def _http(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    path = request.url.path[:100]
    sentence = {
        404: f"there is no {path} here: GET /docs lists what there is",
        405: f"{path} does not take {request.method[:20]}: GET /docs lists what it takes",
    }.get(problem.status_code, str(problem.detail))
    return refuse(problem.status_code, sentence, dict(problem.headers or {}))


async def _invalid(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)
    first = problem.errors()[0]
    return refuse(422, f"{'.'.join(map(str, first['loc']))[:100]} is wrong: {first['msg']}")


class Outermost:
    """Counts requests, adds the headers of every answer, and is the last defence: no trace leaves the server.

    What is posted it hands to the endpoint itself: FastAPI's way there, with nothing to find or check on it, would
    cost a quarter of the time that an answer takes outside the model.
    """

    def __init__(self, app: ASGIApp, measures: Measures, known: set[str], direct: Mapping[str, Endpoint]) -> None:
        self.app, self.measures, self.known, self.direct = app, measures, known, direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        try:
            endpoint = self.direct.get(scope["path"]) if scope["method"] == "POST" else None
            if endpoint is None:
                await self.app(scope, receive, sending)
            else:
                await _answer(endpoint, scope, receive, sending)
        except Exception as problem:
            LOG.error("%s %s failed", scope["method"], scope["path"][:200], exc_info=problem)
            if status:
                raise  # half an answer has gone out: the connection must break
            await refuse(500, "the server failed at this request; its log says more")(scope, receive, sending)
        finally:
            path = scope["path"] if scope["path"] in self.known else _folder(scope["path"])
            self.measures.request(path, status, time.perf_counter() - started)


async def _answer(endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive, send)
    try:
        response = await endpoint(request)
    except Refusal as refusal:
        response = await refused(request, refusal)
    await response(scope, receive, send)


def _folder(path: str) -> str:
    return next((f"{folder}*" for folder in ("/view/", "/page/") if path.startswith(folder)), "other")
