"""Which languages a run translates between, as far as its recipe tells."""

from __future__ import annotations

import re
from pathlib import PurePath

from regard.config import Recipe
from regard.config.languages import CODE, KNOWN, languages_of_files
from regard.errors import UsageError

Languages = tuple[str | None, str | None]


def languages_of(recipe: Recipe, name: str) -> Languages:
    """What the recipe says, else from the endings of the training files (train.en, train.de), else from a name such as
    "multi-en-de"."""
    data = recipe.data
    if data.source_language is not None and data.target_language is not None:
        return data.source_language, data.target_language
    ends = languages_of_files(data.source, data.target)
    if ends is not None:
        return ends
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
