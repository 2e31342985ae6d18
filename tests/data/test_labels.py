"""Labelled text: what is read and what is dropped, classes that are known and that are not, batches with a class each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from regard.batch import EOS
from regard.data import Corpus, TablePairs, TextPairs, Tokenizer
from regard.data.labels import (
    ClassificationBatch,
    ClassificationBatches,
    Labelled,
    LabelledTable,
    Labels,
    held_out,
    label_shares,
    labelled_corpus,
    read_labelled,
)
from regard.errors import RegardError, UsageError

ROWS = [(1, "who is it", "HUM"), (2, "où est 東京 ?", "LOC"), (3, "when", "NUM")]


def listed(*items: tuple[str, str]) -> Labelled:
    return Labelled("memory", [(n, text, label) for n, (text, label) in enumerate(items, start=1)], [])


def test_two_files_and_every_kind_of_table_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("\n".join(text for _, text, _ in ROWS).encode() + b"\n")
    (tmp_path / "y").write_bytes("\r\n".join(label for _, _, label in ROWS).encode())
    assert read_labelled(TextPairs(tmp_path / "x", tmp_path / "y")).rows == ROWS

    def write(name: str, *lines: str) -> list[tuple[int, str, str]]:
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
        return read_labelled(LabelledTable(tmp_path / name)).rows

    later = [(n + 1, text, label) for n, text, label in ROWS]
    assert write("a.tsv", *(f"{text}\t{label}" for _, text, label in ROWS)) == ROWS
    assert write("b.tsv", "Text\tLabel\r", *(f"{text}\t{label}\r" for _, text, label in ROWS)) == later
    assert write("c.tsv", "label\ttext", *(f"{label}\t{text}" for _, text, label in ROWS)) == later
    assert write("d.csv", "text,label", *(f'"{text}",{label}' for _, text, label in ROWS)) == later
    assert write("e.csv", '"label",text', *(f"{label},{text}" for _, text, label in ROWS)) == later
    assert write("f.csv", "id,target,source", *(f"{n},{label},{text}" for n, text, label in ROWS)) == later
    assert write("g.csv", "output,input", *(f"{label},{text}" for _, text, label in ROWS)) == later
    assert write("g.jsonl", *(json.dumps({"label": label, "text": text}) for _, text, label in ROWS)) == ROWS
    assert write("h.jsonl", *(json.dumps({"source": text, "target": label}) for _, text, label in ROWS)) == ROWS
    assert write("i.jsonl", '{"text": "a", "label": 7}', '{"text": "b", "label": 0}') == [(1, "a", "7"), (2, "b", "0")]
    assert read_labelled(TablePairs(tmp_path / "a.tsv")).rows == ROWS


def test_what_is_no_item_is_dropped_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(b"good\tA\n\tA\nb\xffd\tA\nx\t  \n\nnul\0\tB\n fine \t B \n")
    found = read_labelled(LabelledTable(tmp_path / "t.tsv"))
    assert found.rows == [(1, "good", "A"), (7, "fine", "B")]
    name = str(tmp_path / "t.tsv")
    assert found.dropped == [
        (name, 2, "blank text"),
        (name, 3, "byte 2 of the text is not UTF-8"),
        (name, 4, "blank label"),
        (name, 5, "blank text"),
        (name, 6, "NUL character"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.tsv", b"id\ttext\tlabel\n1\tx\ty\n", "text and label in columns 2 and 3: put them first"),
        ("a.csv", b"text,label,src,tgt\nx,y,z,w\n", "columns text and label and columns src and tgt: rename those"),
        ("a.csv", b'text,"label\n' + b"x,y\n" * 50_000, "line 1"),
        ("a.tsv", b"no tab\n", "line 1 has 1 column"),
        ("a.tsv", b"", "is empty"),
        ("a.tsv", b"\t\n\t\n", "no line with both a text and a label"),
        ("a.xls", b"x\ty\n", "'.xls' is no known kind of table"),
        ("a.csv", b'text,label\n"open,x\n', "line 2"),
        ("a.jsonl", b'{"text": "x", "label": "y"}\n{"text": "x"}\n', 'line 2 has no "label"'),
        ("a.jsonl", b'{"text": 3, "label": "y"}\n', 'line 1 has no "text"'),
        ("a.jsonl", b'{"text": "x", "label": true}\n', 'line 1 has no "label"'),
        ("a.jsonl", b'["x", "y"]\n', 'line 1 has no "text"'),
        ("a.jsonl", b"{\n", "line 1 is not JSON"),
        (
            "a.jsonl",
            b'{"text": "x", "label": "y"}\n{"text": "x", "text": "z", "label": "y"}\n',
            'line 2 has the key "text" twice',
        ),
        ("a.jsonl", b'{"text": "x", "label": "y", "label": "y"}\n', 'line 1 has the key "label" twice'),
        ("a.jsonl", b'{"image": "x.png", "label": "y"}\n', 'line 1 has an "image" and no "text"'),
        ("a.npz", b"PK", "holds pictures, which are of a run with model.encoder"),
        ("a.jsonl", b'{"text": "\\ud800", "label": "y"}\n', "no line with both"),
    ],
)
def test_a_file_that_is_wrong_is_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_labelled(LabelledTable(tmp_path / name))
    assert sentence in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_files_of_unequal_length_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a\nb\nc\n")
    (tmp_path / "y").write_text("A\nB\n")
    with pytest.raises(UsageError, match=r"y ends after line 2 and .*x goes on"):
        read_labelled(TextPairs(tmp_path / "x", tmp_path / "y"))
    with pytest.raises(UsageError, match=r"y ends after line 2 and .*x goes on"):
        read_labelled(TextPairs(tmp_path / "y", tmp_path / "x"))


def test_classes_are_sorted_and_numbers_by_value() -> None:
    assert Labels.of(listed(("x", "b"), ("y", "a"), ("z", "b"))).names == ("a", "b")
    assert Labels.of(listed(*(("x", n) for n in ("10", "9", "100", "0")))).names == ("0", "9", "10", "100")
    assert Labels.of(listed(("x", "10"), ("x", "9"), ("x", "-1"))).names == ("-1", "10", "9")
    with pytest.raises(RegardError, match="memory has only the class 'a'"):
        Labels.of(listed(("x", "a"), ("y", "a")))
    with pytest.raises(ValueError, match="of 2 classes only 1"):
        Labels(["a", "a"])


def test_an_unknown_class_is_named_with_its_line_and_what_is_near() -> None:
    labels = Labels(["translate", "transfer", "Weather", "alarm", "bill", "cook", "دقیقه"])
    assert labels.ids(listed(("x", "alarm"), ("y", "دقیقه"))) == [3, 6] and "alarm" in labels and "?" not in labels
    with pytest.raises(UsageError) as caught:
        labels.ids(listed(("x", "alarm"), ("y", "trasnlate")))
    assert "memory, line 2: the class 'trasnlate' is none of the 7" in str(caught.value)
    assert "did you mean 'translate'" in str(caught.value)
    with pytest.raises(UsageError, match="did you mean 'Weather'"):
        labels.encode_batch(["alarm", "WEATHER"])
    with pytest.raises(UsageError, match=r"they are 'translate', 'transfer', 'Weather', 'alarm', 'bill', …$"):
        labels.encode_batch(["猫"])


def test_classes_are_saved_and_what_is_damaged_is_refused(tmp_path: Path) -> None:
    labels, path = Labels(["b", "猫", 'a"\n']), tmp_path / "labels.json"
    labels.save(path)
    assert Labels.load(path).names == labels.names
    whole = path.read_text(encoding="utf-8")
    for damaged in (whole[:9], "[]", '{"labels": ["one"]}', '{"labels": [1, 2]}', '{"labels": ["a", "a"]}', "{}"):
        path.write_text(damaged)
        with pytest.raises(UsageError, match=r"labels\.json holds no classes"):
            Labels.load(path)
    with pytest.raises(UsageError, match="missing"):
        Labels.load(tmp_path / "none.json")
    with pytest.raises(RegardError, match="cannot be written"):
        labels.save(tmp_path / "none" / "labels.json")


def corpus() -> tuple[Corpus, Labelled, Tokenizer, Labels]:
    letters = "abcdefg"
    items = [(" ".join(letters[(n * k) % 7] for k in range(n % 11 + 1)), "xyz"[n % 3]) for n in range(61)]
    labelled = Labelled("memory", [(2 * n + 1, text, label) for n, (text, label) in enumerate(items)], [])
    tokenizer = Tokenizer.train("words", (text for text, _ in items), 50)
    labels = Labels.of(labelled)
    return labelled_corpus(labelled, tokenizer, labels, max_length=9), labelled, tokenizer, labels


def test_every_item_comes_once_an_epoch_with_its_class() -> None:
    items, labelled, tokenizer, labels = corpus()
    by_line = {line: (text, label) for line, text, label in labelled.rows}
    batches = ClassificationBatches(items, 37, seed=3)
    seen = []
    for batch in batches.epoch(2):
        assert len(batch) == batch.target_tokens == len(batch.labels) and batch.source.numel() <= 37
        for ids, length, label, row in zip(
            batch.source, batch.source_lengths.tolist(), batch.labels.tolist(), batch.rows.tolist(), strict=True
        ):
            text, name = by_line[row + 1]
            assert ids[:length].tolist() == [*tokenizer.encode(text).ids[:9], EOS]
            assert labels.names[label] == name
            seen.append(row + 1)
    assert sorted(seen) == sorted(by_line)
    assert items.too_long == [line for line, (text, _) in by_line.items() if len(text.split()) > 9] != []


def test_seed_and_epoch_decide_and_a_start_skips() -> None:
    items = corpus()[0]

    def rows(seed: int, epoch: int, start: int = 0) -> list[list[int]]:
        return [b.rows.tolist() for b in ClassificationBatches(items, 37, seed).epoch(epoch, start)]

    assert rows(1, 0) == rows(1, 0) != rows(1, 1) != rows(2, 1)
    assert rows(1, 3, 2) == rows(1, 3)[2:] and ClassificationBatches(items, 37, 1).count(3) == len(rows(1, 3))
    first = next(ClassificationBatches(items, 37, 1).epoch(0))
    assert isinstance(first, ClassificationBatch) and torch.equal(first.to("cpu").labels, first.labels)


def test_targets_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one token, its class"):
        ClassificationBatches(Corpus.in_memory([([4], [1]), ([4], [1, 2])]), 9, 0)


def test_the_same_share_of_each_class_is_held_out() -> None:
    items = listed(*[("x", "a")] * 100, *[("y", "b")] * 53, ("z", "c"))
    rest, apart = held_out(items, 0.1, seed=5)
    assert sorted(rest.rows + apart.rows) == items.rows and held_out(items, 0.1, seed=5) == (rest, apart)
    assert held_out(items, 0.1, seed=6) != (rest, apart)
    counts = [sum(label == name for _, _, label in apart.rows) for name in "abc"]
    assert counts[0] == 10 and counts[1] in (5, 6) and counts[2] == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        held_out(items, 1.0, 1)
    assert label_shares(items) == [("a", 100 / 154), ("b", 53 / 154), ("c", 1 / 154)]
