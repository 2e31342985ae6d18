"""Scores with their confidence and with a signature that says how they were computed."""

from regard.evaluation.by_length import BOUNDS, LengthBucket, by_length
from regard.evaluation.moses import TokenizedBleu, moses_tokens, tokenized_bleu
from regard.evaluation.resampling import score
from regard.evaluation.score import RESAMPLES, SEED, Measured, Metric, Score
from regard.evaluation.significance import Method, PairedResult, paired_test
from regard.evaluation.strings import (
    CharacterErrorRate,
    ExactMatch,
    ItemErrorRate,
    TokenErrorRate,
    WordErrorRate,
    character_error_rate,
    exact_match,
    item_error_rate,
    token_error_rate,
    word_error_rate,
)
from regard.evaluation.translation import Bleu, Chrf, Ter, bleu, chrf, ter

__all__ = [
    "BOUNDS",
    "RESAMPLES",
    "SEED",
    "Bleu",
    "CharacterErrorRate",
    "Chrf",
    "ExactMatch",
    "ItemErrorRate",
    "LengthBucket",
    "Measured",
    "Method",
    "Metric",
    "PairedResult",
    "Score",
    "Ter",
    "TokenErrorRate",
    "TokenizedBleu",
    "WordErrorRate",
    "bleu",
    "by_length",
    "character_error_rate",
    "chrf",
    "exact_match",
    "item_error_rate",
    "moses_tokens",
    "paired_test",
    "score",
    "ter",
    "token_error_rate",
    "tokenized_bleu",
    "word_error_rate",
]
