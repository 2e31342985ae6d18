"""A training that is refused before its first step leaves nothing that stands in the way of the next one."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from regard.cli import main
from regard.errors import RegardError, UsageError
from regard.run import training

WORDS = ["one", "two", "three", "four"]
SMALL = ["model.dim=8", "model.heads=2", "model.feed_forward=8", "training.precision=fp32"]


def settings(keys: list[str]) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


def translation(folder: Path) -> list[str]:
    lines = [f"{WORDS[i % 4]} {i}" for i in range(200)]
    for name in ("a.en", "a.de"):
        (folder / name).write_text("".join(line + "\n" for line in lines))
    keys = [*SMALL, "model.encoder_layers=1", "model.decoder_layers=1", "data.tokenizer=words"]
    return ["--source", str(folder / "a.en"), "--target", str(folder / "a.de"), *settings(keys)]


def text(folder: Path) -> list[str]:
    (folder / "text").write_text("".join(f"{WORDS[i % 4]} {i}\n" for i in range(200)))
    return ["--data", str(folder / "text"), *settings([*SMALL, "model.layers=1", "data.context=9"])]


def classification(folder: Path) -> list[str]:
    (folder / "c.tsv").write_text("".join(f"{WORDS[i % 4]}\t{i % 2}\n" for i in range(60)))
    return ["--task", "classification", "--data", str(folder / "c.tsv"), *settings(["training.precision=fp32"])]


def forecasting(folder: Path) -> list[str]:
    rows = [f"{2000 + i // 12}-{i % 12 + 1:02},{i % 12}" for i in range(150)]
    (folder / "s.csv").write_text("time,a\n" + "".join(f"{row}\n" for row in rows))
    return ["--task", "forecasting", "--data", str(folder / "s.csv")]


def autoencoder(folder: Path) -> list[str]:
    np.savez(folder / "p.npz", images=np.zeros((40, 8, 8, 1), dtype=np.uint8))
    return ["--task", "autoencoder", "--data", str(folder / "p.npz")]


def captioning(folder: Path) -> list[str]:
    rows = []
    for i in range(30):
        Image.new("RGB", (16, 16), (8 * i, 0, 0)).save(folder / f"{i}.png")
        rows.append(json.dumps({"image": f"{i}.png", "captions": [WORDS[i % 4]]}) + "\n")
    (folder / "c.jsonl").write_text("".join(rows))
    keys = ["data.height=16", "data.width=16", "model.widths=[8]", "model.dim=8", "training.precision=fp32"]
    return ["--task", "captioning", "--data", str(folder / "c.jsonl"), *settings(keys)]


def questions(_: Path) -> list[str]:
    keys = ["data.drawn=30", "data.height=26", "data.width=26", "model.widths=[8]", "training.precision=fp32"]
    return ["--task", "visual-question", *settings(keys)]


TASKS: dict[str, Callable[[Path], list[str]]] = {
    "translation": translation,
    "language-model": lambda folder: ["--task", "language-model", *text(folder)],
    "masked-language-model": lambda folder: ["--task", "masked-language-model", *text(folder)],
    "classification": classification,
    "forecasting": forecasting,
    "autoencoder": autoencoder,
    "captioning": captioning,
    "visual-question": questions,
}


@pytest.mark.parametrize("task", TASKS)
def test_what_fails_before_the_first_step_leaves_the_place_as_it_was(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every task: after all that is prepared, at the last moment."""
    data, own = tmp_path / "data", tmp_path / "own"
    for folder in (data, own / "kept"):
        folder.mkdir(parents=True)
    (own / "notes.txt").write_text("mine")
    command = ["train", *TASKS[task](data), "--steps", "1"]
    made: list[set[str]] = []

    def refuse(network: Any, *_: Any, state: Path, **__: Any) -> None:
        made.append({path.name for path in state.parent.iterdir()})
        raise UsageError("it cannot be")

    with monkeypatch.context() as patch:
        patch.setattr(training, "Trainer", refuse)
        assert main([*command, "--out", str(tmp_path / "deep" / "er" / "run")]) == 2
        assert main([*command, "--out", str(own)]) == 2
    assert capsys.readouterr().err == "regard: it cannot be\n" * 2
    assert len(made) == 2 and all("recipe.toml" in names for names in made), "or nothing was tested"
    assert not (tmp_path / "deep").exists()
    assert sorted(path.name for path in own.iterdir()) == ["kept", "notes.txt"]
    assert main([*command, "--out", str(own)]) == 0, "and the name is free"
    assert (own / "notes.txt").read_text() == "mine" and (own / "report.json").exists()


def test_a_recipe_that_asks_for_what_is_not_there_can_be_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", *translation(tmp_path), "--out", str(tmp_path / "run"), "--steps", "1"]
    for _ in range(2):
        assert main([*command, "--set", "training.guided=0.1"]) == 2
        assert "training.guided needs word alignments" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(command) == 0


@pytest.mark.parametrize("decoder", ["fixed-initial", "exact-hard"])
def test_losses_of_weights_are_refused_where_nothing_looks(
    decoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = translation(tmp_path)[:4]
    small = ["model.kind=recurrent", "model.hidden=8", "model.embedding=8", f"model.decoder={decoder}"]
    command = ["train", *files, *settings(small), "--out", str(tmp_path / "run"), "--steps", "1"]
    for key in ("coverage", "doubly_stochastic"):
        assert main([*command, "--set", f"training.{key}=1"]) == 2
        said = capsys.readouterr().err
        assert "are losses of the weights of attention, and this model has none" in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert main(command) == 0
    assert ("attention: additive with softmax, global\n" in capsys.readouterr().out) is (decoder == "exact-hard")


def test_alignments_that_guide_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", *translation(tmp_path), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main([*command, "--set", "data.alignment=links"]) == 2
    assert "data.alignment guides the attention where training.guided is above 0" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named_before_the_corpus_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--source", str(tmp_path / "none"), "--target", str(tmp_path / "none")]
    assert main([*command, "--out", str(tmp_path / "run"), "--set", "training.device=gpu"]) == 2
    assert capsys.readouterr().err == "regard: there is no device 'gpu': write auto, cpu, cuda, cuda:N or mps\n"


def begun(
    tmp_path: Path, problem: BaseException, best: float | None, monkeypatch: pytest.MonkeyPatch, **how: Any
) -> Path:
    """A training that ends with a problem, after the best of its validations if it had one."""

    def train(self: Any) -> str:
        self.progress.tokens, self.progress.best = 99, best
        raise problem

    tree = {"data": {"source": str(tmp_path / "a.en"), "target": str(tmp_path / "a.de"), "tokenizer": "words"}}
    tree |= {"model": {"dim": 8, "heads": 2}, "training": {"steps": 3, "precision": "fp32"}}
    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "train", train)
        with pytest.raises(type(problem)):
            training.train(tree, tmp_path / "run", Console(quiet=True), **how)
    return tmp_path / "run"


def test_only_what_never_began_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translation(tmp_path)
    assert not begun(tmp_path, RegardError("the loss became nan at step 1"), None, monkeypatch).exists()
    assert not begun(tmp_path, RuntimeError("out of memory"), None, monkeypatch).exists()
    run = begun(tmp_path, KeyboardInterrupt(), None, monkeypatch)
    assert (run / "recipe.toml").exists(), "what is prepared can be gone on with"
    run = begun(tmp_path, RegardError("no"), None, monkeypatch, resume=True)
    assert (run / "recipe.toml").exists() and (run / "corpus").exists()
    for name in ("recipe.toml", "tokenizer.json", "source.tokenizer.json", "target.tokenizer.json"):
        (run / name).unlink(missing_ok=True)
    run = begun(tmp_path, RegardError("the loss exploded"), 0.5, monkeypatch)
    assert (run / "recipe.toml").exists(), "a training that has a model is kept"


def test_a_run_that_was_killed_while_it_was_prepared_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", *translation(tmp_path), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main(command) == 0
    for path in (tmp_path / "run").iterdir():  # the recipe is written last
        if path.name not in ("corpus", "tokenizer.json", "source.tokenizer.json", "target.tokenizer.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    capsys.readouterr()
    assert main([*command, "--resume"]) == 0
    assert "was stopped before its first step: it begins anew" in capsys.readouterr().out
    assert (tmp_path / "run" / "model.safetensors").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    assert main([*command[:-4], "--out", str(tmp_path / "mine"), "--steps", "1", "--resume"]) == 2
    assert "is not a run" in capsys.readouterr().err and [p.name for p in (tmp_path / "mine").iterdir()] == ["letter"]
    (tmp_path / "mine" / "letter").unlink()  # as a kill leaves it before anything is prepared
    assert main([*command[:-4], "--out", str(tmp_path / "mine"), "--steps", "1", "--resume"]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("before", "sentence"), [(True, "before the first step"), (False, "before the final scores")])
def test_ctrl_c_and_an_end_from_outside_are_answered_wherever_they_come(
    before: bool,
    sentence: str,
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    # What is started in a shell's background ignores Ctrl-C, the tests too.
    before_all = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before_all))

    def interrupt(*_: Any) -> None:
        os.kill(os.getpid(), number)

    command = ["train", *translation(tmp_path), "--out", str(tmp_path / "run"), "--steps", "1"]
    with monkeypatch.context() as patched:
        patched.setattr(training, "begin" if before else "_report", interrupt)
        assert main(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("regard: stopped ") and sentence in said and said.count("\n") == 1
    assert ("--resume" in said) is not before and (tmp_path / "run").exists() is not before
    assert main(command if before else [*command, "--resume"]) == 0
    assert (tmp_path / "run" / "report.json").exists()


def test_two_trainings_do_not_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fcntl = pytest.importorskip("fcntl")
    command = ["train", *translation(tmp_path), "--out", str(tmp_path / "run"), "--steps", "1"]
    (tmp_path / "run").mkdir()
    other = os.open(tmp_path / "run", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    (tmp_path / "run" / "corpus").mkdir()  # what the other one is making
    assert main(command) == 2 and main([*command, "--resume"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [
        line.split(":")[1].endswith("another training is writing to " + str(tmp_path / "run")) for line in said
    ] == [True] * 2
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["corpus"]
    os.close(other)
    assert main(command) == 0


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", *translation(tmp_path), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main(command) == 0
    before = sorted(tmp_path.rglob("*"))
    assert main(command) == 2
    assert "already holds a run: add --resume" in capsys.readouterr().err and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("task", TASKS)
def test_a_warm_up_that_somebody_chose_is_theirs(task: str, tmp_path: Path) -> None:
    command = ["train", *TASKS[task](tmp_path), "--steps", "8"]
    for name, more, warmup in (("own", ["--set", "training.warmup=50"], 50), ("preset", [], 2)):
        assert main([*command, "--out", str(tmp_path / name), *more]) == 0
        assert f"\nwarmup = {warmup}\n" in (tmp_path / name / "recipe.toml").read_text()
    assert main([*command, "--out", str(tmp_path / "preset"), "--resume", "--steps", "9"]) == 0
    assert "\nwarmup = 2\n" in (tmp_path / "preset" / "recipe.toml").read_text(), "and it is not changed on the way"


def test_a_program_that_is_missing_is_said_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regard.training.tensorboard.find_spec", lambda _: None)
    tree = {"training": {"tensorboard": True}, "data": {"source": str(tmp_path / "none"), "target": "none"}}
    with pytest.raises(UsageError, match=r"pip install 'regard\[tensorboard\]'"):
        training.train(tree, tmp_path / "run", Console(quiet=True))
    assert list(tmp_path.iterdir()) == []
