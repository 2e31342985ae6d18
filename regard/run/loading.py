"""`regard.load`: the finished model in a run folder, of whatever task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regard.config import Recipe
from regard.config.autoencoder import AutoencoderRecipe
from regard.config.classification import ClassificationRecipe
from regard.config.visual_question import VisualQuestionRecipe
from regard.run.autoencoder.job import PictureModel
from regard.run.captioning.model import CaptionModel
from regard.run.classification import load as load_classifier
from regard.run.folder import RunFolder
from regard.run.forecasting.model import ForecastModel
from regard.run.language.causal import LanguageModel
from regard.run.language.masked import MaskedLanguageModel
from regard.run.questions.model import QuestionModel
from regard.run.translation.model import Model

# What to try first with a finished run of each task.
EXAMPLES = {
    "autoencoder": ("compress {run} IN.png OUT", "show {run} IN.png", "evaluate {run} --data FILE"),
    "captioning": ("show {run} PICTURE", "predict {run} PICTURES.txt"),
    "classification": ('show {run} "…"', "predict {run} FILE"),
    "forecasting": ("show {run} FILE.csv", "predict {run} FILE.csv"),
    "language-model": ('show {run} "…"', "evaluate {run} --data FILE"),
    "masked-language-model": ('show {run} "… [MASK] …"', "evaluate {run} --data FILE"),
    "translation": ('show {run} "…"', "predict {run} FILE"),
    "visual-question": ('show {run} "PICTURE.png …?"', "evaluate {run} --data FILE.jsonl"),
}


def examples(run: Path) -> list[str]:
    """Commands to try with a run."""
    recipe = RunFolder(run).read_recipe()
    each = EXAMPLES[recipe.task]
    if isinstance(recipe, AutoencoderRecipe) and recipe.data.noise is not None:
        each = ("denoise {run} NOISY.png CLEAN.png", *each[1:])
    if isinstance(recipe, ClassificationRecipe) and recipe.reads_pictures:
        each = ("show {run} PICTURE", "predict {run} PICTURES.txt")
    if isinstance(recipe, VisualQuestionRecipe) and recipe.data.drawn is not None:  # new ones are drawn to evaluate it
        each = (each[0], "evaluate {run}")
    if isinstance(recipe, Recipe) and recipe.model.kind == "hidden-markov":  # which aligns, and does not translate
        each = ("align {run} --source FILE --target FILE",)
    return ["regard " + command.format(run=run) for command in each]


def load(run: str | Path, device: str = "auto") -> Any:
    """The model in a run folder, ready to be used. UsageError says what is missing or broken."""
    match RunFolder(Path(run)).read_recipe().task:
        case "autoencoder":
            return PictureModel.load(run, device)
        case "captioning":
            return CaptionModel.load(run, device)
        case "classification":
            return load_classifier(run, device)
        case "forecasting":
            return ForecastModel.load(run, device)
        case "language-model":
            return LanguageModel.load(run, device)
        case "masked-language-model":
            return MaskedLanguageModel.load(run, device)
        case "translation":
            return Model.load(run, device)
        case "visual-question":
            return QuestionModel.load(run, device)
        case other:
            raise AssertionError(f"{other} is a task without a model")
