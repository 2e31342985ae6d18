"""Scripts that put no space between words, and how much a line of theirs says.

One word a line is a lexicon in English, and any sentence at all in Chinese. What tells them apart are the marks of
sentences and the number of letters: words of Thai, Khmer, Burmese and Japanese have about 5, of Chinese 2 to 4 characters,
and sentences two or three times as many.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Script = Literal["spaced", "hangul", "han", "kana", "unspaced"]
# Scripts that put no space between words: Thai to Burmese and Khmer, Chinese and Japanese, and their wide signs.
# Korean does.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u31a0-\ua4cf\uf900-\ufaff\uff00-\uffef]")
HAN = re.compile("[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff]")
# A stop or a comma of these scripts anywhere, or an ASCII stop at the end.
MARKS = re.compile(r"[。｡！？，、；។៕၊။]|[.!?…][\"'”’)）」』]*\s*$")


def unspaced_letters(text: str) -> int:
    """How many letters a line has if they are of such a script, most of them; else 0. Signs that combine with a letter do
    not count, and a Chinese character counts as two: it says about as much."""
    if text.isascii() or not UNSPACED.search(text):
        return 0
    letters = "".join(filter(str.isalpha, text))
    if 2 * len(UNSPACED.findall(letters)) <= len(letters):
        return 0
    return len(letters) + len(HAN.findall(letters))


def script_of(texts: Iterable[str]) -> Script:
    """What most letters are: "han" (Chinese), "kana" where a tenth of such text is kana (Japanese), another script without
    spaces ("unspaced"), "hangul", or one with spaces."""
    letters = "".join(filter(str.isalpha, "".join(texts)))
    han, kana = len(HAN.findall(letters)), len(KANA.findall(letters))
    if 2 * len(HANGUL.findall(letters)) > len(letters):
        return "hangul"
    every = len(UNSPACED.findall(letters))
    if 2 * every <= len(letters):
        return "spaced"
    if 2 * (han + kana) < every:
        return "unspaced"
    return "kana" if 10 * kana >= han + kana else "han"


__all__ = ["MARKS", "UNSPACED", "Script", "script_of", "unspaced_letters"]
