"""What is wrong with a corpus is found, line by line, and what is only unusual is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.data import Diagnosis, TablePairs, TextPairs, examine, kept, read_lines
from regard.errors import UsageError


def pairs(folder: Path, source: bytes, target: bytes) -> TextPairs:
    (folder / "s").write_bytes(source)
    (folder / "t").write_bytes(target)
    return TextPairs(folder / "s", folder / "t")


def found(diagnosis: Diagnosis) -> dict[str, list[int]]:
    return {finding.kind: finding.lines for finding in diagnosis.findings}


def test_each_thing_is_named_by_its_lines(tmp_path: Path) -> None:
    source = b"\xef\xbb\xbfone\r\n\ntwo\n   \nbad\xff\nnul\0\nsame\nline\xe2\x80\xa8sep\nform\x0cfeed\none\n"
    target = b"eins\nzwei\n\n\t\ngut\nnull\nsame\nzeile\nseite\neins\n"
    corpus = pairs(tmp_path, source, target)
    diagnosis = examine(corpus)
    assert found(diagnosis) == {
        "bom": [1],
        "crlf": [1],
        "blank-source": [2],
        "blank-target": [3],
        "blank-both": [4],
        "invalid-utf8": [5],
        "nul": [6],
        "copied": [7],
        "line-separator": [8, 9],
        "duplicate": [10],
    }
    assert not diagnosis.fatal and diagnosis.lines == 10
    assert list(kept(corpus, diagnosis)) == [
        (1, "one", "eins"),
        (7, "same", "same"),
        (8, "line\u2028sep", "zeile"),
        (9, "form\x0cfeed", "seite"),
        (10, "one", "eins"),
    ]
    assert diagnosis.pairs == 5
    assert (str(tmp_path / "s"), 5, "byte 4 is not UTF-8") in diagnosis.dropped
    diagnosis.write_dropped(tmp_path / "dropped.tsv")
    rows = (tmp_path / "dropped.tsv").read_text().splitlines()
    assert rows[0] == "file\tline\treason" and [row.split("\t")[1] for row in rows[1:]] == ["2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.csv", 'a,b\n"c\nd",e\nf,"g\n"\n"h\r\ni",j\n', [2, 4, 6]),
        ("a.csv", '"a\n\nb",c\nd,e\n', [1]),
        ("a.jsonl", '{"source": "a", "target": "b"}\n{"source": "c\\n", "target": "d"}\n', [2]),
        ("a.jsonl", '{"source": "a\\u2028b", "target": "b"}\n{"source": "c", "target": "d\\r\\ne"}\n', [1, 2]),
        ("a.tsv", "a\tb\r\nc\td\r\n", []),
        ("a.csv", "a,b\r\nc,d\r\n", []),
    ],
)
def test_a_line_end_within_the_text_is_said_and_kept(tmp_path: Path, name: str, text: str, lines: list[int]) -> None:
    (tmp_path / name).write_bytes(text.encode())
    diagnosis = examine(TablePairs(tmp_path / name))
    assert found(diagnosis).get("line-separator", []) == lines and not diagnosis.dropped
    said = [each.sentence for each in diagnosis.findings if each.kind == "line-separator"]
    assert all("a line end within the text" in sentence for sentence in said) and len(said) == bool(lines)


def test_one_file_as_both_sides_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfx\ny\n")
    corpus = TextPairs(tmp_path / "a", tmp_path / "." / "a")
    diagnosis = examine(corpus)
    assert found(diagnosis) == {"bom": [1], "copied": [1, 2]}
    assert [each.kind for each in diagnosis.findings] == ["bom", "copied"]
    assert str(diagnosis).startswith(f"{tmp_path / 'a'} as source and target: 2 lines, 2 pairs to train on\n")


@pytest.mark.parametrize("gone", [3, 60, 110])
def test_a_lost_line_is_fatal_and_the_place_is_named(tmp_path: Path, gone: int) -> None:
    words = ["cat", "a very long sentence about many different things", "dog runs", "the number is", "who is there"]
    source = [f"{words[i * 7 % 5]} {i}" + ("?" if i % 3 == 0 else ".") for i in range(150)]
    target = [line.upper() for line in source]
    del target[gone - 1]
    diagnosis = examine(pairs(tmp_path, "\n".join(source).encode() + b"\n", "\n".join(target).encode() + b"\n"))
    [fatal] = [finding for finding in diagnosis.findings if finding.fatal]
    assert "has 150 lines" in fatal.sentence and "has 149" in fatal.sentence
    assert abs(fatal.lines[0] - gone) <= 2
    assert diagnosis.fatal and diagnosis.pairs == 0


def test_a_file_that_was_cut_off_is_said_to_be(tmp_path: Path) -> None:
    source = "".join(f"line {i}\n" for i in range(100))
    diagnosis = examine(pairs(tmp_path, source.encode(), source.encode()[:600]))
    assert "may have been cut off at its end" in str(diagnosis)


def test_a_lexicon_is_not_thrown_away(tmp_path: Path) -> None:
    lexicon = "a\tEY\nwww\tD AH B AH L Y UW D AH B AH L Y UW D AH B AH L Y UW\n" + "cat\tK AE T\n" * 60
    (tmp_path / "x.tsv").write_text(lexicon)
    diagnosis = examine(TablePairs(tmp_path / "x.tsv"))
    assert diagnosis.pairs == 62 and not diagnosis.dropped
    assert diagnosis.statistics.source.mean_words == 1.0
    assert diagnosis.statistics.target.distinct_words == len({"EY", "D", "AH", "B", "L", "Y", "UW", "K", "AE", "T"})


def test_a_pair_whose_lengths_cannot_go_together_is_dropped(tmp_path: Path) -> None:
    good = "".join(f"a sentence with some {'more ' * (i % 4)}words\n" for i in range(50))
    diagnosis = examine(pairs(tmp_path, good.encode() + b"yes\n", good.encode() + b"no " * 200 + b"\n"))
    assert found(diagnosis)["length-ratio"] == [51] and diagnosis.pairs == 50


def test_statistics_by_hand(tmp_path: Path) -> None:
    corpus = pairs(tmp_path, b"one two\none\n\n", "a b c\n\u4f60\u597d\u4f60\nlost\n".encode())
    found = examine(corpus).statistics
    assert vars(found.source) == {
        "mean_words": 1.5,
        "max_words": 2,
        "mean_characters": 5.0,
        "distinct_words": 2,
        "distinct_characters": 6,  # o n e t w and the space
        "max_characters": 7,
        "single_words": 0.5,
        "unspaced_lines": 0.0,
        "unspaced_letters": 0.0,
        "unspaced_marks": 0.0,
    }
    assert (found.target.mean_words, found.target.distinct_characters, found.target.max_characters) == (2.0, 6, 5)
    assert (found.target.unspaced_lines, found.target.unspaced_letters) == (0.5, 6.0)  # three Chinese characters


def test_nothing_is_left(tmp_path: Path) -> None:
    diagnosis = examine(pairs(tmp_path, b"\n\n", b"a\n\n"))
    assert diagnosis.pairs == 0 and len(diagnosis.dropped) == 2 and not diagnosis.fatal
    assert diagnosis.statistics.source.mean_words == 0.0


def test_lines_too_long_for_the_model_are_said_and_kept(tmp_path: Path) -> None:
    corpus = pairs(tmp_path, b"a b c\na b\n", b"x y z\nx y z w\n")
    diagnosis = examine(corpus, max_length=3)
    assert found(diagnosis) == {"long": [2]} and diagnosis.pairs == 2
    assert "long" not in found(examine(corpus))


@given(st.lists(st.sampled_from(["a", "b", "c", "ü", "\u4f60"]), min_size=1, max_size=30))
def test_every_repetition_is_counted_once(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    text = "".join(word + "\n" for word in words).encode()
    corpus = pairs(tmp_path_factory.mktemp("x"), text, b"t\n" * len(words))
    again = [n for n, word in enumerate(words, start=1) if word in words[: n - 1]]
    [*doubled] = [f for f in examine(corpus).findings if f.kind == "duplicate"]
    assert [(f.count, f.lines) for f in doubled] == ([(len(again), again[:5])] if again else [])


def test_what_is_dropped_is_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    good = b"a sentence with some more words\n"
    source = good * 30 + b"yes\n" + good * 30 + b"\n"
    diagnosis = examine(pairs(tmp_path, source, good * 30 + b"no " * 200 + b"\n" + good * 31))
    assert [line for _, line, _ in diagnosis.dropped] == [31, 62]


def test_a_file_that_changes_between_two_readings_is_said(tmp_path: Path) -> None:
    corpus = pairs(tmp_path, b"a\nb\n", b"c\nd\n")
    diagnosis = examine(corpus)
    (tmp_path / "t").write_bytes(b"c\n\xff\n")
    with pytest.raises(UsageError, match="line 2 changed while it was read"):
        list(kept(corpus, diagnosis))


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes("\ufeffa\u2028b\x0bc\x0cd\x85e\rf\r\n你好\n\nآخر".encode())
    assert list(read_lines(file)) == ["a\u2028b\x0bc\x0cd\x85e\rf", "你好", "", "آخر"]
    file.write_bytes(b"fine\nnot \xe9 fine\n")
    with pytest.raises(UsageError, match=r"line 2, byte 5 is not UTF-8"):
        list(read_lines(file))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.tsv", "a\tb\nc\td\te\n", [("a", "b"), ("c", "d")]),
        ("a.tsv", "id\ttarget\tsource\n1\tb\ta\n", [("a", "b")]),
        ("a.csv", '"a, ""b""",c\n"two\nlines",d\n', [('a, "b"', "c"), ("two\nlines", "d")]),
        ("a.csv", "Source,Target\nä,👩‍👧\n", [("ä", "👩‍👧")]),
        (
            "a.jsonl",
            '{"source": "a", "target": "b"}\n{"target": "\\u4f60", "source": "x", "more": 1}',
            [("a", "b"), ("x", "你")],
        ),
    ],
)
def test_tables(tmp_path: Path, name: str, text: str, expected: list[tuple[str, str]]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    corpus = TablePairs(tmp_path / name)
    assert [(source, target) for _, source, target in kept(corpus, examine(corpus))] == expected


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.tsv", "a\tb\nc\n", r"a\.tsv, line 2 has 1 column: separate source and target by a tab"),
        ("a.csv", "a\n", r"a\.csv, line 1 has 1 column"),
        ("a.jsonl", '{"source": "a", "target": "b"}\n{"source": "a"}\n', r'line 2 has no text under "target"'),
        ("a.jsonl", "[1]\n", r'line 1 has no text under "source"'),
        ("a.jsonl", "{\n", r"line 1 is not JSON"),
        ("a.xlsx", "a", r"'\.xlsx' is no known kind of table"),
        ("a.tsv", "", "is empty"),
    ],
)
def test_tables_that_are_none_are_named(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=sentence):
        examine(TablePairs(tmp_path / name))


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "wide").write_bytes("hello".encode("utf-16"))
    (tmp_path / "binary").write_bytes(bytes(1000))
    for name, sentence in (("none", "does not exist"), (".", "is a folder"), ("wide", "UTF-16"), ("binary", "binary")):
        with pytest.raises(UsageError, match=sentence):
            list(read_lines(tmp_path / name))


@pytest.mark.parametrize("mark", ["@@", "▁"])
@pytest.mark.parametrize(("share", "said"), [(2, True), (5, True), (6, False)])
def test_text_that_was_cut_into_subwords_is_said_to_be(tmp_path: Path, mark: str, share: int, said: bool) -> None:
    """One line in `share` is cut; in more than a fifth of the lines it is no chance."""
    cut = {"@@": "the un@@ seen @@", "▁": "▁the ▁un seen"}[mark]
    source = [f"{cut if i % share == 0 else 'the unseen'} {i}" for i in range(60)]
    target = [f"das Ungesehene @@ _ {i}" for i in range(60)]
    diagnosis = examine(pairs(tmp_path, "\n".join(source).encode(), "\n".join(target).encode()))
    sentences = [finding.sentence for finding in diagnosis.findings if finding.kind == "segmented"]
    assert not diagnosis.fatal and diagnosis.pairs == 60
    if not said:
        assert sentences == []
        return
    [sentence] = sentences
    assert sentence.startswith(f"{tmp_path / 's'} was cut into subwords beforehand: {100 // share}% of its lines")
    assert f"mark {mark} (line 1, {1 + share}, " in sentence and "give the raw text" in sentence


def test_of_a_table_the_side_is_named_that_was_cut_into_subwords(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("".join(f"a cat {i}\tein@@ e K@@ atze {i}\n" for i in range(9)))
    [finding] = [each for each in examine(TablePairs(tmp_path / "x.tsv")).findings if each.kind == "segmented"]
    assert finding.sentence.startswith(f"target of {tmp_path / 'x.tsv'} was cut") and finding.count == 9
