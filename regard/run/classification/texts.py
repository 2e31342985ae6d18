"""What the commands say of a classifier of texts, be it one model or several that answer together."""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from regard.data.labels import Labelled, Labels
from regard.errors import UsageError
from regard.evaluation import PairedResult, Score
from regard.evaluation.classification import Confusion
from regard.run.classification.data import labelled_of
from regard.run.classification.reporting import check_comparable, compared, report, row_of, scored
from regard.run.lines import answered
from regard.run.pictures import ENDINGS
from regard.tasks.classification import Prediction
from regard.training.checkpoint import write_text
from regard.view import AttentionMap, PageItem, draw, page

READ_AHEAD = 512


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model says of a text, what each word gave to it, and what there is to say before that is drawn."""

    found: Prediction
    attention: AttentionMap
    heading: tuple[str, ...] = ()
    of: str = ""  # the model, where there are several


class TextClassifier(ABC):
    """`predict(texts)` gives a `Prediction` each, with `label`, `probability` and `top(n)`."""

    name: str
    labels: Labels

    @abstractmethod
    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One class for each text, in order. A text of nothing is classified by its end alone; `said` has none for it."""

    @abstractmethod
    def seen(self, text: str) -> list[Seen]:
        """What each model says, and what each word gave to it."""

    @abstractmethod
    def notes(self, text: str) -> list[str]:
        """What about a text deserves a word: that the model does not know some of it, or that it is too long."""

    @abstractmethod
    def unread(self, texts: Sequence[str]) -> list[str]:
        """How many of the texts are longer than what is read."""

    def predict_stream(self, lines: Iterator[str]) -> Iterator[Prediction]:
        """`predict` for any number of lines, a few hundred at a time, in order."""
        while chunk := list(islice(lines, READ_AHEAD)):
            yield from self.predict(chunk)

    def scores(self, items: Labelled) -> tuple[list[Score], list[Confusion]]:
        """Accuracy, macro-F1 and calibration error, and the pairs of classes that are taken for each other most."""
        self.labels.ids(items)  # each class has to be known
        return scored(self.predict([text for _, text, _ in items.rows]), [label for _, _, label in items.rows])

    def said(self, lines: Iterator[str], *, jsonl: bool, name: str = "the input") -> Iterator[str]:
        """What `regard predict` prints for each line of what is called `name`: its class, or with `jsonl` the likeliest
        ones. A blank line gives a blank class."""
        self._check_text(name)
        rest = enumerate(lines, start=1)
        while chunk := list(islice(rest, READ_AHEAD)):
            texts = {number: line for number, line in chunk if line.strip()}
            found = dict(zip(texts, self.predict(list(texts.values())), strict=True)) if texts else {}
            for number, line in chunk:
                if number not in found:
                    yield json.dumps(row_of(None)) if jsonl else ""
                    continue
                each = found[number]
                row = answered(number, row_of(each), self.notes(line))
                yield json.dumps(row, ensure_ascii=False) if jsonl else each.label.replace("\n", " ")

    def shown(self, text: str, width: int, color: bool) -> str:
        """What `regard show` prints: the likeliest classes and what each word gave; of a hierarchy also what each
        sentence did."""
        self._check_text(text)
        [found] = self.predict([text])
        rows = [f"{share:6.1%}  {label}".replace("\n", " ") for label, share in found.top()]
        for each in self.seen(text):
            rows += ["", *([f"{each.of}: {_top(each.found, 1)}"] if each.of else [])]
            rows += [*each.heading, ""] if each.heading else []
            rows.append(draw(each.attention, width=width, color=color))
        return "\n".join([*rows, *self.notes(text)])

    def save_page(self, text: str, path: Path) -> None:
        """Writes a page with the class and what each word gave, which opens offline. Of several models each has its own
        class, and the title says that of them all."""
        self._check_text(text)
        [found] = self.predict([text])
        seen = self.seen(text)
        items = [PageItem(text, _top(each.found), None, each.attention, each.of or None) for each in seen]
        write_text(path, page(items, f"{self.name}: {_top(found, 1)}" if len(seen) > 1 else self.name))

    def evaluated(
        self,
        source: Path | None,
        target: Path | None,
        data: Path | None,
        as_json: bool,
        against: TextClassifier | None = None,
    ) -> str:
        """What `regard evaluate` prints. `against` is tested on the same texts."""
        items = labelled_of(source, target, data)
        self.labels.ids(items)  # each class has to be known, of the other model too
        paired = [] if against is None else self.compared(against, items)
        for sentence in [*items.left_out(), *self.unread([text for _, text, _ in items.rows])]:
            print(sentence, file=sys.stderr)
        found = self.scores(items)
        return report(self.name, "texts", len(items.rows), self.labels.size, found, paired, as_json=as_json)

    def compared(self, other: TextClassifier, items: Labelled) -> list[PairedResult]:
        """Whether this classifier and another differ by more than chance: accuracy and macro-F1 of the same texts.
        UsageError where the other does not know a class of the texts."""
        check_comparable(self.name, other.name, other.labels, items)
        texts = [text for _, text, _ in items.rows]
        return compared(self.predict(texts), other.predict(texts), [label for _, _, label in items.rows])

    def _check_text(self, text: str) -> None:
        """UsageError for the file of a picture, which would be read as its name."""
        if text.lower().endswith(ENDINGS) and os.path.isfile(text):
            raise UsageError(
                f"{text} is a picture, and {self.name} reads texts: give some words, or a run with "
                'model.encoder = "grid"'
            )


def _top(found: Prediction, count: int = 5) -> str:
    """The likeliest classes, on one line."""
    return ", ".join(f"{label} {share:.1%}" for label, share in found.top(count)).replace("\n", " ")
