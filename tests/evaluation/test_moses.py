from __future__ import annotations

import pytest

from regard.errors import UsageError
from regard.evaluation import bleu, moses_tokens, tokenized_bleu
from regard.evaluation.moses import moses_language


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
    assert "rules:generic" not in found.signature


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("en", "en"),
        ("EN_us", "en"),
        ("eng", "en"),
        ("fre-CA", "fr"),
        ("de-AT", "de"),
        ("zh-Hant", "zh"),
        ("ast", "ast"),
    ],
)
def test_a_language_may_be_written_in_many_ways(written: str, code: str) -> None:
    assert moses_language(written) == code
    assert moses_tokens("d'eau", written) == moses_tokens("d'eau", code)


@pytest.mark.parametrize("written", ["xx", "deutsch", "", "d", "en-", "../de", "de\n", "日本", "e n", "x" * 5000])
def test_what_is_the_code_of_no_language_is_refused(written: str) -> None:
    for refuse in (moses_language, lambda code: tokenized_bleu(["a"], [["a"]], language=code)):
        with pytest.raises(
            UsageError, match=r"is no code of a language: write that of the targets, such as en, fr"
        ) as said:
            refuse(written)
        assert str(said.value).startswith(f"'{written}'"[:20])


def test_a_language_without_rules_of_its_own_says_so_in_its_signature() -> None:
    """Moses takes the same rules for each of them."""
    scored = [
        tokenized_bleu(["C'est là."], [["c'est ici."]], language=code, bootstrap=0) for code in ("de", "ast", "ita")
    ]
    assert scored[0].value == scored[1].value
    assert ["rules:generic" in each.signature for each in scored] == [True, True, False]
    assert [each.signature.split("pretok:")[1].split("|")[0] for each in scored] == [
        "moses-rules-de", "moses-rules-ast", "moses-rules-it",
    ]  # fmt: skip
