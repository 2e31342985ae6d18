"""Recipes: what they may say, how they are read, and what follows from the corpus."""

from regard.config.mechanisms import mechanism, with_mechanism
from regard.config.presets import Corpus, preset
from regard.config.reading import merge, read_toml, recipe_of, setting, write_toml
from regard.config.recipe import (
    AttentionPart,
    DataPart,
    DecodingPart,
    ModelPart,
    Recipe,
    RecurrentPart,
    ScopePart,
    TokenizerKind,
    TrainingPart,
    TransformerPart,
)

__all__ = [
    "AttentionPart",
    "Corpus",
    "DataPart",
    "DecodingPart",
    "ModelPart",
    "Recipe",
    "RecurrentPart",
    "ScopePart",
    "TokenizerKind",
    "TrainingPart",
    "TransformerPart",
    "mechanism",
    "merge",
    "preset",
    "read_toml",
    "recipe_of",
    "setting",
    "with_mechanism",
    "write_toml",
]
