"""A packed run: small, without the paths of a machine, and it says what the run says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import regard
from regard.cli import main
from regard.errors import UsageError
from regard.run.packing import pack

LINES = ["one two three", "two three four", "five one", "八 九", "سبعة ثمانية", "four five six"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packing")
    for name, lines in (("train.en", LINES), ("train.de", [line[::-1] for line in LINES])):
        (folder / name).write_text("".join(f"{line}\n" for line in lines * 12), encoding="utf-8")
    sizes = [f"model.{key}" for key in ("dim=16", "heads=2", "feed_forward=16", "encoder_layers=1", "decoder_layers=1")]
    settings = [
        word for size in [*sizes, "model.kind=transformer", "training.validate_every=20"] for word in ("--set", size)
    ]
    files = ["--source", str(folder / "train.en"), "--target", str(folder / "train.de")]
    assert main(["train", *files, "--out", str(folder / "run"), "--steps", "20", *settings]) == 0
    return folder / "run"


def test_it_says_what_the_run_says_and_is_a_fraction_of_its_size(run: Path, tmp_path: Path) -> None:
    size = pack(run, tmp_path / "packed")
    assert size == sum(path.stat().st_size for path in (tmp_path / "packed").iterdir())
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {
        "model.safetensors", "recipe.toml", "report.json", "tokenizer.json",
    }  # fmt: skip
    whole, packed = regard.load(run), regard.load(tmp_path / "packed")
    assert (tmp_path / "packed" / "model.safetensors").stat().st_size < 0.6 * (run / "model.safetensors").stat().st_size
    for a, b in zip(whole.predict(LINES), packed.predict(LINES), strict=True):
        assert a.text == b.text and a.score == pytest.approx(b.score, abs=0.05)
    assert packed.recipe.data.source_language == "en" and packed.recipe.data.target_language == "de"


def test_full_weights_are_the_same_bit_by_bit(run: Path, tmp_path: Path) -> None:
    pack(run, tmp_path / "packed", half=False)
    whole, packed = regard.load(run), regard.load(tmp_path / "packed")
    assert [p.score for p in whole.predict(LINES)] == [p.score for p in packed.predict(LINES)]


def test_no_path_of_the_machine_goes_along(run: Path, tmp_path: Path) -> None:
    pack(run, tmp_path / "packed")
    for path in (tmp_path / "packed").iterdir():
        assert str(run.parent).encode() not in path.read_bytes(), path.name


def test_nothing_is_overwritten_and_nothing_half_done_stays(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="there exists: name a folder that does not"):
        pack(run, tmp_path / "there")
    with pytest.raises(UsageError, match="does not exist"):
        pack(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert main(["pack", str(run), str(tmp_path / "file" / "out")]) == 2
    assert f"{tmp_path / 'file' / 'out'} cannot be written" in capsys.readouterr().err
    with monkeypatch.context() as patched:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(os, "fsync", full)
        assert main(["pack", str(run), str(tmp_path / "out")]) == 2
    said = (
        f"regard: {tmp_path / 'out'} cannot be written (No space left on device): make room or choose another folder\n"
    )
    assert capsys.readouterr().err == said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]
    assert main(["pack", str(run), str(tmp_path / "out")]) == 0
    assert "MB" in capsys.readouterr().out


def test_an_unfinished_run_is_said_to_be_one(run: Path, tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "recipe.toml").write_bytes((run / "recipe.toml").read_bytes())
    with pytest.raises(UsageError, match=r"has no model\.safetensors yet"):
        pack(tmp_path / "begun", tmp_path / "out")
