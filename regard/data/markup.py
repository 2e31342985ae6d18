"""Text with things in it that must come through translation: tags, entities, placeholders, addresses, code.

A model that learned from plain sentences has never seen a tag, and makes of `{name}` whatever it makes. So:

- A text is cut into sentences, HTML at the ends of its blocks too, and what stands between sentences stays as it is:
  white space, tags around a sentence, `<script>`, what `translate="no"` covers.
- A sentence with placeholders (`{name}`, `%s`, an address, …; `regard.data.placeholders`) is translated as it stands.
  If each comes out once and no other does, that is the translation. A model that does not copy them is asked again for
  the text between them, and they keep their places.
- A sentence with tags within is translated between the tags: `I <b>really</b> do` is three pieces. A piece that is no
  sentence gets no full stop.

Either way each stands in the output exactly once, character for character; only text is changed. Entities are decoded
for the model, and what it says is encoded. HTML that is broken is read as browsers do, and none of it is lost.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from html import escape, unescape
from html.parser import HTMLParser

from regard.data import placeholders, sentences
from regard.data.sentences import Pieces, Span

# Lines to translate go out, their translations come in, and at the end there is the text.
Conversation = Generator[list[str], list[str], str]
Write = Callable[[str], str]
STOPS = ".!?…。！？؟।۔"
# Elements that stand within a sentence; any other one ends it.
INLINE = {
    *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img"),
    *("ins", "kbd", "label", "mark", "math", "q", "ruby", "rb", "rp", "rt", "s", "samp", "small", "span", "strike"),
    *("strong", "sub", "sup", "svg", "time", "tt", "u", "var", "wbr"),
}
VOID = {
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"),
}
BLANK = re.compile(r"[ \t\n\f\r]+")  # as HTML sees it
LINE_END = re.compile(r"[\t\n\f\r]")
UNTOUCHED = {"code", "math", "pre", "script", "style", "svg"}
ENDS_ITSELF = {"dd", "dt", "li", "option", "p", "td", "th", "tr"}  # <li> one <li> two


def translation(
    text: str,
    *,
    html: bool = False,
    language: str = "en",
    limit: int | None = None,
    size: Callable[[str], int] = len,
) -> Conversation:
    """The translation of a text, as a conversation: it yields lines, is sent as many translations, and so once more
    for what was split around; it returns the text. `language`, `limit` and `size` are those of `sentences.split`.
    """
    layout = list(_read_html(text)) if html else [_Stretch(text, [], str)]
    lines: list[_Line] = []
    for part in layout:
        if isinstance(part, _Stretch):
            lines += part.cut(language, limit, size)
    lines = [line for line in lines if line.speaks]
    whole = [line for line in lines if not line.tags]
    for line, said in zip(whole, (yield [_flat(line.text, html) for line in whole]) if whole else [], strict=True):
        line.accept(said)
    apart = [line for line in lines if line.output is None]
    asked = [_flat(fragment, html) for line in apart for fragment in line.fragments if _speaks(fragment)]
    answers = iter((yield asked) if asked else [])
    for line in apart:
        line.assemble([_in_place(f, next(answers)) if _speaks(f) else f for f in line.fragments])
    return "".join(part if isinstance(part, str) else part.written() for part in layout)


def translate(text: str, speak: Callable[[list[str]], Sequence[str]], *, html: bool = False) -> str:
    """The translation of a text by a function that translates lines."""
    conversation = translation(text, html=html)
    try:
        lines = next(conversation)
        while True:
            lines = conversation.send(list(speak(lines)))
    except StopIteration as end:
        return end.value


def _encode(text: str) -> str:
    return escape(text, quote=False).replace("\xa0", "&nbsp;")


def _flat(text: str, html: bool) -> str:
    """As a model reads it: in HTML, how much white space stands between two words means nothing."""
    return BLANK.sub(" ", text).strip() if html else text.strip()


def _speaks(text: str) -> bool:
    """Whether there is anything in it to translate: "—" and "😀" say the same in all languages."""
    return any(c.isalnum() for c in text)


def _in_place(fragment: str, said: str) -> str:
    """The translation of a fragment with the white space around it, and without a stop that it did not have."""
    inner, said = fragment.strip(), said.strip()
    if inner[-1] not in STOPS:
        said = said.rstrip(STOPS + " ") or said
    start = fragment.index(inner)
    return fragment[:start] + said + fragment[start + len(inner) :]


# --- sentences with what stays in them ------------------------------------------------------------------------------


class _Line:
    """A sentence, and what stays in it: `tags` are places with what is written there, `names` are placeholders.

    `output` is the translation as it will be written; the sentence itself where there is nothing to translate.
    """

    def __init__(self, text: str, tags: list[tuple[int, str]], names: list[Span], write: Write) -> None:
        self.text, self.tags, self.write = text, tags, write
        self.names = [(a, b) for a, b in names if not any(a < at < b for at, _ in tags)]
        stays = [*((at, at, tag) for at, tag in tags), *((a, b, write(text[a:b])) for a, b in self.names)]
        stays.sort(key=lambda stay: stay[:2])  # and tags at one place stay in their order
        ends = [0, *(end for _, end, _ in stays)]
        self.fragments = [text[a:b] for a, b in zip(ends, [*(start for start, _, _ in stays), len(text)], strict=True)]
        self.stays = [written for _, _, written in stays]
        self.speaks = any(map(_speaks, self.fragments))
        self.output: str | None = None
        if not self.speaks:
            self.assemble(self.fragments)

    def accept(self, said: str) -> None:
        """Takes what a model said for the whole line if every placeholder is in it."""
        if placeholders.same(self.text, said):
            self.output = self.write(said)

    def assemble(self, said: Sequence[str]) -> None:
        self.output = "".join(self.write(a) + b for a, b in zip(said, [*self.stays, ""], strict=True))


class _Stretch:
    """Text that may run over tags: what stands between two ends of blocks. `tags` stand at places in the text."""

    def __init__(self, text: str, tags: list[tuple[int, str]], write: Write) -> None:
        self.text, self.tags, self.write = text, tags, write
        self.pieces = Pieces([], [text])
        self.lines: list[_Line] = []

    def cut(self, language: str, limit: int | None, size: Callable[[str], int]) -> list[_Line]:
        names = placeholders.find(self.text)
        # The end of a line of HTML is white space like any other.
        text = self.text if self.write is str else LINE_END.sub(" ", self.text)
        self.pieces = sentences.split(text, language=language, limit=limit, size=size, whole=names)
        for start, end in self._spans():
            tags = [(at - start, tag) for at, tag in self._tags(start + 1, end - 1)]
            inside = [(a - start, b - start) for a, b in _between(names, start, end)]
            self.lines.append(_Line(self.text[start:end], tags, inside, self.write))
        return self.lines

    def written(self) -> str:
        said = [line.output or "" for line in self.lines]
        spans = [*self._spans(), (len(self.text), len(self.text))]
        written, done = [], 0
        for number, ((start, end), space) in enumerate(zip(spans, sentences.spaces(self.pieces, said), strict=True)):
            written.append(space if start == done else "")  # one that was not there before
            for at, tag in self._tags(done, start):
                written += [self.write(self.text[done:at]), tag]
                done = at
            written += [self.write(self.text[done:start]), *said[number : number + 1]]
            done = end
        return "".join(written)

    def _spans(self) -> list[Span]:
        """Of the sentences."""
        spans, at = [], 0
        for sentence, before in zip(self.pieces.sentences, self.pieces.between, strict=False):
            at += len(before)
            spans.append((at, at + len(sentence)))
            at += len(sentence)
        return spans

    def _tags(self, first: int, last: int) -> list[tuple[int, str]]:
        a = bisect_left(self.tags, first, key=lambda tag: tag[0])
        return self.tags[a : bisect_right(self.tags, last, key=lambda tag: tag[0])]


def _between(spans: list[Span], start: int, end: int) -> list[Span]:
    a = bisect_left(spans, start, key=lambda span: span[0])
    return [span for span in spans[a : bisect_left(spans, end, key=lambda span: span[0])] if span[1] <= end]


# --- HTML -----------------------------------------------------------------------------------------------------------


class _Reader(HTMLParser):
    """Where what begins in a source. It is cut there, so nothing is lost, whatever is said of it here."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.lines = [0, *(match.end() for match in re.finditer("\n", source))]
        self.found: list[tuple[int, str, str, dict[str, str | None]]] = []
        self.feed(source)
        self.close()

    def _note(self, kind: str, tag: str = "", attributes: Sequence[tuple[str, str | None]] = ()) -> None:
        line, column = self.getpos()
        self.found.append((self.lines[line - 1] + column, kind, tag, dict(attributes)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note("start", tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note("start", tag, attrs)  # to a browser <b/> is <b>

    def handle_endtag(self, tag: str) -> None:
        self._note("end", tag)

    def handle_data(self, data: str) -> None:
        self._note("text")

    def handle_comment(self, data: str) -> None:
        self._note("other")

    def handle_decl(self, decl: str) -> None:
        self._note("other")

    def handle_pi(self, data: str) -> None:
        self._note("other")

    def unknown_decl(self, data: str) -> None:
        self._note("other")

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        return self.parse_bogus_comment(i)  # as in browsers; the library's own loses its place


def _read_html(source: str) -> Iterator[str | _Stretch]:
    """What HTML holds, in order: markup as it is written, and stretches of text."""
    found = _Reader(source).found
    starts = [0, *(at for at, _, _, _ in found[1:]), len(source)] if found else []
    text, tags, opened = "", [], _Opened()
    for (_, kind, tag, attributes), start, end in zip(found, starts, starts[1:], strict=False):
        raw = source[start:end]
        if kind == "text" and not opened.untouched:
            text += unescape(raw)
            continue
        ends = opened.take(kind, tag, attributes)
        if not ends:
            tags.append((len(text), raw))
            continue
        yield from ([_Stretch(text, tags, _encode)] if text or tags else []) + [raw]
        text, tags = "", []
    yield from [_Stretch(text, tags, _encode)] if text or tags else [source] if not found else []


class _Opened:
    """The elements that are open, each with whether its text stays as it is."""

    def __init__(self) -> None:
        self.stack: list[tuple[str, bool]] = []

    @property
    def untouched(self) -> bool:
        return bool(self.stack) and self.stack[-1][1]

    def take(self, kind: str, tag: str, attributes: dict[str, str | None]) -> bool:
        """Opens or closes an element; whether a sentence ends there."""
        before = self.untouched
        if kind == "start":
            if tag in ENDS_ITSELF and self.stack and self.stack[-1][0] == tag:
                self.stack.pop()
                before = self.untouched
            if tag not in VOID:
                self.stack.append((tag, self._stays(tag, attributes)))
            return tag not in INLINE and not before
        if kind == "end":
            places = [n for n, (name, _) in enumerate(self.stack) if name == tag]
            if places:
                del self.stack[places[-1] :]
            return tag not in INLINE and not self.untouched
        return False

    def _stays(self, tag: str, attributes: dict[str, str | None]) -> bool:
        asked = (attributes.get("translate", "yes") or "yes").lower()
        if tag in UNTOUCHED or asked == "no" or "notranslate" in (attributes.get("class") or "").split():
            return True
        return self.untouched and "translate" not in attributes


__all__ = ["Conversation", "translate", "translation"]
