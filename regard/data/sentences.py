"""A long text as sentences and the white space between them, and back: a model is trained on one sentence a line.

`sentencex` (Wikimedia) finds where sentences end: it knows the stops of all scripts and the abbreviations of many
languages, needs no model, and loses no character, which pysbd does. Here it is kept from four things it does:
running over a line's end, cutting in what must stay whole, leaving "1." as a sentence of its own, and taking a time
that grows with the square of the quotation marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from regard.data.scripts import UNSPACED
from regard.errors import UsageError

Span = tuple[int, int]
WINDOW = 2000  # characters that the library sees at once
# Where a sentence that is too long is cut, the better places first: after a semicolon, a comma, at white space.
CLAUSES = (
    re.compile(r"(?:[；؛]|[;:—–](?=\s))[\"'”’»」』)\]]*"),
    re.compile(r"(?:[，、،﹐]|,(?=\s))[\"'”’»」』)\]]*"),
    re.compile(r"\s+"),
)
ELLIPSIS = re.compile(r"…(?=\W{0,3} \W{0,3}(\w))")


@dataclass(frozen=True)
class Pieces:
    """`between[0] + sentences[0] + between[1] + … + between[n]` is the text; so there is one more between.

    A sentence neither begins nor ends with white space, and none is empty. Between two is white space or nothing.
    """

    sentences: list[str]
    between: list[str]


def split(
    text: str,
    *,
    language: str = "en",
    limit: int | None = None,
    size: Callable[[str], int] = len,
    whole: Sequence[Span] = (),
) -> Pieces:
    """Cuts a text into sentences; the end of a line always ends one.

    `language` is the code of the text's language; the abbreviations of English are known where it is another one
    that has none. A sentence of a `size` above `limit` is cut in its middle, at a clause, else at white space, else
    anywhere, until no part is; `size` may count tokens. `whole` are spans [from, to) that are not cut in.

    Raises:
        UsageError: the library is not installed.
        ValueError: `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; a sentence has at least 1")
    cuts: list[int] = []
    for line in re.finditer(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+", text):
        cuts += [line.start(), *_sentence_starts(text, line.span(), language, whole)]
    return pieces_at(text, _shorter(text, sorted(_outside(cuts, whole)), limit, size, whole))


def rejoin(pieces: Pieces, translations: Sequence[str]) -> str:
    """The translations with the white space that stood between the sentences, so that line i stays line i.

    Raises:
        ValueError: there is not one translation for each sentence.
    """
    between = spaces(pieces, translations)
    return "".join(a + b for a, b in zip(between, [*translations, ""], strict=True))


def spaces(pieces: Pieces, translations: Sequence[str]) -> list[str]:
    """What stands between the translations: what stood between the sentences, and a space where it is needed.

    Chinese sentences stand close together; where a script with spaces follows on one that has none, a space comes
    between two translations. Raises what `rejoin` does.
    """
    if len(translations) != len(pieces.sentences):
        raise ValueError(f"there are {len(translations)} translations for {len(pieces.sentences)} sentences")
    between = list(pieces.between)
    for number in range(1, len(translations)):
        close = not between[number] and UNSPACED.match(pieces.sentences[number - 1][-1])
        if close and _spaced(translations[number - 1]) and _spaced(translations[number]):
            between[number] = " "
    return between


def pieces_at(text: str, cuts: Sequence[int]) -> Pieces:
    """The text cut at rising positions, white space at the ends of each part left out of it."""
    sentences, between, held = [], [], ""
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        part = text[start:end]
        if inner := part.strip():
            at = part.index(inner[0]) if part[0].isspace() else 0
            between.append(held + part[:at])
            sentences.append(inner)
            held = part[at + len(inner) :]
        else:
            held += part
    return Pieces(sentences, [*between, held])


def _spaced(said: str) -> bool:
    """Whether a translation is written in a script with spaces, as far as its ends show."""
    return bool(said) and not UNSPACED.match(said[0]) and not UNSPACED.match(said[-1])


# --- ends of sentences ----------------------------------------------------------------------------------------------


def _sentence_starts(text: str, line: Span, language: str, whole: Sequence[Span]) -> list[int]:
    """Where sentences of a line begin, but for the first."""
    # An address has stops within it; a name of as many capitals has none.
    shown = "".join(map(_plain, text[line[0] : line[1]]))
    for start, end in whole:
        a, b = max(start, line[0]) - line[0], min(end, line[1]) - line[0]
        if a < b:
            shown = shown[:a] + "X" * (b - a) + shown[b:]
    # To the library "…" never ends a sentence, "..." before a capital does.
    shown = ELLIPSIS.sub(lambda match: "." if match[1].isupper() else "…", shown)
    segment = _library()
    found, done = [], 0
    while done < len(shown):
        parts = segment(language, shown[done : done + WINDOW])
        last = done + WINDOW >= len(shown)
        # The last part of a window may go on in the next; one as long as the window is left as it is.
        for part in parts if last or len(parts) == 1 else parts[:-1]:
            done += len(part)
            found.append(done)
        if not parts:
            break
    return [line[0] + at for at in _worth_a_line(shown, found)]


def _worth_a_line(text: str, ends: list[int]) -> list[int]:
    """Without what would cut off a part that says nothing: "1." belongs to what follows, "!!" to what stands before."""
    kept: list[int] = []
    start = 0
    for end, after in zip(ends, [*ends[1:], len(text)], strict=True):
        part, following = text[start:end], text[end:after]
        if not any(c.isalpha() for c in part) or not any(c.isalnum() for c in following):
            continue
        kept.append(end)
        start = end
    return kept


def _plain(character: str) -> str:
    """A character that the library can read: it stops at half a surrogate pair, and at wide spaces after initials."""
    return " " if character.isspace() else "X" if "\ud800" <= character <= "\udfff" else character


def _library() -> Any:
    try:
        from sentencex import segment  # type: ignore[attr-defined]
    except ImportError as error:
        raise UsageError("long texts need sentencex: pip install 'regard[serve]'") from error
    return segment


def _outside(cuts: Sequence[int], whole: Sequence[Span]) -> list[int]:
    return [at for at in cuts if not _within(at, whole)]


def _within(at: int, whole: Sequence[Span]) -> bool:
    return any(start < at < end for start, end in whole)


# --- sentences that are too long ------------------------------------------------------------------------------------


def _shorter(
    text: str, cuts: list[int], limit: int | None, size: Callable[[str], int], whole: Sequence[Span]
) -> list[int]:
    if limit is None:
        return cuts
    todo = [*zip([0, *cuts], [*cuts, len(text)], strict=True)][::-1]
    kept: list[int] = []
    while todo:
        start, end = todo.pop()
        inner = text[start:end].strip()
        at = _middle(text, start, end, whole) if len(inner) > 1 and size(inner) > limit else None
        if at is None:
            kept.append(start)
        else:
            todo += [(at, end), (start, at)]
    return kept[1:]


def _middle(text: str, start: int, end: int, whole: Sequence[Span]) -> int | None:
    """The best place to cut in the inner three fifths, the nearest to the middle of its sort; None if there is none."""
    middle, reach = (start + end) / 2, (end - start) * 0.3
    a, b = int(middle - reach), int(middle + reach) + 1
    for sort in CLAUSES:
        for at in sorted((match.end() for match in sort.finditer(text, a, b)), key=lambda at: abs(at - middle)):
            if start < at < end and text[start:at].strip() and text[at:end].strip() and not _within(at, whole):
                return at
    inside = sorted(range(max(a, start + 1), min(b, end)), key=lambda at: abs(at - middle))
    return next((at for at in inside if not _joined(text, at) and not _within(at, whole)), None)


def _joined(text: str, at: int) -> bool:
    """Whether what stands before and behind a place is one character to a reader."""
    after = text[at]
    if after in "\u200d\ufe0e\ufe0f" or unicodedata.category(after) in ("Mn", "Mc", "Me") or text[at - 1] == "\u200d":
        return True
    # Skin tones; a regional indicator may be half a flag.
    return "\U0001f3fb" <= after <= "\U0001f3ff" or "\U0001f1e6" <= after <= "\U0001f1ff"


__all__ = ["Pieces", "pieces_at", "rejoin", "spaces", "split"]
