"""What a run's recipe takes from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regard.config import recipe_of
from regard.data import Tokenizer
from regard.errors import UsageError
from regard.run.corpus import examined, pairs_of, resolve
from regard.run.translation.preparing import _validation_set


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


@pytest.mark.parametrize(("lines", "used"), [(3, 3), (1000, 1000), (1014, 1000), (5000, 1000)])
def test_validation_takes_as_many_lines_as_it_may_from_all_over_the_file(lines: int, used: int) -> None:
    rows = [(number, f"source {number}", f"target {number}") for number in range(1, lines + 1)]
    tokenizer = Tokenizer.train("words", [text for _, *texts in rows for text in texts], 30)
    valid = _validation_set(rows, (tokenizer, tokenizer), False, recipe_of({}))
    numbers = [int(source.split()[1]) for source in valid.sources]
    assert len(set(numbers)) == used == len(valid.corpus)
    assert numbers == sorted(numbers) and numbers[0] == 1 and numbers[-1] > lines - max(2, 2 * lines // used)
    assert valid.references == [[f"target {number}"] for number in numbers]
