"""Pictures have the letters of more languages than English."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from regard.view import lettering
from regard.view.lettering import font_for


def test_letters_beyond_english_are_no_boxes() -> None:
    """With matplotlib beside Pillow, as here: what a font does not have is drawn as one and the same box."""
    font = font_for(["fünf Äpfel"])
    box = np.asarray(font.getmask("\U000fffff"))
    for letter in "äöüßéèñçłЖΩ×–—€":
        drawn = np.asarray(font.getmask(letter))
        assert drawn.shape != box.shape or (drawn != box).any(), letter


def test_without_any_font_the_one_of_pillow_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_places", lambda wide: iter(["no such font.ttf"]))
    lettering._font.cache_clear()
    try:
        assert font_for(["a"]).getlength("word") == ImageFont.load_default(16).getlength("word")
        assert font_for(["中"]).getlength("word") > 0
    finally:
        lettering._font.cache_clear()
