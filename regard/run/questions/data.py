"""What a training of questions about pictures reads: questions, pictures of one size, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from rich.console import Console

from regard.config.visual_question import QuestionDataPart, VisualQuestionRecipe
from regard.data import Tokenizer
from regard.data.images import Shape, build_pictures
from regard.data.labels import Labels
from regard.data.picture_lines import naming_lines
from regard.data.questions import Questions, held_out, list_of, read_questions
from regard.data.relational import ANSWERS, generate
from regard.errors import UsageError
from regard.evaluation.captions import caption_words
from regard.run.folder import RunFolder
from regard.run.pictures import unchanged

HELD_OUT = 0.1  # of the pictures, where no validation file is given
# Drawn pictures to validate and to evaluate with are the same for runs of every seed.
DRAWN_APART, VALID_SEED, TEST_SEED = 1000, 7_000_001, 7_000_003  # at most so many, and a tenth of those trained on

Pictures = UInt8[np.ndarray, "N H W C"]


@dataclass(frozen=True)
class QuestionData:
    """Pictures and their questions, to train and to validate on. `held_out` says that the latter were kept from the
    former."""

    pictures: Pictures
    questions: Questions
    valid_pictures: Pictures
    valid: Questions
    held_out: bool


def shape_of(part: QuestionDataPart) -> Shape:
    return Shape(part.height, part.width, part.channels, part.fit)


def question_data(recipe: VisualQuestionRecipe, folder: RunFolder, console: Console, resume: bool) -> QuestionData:
    """Everything a training reads, pictures decoded once. UsageError where a run would go on with other files."""
    part, shape = recipe.data, shape_of(recipe.data)
    if part.drawn is not None:
        drawn = generate(part.drawn, recipe.seed, size=part.height)
        return QuestionData(*drawn, *generate(apart_of(part), VALID_SEED, size=part.height), False)
    assert part.data is not None
    asked = read_questions(part.data)
    if part.valid_data is None:
        train, valid = held_out(asked, HELD_OUT, recipe.seed)
        with naming_lines(asked.name):
            unchanged([list_of(Path(part.data))], asked.files, recipe.seed, part, folder, resume)
            pictures = build_pictures(asked.files, folder.corpus / "pictures", shape)
        console.print(
            f"no validation questions were given: {len(valid.rows):,}, about pictures of their own, are kept from "
            "training for it",
            highlight=False,
        )
        return QuestionData(pictures, train, pictures, valid, True)
    valid = read_questions(part.valid_data)
    with naming_lines(asked.name, valid.name):
        lists = [list_of(Path(name)) for name in (part.data, part.valid_data) if name is not None]
        unchanged(lists, [*asked.files, *valid.files], recipe.seed, part, folder, resume)
        pictures = build_pictures(asked.files, folder.corpus / "pictures", shape)
        valid_pictures = build_pictures(valid.files, folder.corpus / "valid", shape)
    return QuestionData(pictures, asked, valid_pictures, valid, False)


def plain(text: str, part: QuestionDataPart) -> str:
    return " ".join(caption_words(text)) if part.plain else text


def apart_of(part: QuestionDataPart) -> int:
    """How many pictures are drawn to validate and to evaluate with."""
    return min(DRAWN_APART, max(1, (part.drawn or 0) // 10))


def make_sides(data: QuestionData, part: QuestionDataPart, folder: RunFolder) -> tuple[Tokenizer, Labels]:
    """The tokenizer of the questions and the classes of their answers, saved in the run."""
    rows = data.questions.rows
    if part.drawn is not None:
        labels = Labels(ANSWERS)
    else:  # the classes of what was kept from training are known, or chance would decide which are
        known = [*rows, *data.valid.rows] if data.held_out else rows
        labels = Labels.of(replace(data.questions, rows=known).labelled)
    tokenizer = Tokenizer.train(part.tokenizer, (plain(row.text, part) for row in rows), part.vocabulary)
    tokenizer.save(folder.tokenizer("source", True))
    labels.save(labels_of(folder))
    return tokenizer, labels


def read_sides(folder: RunFolder) -> tuple[Tokenizer, Labels]:
    path = folder.tokenizer("source", True)
    if not path.exists():
        raise UsageError(f"{path} is missing: the run was not finished or not copied whole; train it again")
    return Tokenizer.load(path), Labels.load(labels_of(folder))


def labels_of(folder: RunFolder) -> Path:
    return folder.path / "labels.json"


def tokenised(
    questions: Sequence[tuple[int, str]], tokenizer: Tokenizer, part: QuestionDataPart
) -> list[tuple[int, list[int]]]:
    """(number of the picture, ids) of each; a question longer than `max_length` is cut there."""
    ids = encoded([text for _, text in questions], tokenizer, part)
    return [(picture, each[: part.max_length]) for (picture, _), each in zip(questions, ids, strict=True)]


def encoded(texts: Sequence[str], tokenizer: Tokenizer, part: QuestionDataPart) -> list[list[int]]:
    """All tokens of each question."""
    return tokenizer.encode_batch([plain(text, part) for text in texts])
