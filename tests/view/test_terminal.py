from __future__ import annotations

import re

import numpy as np
import pytest
from rich.cells import cell_len

from regard.errors import UsageError
from regard.view import AttentionMap, draw, lines

BLOCKS = "░▒▓█·"


def diagonal(source: list[str], target: list[str], weight: float = 0.9) -> AttentionMap:
    weights = np.full((1, 1, len(target), len(source)), (1 - weight) / max(1, len(source) - 1))
    for t in range(len(target)):
        weights[0, 0, t, t % len(source)] = weight
    return AttentionMap.of_words(weights, source, target)


def place(line: str, character: str) -> list[int]:
    """In which terminal cells a character stands."""
    return [cell_len(line[:i]) for i, c in enumerate(line) if c == character]


SENTENCES = {
    "latin": ["A", "man", "is", "cooking"],
    "chinese": ["男人", "正在", "做", "饭"],
    "arabic": ["رجل", "يطبخ", "العشاء", "هنا"],
    "emoji": ["👩‍👩‍👧‍👦", "❤️", "🇩🇪", "👍"],
    "marks": ["e\u0301te\u0301", "हिन्दी", "ไทย", "a\u0308"],
    "mixed": ["cooking", "饭", "قط", "🍜"],
}


@pytest.mark.parametrize("target", SENTENCES.values(), ids=SENTENCES)
@pytest.mark.parametrize("source", SENTENCES.values(), ids=SENTENCES)
def test_columns_are_straight_in_every_script(source: list[str], target: list[str]) -> None:
    drawn = draw(diagonal(source, target), width=80).split("\n")
    header, rows = drawn[0], drawn[1:5]
    starts = [cell_len(header[: header.index(word)].replace("\u200e", "")) for word in source]
    for number, row in enumerate(rows):
        assert place(row, "█")[0] == starts[number]
        marks = [cell for cell in range(cell_len(row)) if any(cell in place(row, c) for c in BLOCKS)]
        assert set(starts) <= set(marks), "every column has its mark in every row"


def test_shades_say_how_much() -> None:
    weights = np.array([0.04, 0.05, 0.25, 0.5, 0.75])[None, None, None]
    drawn = draw(AttentionMap.of_words(weights, list("abcde"), ["x"]), width=60).split("\n")
    assert re.sub(r"(.)\1+", r"\1", drawn[1]).split() == ["x", "·", "░", "▒", "▓", "█"]
    assert drawn[-1].split() == ["·", "<0.05", "░", "≥0.05", "▒", "≥0.25", "▓", "≥0.50", "█", "≥0.75"]


def test_rows_spread_over_many_words_have_shades_too() -> None:
    """Of 60 words each has 0.0133 but the first, which has 0.2 or more: most rows would be dots."""
    words = [f"w{i}" for i in range(60)]
    weights = np.full((1, 1, 4, 60), 0.8 / 60)
    weights[0, 0, :3, 1] = 0.04
    weights[0, 0, 3, 0] = 0.2
    drawn = draw(AttentionMap.of_words(weights, words, list("abcd")), width=300).split("\n")
    rows = [re.sub(r"(.)\1+", r"\1", line).split() for line in drawn[1:5]]
    assert [row[1:4] for row in rows] == [["░", "░", "░"]] * 3 + [["█", "░", "░"]]
    assert drawn[-1].split() == ["·", "<0.01", "░", "≥0.01", "▒", "≥0.05", "▓", "≥0.10", "█", "≥0.15"]
    # One row of four that looks nowhere in particular is left as it is, and so is a word that looks at nothing.
    weights[0, 0, :3, 1] = 0.3
    weights[0, 0, 3] = 0.0
    assert "≥0.75" in draw(AttentionMap.of_words(weights, words, list("abcd")), width=300)
    # However thin: a thousand words in narrow columns, and the legend is no wider than asked.
    thin = AttentionMap.of_words(np.full((1, 1, 1, 1000), 0.001), ["x"] * 1000, ["y"])
    lines_of = draw(thin, width=40).split("\n")
    assert "·" not in lines_of[1] and "≥0.0004" in lines_of[-2] and max(map(cell_len, lines_of)) <= 40
    nothing = AttentionMap.of_words(np.zeros((1, 1, 1, 2)), ["x", "z"], ["y"])
    assert "≥0.75" in draw(nothing, width=40)


def test_what_is_drawn_follows_the_weights() -> None:
    """Two maps that differ in nothing but a weight differ in that cell."""
    words = ["one", "two"]
    first = draw(AttentionMap.of_words(np.array([[[[0.9, 0.1], [0.1, 0.9]]]]), words, words), width=60).split("\n")
    second = draw(AttentionMap.of_words(np.array([[[[0.1, 0.9], [0.1, 0.9]]]]), words, words), width=60).split("\n")
    assert first[0] == second[0] and first[2:] == second[2:]
    assert first[1] == "one ███ ░░░" and second[1] == "one ░░░ ███"


@pytest.mark.parametrize("width", [40, 57, 80, 200])
@pytest.mark.parametrize("words", [*(SENTENCES[name] * 15 for name in ("latin", "arabic", "mixed")), ["x" * 300] * 3])
def test_no_line_is_wider_than_asked_and_no_column_is_lost(words: list[str], width: int) -> None:
    drawn = draw(diagonal(words, words), width=width)
    assert max(cell_len(line) for line in drawn.split("\n")) <= width
    strong = [line for line in drawn.split("\n") if "█" in line and "≥" not in line]
    assert len(strong) == len(words), "each row has its strongest cell in one of the blocks"


def test_long_sentences_stand_upright_and_read_downwards() -> None:
    words = ["alpha", "be", "男人", *["w"] * 20]
    drawn = draw(diagonal(words, ["x"]), width=60).split("\n")
    assert [line[2:6].strip() for line in drawn[:5]] == ["a", "l", "p", "h b", "a e"]
    assert [place(line, character) for line, character in zip(drawn[3:5], "男人", strict=True)] == [[6], [6]]
    assert len(place(drawn[4], "w")) == 20
    assert place(drawn[5], "█") == [2, 3]


def test_joined_letters_never_stand_upright() -> None:
    words = ["العشاء"] * 30
    assert "العشاء" in draw(diagonal(words, ["x"]), width=60)


def test_colour_is_only_added() -> None:
    made = diagonal(SENTENCES["mixed"], SENTENCES["latin"])
    coloured = draw(made, width=70, color=True)
    assert "\x1b[38;2;" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == draw(made, width=70, color=False)


def test_a_terminal_is_told_nothing_by_the_words() -> None:
    evil = ["\x1b[2J", "a\nb", "\u202egnirts", "\x07", "\u2028", "\ud800", "", "\u200b"]
    for text in (draw(diagonal(evil, evil), width=100), lines(diagonal(evil, evil))):
        assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text and "\u2028" not in text
        text.encode("utf-8")
    assert len(draw(diagonal(evil, evil), width=100).split("\n")) == 1 + 8 + 2
    assert draw(diagonal(evil, evil), width=100).count("∅") == 4


def test_right_to_left_words_keep_their_places() -> None:
    """A terminal that orders words itself must see a left-to-right mark around each of them."""
    header = draw(diagonal(SENTENCES["arabic"], ["x"]), width=80).split("\n")[0]
    for word in SENTENCES["arabic"]:
        assert f"\u200e{word}\u200e" in header


def test_tokens_layers_and_heads_can_be_chosen() -> None:
    weights = np.zeros((2, 1, 2, 2))
    weights[0, 0] = np.eye(2)
    weights[1, 0] = 1 - np.eye(2)
    made = AttentionMap(weights, ["co", "ok"], ["ko", "ch"], ["cook"], ["koch"], [0, 0], [0, 0])
    assert draw(made, width=60).split("\n")[1] == "koch ████"
    second = draw(made, width=60, words=False, layer=1).split("\n")[1:3]
    assert [line.split()[1:] for line in second] == [["·", "██"], ["██", "·"]]
    assert draw(made, width=60, words=False).split("\n")[1] == "ko ▓▓ ▓▓"
    with pytest.raises(UsageError, match="no head 1"):
        draw(made, width=60, head=1)


def test_nothing_to_draw_and_no_room() -> None:
    assert "nothing to draw" in draw(AttentionMap.of_words(np.zeros((1, 1, 0, 1)), ["</s>"], []), width=60)
    with pytest.raises(UsageError, match="width is 39 cells; a map needs at least 40"):
        draw(diagonal(["a"], ["x"]), width=39)


def test_the_terminals_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "44")
    words = ["internationalization"] * 6
    assert draw(diagonal(words, words)) == draw(diagonal(words, words), width=44)
    monkeypatch.setenv("COLUMNS", "12")
    assert draw(diagonal(words, words)) == draw(diagonal(words, words), width=40)


def test_lines_name_the_strongest_pairs() -> None:
    made = diagonal(["A", "男人", "cooking"], ["Ein", "Mann", "kocht"], 0.91)
    drawn = lines(made).split("\n")
    assert [line.split() for line in drawn] == [
        ["Ein", "←", "A", "0.91"], ["Mann", "←", "男人", "0.91"], ["kocht", "←", "cooking", "0.91"],
    ]  # fmt: skip
    assert len({cell_len(line) for line in drawn}) == 1
    assert lines(AttentionMap.of_words(np.zeros((1, 1, 0, 1)), ["a"], [])) == ""
