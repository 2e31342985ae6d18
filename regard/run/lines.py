"""What a finished model may be given to read, and what about it deserves a word."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from regard.batch import UNK
from regard.errors import UsageError

OF_PREFIX = "of the prefix "  # in what is noted


def check_lines(given: Any, what: str = "lines") -> None:
    """UsageError for what is no list of texts."""
    one = what.removesuffix("s")
    if isinstance(given, str | bytes | Mapping) or not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
        raise UsageError(f"predict takes a list of {what}: write model.predict([{one}])")
    for number, each in enumerate(given):
        if not isinstance(each, str):
            raise UsageError(f"{what}[{number}] is {_shown(each)}, which is no text: predict takes a list of {what}")


def check_prefixes(given: Any, lines: Sequence[str]) -> None:
    """UsageError for what is no list of a text for each line."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise UsageError(f"prefix is {_shown(given)}: write a list of texts, one for each line")
    if len(given) != len(lines):
        raise UsageError(f"there are {len(given)} prefixes for {len(lines)} lines: give one for each line")
    for number, each in enumerate(given):
        if not isinstance(each, str):
            raise UsageError(f"prefix[{number}] is {_shown(each)}, which is no text: write a list of texts")


def unknown_note(ids: Sequence[int], of: str = "") -> list[str]:
    """That some of the tokens stand for what the vocabulary lacks. `of` says what they are tokens of."""
    unknown = sum(token == UNK for token in ids)
    return [f"{unknown} of {len(ids)} tokens {of}are unknown to the model"] if unknown else []


def length_note(count: int, limit: int, advice: str) -> list[str]:
    """That a text has more tokens than are read."""
    if count <= limit:
        return []
    return [f"{count} tokens are more than data.max_length = {limit}, so only the first {limit} were read; {advice}"]


def cut_note(tokens: Iterable[Sequence[int]], limit: int, what: str) -> list[str]:
    """That some of many texts have more tokens than are read. `what` they are called."""
    counts = [len(each) for each in tokens]
    cut = sum(count > limit for count in counts)
    if not cut:
        return []
    return [
        f"{cut:,} of {len(counts):,} {what} have more than data.max_length = {limit} tokens: of those the first {limit} "
        "alone were read"
    ]


def answered(number: int, row: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """What `regard predict --jsonl` prints of one answer. Its notes are said on standard error, too, as every task says
    them."""
    for note in notes:
        print(f"line {number}: {note}", file=sys.stderr)
    return {**row, "notes": list(notes)} if notes else row


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
