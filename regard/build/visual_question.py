"""The choices of a recipe of questions about pictures as modules."""

from __future__ import annotations

from torch import nn

from regard.attention import MultiHead
from regard.config.visual_question import VisualQuestionPart
from regard.dropout import Dropout
from regard.layers import Embedding, EncoderLayer, FeedForward, Output, Recurrent
from regard.layers.vision import ConvGrid, SinusoidalGrid
from regard.models import RecurrentEncoder
from regard.models.captioning import GridEncoder
from regard.models.visual_question import VisualQuestion, WordEncoder, fusion


def visual_question(part: VisualQuestionPart, channels: int, vocabulary: int, classes: int) -> VisualQuestion:
    """A model for pictures of so many channels. A hierarchical fusion reads the words themselves, of which it makes
    phrases and the question; the others read what a GRU has put into context."""
    size = part.dim
    vision = ConvGrid(channels, part.widths, size, blocks=part.blocks, positions=SinusoidalGrid(size))
    layers = [
        EncoderLayer(
            size,
            MultiHead(size, part.heads),
            FeedForward(size, part.feed_forward),
            dropout=part.dropout,
            pre_norm=True,
        )
        for _ in range(part.grid_layers)
    ]
    joined = fusion(
        part.fusion,
        size,
        part.hidden,
        layers=part.fusion_layers,
        heads=part.heads,
        slots=part.slots,
        dropout=part.dropout,
    )
    output = nn.Sequential(
        nn.Linear(joined.vectors * size, part.output), nn.ReLU(), Dropout(part.dropout), Output(part.output, classes)
    )
    regions = GridEncoder(vision, size, layers, dropout=part.dropout)
    return VisualQuestion(regions, _words(part, vocabulary), joined, output)


def _words(part: VisualQuestionPart, vocabulary: int) -> nn.Module:
    if part.fusion == "hierarchical":
        return WordEncoder(Embedding(vocabulary, part.dim), dropout=part.dropout)
    layers = Recurrent(
        "gru", part.embedding, part.dim // 2, part.question_layers, bidirectional=True, dropout=part.dropout
    )
    return RecurrentEncoder(Embedding(vocabulary, part.embedding), layers, dropout=part.dropout)
