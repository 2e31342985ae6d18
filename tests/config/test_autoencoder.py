"""The recipe of an autoencoder: each mistake is one sentence, what is written is read again, its page has every key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from regard.config import TrainingPart, any_recipe_of, recipe_of, write_toml
from regard.config.autoencoder import (
    FOREIGN,
    AutoencoderPart,
    AutoencoderRecipe,
    PictureDataPart,
    PictureTrainingPart,
    picture_preset,
)
from regard.errors import UsageError

PAGE = Path(__file__).parents[2] / "docs" / "autoencoder.md"


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"data": {"source": "x"}}, "there is no key 'data.source'"),
        ({"model": {"code_chanels": 4}}, "there is no key 'model.code_chanels'; did you mean 'model.code_channels'?"),
        ({"model": {"levels": 257}}, "'model.levels' is 257, but it should be less than or equal to 256"),
        ({"model": {"kind": "transformer"}}, "there is no key 'model.kind'"),
        ({"data": {"channels": 2}}, "'data.channels' is 2; write 1 or 3"),
        ({"data": {"noise": [0.5, 0.1]}}, "the smaller first, such as [0.1, 0.5]"),
        ({"data": {"noise": "strong"}}, "noise is a number above 0"),
        ({"data": {"noise": 0}}, "noise is a number above 0"),
        ({"data": {"noise": [0.1, 0.2, 0.3]}}, "or two"),
        ({"data": {"noise": float("nan")}}, "noise is a number above 0"),
        ({"data": {"noise": True}}, "noise is a number above 0"),
        ({"training": {"batch_tokens": 512}}, "set batch, in pictures"),
        ({"training": {"label_smoothing": 0.3}}, "label_smoothing speaks of text and not of pictures: leave it out"),
        ({"training": {"batch": 0}}, "'training.batch' is 0, but it should be greater than 0"),
        ({"decoding": {"beam": 2}}, "there is no key 'decoding'"),
    ],
)
def test_each_mistake_is_one_sentence_that_names_it(tree: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        any_recipe_of({"task": "autoencoder", **tree}, "my.toml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("my.toml") and "\n" not in str(caught.value)


@pytest.mark.parametrize("noise", [None, 0.25, [0.0, 0.5]])
def test_what_is_written_is_read_again(noise: Any) -> None:
    tree = picture_preset({"task": "autoencoder", "data": {"data": "x.npz", "noise": noise}})
    recipe = recipe_of(tree, "my.toml", AutoencoderRecipe)
    written = write_toml(recipe.model_dump(mode="json"))
    assert not {*FOREIGN} & tomllib.loads(written)["training"].keys()
    assert any_recipe_of(tomllib.loads(written)) == recipe
    ends = {"None": None, "0.25": (0.25, 0.25), "[0.0, 0.5]": (0.0, 0.5)}
    assert recipe.data.noise == ends[str(noise)]


def test_what_a_recipe_says_counts_more_than_what_follows_from_it() -> None:
    assert picture_preset({})["training"] == {"learning_rate": 8e-3, "steps": 6000, "warmup": 50}
    assert picture_preset({"data": {"noise": 0.3}})["training"]["learning_rate"] == 5e-3
    given = {"data": {"noise": 0.3}, "training": {"learning_rate": 1e-3, "minutes": 2.0, "warmup": 7}}
    assert picture_preset(given) == given


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    parts = re.split(r"^#+ (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    found = {
        title: {key for row in re.findall(r"^\| (`[^|]*) \|", body, flags=re.M) for key in re.findall(r"`(\w+)`", row)}
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert found["`[data]`"] == PictureDataPart.model_fields.keys()
    assert found["`[model]`"] == AutoencoderPart.model_fields.keys()
    plain = TrainingPart.model_fields
    differ = {n for n, f in PictureTrainingPart.model_fields.items() if n not in plain or f.default != plain[n].default}
    assert found["`[training]`"] == differ


@pytest.mark.parametrize(("section", "part"), [("data", PictureDataPart()), ("model", AutoencoderPart())])
def test_documented_defaults_are_those_of_the_parts(section: str, part: Any) -> None:
    body = PAGE.read_text(encoding="utf-8").split(f"### `[{section}]`")[1].split("###")[0]
    for keys, default in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", body, flags=re.M):
        for key in re.findall(r"`(\w+)`", keys):
            value = getattr(part, key)
            assert str(value) == default or (value is None and default[0] in "–*"), key
