"""What a run's recipe takes from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regard.config import recipe_of
from regard.errors import UsageError
from regard.run.corpus import examined, pairs_of, resolve


def resolved(folder: Path, source: str, target: str, **data: Any) -> Any:
    for name in (source, target):
        (folder / name).write_text("a few words\nand a few more\n" * 20, encoding="utf-8")
    tree = {"data": {"source": str(folder / source), "target": str(folder / target)} | data}
    pairs = pairs_of(recipe_of(tree, "here").data)
    assert pairs is not None
    return resolve(tree, examined(pairs, lambda _: None), "here")


@pytest.mark.parametrize(
    ("names", "languages"),
    [
        (("train.en", "train.de"), ("en", "de")),
        (("corpus.fr-en.fr", "corpus.fr-en.en"), ("fr", "en")),
        (("left.txt", "right.txt"), (None, None)),
        (("a.en", "b.en"), (None, None)),
        (("a.en", "b.tsv"), (None, None)),
        (("en", "de"), (None, None)),
    ],
)
def test_languages_follow_from_the_names_of_the_files(
    tmp_path: Path, names: tuple[str, str], languages: tuple[str | None, str | None]
) -> None:
    data = resolved(tmp_path, *names).data
    assert (data.source_language, data.target_language) == languages


def test_what_is_said_counts_more_than_a_name(tmp_path: Path) -> None:
    data = resolved(tmp_path, "train.en", "train.zh", target_language="zh-Hant").data
    assert (data.source_language, data.target_language) == ("en", "zh-Hant")


@pytest.mark.parametrize("wrong", ["", "e", "English language", "日本語", "../en"])
def test_a_language_is_a_tag(wrong: str) -> None:
    with pytest.raises(UsageError, match="source_language"):
        recipe_of({"data": {"source_language": wrong}}, "here")
