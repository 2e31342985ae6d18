"""Which first lines are headers, which may be, and what the doctor says of either."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.data import Finding, TablePairs, TextPairs, examine, kept
from regard.data.header import LANGUAGES, LIKE_SIDES, SIDES, Header, header_of, looks_like_header


def table(folder: Path, name: str, *lines: str) -> TablePairs:
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return TablePairs(folder / name)


def read(pairs: TablePairs) -> tuple[list[tuple[int, str, str]], list[Finding]]:
    diagnosis = examine(pairs)
    assert not diagnosis.fatal and not diagnosis.dropped
    return list(kept(pairs, diagnosis)), [each for each in diagnosis.findings if each.kind == "header"]


@pytest.mark.parametrize(
    ("cells", "names", "places"),
    [
        (["source", "target"], ("source", "target"), (0, 1)),
        (["id", " Target ", "SOURCE"], ("source", "target"), (2, 1)),
        (["src", "tgt"], ("src", "tgt"), (0, 1)),
        (["trg", "src"], ("src", "trg"), (1, 0)),
        (["instruction", "Input", "Output"], ("input", "output"), (1, 2)),
        (["src", "tgt", "source", "target"], ("source", "target"), (2, 3)),
        (["tgt", "src", "input", "output"], ("src", "tgt"), (1, 0)),
    ],
)
def test_names_of_the_sides_are_a_header(cells: list[str], names: tuple[str, str], places: tuple[int, int]) -> None:
    assert header_of(cells) == Header(names, places)


@pytest.mark.parametrize(
    "cells",
    [
        [],
        ["source"],
        ["source", "tgt"],
        ["source text", "target text"],
        ["en", "de"],
        ["English", "German"],
        ["question", "answer"],
        ["an input", "an output"],
    ],
)
def test_what_may_be_a_pair_is_one(cells: list[str]) -> None:
    assert header_of(cells) is None


@pytest.mark.parametrize(
    ("pair", "like"),
    [
        (("en", "de"), True),
        (("EN", " pt-BR "), True),
        (("zh_Hans", "en"), True),
        (("is", "es"), True),  # or an entry of a dictionary, which is why it stays a pair
        (("English", "german"), True),
        (("answer", "question"), True),
        (("Word", "Pronunciation"), True),
        (("en", "en"), False),
        (("English", "English"), False),
        (("xq", "en"), False),  # no language
        (("a", "b"), False),
        (("en", "German"), False),
        (("dog", "Hund"), False),
        (("question", "completion"), False),
        (("en de", "de en"), False),
        (("", "de"), False),
        (("英语", "德语"), False),
        (("ｅｎ", "ｄｅ"), False),  # wide letters are no code
    ],
)
def test_what_looks_like_a_header(pair: tuple[str, str], like: bool) -> None:
    assert looks_like_header(*pair) is like


def test_the_lists_hold_what_a_cell_is_compared_with() -> None:
    """Cells are compared in lower case, and a name that is believed needs no asking."""
    names = [name for pair in (*SIDES, *LIKE_SIDES) for name in pair]
    assert all(name == name.strip().lower() for name in [*names, *LANGUAGES])
    assert not set(SIDES) & set(LIKE_SIDES)


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t"), ("A.CSV", ",")])
def test_a_header_is_no_pair_and_the_doctor_says_so(tmp_path: Path, name: str, mark: str) -> None:
    pairs = table(tmp_path, name, mark.join(("tgt", "id", "src")), mark.join(("Hund", "7", "dog")))
    rows, [finding] = read(pairs)
    assert rows == [(2, "dog", "Hund")]
    assert (finding.count, finding.lines, finding.dropped) == (1, [1], False)
    assert finding.sentence == (
        f"line 1 of {tmp_path / name} is a header and no pair: column 3 ('src') is the source and column 1 ('tgt') the "
        "target; if it is a pair, write a line with source and target above it"
    )
    # What the sentence says to do helps.
    pairs = table(tmp_path, name, mark.join(("source", "target")), mark.join(("src", "tgt")))
    rows, [finding] = read(pairs)
    assert rows == [(2, "src", "tgt")] and finding.sentence.endswith("column 2 ('target') the target")


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t")])
@pytest.mark.parametrize("first", [("en", "de"), ("English", "German"), ("question", "answer")])
def test_what_only_looks_like_one_is_kept_and_said(
    tmp_path: Path, name: str, mark: str, first: tuple[str, str]
) -> None:
    pairs = table(tmp_path, name, mark.join(first), mark.join(("a dog", "ein Hund")))
    rows, [finding] = read(pairs)
    assert rows == [(1, *first), (2, "a dog", "ein Hund")]
    assert f"('{first[0]}' and '{first[1]}') and is taken for a pair" in finding.sentence
    assert not finding.dropped and not finding.fatal
    # What the sentence says to do helps.
    rows, _ = read(table(tmp_path, name, mark.join(("source", "target")), mark.join(("a dog", "ein Hund"))))
    assert rows == [(2, "a dog", "ein Hund")]


def test_only_the_first_line_of_a_table_is_asked(tmp_path: Path) -> None:
    for rows in (["a,b", "src,tgt", "en,de"], ["", "src,tgt", "en,de"]):
        pairs = table(tmp_path, "a.csv", *rows)
        diagnosis = examine(pairs)
        assert [line for line, _, _ in kept(pairs, diagnosis)] == [n for n, row in enumerate(rows, start=1) if row]
        assert "header" not in [each.kind for each in diagnosis.findings]


def test_where_there_are_no_columns_there_is_no_header(tmp_path: Path) -> None:
    lines = [f'{{"source": "{a}", "target": "{b}"}}' for a, b in (("en", "de"), ("src", "tgt"))]
    rows, findings = read(table(tmp_path, "a.jsonl", *lines))
    assert len(rows) == 2 and findings == []
    (tmp_path / "s").write_text("en\n")
    (tmp_path / "t").write_text("de\n")
    assert examine(TextPairs(tmp_path / "s", tmp_path / "t")).findings == []


def test_a_byte_order_mark_and_quotes_hide_no_header(tmp_path: Path) -> None:
    rows, findings = read(table(tmp_path, "a.csv", '\ufeff"src","tgt"\r', "x,y"))
    assert rows == [(2, "x", "y")] and len(findings) == 1
