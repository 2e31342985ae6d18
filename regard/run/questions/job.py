"""The job of answering questions about pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from rich.console import Console

from regard import build
from regard.build.visual_question import visual_question
from regard.config import recipe_of, write_toml
from regard.config.visual_question import VisualQuestionRecipe, question_preset
from regard.data.questions import QuestionBatch, QuestionBatches
from regard.errors import UsageError
from regard.evaluation import Score
from regard.models.visual_question import VisualQuestion
from regard.run.beginning import make, refuse_overwriting, with_precision
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.lines import cut_note
from regard.run.questions.data import QuestionData, encoded, make_sides, question_data, read_sides, tokenised
from regard.run.questions.model import QuestionModel
from regard.run.resuming import resumed
from regard.tasks import classification
from regard.tasks import visual_question as task
from regard.training.checkpoint import write_text
from regard.training.loop import Loss


@dataclass
class QuestionJob:
    recipe: VisualQuestionRecipe
    network: VisualQuestion
    batches: QuestionBatches
    valid: QuestionBatches
    data: QuestionData
    finished: QuestionModel
    items: int
    what: str = "questions"
    criterion: str = "valid_accuracy"
    larger_is_better: bool = True

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        recipe = _recipe(tree, folder, origin, resume)
        part = recipe.data
        if part.data is None and part.drawn is None:
            raise UsageError(
                f"{origin} names no questions: give --data FILE.jsonl, or --set data.drawn=9000 to have pictures drawn"
            )
        make(folder)
        data = question_data(recipe, folder, console, resume)
        tokenizer, labels = read_sides(folder) if resume else make_sides(data, part, folder)
        answers = [labels.ids(each.labelled) for each in (data.questions, data.valid)]
        if not resume:
            recipe = with_precision(recipe, console)
            write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        training = recipe.training
        torch.manual_seed(recipe.seed)
        network = visual_question(recipe.model, part.channels, tokenizer.size, labels.size)
        rows, columns = network.regions.vision.grid(part.height, part.width)  # type: ignore[operator]
        console.print(
            f"pictures of {part.width}×{part.height} become {columns}×{rows} places; {tokenizer.size:,} "
            f"{tokenizer.kind} in the vocabulary; {labels.size} answers",
            highlight=False,
        )
        read = encoded([row.text for row in data.questions.rows], tokenizer, part)
        for sentence in cut_note(read, part.max_length, "questions"):
            console.print(sentence, highlight=False, style="yellow")
        asked, apart = (
            tokenised([(row.picture, row.text) for row in each.rows], tokenizer, part)
            for each in (data.questions, data.valid)
        )
        return cls(
            recipe,
            network.to(build.device(training.device)),
            QuestionBatches(
                data.pictures, asked, answers[0], training.batch, recipe.seed, per_picture=training.per_picture
            ),
            QuestionBatches(data.valid_pictures, apart, answers[1], 4 * training.batch, 0, shuffle=False),
            data,
            QuestionModel(network, tokenizer, labels, recipe, folder.path.name),
            len(asked),
        )

    def loss(self, batch: QuestionBatch) -> Loss:
        return task.loss(self.network, batch, smoothing=self.recipe.training.label_smoothing)

    def validate(self) -> dict[str, float]:
        logits, labels, _ = classification.logits_of(self.network, self.valid.epoch(0), "questions")
        loss = float(torch.nn.functional.cross_entropy(logits, labels))
        return {
            "valid_loss": loss,
            "valid_accuracy": 100 * float((logits.argmax(dim=-1) == labels).double().mean()),
        }

    def scores(self) -> list[Score]:
        return self.finished.scores(self.data.valid, self.data.valid_pictures)

    def facts(self) -> Mapping[str, Any]:
        return {
            "scored_on": "held out from training" if self.data.held_out else "validation set",
            "questions": len(self.data.valid.rows),
            "answers": self.finished.labels.size,
        }

    def model(self) -> QuestionModel:
        return self.finished


def _recipe(tree: Tree, folder: RunFolder, origin: str, resume: bool) -> VisualQuestionRecipe:
    if not resume:
        refuse_overwriting(folder)
        return recipe_of(question_preset(tree), origin, VisualQuestionRecipe)
    recipe = folder.read_recipe()
    assert isinstance(recipe, VisualQuestionRecipe), "the dispatch went by this recipe"
    return resumed(tree, folder, recipe, origin)
