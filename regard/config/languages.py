"""Codes of languages, and what the names of files tell of them."""

from __future__ import annotations

import re
from pathlib import PurePath

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


def languages_of_files(source: str | None, target: str | None) -> tuple[str, str] | None:
    """What the endings of two files say, as in train.en and train.de."""
    ends = [PurePath(path or "").suffix.removeprefix(".") for path in (source, target)]
    if ends[0] == ends[1] or not all(CODE.fullmatch(end) and end.split("-")[0] in KNOWN for end in ends):
        return None
    return ends[0], ends[1]
