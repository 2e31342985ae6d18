"""BLEU as papers of the Moses years print it: lower-cased, tokenised, by multi-bleu.

Such numbers are higher than sacreBLEU's on the same text, most of all in French, where *l'homme* is two tokens.
They serve to compare with a printed number, and for nothing else (Post 2018).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from regard.errors import UsageError
from regard.evaluation.resampling import score
from regard.evaluation.score import RESAMPLES, SEED, Measured, Score
from regard.evaluation.translation import Bleu

# `[^\W\d_]` is a letter. Python has no class for "letter or digit" without the underscore.
_LETTER, _OTHER = r"[^\W\d_]", r"[\W\d_]"
_DOTS = re.compile(r"\.{2,}")
_APART = re.compile(r"([^\w\s.'`,-]|_)")
_COMMA = re.compile(r"(?<!\d),|,(?!\d)")
_ENGLISH = (
    (re.compile(rf"(?<={_OTHER})'(?={_OTHER})"), " ' "),
    (re.compile(rf"(?<=[\W_])'(?={_LETTER})"), " ' "),
    (re.compile(rf"(?<={_LETTER})'(?={_OTHER})"), " ' "),
    (re.compile(rf"(?<={_LETTER})'(?={_LETTER})"), " '"),
    (re.compile(r"(?<=\d)'(?=s)"), " '"),
)
_FRENCH = (*_ENGLISH[:3], (re.compile(rf"(?<={_LETTER})'(?={_LETTER})"), "' "))
_ELSEWHERE = ((re.compile("'"), " ' "),)
_RULES = {"en": _ENGLISH, "fr": _FRENCH, "it": _FRENCH, "ca": _FRENCH}
_TWO_LETTERS = {"eng": "en", "fra": "fr", "fre": "fr", "ita": "it", "cat": "ca"}


@cache
def moses_language(language: str) -> str:
    """The code by which rules are chosen: "en" of "en-GB", "EN" or "eng".

    Moses has no rules of their own for most languages, and takes the same for all of those; so any code is right here.

    Raises:
        UsageError: what is the code of no language. Of three letters any may be one, since there are thousands.
    """
    # Its package imports pydantic, which scores do without.
    from regard.config.languages import CODE, KNOWN

    code = language.lower().replace("_", "-")
    first = code.split("-")[0]
    if not CODE.fullmatch(code) or (len(first) == 2 and first not in KNOWN):
        raise UsageError(
            f"'{language}' is no code of a language: write that of the targets, such as en, fr, it, ca, de or ast"
        )
    return _TWO_LETTERS.get(first, first)


def moses_tokens(text: str, language: str = "en") -> list[str]:
    """Splits by the rules of Moses' tokenizer.perl, without its lists of abbreviations and without escaping.

    A full stop is cut off a word unless the word is one letter, has a stop inside (*U.S.*), or a lower-case word
    follows. Apostrophes go to the right-hand word in English, to the left-hand word in French, Italian and Catalan,
    and stand alone elsewhere, as in Moses. What its later versions do with colons in Finnish and Swedish is left out.

    Raises:
        UsageError: see `moses_language`.
    """
    text = " " + " ".join(_APART.sub(r" \1 ", "".join(c if c >= " " else " " for c in text)).split()) + " "
    text = _DOTS.sub(lambda dots: f" {dots[0]} ", text)
    text = _COMMA.sub(" , ", text)
    for pattern, replacement in _RULES.get(moses_language(language), _ELSEWHERE):
        text = pattern.sub(replacement, text)
    words = text.split()
    tokens: list[str] = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        tokens += [word[:-1], "."] if _ends_a_sentence(word, following) else [word]
    return tokens


def _ends_a_sentence(word: str, following: str) -> bool:
    stem = word[:-1]
    if not stem or not word.endswith(".") or set(stem) == {"."}:
        return False
    inner_stop = "." in stem and any(c.isalpha() for c in stem)
    initial = len(stem) == 1 and stem.isalpha() and stem.isupper()
    return not (inner_stop or initial or following[:1].islower())


@dataclass(frozen=True, slots=True)
class TokenizedBleu:
    """BLEU of lower-cased text, both sides tokenised by `moses_tokens`. Its signature says where the rules are those of
    every language without its own: `rules:generic`."""

    language: str = "en"
    name: str = "BLEU (lower-cased, tokenised)"
    higher_is_better: ClassVar[bool] = True

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        code = moses_language(self.language)
        rules = {"pretok": f"moses-rules-{code}"} | ({} if code in _RULES else {"rules": "generic"})

        def tokenized(text: str) -> str:
            return " ".join(moses_tokens(text, code))

        inner = Bleu(lowercase=True, tokenize="none").measure(
            [tokenized(hypothesis) for hypothesis in hypotheses],
            [[tokenized(reference) for reference in those] for those in references],
        )
        return Measured(
            inner.statistics,
            inner.formula,
            lambda fields: inner.signature({**fields, **rules}),
        )


def tokenized_bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    language: str = "en",
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """The literature's "lower-cased and tokenised" BLEU; `language` is that of the target. Raises as `bleu` does."""
    return score(TokenizedBleu(language), hypotheses, references, bootstrap=bootstrap, seed=seed)
