"""Gold links that cannot be read are told of in options, and nothing else of the sentence is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regard.cli.options import gold_options
from regard.errors import RegardError, UsageError
from regard.evaluation import parse_gold, read_gold


@pytest.mark.parametrize(
    ("target_first", "line", "how", "advice"),
    [
        (["--reversed-gold"], "3-4", {}, "counts from 1 (--one-based) or has the target word first (--reversed-gold)."),
        ([], "3-4", {}, "counts from 1 (--one-based) or has the target word first (turn its links round)."),
        (
            ["--reversed-gold"],
            "6p3",
            {"offset": 1, "reverse": True},
            "counts from 0 (--zero-based) or has the source word first (leave out --reversed-gold).",
        ),
        ([], "0-1", {"offset": 1}, "say that it counts from 0 if it does (--zero-based)."),
    ],
)
def test_arguments_are_named_as_options(target_first: list[str], line: str, how: dict[str, Any], advice: str) -> None:
    with pytest.raises(UsageError) as error, gold_options(*target_first):
        parse_gold(line, "f", 3, lengths=(3, 5), **how)
    assert str(error.value).startswith("f, line 3: ") and str(error.value).endswith(advice)


def test_a_file_named_like_an_argument_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "gold (one_based=False)"
    path.write_text("1-1\n")
    with pytest.raises(UsageError) as error, gold_options():
        read_gold(path, [(4, 4)])
    said = str(error.value)
    assert said.startswith(f"{path} does not tell") and said.endswith("say which (--zero-based or --one-based).")


def test_what_is_no_matter_of_an_argument_goes_through() -> None:
    for problem in (UsageError("links.txt is empty: give links"), RegardError("the disk is full"), KeyError("x")):
        with pytest.raises(type(problem)) as error, gold_options():
            raise problem
        assert error.value is problem
