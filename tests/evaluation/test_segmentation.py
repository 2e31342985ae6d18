"""How words are told apart follows from the language, or from the references; the scores are sacreBLEU's own."""

from __future__ import annotations

import pytest
import sacrebleu

import regard.evaluation.segmentation as segmentation
from regard.evaluation import bleu_for, score, script_of_language, ter_for

CHINESE = ["男人正在做饭。", "我们没有时间了，快走吧！"]
WRONG = ["男人在做饭。", "我们没时间，走吧！"]
JAPANESE = ["私は猫が好きです。", "今日はとても暑い。"]
THAI = ["เขาไม่ชอบอาหารที่ร้านนี้", "วันนี้อากาศร้อนมาก"]
ENGLISH = ["A man is cooking.", "We have no time."]


@pytest.fixture(autouse=True)
def without_mecab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("language", "references", "tokenize"),
    [
        ("zh", CHINESE, "zh"),
        ("zh-Hant", ENGLISH, "zh"),  # what is said counts more than what is seen
        ("zh_TW", CHINESE, "zh"),
        ("yue", CHINESE, "zh"),
        ("ZH", CHINESE, "zh"),
        ("zh-Latn", ["nǐ hǎo"], "13a"),
        ("ja", JAPANESE, "char"),
        ("jpn", JAPANESE, "char"),
        ("ko", ["나는 학교에 간다."], "13a"),
        *((language, THAI, "char") for language in ("th", "lo", "km", "my", "tha")),
        ("de", CHINESE, "13a"),
        ("deu", ENGLISH, "13a"),
        (None, CHINESE, "zh"),
        (None, JAPANESE, "char"),
        (None, THAI, "char"),
        (None, ["나는 학교에 간다."], "13a"),
        (None, ENGLISH, "13a"),
        (None, ["رجل يطبخ في المطبخ"], "13a"),
        (None, [], "13a"),
        ("chinese", CHINESE, "zh"),  # no tag that anybody knows: the references tell
        ("cn", CHINESE, "zh"),
        ("jp", JAPANESE, "char"),
        ("english", ENGLISH, "13a"),
    ],
)
def test_the_tokenizer_follows_from_the_language_or_the_script(
    language: str | None, references: list[str], tokenize: str
) -> None:
    script = script_of_language(language, references)
    assert bleu_for(script).tokenize == tokenize
    assert bleu_for(script, "intl").tokenize == "intl"


def test_mecab_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "find_spec", lambda name: None if name == "ipadic" else object())
    assert bleu_for("kana").tokenize == "char", "without its dictionary it is of no use"
    assert bleu_for("hangul").tokenize == "ko-mecab"
    monkeypatch.setattr(segmentation, "find_spec", lambda name: object())
    assert (bleu_for("kana").tokenize, bleu_for("han").tokenize) == ("ja-mecab", "zh")


def test_scores_of_chinese_are_sacrebleus() -> None:
    references = [[line] for line in CHINESE]
    ter = ter_for("han")
    assert ter is not None
    for found, theirs in (
        (bleu_for("han"), sacrebleu.BLEU(tokenize="zh")),
        (ter, sacrebleu.TER(normalized=True, asian_support=True)),
    ):
        expected = theirs.corpus_score(WRONG, [CHINESE])
        ours = score(found, WRONG, references, bootstrap=0)
        assert ours.value == pytest.approx(expected.score) and ours.value > 0
        assert ours.signature == str(theirs.get_signature())
    # As one word a line, every line is wrong.
    plain = ter_for("spaced")
    assert plain is not None and score(plain, WRONG, references, bootstrap=0).value == 100


def test_ter_cannot_cut_thai() -> None:
    """sacreBLEU takes a line for a word even where Asian languages are asked for, so one letter makes it all wrong."""
    said = [THAI[0][:-1]]
    assert sacrebleu.TER(normalized=True, asian_support=True).corpus_score(said, [THAI[:1]]).score == 100
    assert ter_for("unspaced") is None
