"""BLEU, chrF and TER: sacreBLEU's statistics, formulas and signatures (Post 2018, https://aclanthology.org/W18-6319)."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from regard.errors import UsageError
from regard.evaluation.resampling import score
from regard.evaluation.score import RESAMPLES, SEED, Measured, Score


@dataclass(frozen=True, slots=True)
class Bleu:
    """BLEU (Papineni 2002), cased and with the 13a tokenizer unless told otherwise.

    `tokenize` is a name of sacreBLEU's: 13a, intl, zh, char, none, and those that need more packages (ja-mecab, …).
    """

    lowercase: bool = False
    tokenize: str = "13a"
    name: str = "BLEU"
    higher_is_better: ClassVar[bool] = True

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        return _measured(self.library(), hypotheses, references)

    def library(self) -> BLEU:
        """sacreBLEU's own. UsageError where it does not know the tokenizer, or cannot use it here."""
        if self.tokenize not in BLEU.TOKENIZERS:
            near = difflib.get_close_matches(self.tokenize, BLEU.TOKENIZERS, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise UsageError(
                f"tokenize is '{self.tokenize}', which sacreBLEU does not know{hint}: it knows {', '.join(BLEU.TOKENIZERS)}"
            )
        try:
            # Text that was tokenised on purpose needs no warning about it.
            return BLEU(lowercase=self.lowercase, tokenize=self.tokenize, force=self.tokenize == "none")
        except (ImportError, RuntimeError, OSError) as problem:
            raise UsageError(
                f"The tokenizer '{self.tokenize}' cannot be used here: {' '.join(str(problem).split())}"
            ) from problem


@dataclass(frozen=True, slots=True)
class Chrf:
    """chrF2 (Popović 2015): F-score of character 6-grams; with `word_order=2` chrF++."""

    lowercase: bool = False
    word_order: int = 0
    higher_is_better: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "chrF2" + "+" * self.word_order

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        if self.word_order not in (0, 1, 2):
            raise UsageError(f"word_order is {self.word_order}; it must be 0 (chrF), 1 (chrF+) or 2 (chrF++).")
        return _measured(CHRF(lowercase=self.lowercase, word_order=self.word_order), hypotheses, references)


@dataclass(frozen=True, slots=True)
class Ter:
    """TER (Snover 2006): edits, where moving a run of words counts as one, for 100 words. Lower is better.

    `normalized` splits punctuation from words; `asian` also splits Chinese, Japanese and Korean to characters.
    """

    lowercase: bool = True
    normalized: bool = False
    asian: bool = False
    name: str = "TER"
    higher_is_better: ClassVar[bool] = False

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        inner = TER(
            case_sensitive=not self.lowercase, normalized=self.normalized or self.asian, asian_support=self.asian
        )
        return _measured(inner, hypotheses, references)


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    tokenize: str = "13a",
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """Corpus BLEU of N hypotheses against one list of references each (their number may vary).

    Raises:
        UsageError: unequal counts, nothing to score, an unknown or unavailable tokenizer.
    """
    return score(Bleu(lowercase, tokenize), hypotheses, references, bootstrap=bootstrap, seed=seed)


def chrf(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    word_order: int = 0,
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """Corpus chrF2; `word_order=2` is chrF++. Otherwise like `bleu`."""
    return score(Chrf(lowercase, word_order), hypotheses, references, bootstrap=bootstrap, seed=seed)


def ter(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    lowercase: bool = True,
    normalized: bool = False,
    asian: bool = False,
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """Corpus TER, lower-cased as sacreBLEU does by default. Otherwise like `bleu`."""
    return score(Ter(lowercase, normalized, asian), hypotheses, references, bootstrap=bootstrap, seed=seed)


def _measured(inner: Any, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
    """Sentence statistics by sacreBLEU itself.

    It offers them only under a leading underscore; its own significance test reads them the same way, and our
    tests compare with its public results.
    """
    most = max(len(those) for those in references)
    # sacreBLEU wants a document for each reference number; None says that a sentence has no such reference.
    documents = [[those[i] if i < len(those) else None for those in references] for i in range(most)]
    statistics = np.array(inner._extract_corpus_statistics(list(hypotheses), documents), dtype=np.float64)

    def formula(sums: np.ndarray) -> np.ndarray:
        return np.array([inner._compute_score_from_stats(row).score for row in sums], dtype=np.float64)

    def signature(fields: dict[str, str]) -> str:
        described = inner.get_signature()
        for key, value in fields.items():
            described.update(key, value)
        return described.format()

    return Measured(statistics, formula, signature)
