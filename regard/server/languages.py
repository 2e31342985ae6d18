"""Which languages a run translates between, as far as its recipe tells."""

from __future__ import annotations

import re
from pathlib import PurePath

from regard.config import Recipe
from regard.errors import UsageError

Languages = tuple[str | None, str | None]
CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
# ISO 639-1; of other languages --languages tells, since three letters may be anything.
CODES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg "
    "ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn "
    "no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta "
    "te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
KNOWN = frozenset(CODES.split())


def languages_of(recipe: Recipe, name: str) -> Languages:
    """What the recipe says, else from the endings of the training files (train.en, train.de), else from a name such as
    "multi-en-de"."""
    data = recipe.data
    if data.source_language is not None and data.target_language is not None:
        return data.source_language, data.target_language
    ends = [PurePath(path or "").suffix.removeprefix(".") for path in (data.source, data.target)]
    if all(CODE.fullmatch(end) and end.split("-")[0] in KNOWN for end in ends):
        return ends[0], ends[1]
    for text in (PurePath(data.data or "").stem, PurePath(data.data or "").parent.name, name):
        for pair in re.findall(r"(?<![a-z])(?=([a-z]{2})[-_]([a-z]{2})(?![a-z]))", text):
            if KNOWN.issuperset(pair):
                return pair
    return None, None


def languages_given(text: str) -> Languages:
    """Of `--languages`: "en-de", or "zh-Hant:en" where a code has a hyphen of its own."""
    source, _, target = text.partition(":" if ":" in text else "-")
    if not CODE.fullmatch(source) or not CODE.fullmatch(target):
        raise UsageError(f"--languages {text}: write the code of the source and that of the target, such as en-de")
    return source, target
