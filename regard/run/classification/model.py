"""A finished classifier of texts, and what each word gave to a class."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from regard.batch import EOS
from regard.build.classifier import classifier
from regard.config.classification import ClassificationRecipe
from regard.data import Tokenizer
from regard.data.labels import Labelled, Labels
from regard.data.stops import sentences_of
from regard.errors import UsageError
from regard.evaluation import PairedResult, Score
from regard.evaluation.classification import Confusion
from regard.models.classifier import Classifier, HierarchicalClassifier, looks_of
from regard.run.classification.data import labelled_of, labels_of, read_tokenizer, reader
from regard.run.classification.reporting import check_comparable, compared, report, row_of, scored
from regard.run.folder import RunFolder
from regard.run.lines import answered, check_lines, cut_note, length_note, unknown_note
from regard.run.pictures import ENDINGS
from regard.run.weights import with_weights
from regard.tasks import classification
from regard.tasks.classification import Prediction
from regard.training.checkpoint import write_text
from regard.view import AttentionMap, PageItem, draw, page

READ_AHEAD = 512


class ClassifierModel:
    """A trained classifier: `predict(texts)` gives a `Prediction` each, with `label`, `probability` and `top(n)`."""

    def __init__(
        self,
        network: Classifier | HierarchicalClassifier,
        tokenizer: Tokenizer,
        labels: Labels,
        recipe: ClassificationRecipe,
        name: str,
    ) -> None:
        self.network, self.tokenizer, self.labels = network, tokenizer, labels
        self.recipe, self.name = recipe, name
        self.reader = reader(recipe, tokenizer)

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> ClassifierModel:
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe_of(ClassificationRecipe)
        if recipe.reads_pictures:
            raise UsageError(
                f"{folder.path} is a run of classification that reads pictures, and this needs one that reads texts"
            )
        tokenizer, labels = read_tokenizer(folder), Labels.load(labels_of(folder))
        network = classifier(recipe.model, tokenizer.size, labels.size)
        return cls(with_weights(network, folder, device), tokenizer, labels, recipe, folder.path.name)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One class for each text, in order. A text of nothing is classified by its end alone; `said` has none for it."""
        check_lines(texts, "texts")
        return classification.predict(self.network, self.labels, self._ids(texts))

    def predict_stream(self, lines: Iterator[str]) -> Iterator[Prediction]:
        """`predict` for any number of lines, a few hundred at a time, in order."""
        while chunk := list(islice(lines, READ_AHEAD)):
            yield from self.predict(chunk)

    def attention(self, text: str) -> AttentionMap:
        """How much each word gives to each look of the pooling. Of a hierarchy the first row is what each word gives to
        the text; those that follow are of one sentence each, whose weight in the text stands in their name, and their
        product with that weight is the first."""
        [ids] = self._ids([text])
        if isinstance(self.network, HierarchicalClassifier):
            words, sentences, number = classification.levels(self.network, ids)
            of = np.arange(len(sentences))[:, None] == number
            weights = np.concatenate([(words * sentences[number])[None], of * words])
            names = ["the text", *(f"sentence {i} ({share:.1%})" for i, share in enumerate(sentences, start=1))]
        else:
            [weights] = classification.look(self.network, [ids])
            names = looks_of(self.network.pooling, len(weights))
        encoding = self.reader.encode(text).first(len(ids))
        words = self.reader.split_words(text)
        return AttentionMap(
            weights[None, None],
            [*encoding.tokens, "</s>"],
            names,
            [*words, "</s>"],
            names,
            [*encoding.words, len(words)],
            list(range(len(names))),
        )

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

    def notes(self, text: str) -> list[str]:
        """What about a text deserves a word: that the model does not know some of it, or that it is too long."""
        ids, limit = self.reader.encode(text).ids, self.recipe.data.max_length
        read = [token for token in ids if token != EOS]  # the marks between sentences are known
        return [*unknown_note(read), *length_note(len(ids), limit, "shorten the text")]

    def shown(self, text: str, width: int, color: bool) -> str:
        """What `regard show` prints: the likeliest classes and what each word gave; of a hierarchy also what each
        sentence did."""
        self._check_text(text)
        [found] = self.predict([text])
        rows = [f"{share:6.1%}  {label}".replace("\n", " ") for label, share in found.top()]
        rows += ["", *self._sentences(text)] if isinstance(self.network, HierarchicalClassifier) else []
        return "\n".join([*rows, "", draw(self.attention(text), width=width, color=color), *self.notes(text)])

    def save_page(self, text: str, path: Path) -> None:
        """Writes a page with the class and what each word gave, which opens offline."""
        self._check_text(text)
        [found] = self.predict([text])
        said = ", ".join(f"{label} {share:.1%}" for label, share in found.top())
        write_text(path, page([PageItem(text, said, None, self.attention(text))], self.name))

    def evaluated(
        self,
        source: Path | None,
        target: Path | None,
        data: Path | None,
        as_json: bool,
        against: ClassifierModel | None = None,
    ) -> str:
        """What `regard evaluate` prints. `against` is tested on the same texts."""
        items = labelled_of(source, target, data)
        self.labels.ids(items)  # each class has to be known, of the other model too
        paired = [] if against is None else self.compared(against, items)
        read = self.reader.encode_batch([text for _, text, _ in items.rows])
        for sentence in [*items.left_out(), *cut_note(read, self.recipe.data.max_length, "texts")]:
            print(sentence, file=sys.stderr)
        found = self.scores(items)
        return report(self.name, "texts", len(items.rows), self.labels.size, found, paired, as_json=as_json)

    def compared(self, other: ClassifierModel, items: Labelled) -> list[PairedResult]:
        """Whether this classifier and another differ by more than chance: accuracy and macro-F1 of the same texts.
        UsageError where the other does not know a class of the texts."""
        check_comparable(self.name, other.name, other.labels, items)
        texts = [text for _, text, _ in items.rows]
        return compared(self.predict(texts), other.predict(texts), [label for _, _, label in items.rows])

    def _sentences(self, text: str) -> list[str]:
        """A line for each sentence with its weight. The one that holds only what a cut has left of it, too."""
        assert isinstance(self.network, HierarchicalClassifier)
        [ids] = self._ids([text])
        _, weights, number = classification.levels(self.network, ids)
        parts, shown, part = sentences_of(text), [], 0
        for i, share in enumerate(weights):
            shown.append(f"{share:6.1%}  {i + 1}. {parts[part] if part < len(parts) else ''}".rstrip())
            last = np.flatnonzero(number == i)[-1]
            part += bool(last < len(ids) and ids[last] == EOS)  # one that was cut in two goes on
        return shown

    def _check_text(self, text: str) -> None:
        """UsageError for the file of a picture, which would be read as its name."""
        if text.lower().endswith(ENDINGS) and os.path.isfile(text):
            raise UsageError(
                f"{text} is a picture, and {self.name} reads texts: give some words, or a run with "
                'model.encoder = "grid"'
            )

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [ids[: self.recipe.data.max_length] for ids in self.reader.encode_batch(list(texts))]
