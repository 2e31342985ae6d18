"""How well the vectors of a run tell the senses of an ambiguous word, by layer, on CoarseWSD-20 (Loureiro et al. 2021).

A word is a folder: `train.data.txt` has a sentence a line, the number of its word before a tab; `train.gold.txt` its
sense. Where there is no `test.data.txt`, a fifth of the sentences is kept apart instead, which `apart` chooses by what
they say alone: whoever trains a model on the others can leave out the very same ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from regard.errors import UsageError
from regard.evaluation import Score, score
from regard.evaluation.classification import Accuracy, MacroF1
from regard.evaluation.senses import METHODS, How, predicted
from regard.run.embedding.reader import Reader
from regard.run.embedding.word import aligned, places_of

APART = 0.2
NAMES: dict[How, str] = {"nearest": "nearest", "mean": "nearest mean", "regression": "regression"}


@dataclass(frozen=True)
class Sentence:
    text: str
    span: tuple[int, int]  # the word's characters
    sense: str


@dataclass(frozen=True)
class WordFolder:
    """The sentences of one ambiguous word."""

    word: str
    train: list[Sentence]
    test: list[Sentence]
    kept: bool  # the test sentences were kept from those to train on


def apart(text: str) -> bool:
    """Whether a sentence is kept for testing."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") < APART * 2**64


def read_folders(paths: Sequence[Path]) -> list[WordFolder]:
    """The words of these folders, each of a word or of several words' folders.

    Raises:
        UsageError: a folder is missing or holds no word, or a file of it is broken; the line is named.
    """
    found: list[WordFolder] = []
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path} is no folder: give that of a word, or of the words of CoarseWSD-20")
        inner = [path] if _data(path, "train").is_file() else sorted(p for p in path.iterdir() if p.is_dir())
        words = [_read(folder) for folder in inner if _data(folder, "train").is_file()]
        if not words:
            raise UsageError(f"{path} has no train.data.txt, nor has a folder in it: give that of CoarseWSD-20")
        found += words
    return found


def _data(folder: Path, split: str) -> Path:
    return folder / f"{split}.data.txt"


def _read(folder: Path) -> WordFolder:
    train = _sentences(folder, "train")
    kept = not _data(folder, "test").is_file()
    test = [each for each in train if apart(each.text)] if kept else _sentences(folder, "test")
    train = [each for each in train if not apart(each.text)] if kept else train
    if not train or not test:
        raise UsageError(f"{folder} has too few sentences to train on some and test on others: add sentences")
    return WordFolder(folder.name, train, test, kept)


def _sentences(folder: Path, split: str) -> list[Sentence]:
    path, gold = _data(folder, split), folder / f"{split}.gold.txt"
    lines, senses = _lines(path), _lines(gold)
    if len(lines) != len(senses):
        raise UsageError(f"{path} has {len(lines)} lines and {gold.name} {len(senses)}: each sentence needs its sense")
    names = _sense_names(folder)
    found = []
    for number, (line, sense) in enumerate(zip(lines, senses, strict=True), start=1):
        place, tab, text = line.partition("\t")
        words = text.split(" ")
        # A number of more digits than any line has words is none that Python would read.
        counted = tab and place.isdecimal() and len(place) < 10 and int(place) < len(words)
        if not counted or not words[int(place)].strip():
            raise UsageError(f"{path}, line {number}: write the number of the word, from 0, a tab, and the sentence")
        if not sense.strip():
            raise UsageError(f"{gold}, line {number} is blank: write the sense of line {number} of {path.name}")
        begin = sum(len(word) + 1 for word in words[: int(place)])
        left = len(text) - len(text.lstrip())
        span = (begin - left, begin - left + len(words[int(place)]))
        found.append(Sentence(text.strip(), span, names.get(sense.strip(), sense.strip())))
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: save it as UTF-8 text") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _sense_names(folder: Path) -> dict[str, str]:
    """Names for the numbers of senses, where there are any."""
    path = folder / "classes_map.txt"
    if not path.is_file():
        return {}
    try:
        return {str(number): str(name) for number, name in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError) as error:
        raise UsageError(f'{path} is no JSON object such as {{"0": "apple_inc", "1": "apple"}}') from error


# --- vectors --------------------------------------------------------------------------------------------------------


def vectors(
    reader: Reader, sentences: Sequence[Sentence], *, batch: int = 64
) -> tuple[Float[Tensor, "layers N D"], Float[Tensor, "N D"]]:
    """Of the word in each sentence, the static ones first and then those of each layer; and the mean of the static
    vectors of all tokens of the sentence."""
    read = []
    for each in sentences:
        encoding = reader.tokenizer.encode(each.text)
        read.append(reader.part(encoding, places_of(encoding, each.span)))
    order = sorted(range(len(read)), key=lambda i: len(read[i][0].ids))
    found: list[tuple[Tensor, Tensor]] = [(torch.empty(0), torch.empty(0))] * len(read)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        for i, seen in zip(chosen, reader.vectors([read[i][0].ids for i in chosen]), strict=True):
            found[i] = (seen.mean(read[i][1]), seen.by_layer[0].mean(dim=0))
    return torch.stack([word for word, _ in found], dim=1), torch.stack([around for _, around in found])


# --- scores ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What one kind of vector is worth: accuracy and macro-F1 of each way to tell a sense from it."""

    vectors: str
    accuracy: dict[How, Score]
    macro_f1: dict[How, Score]

    def to_json(self) -> dict[str, Any]:
        facts = {"vectors": self.vectors}
        return facts | {
            how: {"accuracy": self.accuracy[how].to_json(), "macro_f1": self.macro_f1[how].to_json()} for how in METHODS
        }


@dataclass(frozen=True)
class SenseReport:
    """Over the test sentences of all words together, and of each word alone."""

    run: str
    words: list[str]
    train: int
    test: int
    kept: bool
    majority: Score
    rows: list[Row]
    by_word: dict[str, list[Row]]

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"run": self.run, "words": self.words, "train": self.train, "test": self.test}
        facts["tested_on"] = "kept from training" if self.kept else "test split"
        facts |= {"majority": self.majority.to_json(), "rows": [row.to_json() for row in self.rows]}
        return facts | {"by_word": {word: [row.to_json() for row in rows] for word, rows in self.by_word.items()}}

    def __str__(self) -> str:
        where = "a fifth of the sentences, kept from training" if self.kept else "the test split"
        many = f"{len(self.words)} words" if len(self.words) > 1 else self.words[0]
        lines = [
            f"{self.run}: senses of {many}, accuracy on {self.test:,} sentences ({where}) by {self.train:,} others",
            f"commonest sense: {self.majority.value:.1f} [{self.majority.low:.1f}, {self.majority.high:.1f}]",
        ]
        rows = [["vectors", *NAMES.values()]]
        for row in self.rows:
            said = [row.accuracy[how] for how in METHODS]
            rows.append([row.vectors, *(f"{s.value:.1f} [{s.low:.1f}, {s.high:.1f}]" for s in said)])
        return "\n".join([*lines, aligned(rows)])


def measure_senses(run: str | Path, folders: Sequence[Path], device: str = "auto") -> SenseReport:
    """The senses of each word are learned from its training sentences and told in its test sentences."""
    words = read_folders(folders)
    reader = Reader.load(run, device)
    gold: dict[str, list[str]] = {}
    said: dict[str, dict[str, dict[How, list[str]]]] = {}
    usual: list[str] = []
    for each in words:
        said[each.word], senses = _told(reader, each), [s.sense for s in each.train]
        gold[each.word] = [f"{each.word}/{s.sense}" for s in each.test]
        commonest = max(sorted(set(senses)), key=senses.count)
        usual += [f"{each.word}/{commonest}"] * len(each.test)
    kinds = list(next(iter(said.values())))
    everything: dict[str, dict[How, list[str]]] = {
        kind: {how: [s for word in said for s in said[word][kind][how]] for how in METHODS} for kind in kinds
    }
    every = [sense for senses in gold.values() for sense in senses]
    return SenseReport(
        reader.name,
        list(said),
        sum(len(each.train) for each in words),
        len(every),
        any(each.kept for each in words),
        score(Accuracy(), usual, [[sense] for sense in every]),
        [_row(kind, everything[kind], every) for kind in kinds],
        {word: [_row(kind, said[word][kind], gold[word]) for kind in kinds] for word in said},
    )


def _told(reader: Reader, word: WordFolder) -> dict[str, dict[How, list[str]]]:
    """The senses that each kind of vector, and each way, gives to the test sentences."""
    train, train_around = vectors(reader, word.train)
    test, test_around = vectors(reader, word.test)
    senses = [f"{word.word}/{each.sense}" for each in word.train]
    kinds = {"static": (train[0], test[0]), "mean of the sentence's static": (train_around, test_around)}
    kinds |= {f"layer {n}": (train[n], test[n]) for n in range(1, len(train))}
    return {
        kind: {how: predicted(how, known, senses, asked) for how in METHODS} for kind, (known, asked) in kinds.items()
    }


def _row(kind: str, said: dict[How, list[str]], gold: Sequence[str]) -> Row:
    right = [[sense] for sense in gold]
    return Row(
        kind,
        {how: score(Accuracy(), said[how], right) for how in METHODS},
        {how: score(MacroF1(), said[how], right) for how in METHODS},
    )
