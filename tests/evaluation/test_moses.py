from __future__ import annotations

import pytest

from regard.evaluation import bleu, moses_tokens, tokenized_bleu


@pytest.mark.parametrize(
    ("language", "text", "tokens"),
    [
        ("en", "A man isn't cooking.", "A man isn 't cooking ."),
        ("en", "The boys' 1990's car, (red) costs 1,000.50!", "The boys ' 1990 's car , ( red ) costs 1,000.50 !"),
        ("en", "a well-known U.S. brand... so J. Smith e.g. says", "a well-known U.S. brand ... so J. Smith e.g. says"),
        ("fr", "L'homme aujourd'hui n'a pas d'eau.", "L' homme aujourd' hui n' a pas d' eau ."),
        ("de", "Wie geht's? 5,5 m_n", "Wie geht ' s ? 5,5 m _ n"),
        ("ar", "رجل يطبخ، هنا", "رجل يطبخ ، هنا"),
        ("en", " \t ", ""),
        ("en", ". .. a\x07b", ". .. a b"),
    ],
)  # fmt: skip
def test_tokens_by_the_rules_of_moses(language: str, text: str, tokens: str) -> None:
    assert moses_tokens(text, language) == tokens.split()


def test_french_scores_higher_as_the_literature_counts() -> None:
    hypotheses, references = ["L'homme n'est pas là."], [["l'homme n'est pas ici."]]
    found = tokenized_bleu(hypotheses, references, language="fr", bootstrap=0)
    by_hand = bleu(["l' homme n' est pas là ."], [["l' homme n' est pas ici ."]], tokenize="none", bootstrap=0)
    assert found.value == pytest.approx(by_hand.value)
    assert found.value > bleu(hypotheses, references, lowercase=True, bootstrap=0).value
    assert "case:lc" in found.signature and "pretok:moses-rules-fr" in found.signature
