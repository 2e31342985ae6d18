"""Tags, entities and placeholders through a translation whose every step is known."""

from __future__ import annotations

import random
import re
from html import unescape

import pytest

from regard.data import placeholders
from regard.data.markup import translate, translation

PARTS = [
    "<b>", "</b>", "<p>", "</p>", "<", "</", ">", "&", "&amp;", "&lt;", "&#", "x;", "a", "B. ", " ", "\n", "{n}", "%s",
    "<!--", "-->", "<![", "]]>", "<script>", "</script>", "<pre>", "<br/>", "<i class='", "'>", '"', "<?", "<!", "。", "好",
    "https://a.b/", "\xa0", "<svg/>", "<code>", "</code>", "`", "\ud800", "\0", "<p translate=no>",
]  # fmt: skip


def shout(lines: list[str]) -> list[str]:
    """Copies no placeholder, which has small letters."""
    return [line.upper() for line in lines]


def same(lines: list[str]) -> list[str]:
    return list(lines)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hi {name}, {0} {user.age!r:>3} {} {{x}} ${y} %{z}", ["{name}", "{0}", "{user.age!r:>3}", "{}", "{{x}}", "${y}", "%{z}"]),
        ("%s of %d, %(n)d, %5.2f, %1$s, %%", ["%s", "%d", "%(n)d", "%5.2f", "%1$s", "%%"]),
        ("100% sure, 50%discount, 5 % de rabais, {not this one} {", []),
        ("see (https://a.b/c_(d)?x=1&y=%20). www.x.org!", ["https://a.b/c_(d)?x=1&y=%20", "www.x.org"]),
        ("请看https://a.b/c。谢谢", ["https://a.b/c"]),
        ("mail a.b+c@d-e.org.", ["a.b+c@d-e.org"]),
        ("run `ls -l. Now` or ```a\nb```", ["`ls -l. Now`", "```a\nb```"]),
        ("<b>x</b> 1 < 2 > 0", ["<b>", "</b>"]),
    ],
)  # fmt: skip
def test_placeholders_are_found(text: str, found: list[str]) -> None:
    assert [text[a:b] for a, b in placeholders.find(text)] == found


def test_a_model_that_copies_placeholders_translates_the_whole_sentence() -> None:
    asked = []

    def german(lines: list[str]) -> list[str]:
        asked.extend(lines)
        return ["%d Nachrichten hat {name}."]

    assert translate("{name} has %d messages.", german) == "%d Nachrichten hat {name}."
    assert asked == ["{name} has %d messages."]


@pytest.mark.parametrize(
    "bad", ["Hat Nachrichten.", "{name} hat %d %d.", "{name} {name} %d", "{name} %d {x}", "{ name} %d"]
)
def test_a_model_that_does_not_is_asked_for_what_stands_between(bad: str) -> None:
    rounds = translation("Dear {name}, there are %d messages!")
    assert next(rounds) == ["Dear {name}, there are %d messages!"]
    assert rounds.send([bad]) == ["Dear", ", there are", "messages!"]
    with pytest.raises(StopIteration) as end:
        rounds.send(["Liebe.", ", da sind.", "Nachrichten!"])
    # "Dear" is no sentence, so it gets no stop; "messages!" has one.
    assert end.value.value == "Liebe {name}, da sind %d Nachrichten!"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ('<p class="green" title="Hi">Hello!</p>', '<p class="green" title="Hi">HELLO!</p>'),
        ("I <b>really</b> do. <i>So.</i>  Bye", "I <b>REALLY</b> DO. <i>SO.</i>  BYE"),
        ("a &lt;3 b &amp; c&nbsp;d &eacute;&#233; AT&T", "A &lt;3 B &amp; C&nbsp;D ÉÉ AT&amp;T"),
        ("<script>if (a<b) {x}</script><style>p{}</style>ok", "<script>if (a<b) {x}</script><style>p{}</style>OK"),
        ("<pre>a &amp; b</pre><p>run <code>ls -l</code> now", "<pre>a &amp; b</pre><p>RUN <code>ls -l</code> NOW"),
        ("<p translate=no>a<b>b</b></p>c", "<p translate=no>a<b>b</b></p>C"),
        ("<ul><li class='x notranslate'>a<li>b</ul>", "<ul><li class='x notranslate'>a<li>B</ul>"),
        (
            "<div translate='no'>a <i translate=yes>b</i> c</div>",
            "<div translate='no'>a <i translate=yes>B</i> c</div>",
        ),
        ("<p>see {x} &amp; <br>two</p>", "<p>SEE {x} &amp; <br>TWO</p>"),
        ("<!-- no --><!DOCTYPE html>a<?php b ?>", "<!-- no --><!DOCTYPE html>A<?php b ?>"),
        ("a </i></b> b <b>", "A </i></b> B <b>"),
        ("x < y & z", "X &lt; Y &amp; Z"),
        ("<img alt='a'>", "<img alt='a'>"),
        ("&mdash; 😀 …", "— 😀 …"),
        ("", ""),
    ],
)
def test_html_keeps_its_tags_and_what_must_not_be_translated(source: str, target: str) -> None:
    assert translate(source, shout, html=True) == target


def test_a_sentence_of_html_may_run_over_lines_and_ends_with_its_block() -> None:
    rounds = translation("<h1>A title</h1>\n<p>One sentence\n   in two lines. And <b>another</b> one</p>", html=True)
    assert next(rounds) == ["A title", "One sentence in two lines."]
    assert rounds.send(["Ein Titel", "Ein Satz."]) == ["And", "another", "one"]
    with pytest.raises(StopIteration) as end:
        rounds.send(["Und", "noch.", "einer."])
    assert end.value.value == "<h1>Ein Titel</h1>\n<p>Ein Satz. Und <b>noch</b> einer</p>"


def test_close_sentences_within_tags_get_a_space_in_another_script() -> None:
    table = {"你好。": "Hello.", "再见。": "Bye."}
    said = translate("<b>你好。</b><i>再见。</i>", lambda lines: [table[line] for line in lines], html=True)
    assert said == "<b>Hello. </b><i>Bye.</i>"


def test_plain_text_is_not_read_as_html() -> None:
    assert translate("A &amp; b < c.\n\n  D.", shout) == "A &AMP; B < C.\n\n  D."


def letters(text: str) -> list[str]:
    return sorted(re.findall(r"\w", unescape(text).lower()))


def test_nothing_raises_and_no_letter_is_lost() -> None:
    draw = random.Random(11)
    for _ in range(1500):
        text = "".join(draw.choice(PARTS) for _ in range(draw.randint(0, 29)))
        assert translate(text, same) == text
        assert letters(translate(text, same, html=True)) == letters(text)
        said = translate(text, shout)
        names = [text[a:b] for a, b in placeholders.find(text)]
        assert all(said.count(name) >= names.count(name) for name in names)
