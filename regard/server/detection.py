"""Which of the served source languages a text is in, as far as the models' own tokenizers can tell.

A tokenizer has learned the words of its language: there it needs few tokens, in another language many, and in another
script it knows none. No list of words, no further model. It can say only which of the served languages fits best, and
how well; between languages that are near, and in texts of a word or two, it errs.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from regard.batch import UNK
from regard.data import Tokenizer
from regard.data.tokenizer import SPACE

READ = 1000  # characters, which are enough to tell
# What a subword costs of the characters that it covers: a text in single letters fits a quarter, whole words nearly.
PRICE = 0.75
FULL = 0.6  # a fit from which nothing is taken off the confidence
NEAR = 0.9  # fits as near to the best as this are decided by what the models say
SHARPNESS = 6.0


@dataclass(frozen=True, slots=True)
class Detected:
    """`confidence` in percent, as LibreTranslate says it."""

    language: str
    confidence: float

    def to_json(self) -> dict[str, str | float]:
        return {"confidence": self.confidence, "language": self.language}


def fit(tokenizer: Tokenizer, text: str) -> float:
    """Which share of a text's characters the tokenizer knows, from 0 to 1; subwords count less the shorter they are."""
    shown = text.strip()[:READ].strip()
    price = PRICE if tokenizer.kind in ("bpe", "unigram") else 0.0
    found = tokenizer.encode(shown)
    known = total = 0.0
    for number, token, (start, end) in zip(found.ids, found.tokens, found.offsets, strict=True):
        if token == SPACE:  # the mark of a word's beginning, alone before what is unknown
            continue
        size = sum(not c.isspace() for c in shown[start:end])
        if size and any(c.isalnum() for c in shown[start:end]):  # signs are the same everywhere
            total += size
            known += size - price if number != UNK else 0.0
    return known / total if total else 0.0


async def detect(
    text: str,
    tokenizers: Mapping[str, Tokenizer],
    ask: Callable[[str, str], Awaitable[float]] | None = None,
) -> list[Detected]:
    """Every language with its confidence, the likeliest first; those of equal confidence in the order given.

    `tokenizers` has the source tokenizer of a model for each language. Two directions of one pair often share it, and
    it fits both languages: `ask(language, text)` is the mean log-probability with which that language's model says
    its translation, and decides between those. Nothing to go by gives 0 for all.
    """
    fits = {language: fit(tokenizer, text) for language, tokenizer in tokenizers.items()}
    best = max(fits.values(), default=0.0)
    near = [language for language, value in fits.items() if best > 0 and value >= NEAR * best]
    weights = {language: value**SHARPNESS for language, value in fits.items()}
    if ask is not None and len(near) > 1:
        for language in near:
            weights[language] = best**SHARPNESS * math.exp(2 * await ask(language, text))
    total = sum(weights.values())
    sure = min(1.0, best / FULL)
    found = [
        Detected(language, round(100 * sure * weight / total, 1) if total else 0.0)
        for language, weight in weights.items()
    ]
    return sorted(found, key=lambda each: -each.confidence)


__all__ = ["Detected", "detect", "fit"]
