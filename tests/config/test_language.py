"""The page on language models names every key there is; what follows from a text is a recipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from regard.build.language import language_model, masked_language_model
from regard.config import any_recipe_of, merge
from regard.config.language import (
    CausalStackPart,
    LanguageModelRecipe,
    MaskedLanguageModelRecipe,
    MaskingPart,
    SayingPart,
    StackPart,
    TextDataPart,
    TextRecurrentPart,
    text_preset,
)

PAGE = Path(__file__).parents[2] / "docs" / "language-models.md"
SECTIONS = {
    "`[data]`": TextDataPart.model_fields.keys(),
    '`[model]` with `kind = "transformer"`': CausalStackPart.model_fields.keys() - {"kind"},
    '`[model]` with `kind = "recurrent"`': TextRecurrentPart.model_fields.keys() - {"kind"},
    "`[decoding]` of a language model": SayingPart.model_fields.keys(),
    "`[masking]` of a masked language model": MaskingPart.model_fields.keys(),
}


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    parts = re.split(r"^#+ (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    found = {
        title: {key for row in re.findall(r"^\| (`[^|]*) \|", body, flags=re.M) for key in re.findall(r"`(\w+)`", row)}
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert {title: keys for title, keys in found.items() if keys} == {t: set(k) for t, k in SECTIONS.items()}
    assert StackPart.model_fields.keys() <= CausalStackPart.model_fields.keys()


@pytest.mark.parametrize("characters", [1, 300_000, 999_999, 1_000_000, 20_000_000, 10**10])
def test_what_follows_from_a_text_is_a_whole_recipe_of_both_tasks(characters: int) -> None:
    for masked, recurrent in ((False, False), (False, True), (True, False)):
        tree = text_preset(characters, masked=masked, recurrent=recurrent)
        task = "masked-language-model" if masked else "language-model"
        recipe = any_recipe_of(merge(tree, {"task": task}))
        assert isinstance(recipe, MaskedLanguageModelRecipe if masked else LanguageModelRecipe)
        assert None not in (recipe.data.tokenizer, recipe.data.vocabulary, recipe.data.context)
        assert recipe.training.label_smoothing == 0


def test_a_tokenizer_that_was_chosen_decides_the_context() -> None:
    assert text_preset(10**8, tokenizer="characters")["data"]["context"] == 256
    assert text_preset(10**4, tokenizer="words")["data"]["context"] == 128


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "relative", "alibi"])
@pytest.mark.parametrize("scope", ["global", "causal", "window", "local-monotonic"])
def test_every_place_and_scope_builds(positions: str, scope: str) -> None:
    sides = {"left": 3, "right": 2} if scope == "window" else {}
    tree = {"dim": 24, "heads": 2, "feed_forward": 7, "layers": 1, "positions": positions}
    tree["attention"] = {"scope": {"kind": scope, **sides}, "normalize": "sparsemax"}
    model = language_model(CausalStackPart.model_validate(tree), 17, 11)
    assert sum(p.numel() for p in model.parameters()) > 17 * 24
    part = StackPart.model_validate(tree)
    assert part.attention.score == "scaled-dot"
    assert masked_language_model(part, 17, 11).vocabulary == 17


def test_a_recipe_that_names_a_cell_is_recurrent() -> None:
    recipe = any_recipe_of({"task": "language-model", "model": {"cell": "gru", "hidden": 7}})
    assert isinstance(recipe, LanguageModelRecipe) and recipe.model.kind == "recurrent"
