"""What goes out: JSON, and one sentence where there is no answer."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from regard.server.refusals import Refusal

PRIVATE = {"Cache-Control": "no-store"}


def dump(value: Any) -> bytes:
    # Half a surrogate pair from a request may be in a sentence about it, and is no UTF-8.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


class Reply(Response):
    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(content, status_code, PRIVATE | (headers or {}))

    def render(self, content: Any) -> bytes:
        return dump(content)


def refuse(status: int, sentence: str, headers: dict[str, str] | None = None) -> Reply:
    # What was wrong may be quoted, and may be long.
    return Reply({"error": sentence if len(sentence) <= 600 else sentence[:599] + "…"}, status, headers)


async def refused(_: Request, problem: Exception) -> Response:
    """FastAPI calls this for a Refusal."""
    assert isinstance(problem, Refusal)
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not read
    return refuse(problem.status, problem.sentence, headers)
