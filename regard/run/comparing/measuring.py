"""One finished run under the magnifying glass: quality, what it looks at, speed and size."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from regard.data import kept
from regard.errors import RegardError
from regard.evaluation import Metric, Score, by_length, read_gold, score
from regard.run.aligning.alignments import Alignments, given_pairs, gold_links
from regard.run.comparing.alone import memory_of
from regard.run.comparing.comparison import Measurement
from regard.run.corpus import Pairs, examined, grouped
from regard.run.folder import RunFolder
from regard.run.translation.model import Model
from regard.tasks import translation
from regard.training.checkpoint import parameters_of

EXAMPLES = 5  # inputs that are kept with what was looked at
LOOKED_AT = 200  # inputs at most whose attention's entropy is taken
WARM_UP = 8  # inputs that are said once before the clock starts


@dataclass(frozen=True)
class GoldFile:
    """Gold links, a line for each pair of the set; `one_based` None: as the file shows."""

    path: Path
    one_based: bool | None = None

    def check(self, pairs: Pairs) -> None:
        """Says before anything is trained which links cannot be those of the pairs; UsageError names their line.

        Lines of single words may be spelled, and how many letters they have only a run's tokenizer knows: there a link is
        wrong that is past all characters.
        """
        given = given_pairs(pairs)
        if any(all(len(pair[side].split(maxsplit=1)) < 2 for pair in given) for side in (0, 1)):
            lengths = [(len(source) + 1, len(target) + 1) for source, target in given]
            read_gold(self.path, lengths, one_based=bool(self.one_based))
            return
        words = [(len(source.split()), len(target.split())) for source, target in given]
        read_gold(self.path, words, one_based=self.one_based)


@dataclass(frozen=True)
class ScoredSet:
    """Inputs with their references, and how outputs are judged."""

    pairs: Pairs
    sources: list[str]
    references: list[list[str]]
    metrics: list[Metric]

    @classmethod
    def of(cls, pairs: Pairs, model: Model) -> ScoredSet:
        """The pairs as `regard evaluate` scores them for a model with this recipe and these tokenizers."""
        way = model.recipe.data, model.source_tokenizer, model.target_tokenizer
        triples = kept(pairs, examined(pairs, lambda sentence: None))
        sources, references = grouped(triples, translation.spells(*way))
        if not sources:
            raise RegardError(f"{pairs.has} no pair to score: see what 'regard doctor' says of it")
        return cls(pairs, sources, references, translation.metrics(*way, references))


def measured(model: Model, folder: RunFolder, test: ScoredSet, gold: GoldFile | None) -> tuple[Measurement, list[str]]:
    """All about a run but how it does against another, and what it says for each input."""
    model.predict(test.sources[:WARM_UP])
    start = time.perf_counter()
    predictions = list(model.predict_stream(test.sources))
    seconds = time.perf_counter() - start
    # The end of an output takes a step too.
    tokens = sum(len(p.tokens) + 1 for p in predictions)
    said = [p.text for p in predictions]
    report = folder.read_report()
    found = Measurement(
        seed=model.recipe.seed,
        scores=[score(metric, said, test.references) for metric in test.metrics],
        lengths=by_length(said, test.references, test.sources, test.metrics[0]),
        paired=None,
        entropy=entropy(model, test.sources),
        error_rate=None if gold is None else _aer(model, test.pairs, gold),
        training_speed=training_speed(folder),
        prediction_speed=tokens / max(seconds, 1e-9),
        memory=memory_of(folder),
        parameters=sum(p.numel() for p in parameters_of(model.network).values()),
        steps=_number(report, "steps"),
        seconds=_number(report, "seconds"),
        examples=model.predict(list(islice(filter(str.strip, test.sources), EXAMPLES)), attention=True),
    )
    return found, said


def entropy(model: Model, sources: Sequence[str]) -> float | None:
    """The mean entropy of the weights of a target token, in nats, over all layers and heads: the lower, the fewer
    positions are looked at. Inputs are taken from all over the set; a step that looks at nothing is not counted. None for
    a model without attention."""
    chosen = sources[:: -(-len(sources) // LOOKED_AT)]
    maps = [p.attention for p in model.predict(chosen, attention=True) if p.attention is not None]
    rows = np.concatenate([np.zeros(0), *(each.entropy()[each.weights.sum(axis=-1) > 0] for each in maps)])
    return float(rows.mean()) if len(rows) else None


def training_speed(folder: RunFolder) -> float | None:
    """Target tokens per second of training steps alone: preparing and validating are left out."""
    tokens = seconds = 0.0
    try:
        for line in folder.metrics.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row.get("tokens_per_second"):
                tokens += row["tokens"]
                seconds += row["tokens"] / row["tokens_per_second"]
    except (OSError, ValueError):
        return None
    return tokens / seconds if seconds else None


def _aer(model: Model, pairs: Pairs, gold: GoldFile) -> Score | None:
    """The alignment error rate of the attention while it says the references. None for a model without attention."""
    if not model.network.looks:
        return None
    given = given_pairs(pairs)
    links = gold_links(gold.path, model, given, one_based=gold.one_based)
    alignments = Alignments(model, given, gold=links)
    for _ in alignments:
        continue
    scores = alignments.report().scores
    return None if scores is None else scores.aer


def _number(report: dict[str, object], key: str) -> int:
    value = report.get(key)
    return round(value) if isinstance(value, int | float) else 0
