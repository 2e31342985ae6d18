"""The choices of a forecasting recipe as modules."""

from __future__ import annotations

from typing import assert_never

from torch import nn

from regard.attention import Attend, MultiHead
from regard.attention.scores import Additive
from regard.config.forecasting import ForecasterPart
from regard.layers import Bridge, DecoderLayer, EncoderLayer, FeedForward, Recurrent
from regard.models.forecaster import Forecaster, RecurrentForecastDecoder, RecurrentReader, TransformerReader


def forecaster(part: ForecasterPart, columns: int, features: int) -> Forecaster:
    """For `columns` of numbers and `features` of each time."""
    seen = known = columns + features
    match part.kind:
        case "recurrent":
            reader = _recurrent(part, seen, known)
        case "transformer":
            reader = _transformer(part, seen, known)
        case never:
            assert_never(never)
    return Forecaster(reader, part.hidden, columns)


def _recurrent(part: ForecasterPart, seen: int, known: int) -> RecurrentReader:
    size = part.hidden
    encoder = Recurrent("gru", seen, size // 2, part.layers, bidirectional=True, dropout=part.dropout)
    width = encoder.output_dim + seen
    decoder = RecurrentForecastDecoder(
        Recurrent("gru", known + width, size, part.layers, dropout=part.dropout),
        Bridge(encoder.output_dim, size, part.layers, 1),
        Attend(Additive(size, width, size)),
        known=known,
        seen=width,
        dropout=part.dropout,
    )
    return RecurrentReader(encoder, decoder, dropout=part.dropout)


def _transformer(part: ForecasterPart, seen: int, known: int) -> TransformerReader:
    size, dropout = part.hidden, part.dropout

    def forward() -> FeedForward:
        return FeedForward(size, part.feed_forward)

    def heads() -> MultiHead:
        return MultiHead(size, part.heads)

    return TransformerReader(
        nn.Linear(seen, size),
        nn.Linear(known, size),
        [EncoderLayer(size, heads(), forward(), dropout=dropout, pre_norm=True) for _ in range(part.layers)],
        [DecoderLayer(size, heads(), heads(), forward(), dropout=dropout, pre_norm=True) for _ in range(part.layers)],
        dropout=dropout,
    )
