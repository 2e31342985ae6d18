"""The job of translation, and of every other transduction of one line into another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console

from regard import build
from regard.batch import Batch
from regard.config import HiddenMarkovPart, Recipe, TransformerPart
from regard.config.recipe import VECTORS
from regard.data import Batches, MergeDropout, Tokenizer
from regard.errors import UsageError
from regard.evaluation import Score
from regard.models import EncoderDecoder
from regard.run.corpus import Tree, ValidationSet, guide_of
from regard.run.folder import RunFolder
from regard.run.translation.model import Model, new_network
from regard.run.translation.parent import Parent
from regard.run.translation.preparing import prepare
from regard.run.translation.validation import Validator
from regard.run.vectors import begin_with_vectors, embedding_of
from regard.tasks import translation
from regard.training.loop import Loss


@dataclass
class TranslationJob:
    recipe: Recipe
    network: EncoderDecoder
    batches: Batches
    tokenizers: tuple[Tokenizer, Tokenizer]
    valid: ValidationSet
    validator: Validator
    looking: translation.Looking
    items: int
    name: str
    what: str = "pairs"

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        recipe, valid, corpus, tokenizers = prepare(tree, folder, console, origin, resume)
        training = recipe.training
        torch.manual_seed(recipe.seed)
        network = new_network(recipe, *tokenizers)
        looking = translation.Looking.of(training, guide_of(recipe, corpus, tokenizers))
        looking.check(network)
        if recipe.model.pretrained is not None and not folder.resumable:
            parent = Parent(recipe.model.pretrained)
            parent.load_into(network)
            console.print(f"training begins with the weights of {parent.folder.path}", highlight=False)
        elif not folder.resumable:
            _begin_with_vectors(recipe, network, tokenizers, console)
        network.to(build.device(training.device))
        assert training.precision != "auto"
        return cls(
            recipe,
            network,
            Batches(corpus, training.batch_tokens, recipe.seed, dropouts=_dropouts(recipe, tokenizers)),
            tokenizers,
            valid,
            Validator(network, tokenizers, valid, recipe, training.precision),
            looking,
            len(corpus),
            folder.path.name,
        )

    @property
    def criterion(self) -> str:
        return self.validator.criterion

    @property
    def larger_is_better(self) -> bool:
        return self.validator.larger_is_better

    def loss(self, batch: Batch) -> Loss:
        training = self.recipe.training
        return translation.loss(
            self.network, batch, smoothing=training.label_smoothing, r_drop=training.r_drop, looking=self.looking
        )

    def validate(self) -> dict[str, float]:
        return self.validator()

    def scores(self) -> list[Score]:
        final = Validator(self.network, self.tokenizers, self.valid, self.recipe, "fp32")
        return final.final(self.recipe.decoding.beam)

    def facts(self) -> Mapping[str, Any]:
        return {
            "scored_on": "held out from training" if self.valid.held_out else "validation set",
            "sentences": len(self.valid.sources),
            "beam": self.recipe.decoding.beam,
        }

    def model(self) -> Model:
        return Model(self.network.eval(), *self.tokenizers, self.recipe, self.name)


def _begin_with_vectors(
    recipe: Recipe, network: EncoderDecoder, tokenizers: tuple[Tokenizer, Tokenizer], console: Console
) -> None:
    """Each side's file of vectors. UsageError where two sides that share a vocabulary have one each."""
    part = recipe.model
    if isinstance(part, HiddenMarkovPart):
        return
    if recipe.data.shared_vocabulary and part.target_vectors is not None:
        raise UsageError(
            "model.target_vectors: source and target share one vocabulary, whose vectors are model.source_vectors: give "
            "those, or set data.shared_vocabulary = false"
        )
    size = "dim" if isinstance(part, TransformerPart) else "embedding"
    sides = (network.encoder, network.decoder)
    for name, file, side, tokenizer in zip(
        VECTORS, (part.source_vectors, part.target_vectors), sides, tokenizers, strict=True
    ):
        if file is not None:
            begin_with_vectors(embedding_of(side), tokenizer, Path(file), f"model.{name}", f"model.{size}", console)


def _dropouts(
    recipe: Recipe, tokenizers: tuple[Tokenizer, Tokenizer]
) -> tuple[MergeDropout | None, MergeDropout | None]:
    """BPE-dropout for the sides that are cut by BPE."""
    rate = recipe.data.bpe_dropout
    if not rate:
        return None, None
    source, target = (tokenizer.halves() for tokenizer in tokenizers)
    return (
        None if source is None else MergeDropout(source, rate),
        None if target is None else MergeDropout(target, rate),
    )
