"""Text without spaces is told from the single words of a lexicon, in every script that has neither or both."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.data import TablePairs, examine
from regard.data.diagnosis import SideStatistics
from regard.data.scripts import script_of, unspaced_letters

CHINESE = ["继续吧。", "我们爱汤姆。", "你紧张吗？", "汤姆，你在哪里", "我不知道"]
UNPUNCTUATED = ["今天天气很好我们去公园", "他昨天没有来上班", "这本书是我朋友写的"]
JAPANESE = ["私は猫が好きです。", "トムはどこにいますか？", "今日はとても暑い。"]
THAI = ["เขาไม่ชอบอาหารที่ร้านนี้", "ฉันจะไปตลาดกับแม่พรุ่งนี้", "วันนี้อากาศร้อนมากจริงๆ"]
BURMESE = ["ကျွန်တော်မနက်ဖြန်ရန်ကုန်သွားမယ်။", "သူကကျောင်းကိုမလာဘူး။"]
KHMER = ["ខ្ញុំចង់ទៅផ្សារជាមួយម្តាយរបស់ខ្ញុំ", "ថ្ងៃនេះអាកាសធាតុក្តៅណាស់"]
TEXTS = [CHINESE, UNPUNCTUATED, JAPANESE, THAI, BURMESE, KHMER]

LEXICA = [
    ["人", "朋友", "图书馆", "一心一意", "画蛇添足", "苹果"],  # words and idioms
    ["画蛇添足", "一心一意", "半途而废"],
    ["ねこ", "さくら", "ありがとう", "おとうさん"],
    ["コンピューター", "ストロベリー", "スーパーマーケット", "アレクサンダー"],
    ["食べる", "図書館", "日本", "引き出し"],
    ["คุณภาพ", "ค่าธรรมเนียม", "จักรวาล", "งานแต่งงาน", "งู"],
    ["ဗုဒ္ဓဘာသာ", "ပြည်ထောင်စု", "မဟာဗျူဟာ", "ဘီး"],
    ["ប្រវត្តិសាស្ត្រ", "ពិពិធកម្ម", "ភាសា"],
    ["안녕하세요", "한국어", "도서관"],
    ["Donaudampfschifffahrtsgesellschaft", "Rindfleischetikettierung", "Geschwindigkeitsbegrenzung"],
    ["hello!", "w.h.o.", "don't"],  # marks alone make no text of a script with spaces
    ["кошка", "здравствуйте"],
]


def statistics(folder: Path, lines: list[str]) -> SideStatistics:
    path = folder / "pairs.tsv"
    path.write_text("".join(f"{line}\tx y\n" for line in lines), encoding="utf-8")
    return examine(TablePairs(path)).statistics.source


@pytest.mark.parametrize("lines", TEXTS)
def test_text_without_spaces_is_text(tmp_path: Path, lines: list[str]) -> None:
    found = statistics(tmp_path, lines)
    assert found.mean_words < 1.5 and found.unspaced_text


@pytest.mark.parametrize("lines", LEXICA)
def test_words_of_a_lexicon_are_none(tmp_path: Path, lines: list[str]) -> None:
    found = statistics(tmp_path, lines)
    assert found.mean_words == 1.0 and not found.unspaced_text


def test_statistics_of_a_side_by_hand(tmp_path: Path) -> None:
    found = statistics(tmp_path, ["我去。", "ねこ", "Tom", "你好，Tom"])
    # Han counts twice: 我去 is 4 and ねこ 2; of 你好Tom most letters are Latin.
    assert (found.unspaced_lines, found.unspaced_letters, found.unspaced_marks) == (2 / 4, 3.0, 1 / 2)


@pytest.mark.parametrize(
    ("text", "letters"),
    [("", 0), ("hello", 0), ("日本 3号", 6), ("カーテン", 4), ("ที่นี่", 2), ("한국어", 0), ("。！", 0), ("GPS装置", 0), ("GPS接收装置", 11)],
)  # fmt: skip
def test_letters_are_counted_without_signs_that_combine(text: str, letters: int) -> None:
    assert unspaced_letters(text) == letters


@pytest.mark.parametrize(
    ("texts", "script"),
    [
        (["A man is cooking.", ""], "spaced"),
        ([], "spaced"),
        (["123", "!"], "spaced"),
        (["رجل يطبخ"], "spaced"),
        (["나는 학교에 간다."], "hangul"),
        (CHINESE, "han"),
        (["汤姆住在Boston。", "我们没有时间了。"], "han"),
        (["湯姆皺著眉頭。"], "han"),
        (JAPANESE, "kana"),
        (["アメリカ"], "kana"),
        (THAI, "unspaced"),
        (BURMESE, "unspaced"),
        (KHMER, "unspaced"),
        (["ສະບາຍດີ"], "unspaced"),
    ],
)
def test_a_script_is_that_of_most_letters(texts: list[str], script: str) -> None:
    assert script_of(texts) == script
