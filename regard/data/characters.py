"""What comes in JSON as text and is none."""

from __future__ import annotations

from regard.errors import UsageError


def check_characters(text: str, what: str) -> None:
    """UsageError for what no text file can hold as text: half a surrogate pair, NUL."""
    if "\0" in text:
        raise UsageError(f"{what} holds the character NUL: leave it out")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} holds half of a surrogate pair, which is no character: write both halves or none"
        ) from error
