"""The job of classifying texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console

from regard import build
from regard.build.classifier import classifier
from regard.config import write_toml
from regard.config.classification import ClassificationRecipe
from regard.data.labels import (
    ClassificationBatch,
    ClassificationBatches,
    Labelled,
    Labels,
    held_out,
    labelled_corpus,
)
from regard.errors import RegardError, UsageError
from regard.evaluation import Score
from regard.models.classifier import Classifier, HierarchicalClassifier
from regard.run.beginning import make, with_precision
from regard.run.classification.data import labels_of, new_tokenizer, read, read_tokenizer, reader, write_dropped
from regard.run.classification.job import ClassifierTraining, recipe_for
from regard.run.classification.model import ClassifierModel
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.pretrained import Pretrained, Thawing
from regard.run.vectors import begin_with_vectors, embedding_of
from regard.training.checkpoint import write_text
from regard.training.loop import Loss

HELD_OUT = 0.1  # of each class, where no validation files are given


@dataclass
class ClassificationJob(ClassifierTraining):
    recipe: ClassificationRecipe
    network: Classifier | HierarchicalClassifier
    batches: Thawing
    valid: ClassificationBatches
    gold: Labelled
    finished: ClassifierModel
    folder: RunFolder
    items: int
    apart: bool
    what: str = "texts"
    criterion: str = "valid_accuracy"
    larger_is_better: bool = True

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        recipe = recipe_for(tree, folder, origin, resume)
        begun = None if recipe.model.pretrained is None or folder.resumable else Pretrained(recipe.model.pretrained)
        if begun is not None and not resume:
            recipe = begun.fill(recipe)
        data = recipe.data
        items = read(data, "")
        if items is None:
            raise UsageError(f"{origin} names no data: give --source FILE --target FILE, or --data FILE")
        labels = Labels.load(labels_of(folder)) if resume else Labels.of(items)
        valid = read(data, "valid_")
        given = valid is not None
        if valid is None:
            items, valid = held_out(items, HELD_OUT, recipe.seed)
            console.print(f"no validation files were given: {len(valid.rows):,} texts are kept from training for it")
        if not valid.rows:
            raise RegardError(f"{items.name} has too few texts to keep some for validation: give --valid-data FILE")
        make(folder)
        if resume:
            tokenizer = read_tokenizer(folder)
        else:
            tokenizer = begun.tokenizer() if begun is not None else new_tokenizer(recipe, items)
            tokenizer.save(folder.tokenizer("source", True))
            labels.save(labels_of(folder))
        reads = reader(recipe, tokenizer)
        corpus, apart = (labelled_corpus(of, reads, labels, max_length=data.max_length) for of in (items, valid))
        write_dropped(folder, items, corpus.too_long, data.max_length, console)
        if not resume:
            recipe = with_precision(recipe, console)
            write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        console.print(f"{labels.size} classes, {tokenizer.size:,} {tokenizer.kind} in the vocabulary", highlight=False)
        torch.manual_seed(recipe.seed)
        network = classifier(recipe.model, tokenizer.size, labels.size)
        if begun is not None and isinstance(network, Classifier):
            begun.load_into(network.encoder)
            console.print(f"the encoder is that of {begun.folder.path}", highlight=False)
        if recipe.model.vectors is not None and not folder.resumable:
            file = Path(recipe.model.vectors)
            begin_with_vectors(embedding_of(network), tokenizer, file, "model.vectors", "model.embedding", console)
        network.to(build.device(recipe.training.device))
        # What a hierarchy reads with is within its pooling, and none of it was there before.
        body = network.encoder if isinstance(network, Classifier) else network.pooling
        size = recipe.training.batch_tokens
        return cls(
            recipe,
            network,
            Thawing(ClassificationBatches(corpus, size, recipe.seed), body, recipe.model.frozen_epochs),
            ClassificationBatches(apart, size, 0, shuffle=False),
            valid,
            ClassifierModel(network, tokenizer, labels, recipe, folder.path.name),
            folder,
            len(corpus),
            not given,
        )

    def loss(self, batch: ClassificationBatch) -> Loss:
        self.batches.set()
        return super().loss(batch)

    def scores(self) -> list[Score]:
        self.calibrate()
        return self.finished.scores(self.gold)[0]

    def facts(self) -> Mapping[str, Any]:
        return self.said("sentences", len(self.gold.rows), self.apart)
