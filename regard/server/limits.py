"""What one client may ask of the others' server."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from starlette.requests import Request

from regard.server.reading import read_body
from regard.server.refusals import Refusal


@dataclass(frozen=True)
class Limits:
    """`queue` counts the lines that wait for one model; `seconds` is from the whole request to the whole answer."""

    body: int = 2_000_000
    characters: int = 5000
    inputs: int = 128
    queue: int = 2000
    seconds: float = 60.0
    beam: int = 32


@dataclass(frozen=True)
class Gate:
    """What every request passes: the key, if there is one, and the size of its body."""

    limits: Limits = Limits()
    key: str | None = None

    def authorise(self, request: Request, field: object = None) -> None:
        """`field` is the body's `api_key`, as clients of LibreTranslate send it. Refusal 401 without the right key."""
        if self.key is None:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        offered = given.strip() if kind.lower() == "bearer" else field if isinstance(field, str) else ""
        # Bytes, since compare_digest takes no text beyond ASCII; what cannot be encoded is no key either.
        if not hmac.compare_digest(offered.encode("utf-8", "replace"), self.key.encode("utf-8", "replace")):
            raise Refusal(401, "this server needs a key: send the header 'Authorization: Bearer KEY'")

    async def body(self, request: Request) -> bytes:
        """Refusal 413 if it is too large, 408 if it does not arrive."""
        return await read_body(request, self.limits.body, self.limits.seconds)
