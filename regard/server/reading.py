"""What came in: a body that is not too large, as JSON that is only JSON, and text that is only text."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from regard.data.characters import check_characters
from regard.errors import UsageError
from regard.server.refusals import Refusal


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The whole body.

    Raises:
        Refusal: 413 if it is more than `limit` bytes, 408 if it takes longer than `seconds`, 499 if nobody is there
            any more, which only the metrics hear.
    """
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and len(said) < 20 and int(said) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {seconds:g} seconds: send it again") from None
    except ClientDisconnect:
        raise Refusal(499, "the client has gone") from None
    return b"".join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body is larger than {limit:,} bytes: send less at once")


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; Refusal 400 says what is wrong with it."""
    try:
        text = body.decode("utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError as problem:
        raise Refusal(400, f"the body is not UTF-8 (byte {problem.start}): send JSON in UTF-8") from None
    try:
        found = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise Refusal(
            400, f'the body is not JSON ({where}: {problem.msg}): send an object such as {{"inputs": ["…"]}}'
        ) from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply: nothing here is nested more than a few times") from None
    except ValueError as problem:  # also an integer of thousands of digits
        sentence = str(problem) if isinstance(problem, _NoNumber) else "the body holds a number that is far too large"
        raise Refusal(400, sentence) from None
    if not isinstance(found, dict):
        raise Refusal(422, 'the body is not a JSON object: send one such as {"inputs": ["…"]}')
    return found


class _NoNumber(ValueError):
    pass


def _no_number(name: str) -> NoReturn:
    raise _NoNumber(f"the body holds {name}, which is no JSON number: leave it out")


def check_text(text: str, where: str, characters: int) -> None:
    """Refusal 413 for text that is too long, 422 for what is no text: half a surrogate pair, NUL."""
    if len(text) > characters:
        raise Refusal(413, f"{where} has {len(text):,} characters and the limit is {characters:,}: send it in parts")
    try:
        check_characters(text, where)
    except UsageError as problem:
        raise Refusal(422, str(problem)) from None
