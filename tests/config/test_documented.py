"""docs/recipe.md names every key there is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

from regard.config import (
    AttentionPart,
    DataPart,
    DecodingPart,
    HiddenMarkovPart,
    Recipe,
    RecurrentPart,
    TransformerPart,
    TranslationTrainingPart,
)

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"
SECTIONS = {
    "Every key of a recipe": Recipe.model_fields.keys() - {"data", "model", "training", "decoding"},
    "`[data]`": DataPart.model_fields.keys(),
    '`[model]` with `kind = "transformer"`': TransformerPart.model_fields.keys() - {"kind"},
    '`[model]` with `kind = "recurrent"`': (RecurrentPart.model_fields.keys() | AttentionPart.model_fields.keys())
    - {"kind"},
    '`[model]` with `kind = "hidden-markov"`': HiddenMarkovPart.model_fields.keys() - {"kind"},
    "`[training]`": TranslationTrainingPart.model_fields.keys(),
    "`[decoding]`": DecodingPart.model_fields.keys(),
}


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    parts = re.split(r"^#+ (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    found = {
        title: {key for row in re.findall(r"^\| (`[^|]*) \|", body, flags=re.M) for key in re.findall(r"`(\w+)`", row)}
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert found == {title: set(keys) for title, keys in SECTIONS.items()}
