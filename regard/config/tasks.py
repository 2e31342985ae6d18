"""The tasks there are, and the recipe of each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from regard.config.autoencoder import AutoencoderRecipe
from regard.config.captioning import CaptioningRecipe
from regard.config.classification import ClassificationRecipe
from regard.config.forecasting import ForecastingRecipe
from regard.config.language import LanguageModelRecipe, MaskedLanguageModelRecipe
from regard.config.reading import recipe_of
from regard.config.recipe import Recipe, RecipeBase
from regard.config.visual_question import VisualQuestionRecipe
from regard.errors import UsageError

RECIPES: dict[str, type[RecipeBase]] = {
    "translation": Recipe,
    "autoencoder": AutoencoderRecipe,
    "captioning": CaptioningRecipe,
    "visual-question": VisualQuestionRecipe,
    "classification": ClassificationRecipe,
    "language-model": LanguageModelRecipe,
    "masked-language-model": MaskedLanguageModelRecipe,
    "forecasting": ForecastingRecipe,
}


def task_of(tree: Mapping[str, Any], origin: str = "the recipe") -> str:
    """The task that a recipe names; translation where it names none."""
    task = tree.get("task", "translation")
    if isinstance(task, str) and task in RECIPES:
        return task
    near = difflib.get_close_matches(str(task), RECIPES, n=1)
    advice = f"did you mean '{near[0]}'?" if near else "write " + ", ".join(f"'{name}'" for name in RECIPES)
    raise UsageError(f"{origin}: there is no task '{task}'; {advice}")


def any_recipe_of(tree: Mapping[str, Any], origin: str = "the recipe") -> RecipeBase:
    """The tree as a checked recipe of the task that it names."""
    return recipe_of(tree, origin, RECIPES[task_of(tree, origin)])
