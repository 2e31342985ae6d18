"""Recipes of classification: keys of texts and of pictures apart, and a page that names them all."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from regard.config import read_toml, write_toml
from regard.config.classification import (
    DATA_OF_PICTURES,
    DATA_OF_TEXTS,
    MODEL_OF_PICTURES,
    MODEL_OF_TEXTS,
    ClassificationRecipe,
    ClassifierPart,
    LabelledDataPart,
)
from regard.config.reading import recipe_of
from regard.errors import UsageError

ROOT = Path(__file__).parents[2]
# As a run of before there were pictures and hierarchies wrote it.
OLD = """format = 1
task = "classification"
seed = 1

[training]
epochs = 14
batch_tokens = 2000
learning_rate = 0.003
warmup = 100

[data]
data = "/a/train.tsv"
tokenizer = "words"
vocabulary = 4000
max_length = 256

[model]
encoder = "recurrent"
cell = "gru"
embedding = 160
hidden = 96
layers = 1
heads = 4
feed_forward = 256
pooling = "max+self-attentive"
hops = 4
penalty = 0.0
dropout = 0.3
output_dropout = 0.5
word_dropout = 0.15
frozen_epochs = 0
"""


def recipe(**parts: Any) -> ClassificationRecipe:
    return recipe_of({"task": "classification", **parts}, "r.toml", ClassificationRecipe)


def test_older_runs_load_and_runs_of_texts_say_nothing_of_pictures() -> None:
    old = tomllib.loads(OLD)
    found = recipe_of(old, "r.toml", ClassificationRecipe)
    again = tomllib.loads(write_toml(found.model_dump(mode="json")))
    assert again["model"] == old["model"] and again["data"] == old["data"] and "batch" not in again["training"]
    assert recipe_of(again, "r.toml", ClassificationRecipe) == found


def test_a_convolutional_encoder_keeps_its_windows() -> None:
    found = recipe(model={"encoder": "convolutional", "windows": [2, 5], "filters": 7})
    again = tomllib.loads(write_toml(found.model_dump(mode="json")))
    assert again["model"]["windows"] == [2, 5] and again["model"]["filters"] == 7
    assert recipe_of(again, "r.toml", ClassificationRecipe) == found


def test_a_run_of_pictures_says_nothing_of_texts() -> None:
    found = recipe(model={"encoder": "grid", "widths": [16, 32]}, data={"data": "a.npz"})
    again = tomllib.loads(write_toml(found.model_dump(mode="json")))
    assert not set(again["model"]) & set(MODEL_OF_TEXTS) and not set(again["data"]) & set(DATA_OF_TEXTS)
    assert again["model"]["widths"] == [16, 32] and again["training"]["batch"] == found.training.batch
    assert "batch_tokens" not in again["training"]
    assert recipe_of(again, "r.toml", ClassificationRecipe) == found


def test_a_budget_of_ones_own_is_spent_and_the_rest_is_of_the_kind() -> None:
    pictures, texts = recipe(model={"encoder": "grid"}).training, recipe().training
    assert texts.batch is None and pictures.batch and texts.epochs and pictures.epochs and pictures.patience
    short = recipe(model={"encoder": "grid"}, training={"steps": 3}).training
    assert (short.epochs, short.patience, short.steps) == (None, None, 3)


GRID = {"encoder": "grid"}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"model": {**GRID, "hidden": 7}}, "hidden is of texts"),
        ({"model": {**GRID, "word_dropout": 0.0}}, "word_dropout is of texts"),
        ({"model": {**GRID, "pretrained": "runs/x"}}, "pretrained is of texts"),
        ({"model": {**GRID, "pooling": "hierarchical"}}, "pictures have none"),
        ({"model": {**GRID, "windows": [3]}}, "windows is of texts"),
        ({"model": {"encoder": "convolutional", "windows": []}}, "windows is empty"),
        ({"model": {"encoder": "convolutional", "windows": [3, 65]}}, "model.windows"),
        (
            {"model": {"encoder": "convolutional", "windows": 3}},
            "'model.windows' is 3, but it is a list: write it in square",
        ),
        ({"model": {"encoder": "convolutional", "pooling": "hierarchical"}}, "does not go with it"),
        ({"model": {**GRID, "widths": []}}, "widths is empty"),
        ({"model": {**GRID, "widths": [12]}}, "no multiple of 8"),
        ({"model": {**GRID, "embedding": 30}}, "multiple of 4"),
        ({"model": {**GRID, "embedding": 20, "heads": 3, "grid_layers": 1}}, "shared out evenly"),
        ({"model": {**GRID, "pooling": "max", "penalty": 1.0}}, "penalty keeps several looks apart"),
        ({"model": {"widths": [8]}}, "widths is of pictures"),
        ({"model": {"encoder": "gird"}}, "'model.encoder' is \"gird\""),
        ({"model": {"longest_sentence": 9}}, 'longest_sentence is of pooling = "hierarchical"'),
        ({"model": {"pooling": "hierarchical", "encoder": "transformer"}}, "does not go with it"),
        ({"model": GRID, "data": {"source": "a", "target": "b"}}, "data.source is of texts"),
        ({"model": GRID, "data": {"data": "a.jsonl", "vocabulary": 9}}, "data.vocabulary is of texts"),
        ({"model": GRID, "training": {"batch_tokens": 100}}, "set training.batch, in pictures"),
        ({"data": {"data": "a.tsv", "height": 8}}, "data.height is of pictures"),
        ({"training": {"batch": 8}}, "training.batch counts pictures"),
        ({"data": {"data": "a.npz"}}, 'a.npz holds pictures: set model.encoder = "grid"'),
        ({"data": {"data": "a.tsv", "valid_data": "B.NPZ"}}, "B.NPZ holds pictures"),
    ],
)
def test_keys_of_the_other_kind_are_refused(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as error:
        recipe(**parts)
    said = str(error.value)
    assert said.startswith("r.toml: ") and words in said and "\n" not in said


def test_the_page_names_every_key() -> None:
    page = (ROOT / "docs" / "classification.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    filled = {"stack", "context"}  # by training, never by hand
    assert set(ClassifierPart.model_fields) | set(LabelledDataPart.model_fields) <= named | filled
    assert set(DATA_OF_PICTURES) | set(MODEL_OF_PICTURES) <= named


def test_the_recipe_of_digits_is_one_of_pictures() -> None:
    found = recipe_of(read_toml(ROOT / "recipes" / "mnist-classes.toml"), "r", ClassificationRecipe)
    assert found.reads_pictures
