"""What is said before a training begins, of a corpus that is too small to keep some of it for validation."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.cli import main


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *files: str | Path) -> str:
    assert main(["train", *map(str, files), "--out", str(folder / "run")]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and "no validation files were given" not in out
    return err.strip().removeprefix("regard: ")


def test_too_few_pairs_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, table = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.tsv"
    a.write_text("one two\none two\nthree\n")
    b.write_text("eins zwei\neins zwei\ndrei\n")
    table.write_text("a b a b a b\tx y x y x y\n")
    texts = "too few to keep some for validation: give --valid-source FILE and --valid-target FILE"
    assert refused(capsys, tmp_path, "--source", a, "--target", b) == f"{a} and {b} have 3 pairs, {texts}"
    assert refused(capsys, tmp_path, "--source", a, "--target", a) == f"{a} as source and target has 3 pairs, {texts}"
    assert refused(capsys, tmp_path, "--data", table) == (
        f"{table} has 1 pair, too few to keep some for validation: give --valid-data FILE"
    )


def test_no_pair_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("\n")
    b.write_text("x\n")
    assert refused(capsys, tmp_path, "--source", a, "--target", b).startswith(f"{a} and {b} have no pair left to train")
    assert refused(capsys, tmp_path, "--source", a, "--target", a).startswith(f"{a} as source and target has no pair")
