"""The recipe of forecasting: each mistake is one sentence, what is written is read again, its page has every key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from regard.config import TrainingPart, any_recipe_of, read_toml, recipe_of, write_toml
from regard.config.autoencoder import FOREIGN
from regard.config.forecasting import (
    ForecasterPart,
    ForecastingRecipe,
    ForecastTrainingPart,
    SeriesDataPart,
    forecasting_preset,
)
from regard.errors import UsageError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "forecasting.md"


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"data": {"source": "x"}}, "there is no key 'data.source'"),
        ({"data": {"horizn": 3}}, "there is no key 'data.horizn'; did you mean 'data.horizon'?"),
        ({"data": {"history": 1}}, "'data.history' is 1, but it should be greater than or equal to 2"),
        ({"data": {"horizon": 0}}, "should be greater than 0"),
        ({"data": {"valid_share": 1}}, "should be less than 1"),
        ({"data": {"columns": []}}, "columns names each column to forecast once"),
        ({"data": {"columns": ["a", "a"]}}, "columns names each column to forecast once"),
        ({"model": {"kind": "cnn"}}, "'model.kind' is \"cnn\"; write 'recurrent' or 'transformer'"),
        ({"model": {"hidden": 10}}, "hidden = 10 cannot be shared out evenly among heads = 4"),
        ({"model": {"kind": "recurrent", "hidden": 9}}, "give an even number"),
        ({"model": {"interval": 0}}, "should be greater than 0"),
        ({"training": {"batch_tokens": 512}}, "set batch, in windows"),
        ({"training": {"label_smoothing": 0.3}}, "label_smoothing speaks of text and not of numbers: leave it out"),
    ],
)
def test_each_mistake_is_one_sentence_that_names_it(tree: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        any_recipe_of({"task": "forecasting", **tree}, "my.toml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("my.toml") and "\n" not in str(caught.value)


def test_what_is_written_is_read_again() -> None:
    tree = forecasting_preset({"task": "forecasting", "data": {"data": "x.csv", "columns": ["気", 'a"b']}})
    recipe = recipe_of(tree, "my.toml", ForecastingRecipe)
    written = write_toml(recipe.model_dump(mode="json"))
    assert not {*FOREIGN} & tomllib.loads(written)["training"].keys()
    assert any_recipe_of(tomllib.loads(written)) == recipe
    assert recipe.training.steps == 2000


@pytest.mark.parametrize("budget", ["steps", "minutes", "epochs"])
def test_a_budget_of_ones_own_counts_alone(budget: str) -> None:
    tree = forecasting_preset({"training": {budget: 3}})
    assert tree["training"] == {budget: 3, "warmup": 1 if budget == "steps" else 100}


def test_the_recipe_of_the_house_is_one() -> None:
    path = ROOT / "recipes" / "demand.toml"
    recipe = any_recipe_of(forecasting_preset(read_toml(path)))
    assert isinstance(recipe, ForecastingRecipe)
    assert f"regard train recipes/{path.name}" in path.read_text(encoding="utf-8").split("task =")[0]


def test_every_key_is_on_its_page_with_its_default() -> None:
    parts = re.split(r"^#+ (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    found = {
        title: {
            key: row[1].strip()
            for row in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", body, flags=re.M)
            for key in re.findall(r"`(\w+)`", row[0])
        }
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert found["`[data]`"].keys() == SeriesDataPart.model_fields.keys()
    assert found["`[model]`"].keys() == ForecasterPart.model_fields.keys()
    changed = {
        name
        for name, field in ForecastTrainingPart.model_fields.items()
        if name not in TrainingPart.model_fields or field.default != TrainingPart.model_fields[name].default
    }
    assert found["`[training]`"].keys() == changed
