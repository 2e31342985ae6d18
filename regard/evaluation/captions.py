"""How captions are judged: BLEU-1 to BLEU-4 and CIDEr-D over several references.

Both read words as the COCO evaluation does: lower-cased and without punctuation (Chen et al. 2015,
https://arxiv.org/abs/1504.00325). It splits them by Stanford's PTB tokenizer, a Java program; `caption_words` has its
rules for plain sentences, and signatures say so: `pretok:caption`. Of 34,985 captions of Flickr8k 34,966 come
out the same; the others hold brackets, which that program calls `-lrb-`, or *Mr.* and the like.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from regard.errors import UsageError
from regard.evaluation.resampling import score
from regard.evaluation.score import RESAMPLES, SEED, Measured, Score
from regard.evaluation.translation import Bleu

ORDERS = 4
SIGMA = 6.0  # how fast CIDEr-D falls as lengths differ
_ENDING = re.compile(r"'(?:s|m|d|re|ve|ll)\b")
_CONTRACTION = re.compile(rf"(.+?)(n't|{_ENDING.pattern})|(can)(not)")

Grams = Counter[tuple[str, ...]]


def caption_words(text: str) -> list[str]:
    """Lower-cased words without punctuation. Hyphens, apostrophes, stops and `&` stay inside a word (*t-shirt*, *U.S.*),
    commas and colons inside a number; endings are words of their own (*man's* is `man 's`), and so are `& # $ %`."""
    text = text.lower().replace("’", "'")
    kept = "".join(_kept(text, i, c) if unicodedata.category(c)[0] in "PS" else c for i, c in enumerate(text))
    words: list[str] = []
    for word in kept.split():
        parts = _CONTRACTION.fullmatch(word)
        words += [word] if parts is None else [part for part in parts.groups() if part]
    return words


def _kept(text: str, place: int, mark: str) -> str:
    """What becomes of a punctuation mark or symbol."""
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    if mark in "-'.&" and before.isalnum() and after.isalnum():
        return mark
    if mark in ",:" and before.isdigit() and after.isdigit():
        return mark
    if mark == "'" and _ENDING.match(text, place):  # in text that is tokenised already
        return mark
    if mark == "." and before.isalpha() and text[place - 2 : place - 1] == "." and place > 1:
        return mark
    return f" {mark} " if mark in "&#$%" else " "


@dataclass(frozen=True, slots=True)
class CaptionBleu:
    """BLEU of up to `order`-grams (Papineni et al. 2002) over the words of a caption, without smoothing.

    A clip counts against the best of all references, and the brevity penalty takes the nearest length among them.
    """

    order: int = 4
    higher_is_better: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"BLEU-{self.order}"

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        if not 1 <= self.order <= ORDERS:
            raise UsageError(f"BLEU of captions counts up to 1- to {ORDERS}-grams, not {self.order}.")
        inner = Bleu(lowercase=True, tokenize="none").measure(
            [" ".join(caption_words(hypothesis)) for hypothesis in hypotheses],
            [[" ".join(caption_words(reference)) for reference in those] for those in references],
        )

        def formula(sums: Float[np.ndarray, "R K"]) -> Float[np.ndarray, " R"]:
            said, wanted = sums[:, 0], sums[:, 1]
            right, total = sums[:, 2 : 2 + self.order], sums[:, 2 + ORDERS : 2 + ORDERS + self.order]
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = np.log(right / total).mean(axis=1)
                brevity = np.minimum(0.0, 1 - wanted / said)
            return np.where((right > 0).all(axis=1), 100 * np.exp(mean + brevity), 0.0)

        fields = {"pretok": "caption", "smooth": "none", "order": str(self.order)}
        return Measured(inner.statistics, formula, lambda more: inner.signature({**more, **fields}))


@dataclass(frozen=True, slots=True)
class CiderD:
    """CIDEr-D (Vedantam et al. 2015, equation 4, https://arxiv.org/abs/1411.5726), as papers print it: 100 times what
    the COCO evaluation code prints.

    N-grams count more the fewer pictures have them in a reference, so the number depends on the whole set of
    references; over a single picture every n-gram is in all pictures, and the score is 0.
    """

    name: str = "CIDEr-D"
    higher_is_better: ClassVar[bool] = True

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured:
        wanted = [[_Sentence(reference) for reference in those] for those in references]
        pictures = [Counter(gram for gram in {g for each in those for g in each.counts}) for those in wanted]
        frequency: Grams = Counter()
        for those in pictures:
            frequency.update(those)
        everything = np.log(len(references))

        def rarity(gram: tuple[str, ...]) -> float:
            return everything - np.log(max(1, frequency[gram]))

        found = []
        for hypothesis, those in zip(hypotheses, wanted, strict=True):
            said = _Sentence(hypothesis)
            weights = {gram: rarity(gram) ** 2 for gram in said.counts}
            norms = said.norms({gram: rarity(gram) for gram in said.counts})
            likeness = [
                said.likeness(each, weights, norms, each.norms({g: rarity(g) for g in each.counts})) for each in those
            ]
            found.append([10 * 100 * float(np.mean(likeness)), 1.0])
        most, fewest = max(len(those) for those in references), min(len(those) for those in references)

        def signature(fields: dict[str, str]) -> str:
            shown = {
                "nrefs": str(most) if most == fewest else f"{fewest}-{most}",
                **fields,
                "case": "lc",
                "pretok": "caption",
                "df": f"references of {len(references)} pictures",
                "sigma": f"{SIGMA:g}",
                "version": version("regard"),
            }
            return "|".join(f"{key}:{value}" for key, value in shown.items())

        return Measured(np.array(found), lambda sums: sums[:, 0] / sums[:, 1], signature)


class _Sentence:
    """The n-grams of a caption, n from 1 to 4."""

    def __init__(self, text: str) -> None:
        words = caption_words(text)
        self.length = len(words)
        self.counts: Grams = Counter(
            tuple(words[i : i + n]) for n in range(1, ORDERS + 1) for i in range(len(words) - n + 1)
        )

    def norms(self, rarity: dict[tuple[str, ...], float]) -> Float[np.ndarray, " 4"]:
        squares = np.zeros(ORDERS)
        for gram, count in self.counts.items():
            squares[len(gram) - 1] += (count * rarity[gram]) ** 2
        return np.sqrt(squares)

    def likeness(
        self, reference: _Sentence, weights: dict[tuple[str, ...], float], own: np.ndarray, other: np.ndarray
    ) -> float:
        """The mean over n of the clipped cosine, less for a difference in length."""
        shared = np.zeros(ORDERS)
        for gram, count in self.counts.items():
            there = reference.counts.get(gram, 0)
            shared[len(gram) - 1] += min(count, there) * there * weights[gram]
        product = own * other
        cosine = np.divide(shared, product, out=np.zeros(ORDERS), where=product > 0)
        return float(cosine.mean() * np.exp(-((self.length - reference.length) ** 2) / (2 * SIGMA**2)))


def caption_bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    order: int = 4,
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """BLEU-1 to BLEU-4 of captions. Raises as `bleu` does."""
    return score(CaptionBleu(order), hypotheses, references, bootstrap=bootstrap, seed=seed)


def cider_d(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    bootstrap: int = RESAMPLES,
    seed: int = SEED,
) -> Score:
    """CIDEr-D of captions. Raises as `bleu` does."""
    return score(CiderD(), hypotheses, references, bootstrap=bootstrap, seed=seed)
