"""Attention over a picture: bright where a word looks, in a PNG, on a page and in a terminal."""

from __future__ import annotations

import base64
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.text import Text

from regard.errors import UsageError
from regard.view.picture import DARK, PictureMap, draw_picture, picture_page, save_sheet
from regard.view.picture import GREY as GREY_OF_BLACK

GREY = np.full((30, 50, 1), 200, dtype=np.uint8)


def one_hot(places: list[int], rows: int = 3, columns: int = 5) -> np.ndarray:
    return np.eye(rows * columns, dtype=np.float32)[places].reshape(-1, rows, columns)


def made(words: list[str], places: list[int], picture: np.ndarray = GREY) -> PictureMap:
    return PictureMap(picture, words, one_hot(places))


def test_it_is_bright_where_the_word_looks() -> None:
    seen = made(["dog", "end"], [0, 14])
    first, last = seen.lit(0).astype(int), seen.lit(1).astype(int)
    assert first.shape == (30, 50, 3)
    assert (first[:4, :4] > 180).all() and (last[-4:, -4:] > 180).all()
    assert first[-10:, -20:].max() <= round(200 * DARK) + 1 and last[:10, :20].max() <= round(200 * DARK) + 1
    assert seen.place(0) == (0, 0) and seen.place(1) == (2, 4)


def test_looking_everywhere_alike_leaves_the_picture_as_it_is() -> None:
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 256, (13, 17, 3), dtype=np.uint8)
    even = PictureMap(picture, ["a"], np.full((1, 3, 5), 1 / 15))
    assert (even.lit(0) == picture).all()
    nothing = PictureMap(picture, ["a"], np.zeros((1, 3, 5)))
    assert abs(nothing.lit(0) - picture * DARK).max() <= 0.51


def test_light_is_seen_on_a_dark_picture() -> None:
    digit = np.zeros((30, 50, 1), dtype=np.uint8)
    digit[10:20, 20:30] = 255
    seen = made(["looks at black", "and at white"], [0, 7], digit)
    on_black, on_white = (seen.lit(word)[..., 0].astype(int) for word in (0, 1))
    assert on_black[:4, :4].min() > 80 > 25 > on_black[-4:, -4:].max(), "the corner that is looked at stands out"
    assert on_white[14, 24] > 250 and on_white[:4, :4].max() < 25 and on_black[14, 24] == round(255 * DARK)
    assert (seen.sized()[..., 0] == np.where(digit[..., 0] == 255, 255, GREY_OF_BLACK)).all()
    assert "black is drawn grey" in " ".join(draw_picture(seen, width=100).split())
    night = digit.copy()
    night[:16] = 50
    assert (made(["dog"], [0], night).sized() == night).all(), "half of it is light enough"


def test_layers_and_heads_are_averaged_and_places_unfold_row_by_row() -> None:
    weights = np.random.default_rng(0).random((2, 3, 4, 15)).astype(np.float32)
    seen = PictureMap.of(GREY, ["a", "b", "c", "d"], weights, (3, 5))
    for t in range(4):
        for place in range(15):
            expected = sum(weights[layer, head, t, place] for layer in range(2) for head in range(3)) / 6
            assert seen.weights[t, place // 5, place % 5] == pytest.approx(expected)


def test_the_sheet_has_the_picture_and_a_tile_for_each_word(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    save_sheet(made(["a", "W" * 60, "👩 \ud800\x1b[31m", "d"], [0, 7, 14, 3]), path, columns=3)
    with Image.open(path) as image:
        pixels = np.asarray(image).astype(int)
    # Tiles are 192 pixels wide and, as the picture is 50 by 30, 115 high; two rows of three.
    assert pixels.shape == (12 + 2 * (115 + 26 + 12), 12 + 3 * (192 + 12), 3)
    assert (pixels[38 : 38 + 115, 12 : 12 + 192] == 200).all(), "the picture as it is"
    assert (pixels[38:48, 216:226] > 180).all() and pixels[130:150, 390:400].max() <= round(200 * DARK) + 1, (
        "a: bright at the top left"
    )
    assert (pixels[12:38, 204 + 12 + 192 : 204 + 24 + 192] == 255).all(), "a word stays above its tile"
    assert (pixels[-12:] == 255).all() and (pixels[165:, 2 * 204 + 12 :] == 255).all(), "the last place is empty"
    with pytest.raises(UsageError, match="cannot be written"):
        save_sheet(made(["a"], [0]), tmp_path / "gone" / "sheet.png")
    with pytest.raises(UsageError, match="at least 1 column"):
        save_sheet(made(["a"], [0]), path, columns=0)


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


NASTY = ["</style><script>alert(1)</script>", '" onload="alert(1)', "👩‍👩‍👧 هذا \ud800", "&lt;"]


def test_the_page_stands_alone_and_nothing_in_it_can_run() -> None:
    text = picture_page([("</h2><script>1</script>", made(NASTY, [0, 1, 2, 3])), ("two", made(["b"], [4]))], "</title>")
    assert text.isascii()
    read = Reader(text)
    tags = [tag for tag, _ in read.tags]
    assert "script" not in tags and "link" not in tags and "img" not in tags
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    assert "http" not in re.sub(r'http-equiv="', "", text)
    policy = next(a["content"] for tag, a in read.tags if tag == "meta" and "content" in a and "http-equiv" in a)
    assert policy is not None and "default-src 'none'" in policy and "script-src" not in policy
    for word in (*NASTY[:2], "👩‍👩‍👧 هذا \ufffd", "&lt;", "b"):
        assert word in read.texts
    inputs = [attributes for tag, attributes in read.tags if tag == "input"]
    assert [a["name"] for a in inputs] == ["p0"] * 5 + ["p1"] * 2
    assert ["checked" in a for a in inputs] == [True, *[False] * 4, True, False]


def test_the_page_holds_the_picture_and_the_light_of_each_word() -> None:
    text = picture_page([("dogs", made(["a", "b"], [0, 14]))], "t")
    found = re.findall(r"--(picture|l\d): url\(data:image/png;base64,([^)]+)\)", text)
    assert [name for name, _ in found] == ["picture", "l0", "l1", "l2"]
    pictures = []
    for _, data in found:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            pictures.append(np.asarray(image))
    assert (pictures[0] == 200).all() and pictures[0].shape[2] == 3
    assert (pictures[1] == 255).all(), "nothing is darkened before a word is chosen"
    assert pictures[2][0, 0] == 255 and pictures[2][-1, -1] == round(255 * DARK)
    assert pictures[3][-1, -1] == 255 and pictures[3][0, 0] == round(255 * DARK)
    labels = [a.get("aria-label") for _, a in Reader(text).tags if a.get("role") == "img"]
    assert labels[:2] == ["dogs", "the picture"]
    assert labels[2:] == ["looks most at row 1 of 3, column 1 of 5", "looks most at row 3 of 3, column 5 of 5"]


def test_a_terminal_shows_two_points_a_cell() -> None:
    picture = np.zeros((4, 8, 3), dtype=np.uint8)
    picture[0] = [255, 0, 0]
    drawn = draw_picture(PictureMap(picture, [], np.zeros((0, 1, 1))), width=40, cells=8).split("\n")
    assert len(drawn) == 3, "a line for the word, which the picture itself has not, and two of cells"
    assert drawn[1].startswith("\x1b[38;2;255;0;0;48;2;0;0;0m▀") and drawn[1].count("▀") == 8
    assert drawn[1].endswith("\x1b[0m")


@pytest.mark.parametrize("color", [True, False])
def test_no_line_of_a_terminal_is_too_wide(color: bool) -> None:
    seen = made(["a", "狗" * 30, "\x1b[31m\n", "e\u0301nd", "هذا"], [0, 3, 7, 9, 14])
    for width in (24, 61, 100):
        drawn = draw_picture(seen, width=width, color=color)
        assert "\x1b[31m" not in drawn
        assert all(Text.from_ansi(line).cell_len <= width for line in drawn.split("\n"))
    assert ("▀" in drawn) == color


def test_without_colour_the_weights_are_shades() -> None:
    drawn = draw_picture(made(["dog"], [0]), width=30, color=False, cells=10).split("\n")
    assert drawn[0] == "dog" and drawn[1][0] == "█" and drawn[3] == "·" * 10
    assert draw_picture(PictureMap(GREY, [], np.zeros((0, 1, 1))), color=False) == ""


@pytest.mark.parametrize(
    ("picture", "words", "weights", "wrong"),
    [
        (GREY.astype(float), ["a"], np.ones((1, 3, 5)), "must be uint8"),
        (GREY[..., 0], ["a"], np.ones((1, 3, 5)), "must be uint8"),
        (GREY[:0], ["a"], np.ones((1, 3, 5)), "must be uint8"),
        (GREY, ["a"], np.ones((1, 15)), r"must be \[words, rows, columns\]"),
        (GREY, ["a"], np.ones((1, 0, 5)), r"must be \[words, rows, columns\]"),
        (GREY, ["a", "b"], np.ones((1, 3, 5)), "2 words, but weights for 1"),
        (GREY, ["a"], np.full((1, 3, 5), np.nan), "not finite"),
        (GREY, ["a"], -np.ones((1, 3, 5)), "negative"),
    ],
)
def test_what_does_not_fit_together(picture: np.ndarray, words: list[str], weights: np.ndarray, wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        PictureMap(picture, words, weights)


def test_other_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="a grid of 3×5 needs"):
        PictureMap.of(GREY, ["a"], np.ones((1, 1, 1, 14)), (3, 5))
    with pytest.raises(UsageError, match="8 cells or more"):
        draw_picture(made(["a"], [0]), width=30, cells=7)
    with pytest.raises(UsageError, match="8 cells or more"):
        draw_picture(made(["a"], [0]), width=20, cells=24)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"regard\[vision\]"):
        draw_picture(made(["a"], [0]), width=30)


def test_the_legend_is_true_of_every_map() -> None:
    weights = np.array([[[0.010, 0.0076, 0.0049]], [[0.5, 0.02, 0.13]]], dtype=np.float32)
    seen = PictureMap(np.full((8, 24, 3), 99, dtype=np.uint8), ["small", "large"], weights)
    *maps, legend = draw_picture(seen, width=100, color=False).split("\n")
    expected = "· <0.05  ░ ≥0.05  ▒ ≥0.25  ▓ ≥0.50  █ ≥0.75 of each map's largest; one shade: everywhere alike"
    assert legend == expected
    least = {"·": 0.0, **{shade: float(number) for shade, number in re.findall(r"(\S) ≥(\S+)", legend)}}
    most = {shade: min((number for number in least.values() if number > least[shade]), default=1.01) for shade in least}
    for place in range(2):
        # Eight cells for each of three places, with nothing between them: a shade is the number of its own place.
        row = np.repeat(weights[place, 0] / weights[place].max(), 8).tolist()
        for line in maps[1:-1]:
            drawn = line[26 * place : 26 * place + 24]
            assert all(least[shade] <= value < most[shade] for shade, value in zip(drawn, row, strict=True))
    assert "█" in maps[1][:24] and "█" in maps[1][26:], "each has a largest, however small"
    for width in (24, 40, 70):
        text = draw_picture(seen, width=width, color=False).replace("\n", " ")
        assert " ".join(expected.split()) in " ".join(text.split())
    one = draw_picture(made(["dog"], [7]), width=30, color=False, cells=10).split("\n")
    assert one[2] == "····██····", "what looks at one place alone shows no other"
    text = picture_page([("a", seen), ("b", PictureMap(GREY, [], weights[:0]))], "t")
    assert text.count("Bright is where it looked, each picture by its own largest weight.") == 1
    coloured = draw_picture(seen, width=100, color=True)
    assert coloured.endswith("\nBright: looked at most, each map for itself; as it is: everywhere alike")
