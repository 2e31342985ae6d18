"""How good a network is on a validation set, while it is trained and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from regard.config import Recipe
from regard.data import Batches, Tokenizer
from regard.errors import UsageError
from regard.evaluation import RESAMPLES, Metric, Score, score
from regard.models import EncoderDecoder
from regard.run.corpus import ValidationSet
from regard.run.translation.unknown import texts
from regard.tasks import translation
from regard.tasks.translation import Search
from regard.training.precision import Precision


class Validator:
    """Loss and the task's metrics on a validation set."""

    def __init__(
        self,
        network: EncoderDecoder,
        tokenizers: tuple[Tokenizer, Tokenizer],
        valid: ValidationSet,
        recipe: Recipe,
        precision: Precision,
    ) -> None:
        self.network, self.tokenizers, self.valid = network, tokenizers, valid
        self.precision = precision
        self.metrics = translation.metrics(recipe.data, *tokenizers, valid.references)
        self.batches = Batches(valid.corpus, recipe.training.batch_tokens, 0, shuffle=False)
        self.how = Search.of(recipe.decoding, recipe.data.max_length)
        self.ids = [ids[: recipe.data.max_length] for ids in tokenizers[0].encode_batch(valid.sources)]
        of = translation.metrics_by_name(recipe.data, *tokenizers, valid.references)
        chosen = _chosen(recipe.training.choose_by, of, network)
        # Too few for a rate to choose by; and by a lexicon one aligns, and hardly translates.
        few = len(valid.sources) < 50 or network.lexical
        if recipe.training.choose_by is None and not few:
            chosen = self.metrics[0]
        self.watched = self.metrics[:2]
        if chosen is not None and chosen not in self.watched:
            self.watched = [*self.watched, chosen]
        if chosen is not None and chosen not in self.metrics:
            self.metrics = [*self.metrics, chosen]
        self.criterion = "valid_loss" if chosen is None else _key(chosen.name)
        self.larger_is_better = chosen is not None and chosen.higher_is_better

    def __call__(self) -> dict[str, float]:
        """By greedy search, and without confidence: quick, and good enough to choose by."""
        self.network.eval()
        if self.network.lexical:
            return {"valid_loss": self._loss()}
        return {"valid_loss": self._loss()} | {_key(s.name): s.value for s in self.scores(1, self.watched, 0)}

    def final(self, beam: int) -> list[Score]:
        """With confidence; of a lexicon, how well it expects the words."""
        if self.network.lexical:
            self.network.eval()
            return [Score("perplexity", math.exp(self._loss()), None, None, "per:token|level:target")]
        return self.scores(beam, self.metrics)

    def scores(self, beam: int, metrics: Sequence[Metric], bootstrap: int = RESAMPLES) -> list[Score]:
        found = translation.search(self.network, self.ids, replace(self.how, beam=beam))
        said = texts(self.network, self.tokenizers, self.valid.sources, self.ids, [each[0] for each in found], self.how)
        return [score(metric, said, self.valid.references, bootstrap=bootstrap) for metric in metrics]

    def _loss(self) -> float:
        device = next(self.network.parameters()).device
        likelihood = tokens = 0.0
        low = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=low):
            for batch in self.batches.epoch(0):
                loss = translation.loss(self.network, batch.to(device), smoothing=0.0)
                likelihood += float(loss.likelihood)
                tokens += loss.tokens
        return likelihood / tokens


def _chosen(name: str | None, of: Mapping[str, Metric], network: EncoderDecoder) -> Metric | None:
    """The metric that a recipe names; None for the loss."""
    if name is None or name == "loss":
        return None
    if network.lexical:
        raise UsageError(
            f'training.choose_by is "{name}", but a model that says words by a lexicon alone is not scored by what it '
            'says: write "loss", or leave it out'
        )
    if name not in of:
        own = ", ".join(f'"{each}"' for each in of)
        raise UsageError(f'training.choose_by is "{name}", which is no score of this run: write {own} or "loss"')
    return of[name]


def _key(name: str) -> str:
    return "valid_" + name.lower().replace(" ", "_").replace("-", "_")
