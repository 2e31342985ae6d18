"""What stays in a text whatever the language: `{name}`, `%s`, `${x}`, tags, addresses, code; and what a model did to it."""

from __future__ import annotations

import re
from collections import Counter

Span = tuple[int, int]

# Addresses may hold letters of all languages (Köln), but where Chinese follows without a space they are over.
_ADDRESS = r"(?:(?![\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef])[\w\-.~:/?#\[\]@!$&'()*+,;=%])+"
_TRAILING = ".,;:!?'*)]"
# The first alternative that fits at a place wins. Every one is bounded or begins with what ends the one before, so
# that the time is proportional to the text.
_PATTERN = re.compile(
    rf"""
    (?P<code> ```.+?``` | `[^`\n]+` )
  | (?P<address> (?<![A-Za-z0-9]) (?:https?://|ftp://|www\.|mailto:) {_ADDRESS} )
  | (?P<mail> (?<![\w.+-]) [\w.+-]{{1,64}} @ [\w-]{{1,63}} (?:\.[\w-]{{1,63}})+ )
  | (?P<braces> \$?\{{\{{ [^{{}}\n]{{0,200}} \}}\}} | \{{% [^{{}}\n]{{0,200}} %\}} | \$\{{ [^{{}}\n]{{0,200}} \}}
      | %\{{ \w{{1,60}} \}} | \{{ [\w$@#.\-\[\]]{{0,60}} (?:[!:][^{{}}\s]{{0,60}})? \}} )
  | (?P<percent> %% | %\(\w{{1,60}}\)[-+\#0]*[\d.]*[a-zA-Z] | (?<![\w%])%(?:\d{{1,2}}\$)?[-+\#0]*(?:\d{{1,4}}|\*)?
      (?:\.\d{{1,3}})?(?:hh?|ll?|z)?[diouxXeEfFgGcrsa@](?![A-Za-z]) )
  | (?P<tag> </?[A-Za-z][^<>\n]{{0,200}}> )
    """,
    re.VERBOSE | re.DOTALL,
)


def find(text: str) -> list[Span]:
    """Where placeholders stand, as spans [from, to) that rise and do not overlap."""
    found = []
    for match in _PATTERN.finditer(text):
        start, end = match.span()
        if match.lastgroup == "address":  # "(see https://a.b/c)." ends before its bracket
            extra = text.count(")", start, end) - text.count("(", start, end)
            while text[end - 1] in _TRAILING and (text[end - 1] != ")" or extra > 0):
                extra -= text[end - 1] == ")"
                end -= 1
        found.append((start, end))
    return found


def same(text: str, said: str) -> bool:
    """Whether each placeholder of a text is in an output as often as in the text, and no other is."""
    return _count(text) == _count(said)


def _count(text: str) -> Counter[str]:
    return Counter(text[start:end] for start, end in find(text))


__all__ = ["find", "same"]
