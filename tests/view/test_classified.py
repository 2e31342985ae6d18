"""What is shown of a classified picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regard.data.images import pillow
from regard.errors import UsageError
from regard.view.classified import ClassifiedPicture, classified_page, draw_classified, save_classified
from regard.view.picture import PictureMap


def view(looks: int = 2) -> ClassifiedPicture:
    weights = np.zeros((looks, 2, 3), dtype=np.float32)
    for look in range(looks):
        weights[look, look % 2, look % 3] = 1
    names = [f"look {number}" for number in range(1, looks + 1)]
    return ClassifiedPicture(
        [("قطة <b>", 0.75), ("猫\nx", 0.25)], PictureMap(np.full((8, 12, 1), 200, dtype=np.uint8), names, weights)
    )


def test_classes_stand_over_the_looks_in_a_terminal() -> None:
    lines = draw_classified(view(), width=80, color=False).splitlines()
    assert lines[0].startswith(" 75.0%  ") and lines[1].startswith(" 25.0%  ") and len(lines[1].splitlines()) == 1
    assert lines[2] == "" and "look 1" in lines[3] and "look 2" in lines[3]


def test_a_page_holds_both_looks_and_no_markup_of_a_class() -> None:
    page = classified_page("a&b.png", view(), "run")
    assert page.isascii() and "<b>" not in page and "a&amp;b.png" in page and "75.0%" in page
    assert page.count('type="radio"') == 3  # the picture and two looks
    assert "looks most at row 2 of 2, column 2 of 3" in page


def test_a_png_grows_with_classes_and_looks(tmp_path: Path) -> None:
    for looks in (1, 4):
        save_classified(view(looks), tmp_path / f"{looks}.png")
    sizes = []
    for looks in (1, 4):
        with pillow().open(tmp_path / f"{looks}.png") as image:
            sizes.append(image.size)
            pixels = np.asarray(image.convert("L"))
        assert (pixels[:60] < 100).any(), "the classes are written on top"
    assert sizes[1][0] > sizes[0][0] and sizes[0][1] == sizes[1][1]
    with pytest.raises(UsageError, match="cannot be written"):
        save_classified(view(), tmp_path / "none" / "a.png")
