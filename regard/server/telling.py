"""Predictions as the JSON of a reply, whole or while they grow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from regard.batch import EOS, SPECIAL_TOKENS
from regard.evaluation.diagnostics import Diagnostics, diagnose
from regard.run import Model, Prediction
from regard.run.translation.streaming import Partial
from regard.server.answering import dump


def event(kind: str, data: dict[str, Any]) -> bytes:
    """A server-sent event. JSON escapes the line ends in its strings, so that it is one line."""
    return b"event: " + kind.encode() + b"\ndata: " + dump(data) + b"\n\n"


def source_json(model: Model, line: str) -> dict[str, Any]:
    """What the columns of a stream's attention are, and what its layers are called, as a whole map names them."""
    encoding = model.source_tokenizer.encode(line).first(model.recipe.data.max_length)
    words = model.source_tokenizer.split_words(line)
    return {
        "source": [*encoding.tokens, SPECIAL_TOKENS[EOS]],
        "source_words": [*words, SPECIAL_TOKENS[EOS]],
        "source_word_of": [*encoding.words, len(words)],
        "layers": [str(number + 1) for number in range(len(model.network.looking))],
    }


def partial_json(partial: Partial, *, attention: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "step": partial.step,
        "token": partial.tokens[-1] if partial.tokens else "",
        "text": partial.text,
        "settled": partial.settled,
        "tokens": partial.tokens,
        "log_probability": _number(partial.log_probability),
        "score": _number(partial.score),
    }
    if attention and partial.attention is not None:
        row["attention"] = np.asarray(partial.attention, dtype=np.float64).round(6).tolist()
    return row


def prediction_json(
    said: Prediction, *, attention: bool = False, nbest: bool = False, diagnosed_by: Model | None = None
) -> dict[str, Any]:
    """`diagnosed_by` is the model that said it, where diagnostics are asked for."""
    row: dict[str, Any] = {
        "input": said.source,
        "text": said.text,
        "score": _number(said.score),
        "tokens": said.tokens,
        "log_probabilities": [_number(value) for value in said.log_probabilities],
        "notes": said.notes,
    }
    if nbest:
        row["nbest"] = [
            {"text": other.text, "score": _number(other.score), "tokens": other.tokens} for other in said.alternatives
        ]
    if said.attention is not None and said.attention.target:  # an empty text looked at nothing
        row["alignment"] = [list(pair) for pair in said.attention.alignment()]
        if attention:
            row["attention"] = said.attention.to_json(packed=True)
    if said.steering is not None:
        row["steering"] = said.steering.to_json()
    if said.tree is not None:
        row["tree"] = said.tree.to_json()
    if diagnosed_by is not None:
        row["diagnostics"] = diagnostics_of(said, diagnosed_by).to_json()
    return row


def diagnostics_of(said: Prediction, model: Model) -> Diagnostics:
    """Of its attention where the model has any, else of its words alone."""
    seen = said.attention
    if seen is not None and seen.target:
        sides = seen.source_words, seen.target_words, seen.source_word_of, seen.target_word_of
        return diagnose(seen.weights, said.log_probabilities, *sides)
    encoding = model.source_tokenizer.encode(said.source).first(model.recipe.data.max_length)
    words, word_of = model.target_tokenizer.words(said.ids)
    source_words = model.source_tokenizer.split_words(said.source)
    return diagnose(None, said.log_probabilities[: len(said.ids)], source_words, words, encoding.words, word_of)


def _number(value: float | None) -> float | None:
    """JSON has no infinity, which is the log-probability of what cannot be said."""
    return value if value is not None and math.isfinite(value) else None
