"""How probable a model holds outputs that somebody else said."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING

import torch

from regard.batch import Batch, of_like_length
from regard.data import Encoding
from regard.decoding import Hypothesis
from regard.models import EncoderDecoder
from regard.run.lines import unknown_note
from regard.run.translation.prediction import Prediction, attention_map, attention_weights

if TYPE_CHECKING:
    from regard.run.translation.model import Model

AREA, ROWS = 1 << 16, 256  # target times source positions of a batch, and pairs


def scored(model: Model, sources: Sequence[str], targets: Sequence[str], attention: bool) -> list[Prediction]:
    """What `Model.score` returns, in order."""
    read = [model.encode(line) for line in sources]
    said = [_first(model, model.target_tokenizer.encode(line)) for line in targets]
    found: list[Prediction | None] = [None] * len(read)
    sizes = [(len(there.ids), len(here.ids)) for (here, _), (there, _) in zip(read, said, strict=True)]
    for rows in of_like_length(sizes, area=AREA, rows=ROWS):
        ids = [said[i][0].ids for i in rows]
        batch = Batch.of([read[i][0].ids for i in rows], ids)
        hypotheses = [
            Hypothesis(each, sum(steps), steps, finished=True)
            for each, steps in zip(ids, likelihoods(model.network, batch), strict=True)
        ]
        looked = [None] * len(rows)
        if attention and model.network.looks:
            looked = attention_weights(model.network, [read[i][0].ids for i in rows], hypotheses)
        for i, hypothesis, weights in zip(rows, hypotheses, looked, strict=True):
            encoding, notes = read[i]
            words = model.source_tokenizer.split_words(sources[i])
            found[i] = Prediction(
                source=sources[i],
                text=targets[i],
                score=hypothesis.score,
                tokens=model.target_tokenizer.tokens(hypothesis.ids),
                log_probabilities=hypothesis.log_probabilities,
                attention=None
                if weights is None
                else attention_map(weights, encoding, words, hypothesis, model.target_tokenizer),
                notes=[*(f"source: {note}" for note in notes), *said[i][1]],
                ids=hypothesis.ids,
            )
    return [each for each in found if each is not None]


def perplexity(predictions: Sequence[Prediction]) -> float:
    """Of a token, ends included."""
    tokens = sum(len(each.log_probabilities) for each in predictions)
    return exp(-sum(each.score for each in predictions) / tokens)


@torch.inference_mode()
def likelihoods(network: EncoderDecoder, batch: Batch) -> list[list[float]]:
    """Of each pair, the log-probability of each token and of the end."""
    network.eval()
    steps = network.likelihood(batch.to(next(network.parameters()).device)).tolist()
    lengths = iter((batch.target_lengths - 1).tolist())
    taken, found = 0, []
    for length in lengths:
        found.append(steps[taken : taken + length])
        taken += length
    return found


def _first(model: Model, encoding: Encoding) -> tuple[Encoding, list[str]]:
    limit = model.recipe.data.max_length
    unknown = unknown_note(encoding.ids, "of the target ")
    if len(encoding.ids) <= limit:
        return encoding, unknown
    note = (
        f"target: {len(encoding.ids)} tokens are more than data.max_length = {limit}, so only the first {limit} count"
    )
    return encoding.first(limit), [*unknown, note]
