"""Labelled text: reading it, the classes, and batches of texts with a class each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from regard.data.batching import Batches
from regard.data.corpus import Corpus
from regard.data.header import header_of
from regard.data.json_lines import parse_object
from regard.data.reader import RawPair, TablePairs, TextPairs, raw_lines
from regard.data.stops import SentenceTokenizer
from regard.data.tokenizer import Tokenizer
from regard.errors import RegardError, UsageError

COLUMNS = ("text", "label")
LACKS = 'has no "{}": every line needs "text", and "label", a string or a whole number'
NAMED = 5  # classes, or lines, named in a sentence


@dataclass(frozen=True)
class LabelledTable:
    """One file with texts and labels: `.tsv` or `.csv` (text first and label second, or the other way round where a
    header calls them text and label, or columns that a header calls source and target), or `.jsonl` (keys text and
    label, of which the label may be a whole number, or source and target)."""

    data: Path

    @property
    def name(self) -> str:
        return str(self.data)

    def __iter__(self) -> Iterator[RawPair]:
        if self.data.suffix.lower() == ".npz":
            raise UsageError(
                f'{self.data} holds pictures, which are of a run with model.encoder = "grid": give texts as .tsv, .csv '
                "or .jsonl"
            )
        if self.data.suffix.lower() in (".jsonl", ".ndjson"):
            return self._jsonl()
        return self._table()

    def _table(self) -> Iterator[RawPair]:
        table = TablePairs(self.data)
        pairs = iter(table)
        names = [cell.strip().lower() for cell in table.first_cells()] if table.columns else []
        if not set(names) >= set(COLUMNS):
            yield from pairs
            return
        if (header := header_of(names)) is not None:
            raise UsageError(
                f"{self.data} has columns text and label and columns {header.names[0]} and {header.names[1]}: rename those "
                "that are not to be read"
            )
        places = tuple(names.index(column) for column in COLUMNS)
        if sorted(places) != [0, 1]:
            raise UsageError(
                f"{self.data} has text and label in columns {places[0] + 1} and {places[1] + 1}: put them first, or call "
                "them source and target"
            )
        next(pairs)
        for pair in pairs:
            yield pair if places == (0, 1) else RawPair(pair.line, pair.target, pair.source)

    def _jsonl(self) -> Iterator[RawPair]:
        for number, line in enumerate(raw_lines(self.data), start=1):
            if not line.strip():
                yield RawPair(number, b"", b"")
                continue
            where = f"{self.data}, line {number}"
            # What is not UTF-8 is dropped later, as in any other file.
            row = parse_object(line.decode("utf-8", "surrogateescape"), where, LACKS.format("text"))
            text, label = (row.get(key) for key in (COLUMNS if COLUMNS[0] in row else ("source", "target")))
            if isinstance(label, int) and not isinstance(label, bool):
                label = str(label)
            if not isinstance(text, str) or not isinstance(label, str):
                missing = "text" if not isinstance(text, str) else "label"
                if missing == "text" and "image" in row:
                    raise UsageError(
                        f'{where} has an "image" and no "text": pictures are of a run with model.encoder = "grid", and '
                        "this one reads texts"
                    )
                raise UsageError(f"{where} {LACKS.format(missing)}")
            yield RawPair(number, *(side.encode("utf-8", "surrogatepass") for side in (text, label)))


@dataclass(frozen=True)
class Labelled:
    """What was read: (line, text, label) of each item, lines from 1, and (file, line, reason) of each dropped one."""

    name: str
    rows: list[tuple[int, str, str]]
    dropped: list[tuple[str, int, str]]

    def left_out(self) -> list[str]:
        """What scores are without, a sentence for each kind of dropped line."""
        kinds: dict[str, list[int]] = {}
        for _, line, reason in self.dropped:
            kinds.setdefault(re.sub(r"byte \d+ of the ", "", reason), []).append(line)
        count = len(self.rows) + len(self.dropped)
        return [
            f"left out of the {count:,} lines of {self.name}: {len(lines):,} line{'s' * (len(lines) > 1)}, {kind} "
            f"(line {', '.join(map(str, lines[:NAMED]))}{', …' * (len(lines) > NAMED)})"
            for kind, lines in kinds.items()
        ]


def read_labelled(pairs: TextPairs | TablePairs | LabelledTable) -> Labelled:
    """All items, without the white space around text and label.

    Dropped, with a reason, is what has no text or no label, is not UTF-8 or holds NUL. UsageError where one file has
    more lines than the other, or where nothing is left.
    """
    names = (str(pairs.source), str(pairs.target)) if isinstance(pairs, TextPairs) else (str(pairs.data),) * 2
    rows: list[tuple[int, str, str]] = []
    dropped: list[tuple[str, int, str]] = []
    for pair in pairs:
        if pair.source is None or pair.target is None:
            longer, shorter = names if pair.target is None else names[::-1]
            raise UsageError(
                f"{shorter} ends after line {pair.line - 1} and {longer} goes on: give each text one label"
            )
        sides: list[str] = []
        for name, raw, what in zip(names, (pair.source, pair.target), COLUMNS, strict=True):
            found, reason = _text(raw, what)
            if reason is not None:
                dropped.append((name, pair.line, reason))
                break
            sides.append(found)
        else:
            rows.append((pair.line, sides[0], sides[1]))
    if not rows:
        raise UsageError(f"{pairs.name} has no line with both a text and a label: give UTF-8 text with one item a line")
    return Labelled(pairs.name, rows, dropped)


def _text(raw: bytes, what: str) -> tuple[str, str | None]:
    """The text, and why it is none."""
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        return "", f"byte {error.start + 1} of the {what} is not UTF-8"
    if "\0" in text:
        return text, "NUL character"
    return text, None if text else f"blank {what}"


class Labels:
    """The classes; the id of one is its place in `names`, from 0.

    It stands where a tokenizer of targets would: `encode_batch` makes one token of each label.
    """

    def __init__(self, names: Sequence[str]) -> None:
        if len(set(names)) != len(names):
            raise ValueError(f"of {len(names)} classes only {len(set(names))} have a name of their own")
        self.names = tuple(names)
        self._ids = {name: i for i, name in enumerate(self.names)}

    @classmethod
    def of(cls, labelled: Labelled) -> Labels:
        """Every class that occurs, sorted: by value where all are whole numbers. RegardError where there is but one."""
        found = {label for _, _, label in labelled.rows}
        if len(found) < 2:
            raise RegardError(
                f"{labelled.name} has only the class '{next(iter(found))}', which leaves nothing to learn: give items "
                "of two classes or more"
            )
        numbers = all(name.isascii() and name.isdecimal() for name in found)
        return cls(sorted(found, key=lambda name: (int(name), name) if numbers else (0, name)))

    @property
    def size(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    def ids(self, labelled: Labelled, unit: str = "line") -> list[int]:
        """The id of each item's class. UsageError for the first class that is not known, with its line, or whatever
        `unit` the items are counted in."""
        found = []
        for line, _, label in labelled.rows:
            if label not in self._ids:
                raise UsageError(f"{labelled.name}, {unit} {line}: {self._unknown(label)}")
            found.append(self._ids[label])
        return found

    def encode_batch(self, labels: Sequence[str]) -> list[list[int]]:
        """One id each."""
        for label in labels:
            if label not in self._ids:
                raise UsageError(self._unknown(label))
        return [[self._ids[label]] for label in labels]

    def near(self, label: str, count: int = 3) -> list[str]:
        """Classes that are spelled alike, the likest first."""
        lowered = {name.lower(): name for name in reversed(self.names)}
        return [lowered[match] for match in get_close_matches(label.lower(), lowered, count)]

    def _unknown(self, label: str) -> str:
        near = self.near(label)
        if near:
            known = f"did you mean {' or '.join(repr(name) for name in near)}?"
        else:
            more = ", …" if self.size > NAMED else ""
            known = f"they are {', '.join(repr(name) for name in self.names[:NAMED])}{more}"
        return f"the class '{label[:60]}' is none of the {self.size} that the model knows: {known}"

    def save(self, path: Path) -> None:
        try:
            path.write_text(
                json.dumps({"labels": self.names}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n"
            )
        except OSError as error:
            raise RegardError(
                f"{path} cannot be written ({error.strerror}): make room or choose another folder"
            ) from error

    @classmethod
    def load(cls, path: Path) -> Labels:
        try:
            names = json.loads(path.read_text(encoding="utf-8"))["labels"]
            if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) for name in names):
                raise ValueError("it is no list of two names or more")
            return cls(names)
        except FileNotFoundError as error:
            raise UsageError(f"{path} is missing: the run was not copied whole") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} holds no classes ({error}): it was cut off or is another file") from error


def labelled_corpus(
    labelled: Labelled, tokenizer: Tokenizer | SentenceTokenizer, labels: Labels, *, max_length: int
) -> Corpus:
    """Items as pairs of a text and one target token, its class; the rows are the lines, from 0.

    A text of more than `max_length` tokens is cut there, and its line is in `too_long`. UsageError: see `Labels.ids`.
    """
    ids = tokenizer.encode_batch([text for _, text, _ in labelled.rows])
    pairs = [(tokens[:max_length], [label]) for tokens, label in zip(ids, labels.ids(labelled), strict=True)]
    corpus = Corpus.in_memory(pairs)
    corpus.rows = np.array([line - 1 for line, _, _ in labelled.rows], dtype=np.int64)
    corpus.too_long = [
        line for (line, _, _), tokens in zip(labelled.rows, ids, strict=True) if len(tokens) > max_length
    ]
    return corpus


@dataclass(frozen=True, slots=True)
class ClassificationBatch:
    """Texts `x_1 … x_n EOS`, whose lengths count the end, and the class of each."""

    source: Int[Tensor, "B S"]
    source_lengths: Int[Tensor, " B"]
    labels: Int[Tensor, " B"]
    rows: Int[Tensor, " B"]  # which line each one is, from 0

    def __len__(self) -> int:
        return self.source.shape[0]

    def to(self, device: torch.device | str) -> ClassificationBatch:
        return ClassificationBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def target_tokens(self) -> int:
        """How many items there are: what losses are counted in."""
        return len(self)


class ClassificationBatches:
    """`Batches` of texts of like length, of which each target is one token, the class: see there for the order."""

    def __init__(self, corpus: Corpus, batch_tokens: int, seed: int, *, shuffle: bool = True) -> None:
        self._batches = Batches(corpus, batch_tokens, seed, shuffle=shuffle)
        if not all(length == 1 for length in np.unique(corpus.target_lengths)):
            raise ValueError("every target of a classification is one token, its class: see labelled_corpus")

    def epoch(self, number: int, start: int = 0) -> Iterator[ClassificationBatch]:
        """The batches of an epoch, from the batch `start` on."""
        for batch in self._batches.epoch(number, start):
            # Between the two marks of a target stands its one token.
            yield ClassificationBatch(batch.source, batch.source_lengths, batch.target[:, 1], batch.rows)

    def count(self, number: int) -> int:
        return self._batches.count(number)


def label_shares(labelled: Labelled) -> list[tuple[str, float]]:
    """Each class and its share of the items, the commonest first: the first is what guessing alone reaches."""
    counts: dict[str, int] = {}
    for _, _, label in labelled.rows:
        counts[label] = counts.get(label, 0) + 1
    total = len(labelled.rows)
    return sorted(((name, n / total) for name, n in counts.items()), key=lambda pair: (-pair[1], pair[0]))


def held_out(labelled: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """Items to train on and to validate with: of each class the same share, drawn by the seed, and always one left to
    train on."""
    apart = drawn_apart([label for _, _, label in labelled.rows], share, seed)

    def those(chosen: Iterable[int], dropped: list[tuple[str, int, str]]) -> Labelled:
        return Labelled(labelled.name, [labelled.rows[i] for i in chosen], dropped)

    rest = [i for i in range(len(labelled.rows)) if i not in apart]
    return those(rest, labelled.dropped), those(sorted(apart), [])


def drawn_apart(classes: Sequence[str], share: float, seed: int) -> set[int]:
    """The numbers of the items that `held_out` keeps, by the class of each."""
    if not 0.0 < share < 1.0:
        raise ValueError(f"the share to hold out lies between 0 and 1, not {share}")
    of_class: dict[str, list[int]] = {}
    for i, label in enumerate(classes):
        of_class.setdefault(label, []).append(i)
    chance = np.random.default_rng(seed)
    apart: set[int] = set()
    for label in sorted(of_class):
        places = of_class[label]
        # Rounded by chance, or classes of a few items would never be held out.
        count = min(len(places) - 1, int(share * len(places) + chance.random()))
        apart.update(chance.permutation(places)[:count].tolist())
    return apart
