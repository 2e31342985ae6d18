"""An encoder that a masked language model has learned, as the beginning of another run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from regard.config.classification import ClassificationRecipe
from regard.config.language import MaskedLanguageModelRecipe
from regard.data import Tokenizer
from regard.data.labels import ClassificationBatch, ClassificationBatches
from regard.errors import UsageError
from regard.run.folder import RunFolder
from regard.run.language.reading import read_tokenizer
from regard.run.weights import check_weights
from regard.training.checkpoint import load_parameters, load_tensors


class Pretrained:
    """A finished run of masked-language-model, from which tokenizer and encoder are taken."""

    def __init__(self, run: str) -> None:
        self.folder = RunFolder(Path(run).resolve())
        recipe = self.folder.read_recipe()
        if not isinstance(recipe, MaskedLanguageModelRecipe):
            raise UsageError(
                f"{run} is a run of {recipe.task}, and model.pretrained needs one of masked-language-model"
            )
        check_weights(self.folder)
        self.recipe = recipe

    def tokenizer(self) -> Tokenizer:
        return read_tokenizer(self.folder)

    def fill(self, recipe: ClassificationRecipe) -> ClassificationRecipe:
        """The recipe with all that follows from the run. UsageError where it asks for something else."""
        stack, text = self.recipe.model, self.recipe.data
        assert text.context is not None
        sizes = {"embedding": stack.dim, "layers": stack.layers, "heads": stack.heads}
        sizes |= {"feed_forward": stack.feed_forward, "encoder": "transformer"}
        self._agrees("model", recipe.model, sizes)
        pieces = {"tokenizer": text.tokenizer, "vocabulary": text.vocabulary}
        self._agrees("data", recipe.data, pieces)
        longest = text.context - 1  # the end of a text takes a place
        if "max_length" in recipe.data.model_fields_set and recipe.data.max_length > longest:
            raise UsageError(
                f"data.max_length is {recipe.data.max_length}, and {self.folder.path} reads {longest} tokens: write "
                f"{longest} at most"
            )
        dropout = recipe.model.dropout if "dropout" in recipe.model.model_fields_set else stack.dropout
        filled = {**sizes, "dropout": dropout, "stack": stack.model_copy(update={"dropout": dropout})}
        filled |= {"pretrained": str(self.folder.path), "context": text.context}
        pieces |= {"max_length": min(recipe.data.max_length, longest)}
        return recipe.model_copy(
            update={"model": recipe.model.model_copy(update=filled), "data": recipe.data.model_copy(update=pieces)}
        )

    def _agrees(self, section: str, part: Any, wanted: dict[str, Any]) -> None:
        for key, value in wanted.items():
            asked = getattr(part, key)
            if key in part.model_fields_set and asked != value:
                raise UsageError(
                    f"{section}.{key} is {asked}, and that of {self.folder.path} is {value}: leave it out, or "
                    "pretrain another run"
                )

    def load_into(self, encoder: nn.Module) -> None:
        """Copies the encoder's weights, bit by bit."""
        tensors = load_tensors(self.folder.weights)
        start = "encoder."
        inner = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
        load_parameters(encoder, inner, self.folder.weights)


class Thawing:
    """Batches that know which epoch they are of, and an encoder that does not learn in the first ones."""

    def __init__(self, batches: ClassificationBatches, encoder: nn.Module, frozen_epochs: int) -> None:
        self._batches, self._encoder, self._frozen_epochs = batches, encoder, frozen_epochs
        self._number = 0

    def epoch(self, number: int, start: int = 0) -> Iterator[ClassificationBatch]:
        for batch in self._batches.epoch(number, start):
            self._number = number
            yield batch

    def count(self, number: int) -> int:
        return self._batches.count(number)

    def set(self) -> None:
        """Before each loss. What needs no gradient gets none, and an optimizer leaves it as it is."""
        learns = self._number >= self._frozen_epochs
        for parameter in self._encoder.parameters():
            parameter.requires_grad_(learns)
