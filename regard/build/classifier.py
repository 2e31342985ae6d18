"""The choices of a classification recipe as modules."""

from __future__ import annotations

import math
from typing import assert_never

from torch import nn

from regard.attention import Attend, MultiHead
from regard.attention.pooling import AttentivePooling, HierarchicalPooling, SelfAttentivePooling
from regard.attention.scores import Additive
from regard.build.language import masked_language_model
from regard.config.classification import ClassifierPart
from regard.layers import Embedding, EncoderLayer, FeedForward, Output, Recurrent, Sinusoidal
from regard.layers.vision import ConvGrid, SinusoidalGrid
from regard.models import RecurrentEncoder, TransformerEncoder
from regard.models.classifier import (
    Classifier,
    Context,
    HierarchicalClassifier,
    JoinedPooling,
    MaxPooling,
    MeanPooling,
    PlaceEncoder,
    QueryPooling,
)
from regard.models.convolutional import ConvolutionalEncoder


def classifier(part: ClassifierPart, vocabulary: int, classes: int) -> Classifier | HierarchicalClassifier:
    """A classifier of texts."""
    if part.pooling == "hierarchical":
        return _hierarchical(part, vocabulary, classes)
    encoder, size = _encoder(part, vocabulary)
    pooling, vectors = _pooling(part, size)
    output = _output(vectors * size, classes)
    return Classifier(encoder, pooling, output, dropout=part.output_dropout, word_dropout=part.word_dropout)


def picture_classifier(part: ClassifierPart, channels: int, classes: int) -> Classifier:
    """A classifier of pictures of so many channels."""
    size = part.embedding
    vision = ConvGrid(channels, part.widths, size, blocks=part.blocks, positions=SinusoidalGrid(size))
    encoder = PlaceEncoder(vision, size, _blocks(part, part.grid_layers), dropout=part.dropout)
    pooling, vectors = _pooling(part, size)
    return Classifier(encoder, pooling, _output(vectors * size, classes), dropout=part.output_dropout)


def _hierarchical(part: ClassifierPart, vocabulary: int, classes: int) -> HierarchicalClassifier:
    """Both networks have the sizes of the recipe. The end of a sentence is the only token that ends one: the data mark
    it (`regard.data.stops`)."""

    def context(size: int) -> Context:
        layers = Recurrent(part.cell, size, part.hidden, part.layers, bidirectional=True, dropout=part.dropout)
        return Context(layers, dropout=part.dropout)

    size = 2 * part.hidden
    pooling = HierarchicalPooling(
        context(part.embedding), AttentivePooling(size, size), context(size), AttentivePooling(size, size)
    )
    return HierarchicalClassifier(
        Embedding(vocabulary, part.embedding),
        pooling,
        _output(size, classes),
        longest=part.longest_sentence,
        dropout=part.output_dropout,
        word_dropout=part.word_dropout,
    )


def _output(size: int, classes: int) -> Output:
    output = Output(size, classes)
    nn.init.xavier_uniform_(output.weight)
    nn.init.zeros_(output.bias)
    return output


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
            size, blocks = part.embedding, _blocks(part, part.layers)
            embedding = Embedding(vocabulary, size, math.sqrt(size))
            return TransformerEncoder(embedding, Sinusoidal(size), blocks, dropout=part.dropout, pre_norm=True), size
        case "convolutional":
            embedding = Embedding(vocabulary, part.embedding)
            encoder = ConvolutionalEncoder(embedding, part.windows, part.filters, dropout=part.dropout)
            return encoder, encoder.output_dim
        case "grid":
            raise ValueError("a grid reads pictures: see picture_classifier")
        case never:
            assert_never(never)


def _blocks(part: ClassifierPart, count: int) -> list[EncoderLayer]:
    size = part.embedding
    return [
        EncoderLayer(
            size,
            MultiHead(size, part.heads),
            FeedForward(size, part.feed_forward),
            dropout=part.dropout,
            pre_norm=True,
        )
        for _ in range(count)
    ]


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
        case "hierarchical":
            raise ValueError("a hierarchy of poolings reads sentences: see _hierarchical")
        case never:
            assert_never(never)
