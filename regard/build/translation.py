"""Networks that read one sequence and say another: recurrent, Transformer, hidden Markov."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import assert_never

from torch import nn

from regard.attention import Alibi, Attend, Bias, MultiHead, Relative, Rotary
from regard.attention.scopes import LocalPredictive, Scope
from regard.build.mechanism import attend, backward_only, normalizer, scope, score
from regard.config import AttentionPart, HiddenMarkovPart, ModelPart, RecurrentPart, TransformerPart
from regard.errors import UsageError
from regard.layers import (
    Bridge,
    DecoderLayer,
    Embedding,
    EncoderLayer,
    FeedForward,
    Learned,
    NoPositions,
    Output,
    Recurrent,
    Sinusoidal,
)
from regard.models import (
    BahdanauDecoder,
    CopyingDecoder,
    EncoderDecoder,
    ExactHardDecoder,
    FixedDecoder,
    HiddenMarkovDecoder,
    LexicalDecoder,
    LuongDecoder,
    RecurrentDecoder,
    RecurrentEncoder,
    SourceTokens,
    TransformerDecoder,
    TransformerEncoder,
)


def encoder_decoder(
    part: ModelPart,
    source_size: int,
    target_size: int,
    *,
    shared: bool,
    max_length: int,
    same: Sequence[int] | None = None,
) -> EncoderDecoder:
    """A model for vocabularies of those sizes; `shared` says that they are one vocabulary, with one embedding. `same` has
    for each source token the target token that copies it, or -1 (None: where they are shared, the token itself)."""
    match part:
        case RecurrentPart():
            return _recurrent(part, source_size, target_size, shared, max_length, same)
        case TransformerPart():
            return _transformer(part, source_size, target_size, shared, max_length)
        case HiddenMarkovPart():
            decoder = HiddenMarkovDecoder(
                source_size, target_size, part.dim, reach=part.reach, null=part.null, transitions=part.transitions
            )
            return EncoderDecoder(SourceTokens(), decoder)
        case never:
            assert_never(never)


def _embeddings(
    part: RecurrentPart | TransformerPart, dim: int, scale: float, source_size: int, target_size: int, shared: bool
) -> tuple[Embedding, Embedding]:
    """Of source and target; the same one where they share a vocabulary."""
    source = Embedding(source_size, dim, scale, part.word_dropout)
    return source, source if shared else Embedding(target_size, dim, scale, part.word_dropout)


def output_layer(embedding: Embedding, size: int, tied: bool) -> Output:
    output = Output(embedding.dim, size)
    nn.init.zeros_(output.bias)
    if tied:
        output.weight = embedding.weight
    else:
        nn.init.normal_(output.weight, std=embedding.dim**-0.5)
    return output


def _speaking(decoder: nn.Module, part: RecurrentPart | TransformerPart, shared: bool, source_size: int) -> nn.Module:
    """The decoder as it is, or saying what it looks at."""
    if part.lexical:
        return LexicalDecoder(decoder, source_size)
    if not part.copy_source or isinstance(decoder, ExactHardDecoder):
        return decoder
    if not shared:
        raise UsageError(
            "model.copy_source copies tokens, which source and target have to share: set data.shared_vocabulary = true"
        )
    return CopyingDecoder(decoder)


def _recurrent(
    part: RecurrentPart,
    source_size: int,
    target_size: int,
    shared: bool,
    max_length: int,
    same: Sequence[int] | None,
) -> EncoderDecoder:
    source, target = _embeddings(part, part.embedding, 1.0, source_size, target_size, shared)
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
    output = output_layer(target, target_size, part.tie_embeddings)

    def layers(joined: int) -> Recurrent:
        return Recurrent(part.cell, part.embedding + joined, part.hidden, part.decoder_layers, dropout=part.dropout)

    def mechanism() -> Attend:
        return attend(part.attention, part.hidden, values, part.hidden, max_length)

    decoder: RecurrentDecoder | ExactHardDecoder
    match part.decoder:
        case "bahdanau":
            decoder = BahdanauDecoder(
                target, layers(values), bridge, output, mechanism(), context_dim=values, dropout=part.dropout
            )
        case "luong":
            decoder = LuongDecoder(
                target,
                layers(output.in_features if part.input_feeding else 0),
                bridge,
                output,
                mechanism(),
                context_dim=values,
                input_feeding=part.input_feeding,
                dropout=part.dropout,
            )
        case "exact-hard":
            decoder = ExactHardDecoder(
                target,
                layers(0),
                bridge,
                output,
                score(part.attention, part.hidden, values, part.hidden, max_length),
                context_dim=values,
                transition=part.transition,
                reach=part.reach,
                same=(same or range(source_size)) if part.copy_source else None,
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
    return EncoderDecoder(encoder, _speaking(decoder, part, shared, source_size))


def _transformer(
    part: TransformerPart, source_size: int, target_size: int, shared: bool, max_length: int
) -> EncoderDecoder:
    pre = part.norm == "pre"
    source, target = _embeddings(part, part.dim, math.sqrt(part.dim), source_size, target_size, shared)

    def positions() -> nn.Module:
        match part.positions:
            case "sinusoidal":
                return Sinusoidal(part.dim)
            case "learned":
                return Learned(part.dim, max_length + 2)  # and the two special tokens
            case "rotary" | "relative" | "alibi":
                return NoPositions()  # they are inside self-attention
            case never:
                assert_never(never)

    def bias(both_sides: bool) -> Bias | Relative | None:
        match part.positions:
            case "relative":
                return Relative(part.dim // part.heads, part.reach)
            case "alibi":
                return Alibi(part.heads, lopsided=both_sides)
            case _:
                return None

    def heads(
        chosen: AttentionPart,
        where: Scope | LocalPredictive | None,
        *,
        self_attention: bool = True,
        both_sides: bool = False,
    ) -> MultiHead:
        size = part.dim // part.heads
        attend = Attend(
            score(chosen, size, size, size, max_length),
            normalizer(chosen),
            where,
            bias(both_sides) if self_attention else None,
            part.attention_dropout,
        )
        rotary = Rotary(size) if part.positions == "rotary" and self_attention else None
        return MultiHead(part.dim, part.heads, attend, rotary=rotary, kv_heads=part.kv_heads)

    def feed_forward() -> FeedForward:
        return FeedForward(part.dim, part.feed_forward, part.feed_forward_dropout)

    size = part.dim // part.heads
    encoder = TransformerEncoder(
        source,
        positions(),
        [
            EncoderLayer(
                part.dim,
                heads(chosen, scope(chosen.scope, size), both_sides=True),
                feed_forward(),
                dropout=part.dropout,
                pre_norm=pre,
            )
            for chosen in part.heads_of("encoder")
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
                heads(own, backward_only(own.scope)),
                heads(cross, scope(cross.scope, size), self_attention=False),
                feed_forward(),
                dropout=part.dropout,
                pre_norm=pre,
            )
            for own, cross in zip(part.heads_of("decoder"), part.heads_of("cross"), strict=True)
        ],
        output_layer(target, target_size, part.tie_embeddings),
        dropout=part.dropout,
        pre_norm=pre,
    )
    return EncoderDecoder(encoder, _speaking(decoder, part, shared, source_size))
