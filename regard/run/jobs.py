"""The one place where a task's name becomes its job."""

from __future__ import annotations

from rich.console import Console

from regard.config import task_of
from regard.config.idle import idle_keys
from regard.run.autoencoder.job import AutoencoderJob
from regard.run.captioning.job import CaptioningJob
from regard.run.classification import begin as begin_classification
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.forecasting.job import ForecastingJob
from regard.run.job import Job
from regard.run.language.jobs import LanguageModelJob, MaskedLanguageModelJob
from regard.run.questions.job import QuestionJob
from regard.run.translation.job import TranslationJob


def begin(tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Job:
    """All that comes before the first step, and a word on each key that was written and does nothing. A run that goes on
    has its task in its own recipe."""
    job = _begun(tree, folder, console, origin, resume)
    if not resume:
        for sentence in idle_keys(tree, job.recipe):
            console.print(sentence, highlight=False, style="yellow")
    return job


def _begun(tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Job:
    task = folder.read_recipe().task if resume else task_of(tree, origin)
    match task:
        case "translation":
            return TranslationJob.begin(tree, folder, console, origin, resume)
        case "classification":
            return begin_classification(tree, folder, console, origin, resume)
        case "autoencoder":
            return AutoencoderJob.begin(tree, folder, console, origin, resume)
        case "captioning":
            return CaptioningJob.begin(tree, folder, console, origin, resume)
        case "language-model":
            return LanguageModelJob.begin(tree, folder, console, origin, resume)
        case "masked-language-model":
            return MaskedLanguageModelJob.begin(tree, folder, console, origin, resume)
        case "visual-question":
            return QuestionJob.begin(tree, folder, console, origin, resume)
        case "forecasting":
            return ForecastingJob.begin(tree, folder, console, origin, resume)
        case other:
            raise AssertionError(f"{other} is a task without a job")
