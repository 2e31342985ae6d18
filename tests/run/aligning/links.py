"""Links as they are written."""

from __future__ import annotations


def links(text: str) -> frozenset[tuple[int, int]]:
    return frozenset((int(a), int(b)) for a, b in (link.split("-") for link in text.split()))
