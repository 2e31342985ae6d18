"""A finished classifier of texts, and what each word gave to a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from regard.batch import EOS
from regard.build.classifier import classifier
from regard.config.classification import ClassificationRecipe
from regard.data import Tokenizer
from regard.data.labels import Labels
from regard.data.stops import sentences_of
from regard.errors import UsageError
from regard.models.classifier import Classifier, HierarchicalClassifier, looks_of
from regard.run.classification.data import labels_of, read_tokenizer, reader
from regard.run.classification.texts import Seen, TextClassifier
from regard.run.folder import RunFolder
from regard.run.lines import check_lines, cut_note, length_note, unknown_note
from regard.run.weights import with_weights
from regard.tasks import classification
from regard.tasks.classification import Prediction
from regard.view import AttentionMap


class ClassifierModel(TextClassifier):
    """A trained classifier: its network, its tokenizer and its classes."""

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
        check_lines(texts, "texts")
        return classification.predict(self.network, self.labels, self._ids(texts))

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

    def seen(self, text: str) -> list[Seen]:
        [found] = self.predict([text])
        return [Seen(found, self.attention(text), tuple(self._sentences(text)))]

    def notes(self, text: str) -> list[str]:
        ids, limit = self.reader.encode(text).ids, self.recipe.data.max_length
        read = [token for token in ids if token != EOS]  # the marks between sentences are known
        return [*unknown_note(read), *length_note(len(ids), limit, "shorten the text")]

    def unread(self, texts: Sequence[str]) -> list[str]:
        return cut_note(self.reader.encode_batch(list(texts)), self.recipe.data.max_length, "texts")

    def _sentences(self, text: str) -> list[str]:
        """Of a hierarchy a line for each sentence with its weight. The one that holds only what a cut has left of it, too."""
        if not isinstance(self.network, HierarchicalClassifier):
            return []
        [ids] = self._ids([text])
        _, weights, number = classification.levels(self.network, ids)
        parts, shown, part = sentences_of(text), [], 0
        for i, share in enumerate(weights):
            shown.append(f"{share:6.1%}  {i + 1}. {parts[part] if part < len(parts) else ''}".rstrip())
            last = np.flatnonzero(number == i)[-1]
            part += bool(last < len(ids) and ids[last] == EOS)  # one that was cut in two goes on
        return shown

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [ids[: self.recipe.data.max_length] for ids in self.reader.encode_batch(list(texts))]
