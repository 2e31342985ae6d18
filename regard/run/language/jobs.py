"""The jobs of language models: to say what comes next, and to say what is hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from rich.console import Console

from regard import build
from regard.build.language import language_model as new_network
from regard.build.language import masked_language_model as new_masked_network
from regard.config.language import LanguageModelRecipe, MaskedLanguageModelRecipe
from regard.data.masking import MaskedBatch, MaskedBatches, word_beginnings
from regard.data.text import TextBatch, TextBatches
from regard.evaluation import Score
from regard.models.language_model import LanguageModel as Network
from regard.models.language_model import MaskedLanguageModel as MaskedNetwork
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.language.causal import LanguageModel, likelihood_scores
from regard.run.language.masked import MaskedLanguageModel, restored_scores
from regard.run.language.reading import Prepared, prepare_text
from regard.tasks import language_model
from regard.training.loop import Loss


class _TextJob:
    """What both jobs have in common."""

    criterion = "valid_loss"
    larger_is_better = False

    prepared: Prepared[Any]

    @property
    def items(self) -> int:
        return len(self.prepared.corpus)

    @property
    def what(self) -> str:
        return self.prepared.recipe.data.unit

    def facts(self) -> Mapping[str, Any]:
        valid = self.prepared.valid
        return {
            "scored_on": "held out from training" if self.prepared.held_out else "validation text",
            "documents": len(valid),
            "tokens": int(valid.said),
            "characters": int(valid.characters.sum()),
        }


@dataclass
class LanguageModelJob(_TextJob):
    prepared: Prepared[LanguageModelRecipe]
    network: Network
    batches: TextBatches
    name: str

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        prepared = prepare_text(LanguageModelRecipe, tree, folder, console, origin, resume)
        recipe = prepared.recipe
        torch.manual_seed(recipe.seed)
        network = new_network(recipe.model, prepared.tokenizer.size, prepared.context)
        return cls(
            prepared,
            network.to(build.device(recipe.training.device)),
            TextBatches(prepared.corpus, prepared.context, recipe.training.batch_tokens, recipe.seed),
            folder.path.name,
        )

    @property
    def recipe(self) -> LanguageModelRecipe:
        return self.prepared.recipe

    def loss(self, batch: TextBatch) -> Loss:
        return language_model.loss(self.network, batch, smoothing=self.recipe.training.label_smoothing)

    def validate(self) -> dict[str, float]:
        found = self._measure()
        return {
            "valid_loss": found.nats / found.tokens,
            "valid_perplexity": found.perplexity,
            "valid_bits_per_character": found.bits_per_character,
        }

    def scores(self) -> list[Score]:
        return likelihood_scores(self._measure(), self.prepared.context)

    def _measure(self) -> language_model.Likelihood:
        return language_model.measure(self.network, self.prepared.valid, context=self.prepared.context)

    def model(self) -> LanguageModel:
        return LanguageModel(self.network.eval(), self.prepared.tokenizer, self.recipe, self.name)


@dataclass
class MaskedLanguageModelJob(_TextJob):
    prepared: Prepared[MaskedLanguageModelRecipe]
    network: MaskedNetwork
    batches: MaskedBatches
    name: str

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        prepared = prepare_text(MaskedLanguageModelRecipe, tree, folder, console, origin, resume)
        recipe, tokenizer = prepared.recipe, prepared.tokenizer
        torch.manual_seed(recipe.seed)
        network = new_masked_network(recipe.model, tokenizer.size, prepared.context)
        batches = MaskedBatches(
            prepared.corpus,
            prepared.context,
            recipe.training.batch_tokens,
            recipe.seed,
            vocabulary=tokenizer.size,
            rate=recipe.masking.rate,
            beginnings=word_beginnings(tokenizer) if recipe.masking.whole_words else None,
        )
        return cls(prepared, network.to(build.device(recipe.training.device)), batches, folder.path.name)

    @property
    def recipe(self) -> MaskedLanguageModelRecipe:
        return self.prepared.recipe

    def loss(self, batch: MaskedBatch) -> Loss:
        return language_model.masked_loss(self.network, batch, smoothing=self.recipe.training.label_smoothing)

    def validate(self) -> dict[str, float]:
        found = self._restore()
        return {
            "valid_loss": found.nats / found.tokens,
            "valid_perplexity": found.perplexity,
            "valid_accuracy": found.accuracy,
        }

    def scores(self) -> list[Score]:
        return restored_scores(self._restore(), self.recipe.masking.rate)

    def _restore(self) -> language_model.Restored:
        return self.model().restore(self.prepared.valid)

    def model(self) -> MaskedLanguageModel:
        return MaskedLanguageModel(self.network.eval(), self.prepared.tokenizer, self.recipe, self.name)
