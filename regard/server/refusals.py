"""Requests that are not answered: one sentence, and the HTTP status it goes out with."""

from __future__ import annotations

from regard.errors import RegardError


class Refusal(RegardError):
    """Becomes `{"error": sentence}`. `retry_after` is in seconds and goes with 429 and 503."""

    def __init__(self, status: int, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after
