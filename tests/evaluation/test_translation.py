from __future__ import annotations

import random

import pytest
import sacrebleu

from regard.errors import UsageError
from regard.evaluation import bleu, chrf, ter
from regard.evaluation.translation import Chrf, Ter

REFERENCES = [
    "Ein Mann kocht in der Küche .",
    "Zwei Hunde spielen im tiefen Schnee, und ein Kind sieht zu.",
    "Die Frau liest ein Buch auf der Bank im Park.",
    "Ein Junge springt über eine Mauer.",
    "男人正在做饭。",
    "رجل يطبخ في المطبخ",
] * 5


def corrupted(seed: int) -> list[str]:
    choose = random.Random(seed)
    return [" ".join(w for w in line.split() if choose.random() > 0.15) for line in REFERENCES]


HYPOTHESES = corrupted(1)
SINGLE = [[line] for line in REFERENCES]
SECOND = corrupted(2)


def test_bleu_by_hand() -> None:
    """5 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 quadruples; 5 words for 6: e ^ (1 - 6/5)."""
    found = bleu(["a b c d e"], [["a b c d x e"]], bootstrap=0)
    brevity = 2.718281828459045 ** (1 - 6 / 5)
    assert found.value == pytest.approx(100 * (1 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25 * brevity)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "zh", "none"])
def test_bleu_is_sacrebleus(lowercase: bool, tokenize: str) -> None:
    metric = sacrebleu.BLEU(lowercase=lowercase, tokenize=tokenize, force=True)
    expected = metric.corpus_score(HYPOTHESES, [REFERENCES], n_bootstrap=200)
    found = bleu(HYPOTHESES, SINGLE, lowercase=lowercase, tokenize=tokenize, bootstrap=200)
    assert found.value == pytest.approx(expected.score)
    assert found.signature == str(metric.get_signature())
    assert found.low is not None and found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(expected._ci, abs=1e-6)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("word_order", [0, 2])
def test_chrf_is_sacrebleus(word_order: int) -> None:
    metric = sacrebleu.CHRF(word_order=word_order)
    expected = metric.corpus_score(HYPOTHESES, [REFERENCES], n_bootstrap=50)
    found = chrf(HYPOTHESES, SINGLE, word_order=word_order, bootstrap=50)
    assert found.value == pytest.approx(expected.score)
    assert found.signature == str(metric.get_signature())
    assert found.name == expected.name == Chrf(word_order=word_order).name


@pytest.mark.parametrize("lowercase", [False, True])
def test_ter_is_sacrebleus(lowercase: bool) -> None:
    metric = sacrebleu.TER(case_sensitive=not lowercase)
    expected = metric.corpus_score(HYPOTHESES, [REFERENCES], n_bootstrap=50)
    found = ter(HYPOTHESES, SINGLE, lowercase=lowercase, bootstrap=50)
    assert found.value == pytest.approx(expected.score)
    assert found.signature == str(metric.get_signature())
    assert not Ter.higher_is_better


def test_a_moved_phrase_is_one_edit() -> None:
    assert ter(["c d a b"], [["a b c d"]], bootstrap=0).value == pytest.approx(25)


def test_the_number_of_references_may_vary() -> None:
    those = [[a, b] if i % 2 else [a] for i, (a, b) in enumerate(zip(REFERENCES, SECOND, strict=True))]
    streams = [[row[0] for row in those], [row[1] if len(row) > 1 else None for row in those]]
    for function, metric in ((bleu, sacrebleu.BLEU()), (chrf, sacrebleu.CHRF()), (ter, sacrebleu.TER())):
        found = function(HYPOTHESES, those, bootstrap=0)
        assert found.value == pytest.approx(metric.corpus_score(HYPOTHESES, streams).score)
        assert found.signature == str(metric.get_signature())
        assert "nrefs:var" in found.signature


def test_a_second_reference_counts() -> None:
    assert bleu(["a b c d"], [["x"]], bootstrap=0).value == 0
    assert bleu(["a b c d"], [["x", "a b c d"]], bootstrap=0).value == pytest.approx(100)


def test_nothing_said_scores_nothing() -> None:
    for function in (bleu, chrf):
        assert function(["", ""], [["a b"], ["c"]], bootstrap=10).value == 0
    assert ter([""], [["a b"]], bootstrap=10).value == 100
    assert ter([""], [[""]], bootstrap=10).value == 0


def test_an_unknown_tokenizer_is_named_with_its_neighbour() -> None:
    with pytest.raises(UsageError, match=r"'13b'.*did you mean '13a'"):
        bleu(["a"], [["a"]], tokenize="13b")
    with pytest.raises(UsageError, match="it knows none, zh, 13a"):
        bleu(["a"], [["a"]], tokenize="moses!!")
    with pytest.raises(UsageError, match="word_order is 7"):
        chrf(["a"], [["a"]], word_order=7)


def test_a_tokenizer_that_needs_another_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Please install the\n mecab package")

    monkeypatch.setattr("regard.evaluation.translation.BLEU.__init__", refuse)
    with pytest.raises(UsageError, match="'ja-mecab' cannot be used here: Please install the mecab package"):
        bleu(["a"], [["a"]], tokenize="ja-mecab")
