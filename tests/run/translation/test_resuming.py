"""A run goes on as it began: the very command that began it passes, and what asks for something else is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from regard.cli import main
from regard.config import read_toml
from tests.run.translation.numbers import TRANSFORMER, files, settings, train

BUDGET = "on --resume only the budget (steps, minutes, epochs, patience), training.device and training.tensorboard can change"


@pytest.fixture
def copy(transformer: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(transformer, tmp_path / "run"))


@pytest.mark.parametrize(
    ("keys", "difference"),
    [
        (["training.learning_rate=1", "model.dim=512"], "training.learning_rate is 1, and the run in {run} has 0.005:"),
        (["model.dim=512"], "model.dim is 512, and the run in {run} has 32:"),
        (["model.dim=many"], "model.dim is many, and the run in {run} has 32:"),
        (["seed=2"], "seed is 2, and the run in {run} has 1:"),
        (["model.cell=gru", "model.kind=recurrent"], "model.kind is recurrent, and the run in {run} has transformer:"),
        (["model.cell=gru"], "model.cell is gru, and the run in {run} does not have it:"),
        (["model.positions=rotary", "training.steps=50"], "model.positions is rotary, and the run in {run} has sinu"),
        (["model.attention={score='dot'}"], "model.attention.score is dot, and the run in {run} has scaled-dot:"),
        (
            ["model.attention.scope={kind='window', left=1, right=1}"],
            "model.attention.scope.kind is window, and the run",
        ),
        (["model.cross_attention={score='dot'}"], "model.cross_attention is "),
        (["training.precision=bf16"], "training.precision is bf16, and the run in {run} has fp32:"),
        (["decoding.beam=3"], "decoding.beam is 3, and the run in {run} has 5:"),
        (["task=language-model"], "task is language-model, and the run in {run} has translation:"),
    ],
)
def test_what_differs_and_cannot_change_is_refused(
    copy: Path, capsys: pytest.CaptureFixture[str], keys: list[str], difference: str
) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["train", "--out", str(copy), "--resume", *settings(keys)]) == 2
    said = capsys.readouterr().err
    assert difference.format(run=copy) in said and BUDGET in said and said.count("\n") == 1
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_other_files_and_recipes_are_refused_too(
    copy: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *files(corpus, "valid"), "--out", str(copy), "--resume"]) == 2
    said = capsys.readouterr().err
    assert f"data.source is {corpus / 'valid.src'}, and the run in {copy} has {corpus / 'train.src'}:" in said
    (tmp_path / "mine.toml").write_text("[model]\nheads = 4\n")
    assert main(["train", str(tmp_path / "mine.toml"), "--out", str(copy), "--resume"]) == 2
    assert "mine.toml: model.heads is 4, and the run in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (["model.dimm=3"], "there is no key 'model.dimm'; did you mean 'model.dim'?"),
        (["training=3"], "'training' is 3, but it is a table"),
        (["training.steps=-3"], "'training.steps' is -3, but it should be greater than 0"),
    ],
)
def test_a_mistake_is_said_as_ever(
    copy: Path, capsys: pytest.CaptureFixture[str], keys: list[str], sentence: str
) -> None:
    assert main(["train", "--out", str(copy), "--resume", *settings(keys)]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_the_command_that_began_it_passes_however_its_values_are_written(
    copy: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(corpus, copy, "--steps", "40", *settings(TRANSFORMER), "--resume") == 0
    same = ["model.dim=32.0", 'model.heads="2"', "training.learning_rate=5e-3", "training.precision=auto", "seed=1"]
    same += ["model.attention={}", "model.attention.scope={kind='global'}", "task=translation"]
    monkeypatch.chdir(corpus)
    assert main(["train", "--source", "train.src", "--target", "train.tgt", "--out", os.path.relpath(copy), "--resume",
                 *settings(same)]) == 0  # fmt: skip


def test_the_budget_and_the_device_change(copy: Path, corpus: Path) -> None:
    assert train(corpus, copy, "--resume", *settings(["training.steps=43", "training.device=auto"])) == 0
    training = read_toml(copy / "recipe.toml")["training"]
    assert (training["steps"], training["device"]) == (43, "auto")
    assert json.loads((copy / "report.json").read_text())["steps"] == 43


def test_gaps_that_were_filled_and_lists_are_no_difference(corpus: Path, tmp_path: Path) -> None:
    """What a recipe leaves to the corpus, a list with a mechanism for each layer, and a run to begin with."""
    keys = [*TRANSFORMER, "model.decoder_attention=[{score='dot'}, {normalize='sparsemax'}, {}]", "data.vocabulary=99"]
    begin = [*files(corpus, "train"), "--out", str(tmp_path / "run"), "--steps", "2", *settings(keys)]
    assert main(["train", *begin]) == 0
    assert main(["train", *begin, "--resume"]) == 0
    (tmp_path / "link").symlink_to(tmp_path / "run")
    child = [*files(corpus, "train"), "--out", str(tmp_path / "child"), "--steps", "2"]
    assert main(["train", *child, "--from", str(tmp_path / "link")]) == 0
    assert main(["train", *child, "--from", str(tmp_path / "run"), "--resume"]) == 0


def test_a_packed_run_is_said_to_be_one(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(copy), str(tmp_path / "packed")]) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "packed").iterdir()}
    assert main(["train", "--out", str(tmp_path / "packed"), "--resume", "--steps", "90"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'packed'} is a packed run, which predicts and cannot be resumed" in said
    assert {path.name: path.read_bytes() for path in (tmp_path / "packed").iterdir()} == before
