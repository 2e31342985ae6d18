"""The one place where the choices of a recipe become modules."""

from __future__ import annotations

import math
from typing import assert_never

import torch
from torch import nn

from regard.attention import Attend, MultiHead, Rotary
from regard.attention.normalizers import Normalizer, softmax, sparsemax
from regard.attention.scopes import Causal, Scope, Window
from regard.attention.scores import Additive, Dot, General, ScaledDot, Score
from regard.config import AttentionPart, ModelPart, RecurrentPart, ScopePart, TrainingPart, TransformerPart
from regard.config.recipe import CausalScope, GlobalScope, WindowScope
from regard.layers import (
    Bridge,
    DecoderLayer,
    Embedding,
    EncoderLayer,
    FeedForward,
    Learned,
    NoPositions,
    Recurrent,
    Sinusoidal,
)
from regard.models import (
    BahdanauDecoder,
    EncoderDecoder,
    FixedDecoder,
    LuongDecoder,
    RecurrentDecoder,
    RecurrentEncoder,
    TransformerDecoder,
    TransformerEncoder,
)
from regard.training.loop import Optimisation
from regard.training.precision import Precision
from regard.training.schedule import Schedule


def score(part: AttentionPart, query_dim: int, key_dim: int, hidden: int) -> Score:
    match part.score:
        case "dot":
            return Dot()
        case "scaled-dot":
            return ScaledDot()
        case "general":
            return General(query_dim, key_dim)
        case "additive":
            return Additive(query_dim, key_dim, part.hidden or hidden)
        case never:
            assert_never(never)


def normalizer(part: AttentionPart) -> Normalizer:
    match part.normalize:
        case "softmax":
            return softmax
        case "sparsemax":
            return sparsemax
        case never:
            assert_never(never)


def scope(part: ScopePart) -> Scope | None:
    match part:
        case GlobalScope():
            return None
        case CausalScope():
            return Causal()
        case WindowScope():
            return Window(part.left, part.right)
        case never:
            assert_never(never)


def backward_only(part: ScopePart) -> Scope:
    """The scope within what a decoder has said so far."""
    match part:
        case GlobalScope() | CausalScope():
            return Causal()
        case WindowScope():
            return Window(part.left, 0)
        case never:
            assert_never(never)


def encoder_decoder(
    part: ModelPart, source_size: int, target_size: int, *, shared: bool, max_length: int
) -> EncoderDecoder:
    """A model for vocabularies of those sizes; `shared` says that they are one vocabulary, with one embedding."""
    match part:
        case RecurrentPart():
            return _recurrent(part, source_size, target_size, shared)
        case TransformerPart():
            return _transformer(part, source_size, target_size, shared, max_length)
        case never:
            assert_never(never)


def _output(embedding: Embedding, size: int, tied: bool) -> nn.Linear:
    output = nn.Linear(embedding.dim, size)
    nn.init.zeros_(output.bias)
    if tied:
        output.weight = embedding.weight
    else:
        nn.init.normal_(output.weight, std=embedding.dim**-0.5)
    return output


def _recurrent(part: RecurrentPart, source_size: int, target_size: int, shared: bool) -> EncoderDecoder:
    source = Embedding(source_size, part.embedding)
    target = source if shared else Embedding(target_size, part.embedding)
    encoder_layers = Recurrent(
        part.cell,
        part.embedding,
        part.direction,
        part.encoder_layers,
        bidirectional=part.bidirectional,
        dropout=part.dropout,
    )
    values = encoder_layers.output_dim
    encoder = RecurrentEncoder(source, encoder_layers, dropout=part.dropout)
    bridge = Bridge(values, part.hidden, part.decoder_layers, 2 if part.cell == "lstm" else 1)
    output = _output(target, target_size, part.tie_embeddings)

    def layers(joined: int) -> Recurrent:
        return Recurrent(part.cell, part.embedding + joined, part.hidden, part.decoder_layers, dropout=part.dropout)

    def attend() -> Attend:
        chosen = score(part.attention, part.hidden, values, part.hidden)
        return Attend(chosen, normalizer(part.attention), scope(part.attention.scope))

    decoder: RecurrentDecoder
    match part.decoder:
        case "bahdanau":
            decoder = BahdanauDecoder(
                target, layers(values), bridge, output, attend(), context_dim=values, dropout=part.dropout
            )
        case "luong":
            decoder = LuongDecoder(
                target,
                layers(output.in_features if part.input_feeding else 0),
                bridge,
                output,
                attend(),
                context_dim=values,
                input_feeding=part.input_feeding,
                dropout=part.dropout,
            )
        case "fixed-initial":
            decoder = FixedDecoder(
                target, layers(0), bridge, output, context="initial", context_dim=values, dropout=part.dropout
            )
        case "fixed-background":
            decoder = FixedDecoder(
                target, layers(values), bridge, output, context="background", context_dim=values, dropout=part.dropout
            )
        case never:
            assert_never(never)
    return EncoderDecoder(encoder, decoder)


def _transformer(
    part: TransformerPart, source_size: int, target_size: int, shared: bool, max_length: int
) -> EncoderDecoder:
    pre = part.norm == "pre"
    source = Embedding(source_size, part.dim, math.sqrt(part.dim))
    target = source if shared else Embedding(target_size, part.dim, math.sqrt(part.dim))

    def positions() -> nn.Module:
        match part.positions:
            case "sinusoidal":
                return Sinusoidal(part.dim)
            case "learned":
                return Learned(part.dim, max_length + 2)  # and the two special tokens
            case "rotary":
                return NoPositions()
            case never:
                assert_never(never)

    def heads(where: Scope | None, turned: bool = True) -> MultiHead:
        size = part.dim // part.heads
        attend = Attend(
            score(part.attention, size, size, size), normalizer(part.attention), where, dropout=part.attention_dropout
        )
        rotary = Rotary(size) if part.positions == "rotary" and turned else None
        return MultiHead(part.dim, part.heads, attend, rotary=rotary)

    def feed_forward() -> FeedForward:
        return FeedForward(part.dim, part.feed_forward, part.feed_forward_dropout)

    encoder = TransformerEncoder(
        source,
        positions(),
        [
            EncoderLayer(
                part.dim, heads(scope(part.attention.scope)), feed_forward(), dropout=part.dropout, pre_norm=pre
            )
            for _ in range(part.encoder_layers)
        ],
        dropout=part.dropout,
        pre_norm=pre,
    )
    decoder = TransformerDecoder(
        target,
        positions(),
        [
            DecoderLayer(
                part.dim,
                heads(backward_only(part.attention.scope)),
                heads(None, turned=False),
                feed_forward(),
                dropout=part.dropout,
                pre_norm=pre,
            )
            for _ in range(part.decoder_layers)
        ],
        _output(target, target_size, part.tie_embeddings),
        dropout=part.dropout,
        pre_norm=pre,
    )
    return EncoderDecoder(encoder, decoder)


def optimisation(part: TrainingPart, precision: Precision) -> Optimisation:
    return Optimisation(
        learning_rate=part.learning_rate,
        schedule=Schedule(part.schedule, part.warmup),
        betas=(0.9, part.adam_beta2),
        weight_decay=part.weight_decay,
        clip=part.clip,
        accumulate=part.accumulate,
        precision=precision,
    )


def device(name: str) -> torch.device:
    """ "auto" takes a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
