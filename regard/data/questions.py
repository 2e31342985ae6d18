"""Questions about pictures: reading them with their answers, and batches of a picture, a question and its answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from regard.batch import EOS, rectangle
from regard.data.characters import check_characters
from regard.data.labels import Labelled
from regard.data.picture_lines import read_picture_lines
from regard.data.pictures import together
from regard.errors import RegardError, UsageError

LIST = "questions.json"  # as easy-VQA calls it


@dataclass(frozen=True, slots=True)
class Question:
    """A question about picture number `picture`. `answer` is empty where it is not known; `kind` groups scores."""

    line: int  # from 1: of the file, or the place in its list
    picture: int
    text: str
    answer: str
    kind: str


@dataclass(frozen=True)
class Questions:
    """Questions in their order. `files` are the pictures, each once; none where pictures were drawn."""

    name: str
    rows: list[Question]
    files: list[Path]

    @property
    def labelled(self) -> Labelled:
        """The questions as texts and their answers as classes, which is what `Labels` are made of."""
        return Labelled(self.name, [(row.line, row.text, row.answer) for row in self.rows], [])


def read_questions(path: Path | str, *, split: str | None = None, answered: bool = True) -> Questions:
    """Questions from a file of lines `{"image": …, "question": …, "answer": …}`, or as easy-VQA has them: a folder with
    `images/NUMBER.png` and the list `questions.json` of `["question", "answer", NUMBER]`; either file may be named.

    With `answered=False` answers are not looked for in lines. UsageError names the line and what is wrong with it.
    """
    path = list_of(Path(path))
    found = _listed(path) if path.suffix.lower() == ".json" else _lines(path, split, answered)
    numbers: dict[Path, int] = {}
    rows = []
    for line, image, text, answer in found:
        number = numbers.setdefault(image, len(numbers))
        rows.append(Question(line, number, text.strip(), answer.strip(), answer_kind(answer)))
    return Questions(str(path), rows, list(numbers))


def list_of(path: Path) -> Path:
    """The file that questions are in: the path itself, or the list in a folder."""
    if path.is_dir():
        if not (path / LIST).is_file():
            inside = sorted(each.parent.name for each in path.glob(f"*/{LIST}"))
            advice = f"give its folder {' or '.join(inside)}" if inside else f"give a folder with {LIST} and images/"
            raise UsageError(f"{path} holds no {LIST}: {advice}, or a .jsonl file")
        return path / LIST
    return path


def _lines(path: Path, split: str | None, answered: bool) -> Iterator[tuple[int, Path, str, str]]:
    for row in read_picture_lines(path, ("question", "answer") if answered else ("question",), split=split):
        yield row.line, row.image, row.question, row.answer


def _listed(path: Path) -> Iterator[tuple[int, Path, str, str]]:
    shape = 'write ["question", "answer", number of the picture]'
    try:
        rows: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: check the path") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}): give a list, or lines in a .jsonl file") from error
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"{path} is no list of questions: {shape} for each")
    for number, row in enumerate(rows, start=1):
        match row:
            case [str(text), str(answer), int(image)] if (
                text.strip() and answer.strip() and not isinstance(image, bool)
            ):
                for part, what in ((text, "question"), (answer, "answer")):
                    check_characters(part, f"{path}, item {number}: the {what}")
                yield number, path.parent / "images" / f"{image}.png", text, answer
            case _:
                raise UsageError(f"{path}, item {number} is no question: {shape}")


def answer_kind(answer: str) -> str:
    """The kind of a question that has no other, by its answer: yes/no, number, or other (Antol et al. 2015)."""
    answer = answer.strip().lower()
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdecimal() else "other"


def held_out(questions: Questions, share: float, seed: int) -> tuple[Questions, Questions]:
    """Questions to train on and to validate with, of different pictures: the share counts pictures, and one is left on
    either side. RegardError where there is but one picture."""
    if not 0.0 < share < 1.0:
        raise ValueError(f"the share to hold out lies between 0 and 1, not {share}")
    pictures = sorted({row.picture for row in questions.rows})
    if len(pictures) < 2:
        raise RegardError(f"{questions.name} asks about one picture only: give more, or a validation set of its own")
    count = min(len(pictures) - 1, max(1, round(share * len(pictures))))
    apart = set(np.random.default_rng(seed).permutation(pictures)[:count].tolist())
    rest, held = ([row for row in questions.rows if (row.picture in apart) == chosen] for chosen in (False, True))
    return Questions(questions.name, rest, questions.files), Questions(questions.name, held, questions.files)


@dataclass(frozen=True, slots=True)
class QuestionBatch:
    """Pictures, each once, and questions `x_1 … x_n EOS`, whose lengths count the end: question b is about
    `images[picture[b]]`, and the class of its answer is `labels[b]`."""

    images: UInt8[Tensor, "P H W C"]
    picture: Int[Tensor, " B"]
    source: Int[Tensor, "B T"]
    source_lengths: Int[Tensor, " B"]
    labels: Int[Tensor, " B"]
    rows: Int[Tensor, " B"]  # which question each one is, from 0

    def __len__(self) -> int:
        return self.source.shape[0]

    def to(self, device: torch.device | str) -> QuestionBatch:
        return QuestionBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def target_tokens(self) -> int:
        """How many questions there are: what losses are counted in."""
        return len(self)


class QuestionBatches:
    """Batches of `batch` questions, in an order that follows from (seed, epoch) alone, so a training resumes exactly.

    `questions` are (number of the picture, ids without special tokens), `labels` the class of each answer. Questions
    of all lengths come together: those of one length are often of one kind, and filling them up costs next to nothing
    beside the pictures. Up to `per_picture` questions about one picture follow each other, by chance which, as it is
    looked at once for all that are in a batch.
    """

    def __init__(
        self,
        pictures: UInt8[np.ndarray, "N H W C"],
        questions: Sequence[tuple[int, Sequence[int]]],
        labels: Sequence[int],
        batch: int,
        seed: int,
        *,
        shuffle: bool = True,
        per_picture: int = 1,
    ) -> None:
        if batch < 1 or per_picture < 1:
            raise ValueError(f"a batch holds at least 1 question, and 1 of a picture, not {batch} and {per_picture}")
        if len(questions) != len(labels):
            raise ValueError(f"each question has one answer: there are {len(questions)} and {len(labels)}")
        self.pictures, self.batch, self.seed = pictures, batch, seed
        self.shuffle, self.per_picture = shuffle, per_picture
        self._picture_of = np.array([picture for picture, _ in questions], dtype=np.int64)
        if len(questions) and not 0 <= self._picture_of.min() <= self._picture_of.max() < len(pictures):
            raise ValueError(
                f"questions name pictures {self._picture_of.min()} to {self._picture_of.max()} of {len(pictures)}"
            )
        self._ids = [[*ids, EOS] for _, ids in questions]
        self._labels = np.array(labels, dtype=np.int64)

    def epoch(self, number: int, start: int = 0) -> Iterator[QuestionBatch]:
        """The batches of an epoch, from the batch `start` on."""
        count = len(self._labels)
        order = self._order(number) if self.shuffle else np.arange(count)
        for begin in range(start * self.batch, count, self.batch):
            rows = order[begin : begin + self.batch]
            source, lengths = rectangle([self._ids[row] for row in rows])
            numbers, picture = np.unique(self._picture_of[rows], return_inverse=True)
            yield QuestionBatch(
                torch.from_numpy(self.pictures[numbers]),
                torch.from_numpy(picture.astype(np.int64)),
                source,
                lengths,
                torch.from_numpy(self._labels[rows]),
                torch.from_numpy(rows.astype(np.int64)),
            )

    def _order(self, number: int) -> Int[np.ndarray, " N"]:
        """Groups of questions about one picture, drawn by chance, in an order by chance."""
        chance = np.random.default_rng([self.seed, number])
        order, group = together(self._picture_of, self.per_picture, chance)
        turn = chance.permutation(int(group.max(initial=-1)) + 1)
        return order[np.argsort(turn[group], kind="stable")]

    def count(self, number: int) -> int:
        return -(-len(self._labels) // self.batch)
