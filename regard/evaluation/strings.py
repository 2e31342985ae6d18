"""Error rates by edit distance: of whole items, of their tokens, of words and of characters.

Grapheme-to-phoneme work calls the share of wrong items "WER" and the error rate of their tokens "PER"; speech
recognition calls the error rate of words "WER". The functions here are named by what they count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
import rapidfuzz
from jaxtyping import Float
from rapidfuzz.distance import Levenshtein

from regard.errors import UsageError
from regard.evaluation.resampling import score
from regard.evaluation.score import RESAMPLES, SEED, Measured, Score

Form = Literal["none", "NFC", "NFD", "NFKC", "NFKD"]
Units = Sequence[str]


class _Options(Protocol):
    @property
    def lowercase(self) -> bool: ...

    @property
    def normalize(self) -> Form: ...


@dataclass(frozen=True, slots=True)
class ItemErrorRate:
    """The share of items that equal none of their references, in percent ("WER" of grapheme-to-phoneme work).

    White space around an item, and how much of it stands between two tokens, does not count.
    """

    lowercase: bool = False
    normalize: Form = "none"
    name: str = "item error rate"
    higher_is_better: ClassVar[bool] = False

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        wrong = _wrong_items(hypotheses, references, self.lowercase, self.normalize)
        return _measured(self, "different", "item", "any", np.stack([wrong, np.ones_like(wrong)], axis=1), references)


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """The share of items that equal one of their references, in percent: 100 less the item error rate."""

    lowercase: bool = False
    normalize: Form = "none"
    name: str = "exact match"
    higher_is_better: ClassVar[bool] = True

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        wrong = _wrong_items(hypotheses, references, self.lowercase, self.normalize)
        return _measured(self, "equal", "item", "any", np.stack([1 - wrong, np.ones_like(wrong)], axis=1), references)


@dataclass(frozen=True, slots=True)
class TokenErrorRate:
    """Edits for 100 reference tokens, where white space separates tokens ("PER" where they are phonemes).

    Σ edits to the nearest reference / Σ length of that reference. Nearest is the one with the fewest edits, and
    the longest of those that are equally near.
    """

    lowercase: bool = False
    normalize: Form = "none"
    name: str = "token error rate"
    higher_is_better: ClassVar[bool] = False

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        statistics = _edits(hypotheses, references, str.split, self.lowercase, self.normalize)
        return _measured(self, "edits", "token", "nearest", statistics, references)


@dataclass(frozen=True, slots=True)
class WordErrorRate:
    """Word error rate of speech recognition: edits for 100 reference words. Counted as `TokenErrorRate`.

    It says little about scripts that put no spaces between words; see `CharacterErrorRate` for those.
    """

    lowercase: bool = False
    normalize: Form = "none"
    name: str = "WER"
    higher_is_better: ClassVar[bool] = False

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        statistics = _edits(hypotheses, references, str.split, self.lowercase, self.normalize)
        return _measured(self, "edits", "word", "nearest", statistics, references)


@dataclass(frozen=True, slots=True)
class CharacterErrorRate:
    """Edits for 100 reference characters (Unicode code points; single spaces between words count).

    With `normalize="NFC"` an accented letter is one character however it was typed.
    """

    lowercase: bool = False
    normalize: Form = "none"
    name: str = "CER"
    higher_is_better: ClassVar[bool] = False

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        statistics = _edits(hypotheses, references, _spaced, self.lowercase, self.normalize)
        return _measured(self, "edits", "codepoint", "nearest", statistics, references)


def item_error_rate(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    normalize: Form = "none",
    name: str = "item error rate",
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """`ItemErrorRate` of N items with one list of references each. Raises UsageError as `bleu` does."""
    return score(ItemErrorRate(lowercase, normalize, name), hypotheses, references, bootstrap=bootstrap, seed=seed)


def exact_match(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    normalize: Form = "none",
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """`ExactMatch` of N items with one list of references each. Raises UsageError as `bleu` does."""
    return score(ExactMatch(lowercase, normalize), hypotheses, references, bootstrap=bootstrap, seed=seed)


def token_error_rate(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    normalize: Form = "none",
    name: str = "token error rate",
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """`TokenErrorRate` of N items with one list of references each. Raises UsageError as `bleu` does."""
    return score(TokenErrorRate(lowercase, normalize, name), hypotheses, references, bootstrap=bootstrap, seed=seed)


def word_error_rate(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    normalize: Form = "none",
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """`WordErrorRate` of N sentences with one list of references each. Raises UsageError as `bleu` does."""
    return score(WordErrorRate(lowercase, normalize), hypotheses, references, bootstrap=bootstrap, seed=seed)


def character_error_rate(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    normalize: Form = "none",
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """`CharacterErrorRate` of N sentences with one list of references each. Raises UsageError as `bleu` does."""
    return score(CharacterErrorRate(lowercase, normalize), hypotheses, references, bootstrap=bootstrap, seed=seed)


def _cleaner(lowercase: bool, normalize: Form) -> Callable[[str], str]:
    if normalize not in ("none", "NFC", "NFD", "NFKC", "NFKD"):
        raise UsageError(f"normalize is '{normalize}'; it must be none, NFC, NFD, NFKC or NFKD.")

    def clean(text: str) -> str:
        if normalize != "none":
            text = unicodedata.normalize(normalize, text)
        return text.lower() if lowercase else text

    return clean


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _wrong_items(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], lowercase: bool, normalize: Form
) -> Float[np.ndarray, " N"]:
    clean = _cleaner(lowercase, normalize)
    return np.array(
        [
            _spaced(clean(hypothesis)) not in {_spaced(clean(reference)) for reference in those}
            for hypothesis, those in zip(hypotheses, references, strict=True)
        ],
        dtype=np.float64,
    )


def _edits(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    units: Callable[[str], Units],
    lowercase: bool,
    normalize: Form,
) -> Float[np.ndarray, "N 2"]:
    """For each sentence the edits to its nearest reference and the length of that reference."""
    clean = _cleaner(lowercase, normalize)
    rows = np.empty((len(hypotheses), 2), dtype=np.float64)
    for row, hypothesis, those in zip(rows, hypotheses, references, strict=True):
        said = units(clean(hypothesis))
        wanted = [units(clean(reference)) for reference in those]
        distance, length = min((Levenshtein.distance(said, want), -len(want)) for want in wanted)
        row[:] = distance, -length
    return rows


def _rate(sums: Float[np.ndarray, "R 2"]) -> Float[np.ndarray, " R"]:
    """100 · first / second. With nothing to divide by, any edit at all is an error of 100 %."""
    errors, size = sums[:, 0], sums[:, 1]
    return 100 * np.where(size > 0, errors / np.where(size > 0, size, 1), errors > 0)


def _measured(
    options: _Options,
    what: str,
    unit: str,
    choice: str,
    statistics: Float[np.ndarray, "N 2"],
    references: Sequence[Sequence[str]],
) -> Measured:
    counts = {len(those) for those in references}

    def signature(fields: dict[str, str]) -> str:
        said = {
            "measure": what,
            "unit": unit,
            "nrefs": str(min(counts)) if len(counts) == 1 else "var",
            "reference": choice,
            "case": "lc" if options.lowercase else "mixed",
            "norm": options.normalize,
            **fields,
            "rapidfuzz": rapidfuzz.__version__,
        }
        return "|".join(f"{key}:{value}" for key, value in said.items())

    return Measured(statistics, _rate, signature)
