"""The recipe of captioning: each mistake is one sentence, what is written is read again, its page has every key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from regard.config import any_recipe_of, read_toml, recipe_of, write_toml
from regard.config.captioning import (
    FOREIGN,
    CaptionDataPart,
    CaptionDecodingPart,
    CaptionerPart,
    CaptioningRecipe,
    CaptionTrainingPart,
    caption_preset,
)
from regard.config.recipe import TrainingPart
from regard.errors import UsageError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "captioning.md"


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"data": {"source": "x"}}, "there is no key 'data.source'"),
        ({"data": {"split": "a", "valid_split": "a"}}, "what is trained on cannot be validated on"),
        ({"data": {"channels": 2}}, "'data.channels' is 2; write 1 or 3"),
        ({"model": {"bakbone": "resnet18"}}, "there is no key 'model.bakbone'; did you mean 'model.backbone'?"),
        ({"model": {"weights": "w.pt"}}, 'weights is about a backbone: set backbone to its name, such as "resnet18"'),
        ({"model": {"train_backbone": True}}, "train_backbone is about a backbone"),
        ({"model": {"widths": []}}, "widths is empty: give one for each halving"),
        ({"model": {"widths": [64, 100]}}, "widths: 100 is no multiple of 8"),
        ({"model": {"dim": 30}}, 'dim = 30: positions = "sinusoidal" needs a multiple of 4'),
        ({"model": {"dim": 20, "heads": 3, "grid_layers": 1}}, "dim = 20 cannot be shared out evenly among heads = 3"),
        ({"model": {"attention": {"score": "dot"}}}, "places have dim = 256 and the decoder asks with hidden = 512"),
        (
            {"model": {"decoder": "transformer", "attention": {"normalize": "hard"}}},
            '"reinforce" goes from step to step and belongs in a recurrent decoder: set decoder = "lstm"',
        ),
        ({"model": {"decoder": "transformer", "attention": {"score": "coverage"}}}, '"coverage" goes from'),
        ({"training": {"guided": 1.0}}, "guided needs word alignments, and pictures have none: leave it out"),
        ({"decoding": {"min_length": 9, "max_length": 8}}, "min_length = 9 is above max_length = 8"),
    ],
)
def test_each_mistake_is_one_sentence_that_names_it(tree: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        any_recipe_of({"task": "captioning", **tree}, "my.toml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("my.toml") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"attention": {"normalize": "hard", "score": "additive"}, "gate": False, "decoder": "gru"},
        {"decoder": "transformer", "heads": 8, "attention": {"normalize": "entmax15"}},
        {"backbone": "resnet18", "weights": "/w.safetensors", "widths": [3]},
    ],
)
def test_what_is_written_is_read_again(model: dict[str, Any]) -> None:
    recipe = recipe_of({"task": "captioning", "data": {"data": "x.jsonl"}, "model": model}, "my", CaptioningRecipe)
    written = tomllib.loads(write_toml(recipe.model_dump(mode="json")))
    assert any_recipe_of(written) == recipe
    assert not {*FOREIGN} & written["training"].keys()


def test_heads_have_the_score_of_a_transformer_unless_another_is_named() -> None:
    assert CaptionerPart.model_validate({"decoder": "transformer"}).attention.score == "scaled-dot"
    given = {"decoder": "transformer", "attention": {"score": "additive"}}
    assert CaptionerPart.model_validate(given).attention.score == "additive"
    assert CaptionerPart().attention.score == "additive"


def test_a_budget_of_ones_own_is_spent_to_the_end() -> None:
    assert caption_preset({})["training"] == {"epochs": 30, "patience": 10, "warmup": 200}
    assert caption_preset({"training": {"patience": 3}})["training"] == {"epochs": 30, "patience": 3, "warmup": 200}
    given = {"training": {"minutes": 2.0, "warmup": 7}}
    assert caption_preset(given) == given


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("flickr8k*.toml")), ids=lambda path: path.stem)
def test_the_recipes_open_with_their_command(path: Path) -> None:
    assert f"regard train recipes/{path.name}" in path.read_text(encoding="utf-8").split("task =")[0]
    assert isinstance(any_recipe_of(read_toml(path), path.name), CaptioningRecipe)


def _documented() -> dict[str, dict[str, str]]:
    """Title of a section → key → its default, as printed."""
    parts = re.split(r"^#+ (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return {
        title: {
            key: default
            for keys, default in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", body, flags=re.M)
            for key in re.findall(r"`(\w+)`", keys)
        }
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    found = _documented()
    assert found["`[data]`"].keys() == CaptionDataPart.model_fields.keys()
    assert found["`[model]`"].keys() == CaptionerPart.model_fields.keys()
    assert found["`[decoding]`"].keys() == CaptionDecodingPart.model_fields.keys()
    plain = TrainingPart.model_fields
    own = CaptionTrainingPart.model_fields
    differ = {name for name, field in own.items() if name not in plain or field.default != plain[name].default}
    assert found["`[training]`"].keys() == differ


@pytest.mark.parametrize(
    ("section", "part"),
    [
        ("`[data]`", CaptionDataPart()),
        ("`[model]`", CaptionerPart()),
        ("`[training]`", CaptionTrainingPart()),
        ("`[decoding]`", CaptionDecodingPart()),
    ],
)
def test_documented_defaults_are_those_of_the_parts(section: str, part: Any) -> None:
    for key, printed in _documented()[section].items():
        if key == "attention":  # in words
            continue
        value = getattr(part, key)
        said = f'`"{value}"`' if isinstance(value, str) else str(value).replace("(", "[").replace(")", "]")
        shown = {"None": "–", "True": "true", "False": "false"}.get(said, said)
        assert printed.split(", ")[0] == shown or shown in printed or float(printed) == value, key
