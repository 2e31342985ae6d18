"""The parts models are made of: embeddings and positions, recurrent stacks, Transformer layers."""

from regard.layers.embedding import Embedding, Learned, NoPositions, Output, Sinusoidal
from regard.layers.recurrent import Bridge, Cell, Hidden, Recurrent
from regard.layers.transformer import DecoderLayer, EncoderLayer, FeedForward, Residual

__all__ = [
    "Bridge",
    "Cell",
    "DecoderLayer",
    "Embedding",
    "EncoderLayer",
    "FeedForward",
    "Hidden",
    "Learned",
    "NoPositions",
    "Output",
    "Recurrent",
    "Residual",
    "Sinusoidal",
]
