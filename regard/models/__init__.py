"""Encoder–decoders assembled from layers."""

from regard.models.copying import CopyingDecoder
from regard.models.encoder_decoder import EncoderDecoder
from regard.models.ensemble import Ensemble
from regard.models.exact_hard import ExactHardDecoder
from regard.models.hidden_markov import HiddenMarkovDecoder, SourceTokens
from regard.models.lexical import LexicalDecoder
from regard.models.recurrent import (
    BahdanauDecoder,
    FixedDecoder,
    LuongDecoder,
    RecurrentDecoder,
    RecurrentEncoder,
    RecurrentMemory,
    RecurrentState,
)
from regard.models.transformer import TransformerDecoder, TransformerEncoder, TransformerMemory, TransformerState

__all__ = [
    "BahdanauDecoder",
    "CopyingDecoder",
    "EncoderDecoder",
    "Ensemble",
    "ExactHardDecoder",
    "FixedDecoder",
    "HiddenMarkovDecoder",
    "LexicalDecoder",
    "LuongDecoder",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "RecurrentMemory",
    "RecurrentState",
    "SourceTokens",
    "TransformerDecoder",
    "TransformerEncoder",
    "TransformerMemory",
    "TransformerState",
]
