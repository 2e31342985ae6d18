"""Captions against several references: BLEU by sacreBLEU's own orders, CIDEr-D by the formula written out again."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from sacrebleu.metrics.bleu import BLEU

from regard.errors import UsageError
from regard.evaluation.captions import CaptionBleu, CiderD, caption_bleu, caption_words, cider_d
from regard.evaluation.score import Metric

METRICS: list[Metric] = [CaptionBleu(), CiderD()]
WORDS = ["a", "the", "dog", "dogs", "cat", "man", "runs", "runs", "sits", "on", "in", "grass", "snow", "red", "blue"]


def corpus(pictures: int = 23, seed: int = 3) -> tuple[list[str], list[list[str]]]:
    draw = random.Random(seed)

    def sentence() -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randint(4, 11)))

    references = [[sentence() for _ in range(draw.randint(1, 5))] for _ in range(pictures)]
    hypotheses = []
    for those in references:  # half of a reference, half of something else, so that long n-grams match, too
        words = draw.choice(those).split()
        hypotheses.append(" ".join([*words[: len(words) // 2 + 2], *sentence().split()[:3]]))
    return hypotheses, references


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog , and a CAT .", ["a", "dog", "and", "a", "cat"]),
        ("Two dogs.", ["two", "dogs"]),
        ("a man's t-shirt, don’t!", ["a", "man", "'s", "t-shirt", "do", "n't"]),
        ('"Hello" (he said); 3,000 at 5:30', ["hello", "he", "said", "3,000", "at", "5:30"]),
        ("wait...what -- the dogs' dog,cat", ["wait", "what", "the", "dogs", "dog", "cat"]),
        ("ein Mädchen läuft हिन्दी", ["ein", "mädchen", "läuft", "हिन्दी"]),
        (" . ", []),
        ("the man 's dog ca n't", ["the", "man", "'s", "dog", "ca", "n't"]),
        ("We cannot see 'em 'sit'", ["we", "can", "not", "see", "em", "sit"]),
        ("#8 of Q&A & the U.S. army.", ["#", "8", "of", "q&a", "&", "the", "u.s.", "army"]),
    ],
)
def test_words_of_a_caption(text: str, words: list[str]) -> None:
    assert caption_words(text) == words


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_of_each_order_is_that_of_sacrebleu(order: int) -> None:
    hypotheses, references = corpus()
    most = max(map(len, references))
    documents = [[those[i] if i < len(those) else None for those in references] for i in range(most)]
    inner = BLEU(tokenize="none", force=True, smooth_method="none", max_ngram_order=order)
    expected = inner.corpus_score(hypotheses, documents).score  # type: ignore[arg-type]
    found = caption_bleu(hypotheses, references, order=order, bootstrap=0)
    assert found.value == pytest.approx(expected) and found.value > 1
    assert found.name == f"BLEU-{order}" and "pretok:caption" in found.signature and f"order:{order}" in found.signature
    assert "smooth:none" in found.signature


def test_bleu_by_hand() -> None:
    # Papineni's example: "the" is clipped to the two of one reference. 2 of 7 words, as long as the nearest reference.
    references = [["The cat is on the mat.", "There is a cat on the mat ."]]
    found = caption_bleu(["the the the the the the the"], references, order=1, bootstrap=0)
    assert found.value == pytest.approx(100 * 2 / 7)
    # 3 words of 3 and 2 pairs of 2, but three words short of the nearest reference, which has 6.
    found = caption_bleu(["is on the"], references, order=2, bootstrap=0)
    assert found.value == pytest.approx(100 * math.exp(1 - 6 / 3))
    assert caption_bleu(["is on the"], references, order=4, bootstrap=0).value == 0.0
    assert caption_bleu([""], references, bootstrap=0).value == 0.0


def reference_cider_d(hypotheses: list[str], references: list[list[str]]) -> float:
    """Equation by equation, one n after the other, without what the module does once for all."""

    def grams(text: str, n: int) -> Counter:
        words = text.split()
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    total = 0.0
    for hypothesis, those in zip(hypotheses, references, strict=True):
        score = 0.0
        for n in (1, 2, 3, 4):

            def vector(text: str, n: int = n) -> dict:
                found = {}
                for gram, count in grams(text, n).items():
                    having = sum(any(gram in grams(reference, n) for reference in each) for each in references)
                    found[gram] = count * math.log(len(references) / max(1, having))
                return found

            g = vector(hypothesis)
            for reference in those:
                h = vector(reference)
                dot = sum(min(g.get(gram, 0.0), weight) * weight for gram, weight in h.items())
                norm = math.sqrt(sum(x * x for x in g.values())) * math.sqrt(sum(x * x for x in h.values()))
                apart = len(hypothesis.split()) - len(reference.split())
                if norm:
                    score += dot / norm * math.exp(-(apart**2) / 72) / len(those) / 4
        total += 10 * score
    return 100 * total / len(hypotheses)


def test_cider_is_what_the_paper_says() -> None:
    hypotheses, references = corpus()
    found = cider_d(hypotheses, references, bootstrap=0)
    assert found.value == pytest.approx(reference_cider_d(hypotheses, references), rel=1e-12)
    assert found.value > 50 and found.name == "CIDEr-D"
    assert "nrefs:1-5" in found.signature and "df:references of 23 pictures" in found.signature


def test_cider_by_hand() -> None:
    # Three pictures. "a" is in all of them and counts nothing; "dog" and "runs" are in one each.
    references = [["a dog"], ["a cat"], ["a bird"]]
    # n=1: only "dog" counts on both sides, cosine 1. n=2: the same pair, cosine 1. n=3, 4: nothing. 10 · 2/4 = 5.
    assert cider_d(["a dog", "", ""], references, bootstrap=0).value == pytest.approx(100 * 5 / 3)
    # One word more: "big" is in no reference, so like one in a single picture it weighs log 3.
    # n=1: cosine 1/√2; n=2: none of (a big), (big dog) is shared. Length 3 against 2: exp(-1/72).
    found = cider_d(["a big dog", "", ""], references, bootstrap=0).value
    assert found == pytest.approx(100 * 10 / 4 / math.sqrt(2) * math.exp(-1 / 72) / 3)
    # A word said again is clipped to once, though its vector is longer: n=1 (1·1)/(2·1), n=2: (dog dog) alone is new.
    found = cider_d(["dog dog", "", ""], references, bootstrap=0).value
    assert found == pytest.approx(100 * 10 / 4 * (1 / 2) / 3)


def test_the_numbers_of_cocos_own_code() -> None:
    """pycocoevalcap 1.2, run once on these very sentences; its CIDEr (times 100) and BLEU-4 on Flickr8k agree, too."""
    hypotheses = ["a dog runs in the snow", "two men sit on a red bench", "a cat"]
    references = [
        ["a brown dog runs through the snow", "the dog is in the snow"],
        ["two men are sitting on a bench", "men sit on a red bench outside", "a red bench"],
        ["a cat sleeps on grass", "a dog runs"],
    ]
    found = [caption_bleu(hypotheses, references, order=n, bootstrap=0).value for n in (1, 2, 3, 4)]
    assert found == pytest.approx([93.55069849, 85.39971306, 72.37064625, 62.43662227], rel=1e-8)
    assert cider_d(hypotheses, references, bootstrap=0).value == pytest.approx(290.11887175916763, rel=1e-9)


def test_one_picture_tells_nothing_of_rarity() -> None:
    assert cider_d(["a dog"], [["a dog"]], bootstrap=0).value == 0.0


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_confidence_and_wrong_use(metric: Metric) -> None:
    from regard.evaluation import score

    hypotheses, references = corpus()
    found = score(metric, hypotheses, references, bootstrap=200)
    assert found.low is not None and found.high is not None
    assert 0 < found.low < found.value < found.high
    assert "bs:200" in found.signature
    with pytest.raises(UsageError, match="no reference"):
        score(metric, ["a"], [[]])


def test_an_order_that_is_not_counted() -> None:
    with pytest.raises(UsageError, match="1- to 4-grams, not 5"):
        caption_bleu(["a"], [["a"]], order=5)
