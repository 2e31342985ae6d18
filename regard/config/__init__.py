"""Recipes: what they may say, how they are read, and what follows from the corpus."""

from regard.config.mechanisms import mechanism, with_mechanism
from regard.config.presets import Corpus, preset
from regard.config.reading import merge, read_toml, recipe_of, rooted, setting, write_toml
from regard.config.recipe import (
    AttentionPart,
    DataPart,
    DecodingPart,
    HiddenMarkovPart,
    ModelPart,
    Recipe,
    RecipeBase,
    RecurrentPart,
    ScopePart,
    TokenizerKind,
    TrainingPart,
    TransformerPart,
    TranslationTrainingPart,
    Unknown,
)
from regard.config.tasks import RECIPES, any_recipe_of, task_of

__all__ = [
    "RECIPES",
    "AttentionPart",
    "Corpus",
    "DataPart",
    "DecodingPart",
    "HiddenMarkovPart",
    "ModelPart",
    "Recipe",
    "RecipeBase",
    "RecurrentPart",
    "ScopePart",
    "TokenizerKind",
    "TrainingPart",
    "TransformerPart",
    "TranslationTrainingPart",
    "Unknown",
    "any_recipe_of",
    "mechanism",
    "merge",
    "preset",
    "read_toml",
    "recipe_of",
    "rooted",
    "setting",
    "task_of",
    "with_mechanism",
    "write_toml",
]
