"""What the names of two files tell of their languages."""

from __future__ import annotations

import pytest

from regard.config.languages import languages_of_files


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ("data/train.en", "data/train.de", ("en", "de")),
        ("train.zh-Hant", "train.pt-BR", ("zh-Hant", "pt-BR")),
        ("train.en", "valid.en", None),  # one language is no pair
        ("train.src", "train.tgt", None),
        ("train.en", "train.qq", None),  # two letters, and no language
        ("train", None, None),
        (None, "", None),
    ],
)
def test_only_two_known_codes_are_languages(
    source: str | None, target: str | None, found: tuple[str, str] | None
) -> None:
    assert languages_of_files(source, target) == found
