"""A finished model that answers questions about pictures, and where it looked for an answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import UInt8

from regard.build.visual_question import visual_question
from regard.config.visual_question import QuestionDataPart, VisualQuestionRecipe
from regard.data import Tokenizer
from regard.data.images import PictureError, build_pictures, read_picture
from regard.data.json_lines import parse_object
from regard.data.labels import Labels
from regard.data.picture_lines import naming_lines, picture_beside
from regard.data.questions import Questions, read_questions
from regard.data.relational import KINDS, RELATIONAL, generate
from regard.errors import UsageError
from regard.evaluation import PairedResult, Score, paired_test, score
from regard.evaluation.classification import Accuracy
from regard.models.visual_question import VisualQuestion
from regard.run.folder import RunFolder
from regard.run.lines import answered, cut_note, length_note, unknown_note
from regard.run.pictures import ENDINGS
from regard.run.questions.data import TEST_SEED, apart_of, encoded, read_sides, shape_of, tokenised
from regard.run.weights import with_weights
from regard.tasks import visual_question as task
from regard.tasks.classification import Prediction
from regard.training.checkpoint import write_text
from regard.view import AttentionMap
from regard.view.picture import PictureMap
from regard.view.question import QuestionView, draw_question, question_page, save_question

READ_AHEAD = 256  # questions that are answered together
SHOWN = 384  # pixels of the longer side of a picture that is shown
LEVELS = ("by word", "by phrase", "by question")  # of the hierarchical fusion, which alone looks more than once
BETWEEN = {
    "dense": "Where each word looked in the last layer",
    "modular": "Where each word was read in the last layer",
}

Asked = tuple[str | Path | UInt8[np.ndarray, "H W C"], str]
"""A picture, as a file or as pixels of the model's own size, and a question."""


class QuestionModel:
    """A trained model with its tokenizer, its answers and its recipe."""

    def __init__(
        self, network: VisualQuestion, tokenizer: Tokenizer, labels: Labels, recipe: VisualQuestionRecipe, name: str
    ) -> None:
        self.network, self.tokenizer, self.labels = network, tokenizer, labels
        self.recipe, self.name = recipe, name

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> QuestionModel:
        """Reads a run folder; UsageError says what is missing or broken."""
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe_of(VisualQuestionRecipe)
        tokenizer, labels = read_sides(folder)
        network = visual_question(recipe.model, recipe.data.channels, tokenizer.size, labels.size)
        return cls(with_weights(network, folder, device), tokenizer, labels, recipe, folder.path.name)

    def predict(self, asked: Sequence[Asked]) -> list[Prediction]:
        """The answer to each (picture, question), in order, with `probability` and `top(n)`. UsageError names a picture
        that cannot be read."""
        if not asked:
            return []
        pictures, questions = self._read(asked)
        return task.predict(self.network, self.labels, pictures, self._ids(questions))

    def look(self, picture: str | Path | UInt8[np.ndarray, "H W C"], question: str) -> tuple[PictureMap, AttentionMap]:
        """Where the model looked for the answer, in the picture and in the question, whose end is its last word: a row
        for each look. A side that the model does not see has zeros."""
        found = self.view(picture, question)
        return found.looks, found.words

    def view(self, picture: str | Path | UInt8[np.ndarray, "H W C"], question: str) -> QuestionView:
        """The likeliest answers, what `look` gives, and where the fusion has it what each word and the places saw of
        each other."""
        [found] = self.predict([(picture, question)])
        shown, seen, ids = self._looked(picture, question)
        looks: list[str] = ["answer"] if len(seen.words) == 1 else [*LEVELS]
        words, word_of = self.tokenizer.words(ids)
        words, word_of = [*words, "</s>"], [*word_of, len(words)]
        of_words = AttentionMap(
            seen.words[None, None],
            [*self.tokenizer.tokens(ids), "</s>"],
            looks,
            words,
            looks,
            word_of,
            list(range(len(looks))),
        )
        each, how = None, ""
        if seen.between is not None:
            places, how = seen.between, BETWEEN[self.recipe.model.fusion]
            of = [[token for token, word in enumerate(word_of) if word == number] for number in range(len(words))]
            each = PictureMap(shown, words, np.stack([places[those].mean(axis=0) for those in of]))
        return QuestionView(question, found.top(), PictureMap(shown, looks, seen.regions), of_words, each, how)

    def _looked(
        self, picture: str | Path | UInt8[np.ndarray, "H W C"], question: str
    ) -> tuple[UInt8[np.ndarray, "H W C"], task.Look, list[int]]:
        """The picture to show, where the model looked, and the tokens of the question."""
        pictures, questions = self._read([(picture, question)])
        [(number, ids)] = self._ids(questions)
        [seen] = task.look(self.network, pictures, [(number, ids)])
        part, shown = self.recipe.data, pictures[number]
        if not isinstance(picture, np.ndarray):
            # Larger than the model saw it, but no more of it.
            larger = max(1, SHOWN // max(part.height, part.width))
            shape = replace(shape_of(part), height=larger * part.height, width=larger * part.width)
            shown = read_picture(picture, shape)
        return shown, seen, ids

    def scores(self, questions: Questions, pictures: UInt8[np.ndarray, "N H W C"]) -> list[Score]:
        """Accuracy, and that of each kind of question. Drawn ones are of two sorts, too: about one shape, or several."""
        said = self._answers(questions, pictures)
        right, kinds = [row.answer for row in questions.rows], [row.kind for row in questions.rows]
        found = [score(Accuracy(), said, [[answer] for answer in right])]
        groups = [kinds]
        if set(kinds) <= set(KINDS):
            groups.insert(0, ["relational" if kind in RELATIONAL else "non-relational" for kind in kinds])
        for group in groups:
            each = task.by_kind(said, right, group)
            if len(each) > 1:
                found += [replace(value, name=f"accuracy ({kind})") for kind, value in each.items()]
        return found

    def said(self, lines: Iterable[str], *, jsonl: bool, name: str = "the input") -> Iterator[str]:
        """What `regard predict` prints for each line `{"image": …, "question": …}` of what is called `name`: the answer,
        or with `jsonl` the likeliest ones. A blank line gives a blank answer, and so does a blank question. A picture is
        looked for as `evaluate` does, beside the file `name`, and else from where the command is given."""
        rest = enumerate(lines, start=1)
        while chunk := list(islice(rest, READ_AHEAD)):
            asked = {number: _asked(name, number, line) for number, line in chunk if line.strip()}
            asked = {number: pair for number, pair in asked.items() if pair[1].strip()}
            try:
                found = dict(zip(asked, self.predict(list(asked.values())), strict=True)) if asked else {}
            except PictureError as error:
                first = next(number for number, (image, _) in asked.items() if image == error.path)
                raise UsageError(f"{name}, line {first}: {error}") from error
            for number, _ in chunk:
                if number not in found:
                    yield json.dumps({"answer": "", "probability": 0.0, "top": {}}) if jsonl else ""
                    continue
                each = found[number]
                row = {"answer": each.label, "probability": each.probability, "top": dict(each.top())}
                row = answered(number, row, self.notes(asked[number][1]))
                yield json.dumps(row, ensure_ascii=False) if jsonl else each.label.replace("\n", " ")

    def shown(self, text: str, width: int, color: bool) -> str:
        """What `regard show` prints for a picture's file and a question, written one after the other: the likeliest
        answers, and what was looked at in picture and question."""
        picture, question = picture_and_question(text)
        drawn = draw_question(self.view(picture, question), width=width, color=color)
        return "\n".join([drawn, *self.notes(question)])

    def notes(self, question: str) -> list[str]:
        """What about a question deserves a word: that the model does not know some of it, that it is too long, or
        that there is nothing to know in it, such as signs alone."""
        [ids] = encoded([question], self.tokenizer, self.recipe.data)
        if not ids:
            return ["the question has no word to read"]
        return [*unknown_note(ids), *length_note(len(ids), self.recipe.data.max_length, "shorten the question")]

    def save_page(self, text: str, path: Path) -> None:
        """Writes a page of what `shown` prints, which opens offline."""
        write_text(path, question_page(self.view(*picture_and_question(text)), self.name))

    def save_picture(self, text: str, path: Path) -> None:
        """Writes it as PNG."""
        save_question(self.view(*picture_and_question(text)), path)

    def evaluated(
        self,
        source: Path | None,
        target: Path | None,
        data: Path | None,
        as_json: bool,
        against: QuestionModel | None = None,
    ) -> str:
        """What `regard evaluate` prints: of the questions in `data`, or of newly drawn ones for a run that drew.
        `against` is tested on the same questions."""
        if source is not None or target is not None:
            raise UsageError("questions about pictures are evaluated on one file: give --data FILE alone")
        questions, pictures = self._evaluated(data)
        read = encoded([row.text for row in questions.rows], self.tokenizer, self.recipe.data)
        for sentence in cut_note(read, self.recipe.data.max_length, "questions"):
            print(sentence, file=sys.stderr)
        scores = self.scores(questions, pictures)
        paired = [] if against is None else [self._compared(against, data, questions, pictures)]
        count = len(questions.rows)
        if as_json:
            facts = {"run": self.name, "questions": count, "scores": [each.to_json() for each in scores]}
            facts["paired"] = [each.to_json() for each in paired]
            return json.dumps(facts, ensure_ascii=False, indent=1)
        lines = [f"{self.name}: {count:,} questions about {len(pictures):,} pictures, {self.labels.size} answers"]
        lines += [f"  {each}    {each.signature}" for each in scores]
        return "\n".join([*lines, *(f"{each}    {each.signature}" for each in paired)])

    def _compared(
        self, other: QuestionModel, data: Path | None, questions: Questions, pictures: UInt8[np.ndarray, "N H W C"]
    ) -> PairedResult:
        """Whether another model's answers are right as often, but for chance. It sees pictures in its own size."""
        if data is None and other.recipe.data.height != self.recipe.data.height:
            raise UsageError(
                f"{other.name} reads pictures of {other.recipe.data.height} pixels, and these are drawn with "
                f"{self.recipe.data.height}: give --data FILE.jsonl to test both on"
            )
        seen = pictures if data is None else _pictures(questions, other.recipe.data)
        a, b = self._answers(questions, pictures), other._answers(questions, seen)
        return paired_test(a, b, [[row.answer] for row in questions.rows], Accuracy())

    def _answers(self, questions: Questions, pictures: UInt8[np.ndarray, "N H W C"]) -> list[str]:
        asked = self._ids([(row.picture, row.text) for row in questions.rows])
        return [each.label for each in task.predict(self.network, self.labels, pictures, asked)]

    def _evaluated(self, data: Path | None) -> tuple[Questions, UInt8[np.ndarray, "N H W C"]]:
        part = self.recipe.data
        if data is None:
            if part.drawn is None:
                raise UsageError("give --data FILE.jsonl, or the folder of a list questions.json")
            pictures, questions = generate(apart_of(part), TEST_SEED, size=part.height)
            return questions, pictures
        questions = read_questions(data)
        self.labels.ids(questions.labelled)  # each answer has to be known
        return questions, _pictures(questions, part)

    def _read(self, asked: Sequence[Asked]) -> tuple[UInt8[np.ndarray, "N H W C"], list[tuple[int, str]]]:
        """Each picture once, and (its number, question)."""
        shape = shape_of(self.recipe.data)
        pictures: list[np.ndarray] = []
        numbers: dict[str, int] = {}
        questions = []
        for picture, text in asked:
            if isinstance(picture, np.ndarray):
                questions.append((len(pictures), text))
                pictures.append(picture)
                continue
            if str(picture) not in numbers:
                numbers[str(picture)] = len(pictures)
                pictures.append(read_picture(picture, shape))
            questions.append((numbers[str(picture)], text))
        return np.stack(pictures), questions

    def _ids(self, questions: Sequence[tuple[int, str]]) -> list[tuple[int, list[int]]]:
        return tokenised(questions, self.tokenizer, self.recipe.data)


def _pictures(questions: Questions, part: QuestionDataPart) -> UInt8[np.ndarray, "N H W C"]:
    with TemporaryDirectory() as folder, naming_lines(questions.name):
        return np.array(build_pictures(questions.files, Path(folder) / "pictures", shape_of(part)))


def picture_and_question(text: str) -> tuple[str, str]:
    """The two parts of `PICTURE.png question`."""
    words = text.split(" ")
    for end in range(1, len(words)):
        if words[end - 1].lower().endswith(ENDINGS) and any(words[end:]):
            return " ".join(words[:end]), " ".join(words[end:])
    raise UsageError(f"'{text[:60]}' is no picture with a question: write both, such as 'shape.png what colour is it?'")


def _asked(name: str, number: int, line: str) -> tuple[Path, str]:
    where = f"{name}, line {number}"
    form = '{"image": "…", "question": "…"}'
    row = parse_object(line, where, f"is no object: write {form}")
    for key in ("image", "question"):
        if not isinstance(row.get(key), str):
            raise UsageError(f'{where}: "{key}" {"is no text" if key in row else "is missing"}: write {form}')
    picture = picture_beside(Path(name), row["image"], where)
    return (Path(row["image"]) if not picture.exists() and os.path.exists(row["image"]) else picture), row["question"]
