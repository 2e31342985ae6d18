"""Where the choices of a recipe of captioning become modules."""

from __future__ import annotations

import math

from torch import nn

from regard.attention import Attend, MultiHead
from regard.attention.scopes import Causal
from regard.attention.scores import ScaledDot
from regard.build.mechanism import attend, normalizer, scope, score
from regard.build.translation import output_layer
from regard.config.captioning import CaptionerPart
from regard.data.images import Shape
from regard.layers import (
    Bridge,
    DecoderLayer,
    Embedding,
    EncoderLayer,
    FeedForward,
    Recurrent,
    Sinusoidal,
)
from regard.layers.vision import Backbone, ConvGrid, LearnedGrid, SinusoidalGrid
from regard.models import BahdanauDecoder, TransformerDecoder
from regard.models.captioning import GatedDecoder, GridEncoder, ImageCaptioner


def captioner(part: CaptionerPart, shape: Shape, vocabulary: int, *, pretrained: bool = True) -> ImageCaptioner:
    """A model for pictures of one shape. `pretrained=False` leaves a backbone's file alone: a run has its parameters."""
    vision = _vision(part, shape, pretrained)
    rows, columns = vision.grid(shape.height, shape.width)
    layers = [
        EncoderLayer(
            part.dim,
            MultiHead(part.dim, part.heads, Attend(ScaledDot())),
            FeedForward(part.dim, part.feed_forward),
            dropout=part.dropout,
            pre_norm=True,
        )
        for _ in range(part.grid_layers)
    ]
    parts = 2 if part.decoder == "lstm" else 1
    encoder = GridEncoder(vision, part.dim, layers, parts=parts, dropout=part.dropout)
    speak = _transformer if part.decoder == "transformer" else _recurrent
    return ImageCaptioner(encoder, speak(part, vocabulary, rows * columns))


def _vision(part: CaptionerPart, shape: Shape, pretrained: bool) -> ConvGrid | Backbone:
    if part.backbone is None:
        vision = ConvGrid(shape.channels, part.widths, part.dim, blocks=part.blocks)
    else:
        weights = part.weights if pretrained else None
        vision = Backbone(part.backbone, weights, part.dim, train_backbone=part.train_backbone)
    match part.positions:
        case "sinusoidal":
            vision.positions = SinusoidalGrid(part.dim)
        case "learned":
            vision.positions = LearnedGrid(part.dim, *vision.grid(shape.height, shape.width))
        case "none":
            pass
    return vision


def _recurrent(part: CaptionerPart, vocabulary: int, places: int) -> nn.Module:
    assert part.decoder != "transformer"
    embedding = Embedding(vocabulary, part.embedding)
    make = GatedDecoder if part.gate else BahdanauDecoder
    return make(
        embedding,
        Recurrent(part.decoder, part.embedding + part.dim, part.hidden, part.decoder_layers, dropout=part.dropout),
        Bridge(part.dim, part.hidden, part.decoder_layers, 2 if part.decoder == "lstm" else 1),
        output_layer(embedding, vocabulary, part.tie_embeddings),
        attend(part.attention, part.hidden, part.dim, part.hidden, places - 1),
        context_dim=part.dim,
        dropout=part.dropout,
    )


def _transformer(part: CaptionerPart, vocabulary: int, places: int) -> nn.Module:
    embedding = Embedding(vocabulary, part.dim, math.sqrt(part.dim))
    size, chosen = part.dim // part.heads, part.attention

    def looking() -> MultiHead:
        what = score(chosen, size, size, size, places - 1)
        return MultiHead(part.dim, part.heads, Attend(what, normalizer(chosen), scope(chosen.scope, size)))

    layers = [
        DecoderLayer(
            part.dim,
            MultiHead(part.dim, part.heads, Attend(ScaledDot(), scope=Causal())),
            looking(),
            FeedForward(part.dim, part.feed_forward),
            dropout=part.dropout,
            pre_norm=True,
        )
        for _ in range(part.decoder_layers)
    ]
    output = output_layer(embedding, vocabulary, part.tie_embeddings)
    return TransformerDecoder(embedding, Sinusoidal(part.dim), layers, output, dropout=part.dropout, pre_norm=True)
