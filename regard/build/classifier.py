"""The choices of a classification recipe as modules."""

from __future__ import annotations

import math
from typing import assert_never

from torch import nn

from regard.attention import Attend, MultiHead
from regard.attention.pooling import AttentivePooling, SelfAttentivePooling
from regard.attention.scores import Additive
from regard.build.language import masked_language_model
from regard.config.classification import ClassifierPart
from regard.layers import Embedding, EncoderLayer, FeedForward, Output, Recurrent, Sinusoidal
from regard.models import RecurrentEncoder, TransformerEncoder
from regard.models.classifier import Classifier, JoinedPooling, MaxPooling, MeanPooling, QueryPooling


def classifier(part: ClassifierPart, vocabulary: int, classes: int) -> Classifier:
    encoder, size = _encoder(part, vocabulary)
    pooling, vectors = _pooling(part, size)
    output = Output(vectors * size, classes)
    nn.init.xavier_uniform_(output.weight)
    nn.init.zeros_(output.bias)
    return Classifier(encoder, pooling, output, dropout=part.output_dropout, word_dropout=part.word_dropout)


def _encoder(part: ClassifierPart, vocabulary: int) -> tuple[nn.Module, int]:
    """The encoder, and how many features a position has."""
    if part.stack is not None:
        return masked_language_model(part.stack, vocabulary, part.context or 0).encoder, part.stack.dim
    match part.encoder:
        case "recurrent":
            layers = Recurrent(
                part.cell, part.embedding, part.hidden, part.layers, bidirectional=True, dropout=part.dropout
            )
            embedding = Embedding(vocabulary, part.embedding)
            return RecurrentEncoder(embedding, layers, dropout=part.dropout), layers.output_dim
        case "transformer":
            size = part.embedding
            blocks = [
                EncoderLayer(
                    size,
                    MultiHead(size, part.heads),
                    FeedForward(size, part.feed_forward),
                    dropout=part.dropout,
                    pre_norm=True,
                )
                for _ in range(part.layers)
            ]
            embedding = Embedding(vocabulary, size, math.sqrt(size))
            return TransformerEncoder(embedding, Sinusoidal(size), blocks, dropout=part.dropout, pre_norm=True), size
        case never:
            assert_never(never)


def _pooling(part: ClassifierPart, size: int) -> tuple[nn.Module, int]:
    """The pooling, and how many vectors it gives."""
    match part.pooling:
        case "attentive":
            return AttentivePooling(size, size), 1
        case "self-attentive":
            return SelfAttentivePooling(size, size, part.hops), part.hops
        case "query":
            return QueryPooling(Attend(Additive(size, size, size)), size, part.hops), part.hops
        case "mean":
            return MeanPooling(), 1
        case "max":
            return MaxPooling(), 1
        case "max+self-attentive":
            joined = JoinedPooling([MaxPooling(), SelfAttentivePooling(size, size, part.hops)])
            return joined, part.hops + 1
        case never:
            assert_never(never)
