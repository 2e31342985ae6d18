"""Finished runs as readers of sentences: which vectors a word has by layer, and what it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from regard.attention import attends, capture
from regard.batch import BOS, EOS, SPECIAL_TOKENS, rectangle
from regard.data import Encoding, Tokenizer
from regard.data.tokenizer import SPACE
from regard.errors import UsageError
from regard.models import TransformerEncoder
from regard.models.classifier import HierarchicalClassifier
from regard.models.language_model import TransformerLanguageModel, no_source
from regard.run.classification import ClassifierModel
from regard.run.language.causal import LanguageModel
from regard.run.language.masked import MaskedLanguageModel
from regard.run.loading import load
from regard.run.translation.model import Model
from regard.tasks.language_model import contextual

TASKS = "translation, masked-language-model, language-model or classification"


@dataclass(frozen=True)
class Vectors:
    """Of some tokens of one sentence: the static ones, then those of each layer."""

    by_layer: list[Float[Tensor, "S D"]]

    def mean(self, places: Sequence[int]) -> Float[Tensor, "layers D"]:
        """One vector a layer, the static one first: the mean of those of the tokens at `places`."""
        return torch.stack([layer[list(places)].mean(dim=0) for layer in self.by_layer])


class Reader:
    """A Transformer that reads sentences, of whatever task. `before` and `after` are the marks that it was trained to
    see around the tokens, `limit` how many tokens it reads between them."""

    def __init__(
        self,
        name: str,
        body: TransformerEncoder | TransformerLanguageModel,
        tokenizer: Tokenizer,
        limit: int,
    ) -> None:
        self.name, self.tokenizer, self.limit = name, tokenizer, limit
        self.body = body.eval()
        forwards = isinstance(body, TransformerLanguageModel)
        self.before, self.after = ([BOS], []) if forwards else ([], [EOS])

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> Reader:
        """Reads a run folder; UsageError where it holds no Transformer that reads text."""
        model = load(run, device)
        body, tokenizer, limit = _parts(model, run)
        if not isinstance(body, TransformerEncoder | TransformerLanguageModel):
            raise UsageError(
                f"{run} has no Transformer to read with, in which words pull each other by attention: give a run that has"
            )
        return cls(model.name, body, tokenizer, limit)

    @property
    def device(self) -> torch.device:
        return self.body.embedding.weight.device

    @property
    def layers(self) -> int:
        return len(self.body.layers)

    @property
    def start(self) -> int:
        """The place of a sentence's first token."""
        return len(self.before)

    def marked(self, ids: Sequence[int]) -> list[int]:
        return [*self.before, *ids, *self.after]

    def part(self, encoding: Encoding, places: Sequence[int]) -> tuple[Encoding, list[int]]:
        """As much of a sentence as is read at once, with the tokens at `places` about in its middle."""
        if len(encoding.ids) <= self.limit:
            return encoding, list(places)
        middle = (places[0] + places[-1]) // 2
        begin = min(max(0, middle - self.limit // 2), len(encoding.ids) - self.limit)
        inside = slice(begin, begin + self.limit)
        cut = Encoding(encoding.ids[inside], encoding.tokens[inside], encoding.offsets[inside], encoding.words[inside])
        return cut, [place - begin for place in places if begin <= place < begin + self.limit]

    def vectors(self, sentences: Sequence[Sequence[int]]) -> list[Vectors]:
        """Of the tokens of each sentence, marks left out; all are read in one batch."""
        ids, lengths = rectangle([self.marked(sentence) for sentence in sentences])
        layers = contextual(self.body, ids.to(self.device), lengths.to(self.device))
        layers = [layer.float().cpu() for layer in layers]
        return [
            Vectors([layer[row, self.start : self.start + len(sentence)] for layer in layers])
            for row, sentence in enumerate(sentences)
        ]

    def weights(self, sentence: Sequence[int]) -> Float[Tensor, "L H S S"]:
        """What each token looks at in each layer and head, marks among them."""
        ids, lengths = rectangle([self.marked(sentence)])
        ids, lengths = ids.to(self.device), lengths.to(self.device)
        with torch.inference_mode(), capture(self.body) as seen:
            if isinstance(self.body, TransformerEncoder):
                self.body(ids, lengths)
            else:
                self.body.features(ids, self.body.start(no_source(1, self.device)))
            return torch.stack([seen.steps(name)[0].float().cpu() for name in attends(self.body)])

    def words(self) -> tuple[list[str], Float[Tensor, "W D"]]:
        """The whole words of the vocabulary that have a letter, and their static vectors."""
        size = self.tokenizer.size
        tokens = self.tokenizer.tokens(range(size))
        whole = self.tokenizer.kind in ("words", "characters")
        chosen = [
            number
            for number, token in enumerate(tokens)
            if number >= len(SPECIAL_TOKENS)
            and (whole or token.startswith(SPACE))
            and any(character.isalpha() for character in token)
        ]
        table = self.body.embedding.weight.detach()[chosen].float().cpu()
        return [tokens[number].removeprefix(SPACE) for number in chosen], table


def _parts(model: Any, run: str | Path) -> tuple[Any, Tokenizer, int]:
    """What reads, by which tokens, and how many at once."""
    match model:
        case MaskedLanguageModel():
            return model.network.encoder, model.tokenizer, model.context - 1
        case LanguageModel():
            return model.network, model.tokenizer, model.context - 1
        case Model():
            return model.network.encoder, model.source_tokenizer, model.recipe.data.max_length
        case ClassifierModel() if isinstance(model.network, HierarchicalClassifier):
            raise UsageError(f"{run} reads each sentence apart, with no encoder of its own: give a run that has one")
        case ClassifierModel():
            return model.network.encoder, model.tokenizer, model.recipe.data.max_length
        case _:
            raise UsageError(f"{run} is a run of {model.recipe.task}, which reads no words alone: give one of {TASKS}")
