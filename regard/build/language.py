"""Where the choices of a language model's recipe become modules."""

from __future__ import annotations

import math
from typing import assert_never

from torch import nn

from regard.attention import Alibi, Attend, Bias, MultiHead, Relative, Rotary
from regard.attention.scopes import LocalPredictive, Scope
from regard.build.mechanism import backward_only, normalizer, scope, score
from regard.build.translation import output_layer
from regard.config.language import CausalStackPart, StackPart, TextRecurrentPart
from regard.layers import Embedding, EncoderLayer, FeedForward, Learned, NoPositions, Recurrent, Sinusoidal
from regard.layers.causal import CausalLayer
from regard.models import TransformerEncoder
from regard.models.language_model import (
    LanguageModel,
    MaskedLanguageModel,
    RecurrentLanguageModel,
    TransformerLanguageModel,
)


def language_model(part: CausalStackPart | TextRecurrentPart, vocabulary: int, context: int) -> LanguageModel:
    """A model of what comes next, that reads up to `context` tokens."""
    match part:
        case TextRecurrentPart():
            return _recurrent(part, vocabulary, context)
        case CausalStackPart():
            return _causal(part, vocabulary, context)
        case never:
            assert_never(never)


def masked_language_model(part: StackPart, vocabulary: int, context: int) -> MaskedLanguageModel:
    """A model of what is hidden; its embedding has a row more, for the mask."""
    pre = part.norm == "pre"
    where = scope(part.attention.scope, part.dim // part.heads)
    layers = [
        EncoderLayer(
            part.dim,
            _heads(part, context, where, both_sides=True),
            _feed_forward(part),
            dropout=part.dropout,
            pre_norm=pre,
        )
        for _ in range(part.layers)
    ]
    embedding = Embedding(vocabulary + 1, part.dim, math.sqrt(part.dim))
    return MaskedLanguageModel(
        TransformerEncoder(embedding, _positions(part, context), layers, dropout=part.dropout, pre_norm=pre)
    )


def _causal(part: CausalStackPart, vocabulary: int, context: int) -> TransformerLanguageModel:
    pre = part.norm == "pre"
    embedding = Embedding(vocabulary, part.dim, math.sqrt(part.dim))
    layers = [
        CausalLayer(
            part.dim,
            _heads(part, context, backward_only(part.attention.scope), both_sides=False),
            _feed_forward(part),
            dropout=part.dropout,
            pre_norm=pre,
        )
        for _ in range(part.layers)
    ]
    output = output_layer(embedding, vocabulary, part.tie_embeddings)
    return TransformerLanguageModel(
        embedding, _positions(part, context), layers, output, dropout=part.dropout, pre_norm=pre
    )


def _recurrent(part: TextRecurrentPart, vocabulary: int, context: int) -> RecurrentLanguageModel:
    embedding = Embedding(vocabulary, part.embedding)
    layers = Recurrent(part.cell, part.embedding, part.hidden, part.layers, dropout=part.dropout)
    chosen, attend = part.attention, None
    if chosen is not None:
        compare = score(chosen, part.hidden, part.hidden, part.hidden, context)
        attend = Attend(compare, normalizer(chosen), backward_only(chosen.scope))
    output = output_layer(embedding, vocabulary, part.tie_embeddings)
    return RecurrentLanguageModel(embedding, layers, output, dropout=part.dropout, attend=attend)


def _heads(part: StackPart, context: int, where: Scope | LocalPredictive | None, *, both_sides: bool) -> MultiHead:
    size = part.dim // part.heads
    bias: Bias | Relative | None = None
    if part.positions == "relative":
        bias = Relative(size, part.reach)
    elif part.positions == "alibi":
        bias = Alibi(part.heads, lopsided=both_sides)
    attend = Attend(
        score(part.attention, size, size, size, context),
        normalizer(part.attention),
        where,
        bias,
        part.attention_dropout,
    )
    rotary = Rotary(size) if part.positions == "rotary" else None
    return MultiHead(part.dim, part.heads, attend, rotary=rotary, kv_heads=part.kv_heads)


def _positions(part: StackPart, context: int) -> nn.Module:
    match part.positions:
        case "sinusoidal":
            return Sinusoidal(part.dim)
        case "learned":
            return Learned(part.dim, context)
        case "rotary" | "relative" | "alibi":
            return NoPositions()  # they are inside self-attention
        case never:
            assert_never(never)


def _feed_forward(part: StackPart) -> FeedForward:
    return FeedForward(part.dim, part.feed_forward, part.feed_forward_dropout)
