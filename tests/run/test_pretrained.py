"""A classifier that goes on from a masked language model, by the commands."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import regard
from regard.cli import main
from regard.config import read_toml
from regard.run.classification import ClassificationJob
from regard.run.folder import RunFolder

WORDS = {"rain": "weather", "schnee": "weather", "soup": "food", "米": "food", "train": "travel"}
TEXT = [
    "task=masked-language-model", "training.precision=fp32", "training.device=cpu", "training.warmup=5",
    "training.batch_tokens=300", "training.learning_rate=0.01", "model.dim=24", "model.heads=2",
    "model.feed_forward=32", "model.layers=2", "data.context=17", "data.tokenizer=words", "training.validate_every=20",
    "model.positions=learned", "data.vocabulary=50",
]  # fmt: skip
CLASSES = [
    "task=classification", "training.device=cpu", "training.precision=fp32", "training.batch_tokens=200",
    "training.warmup=3", "training.validate_every=4", "training.save_every=4", "training.learning_rate=0.01",
]  # fmt: skip


def settings(keys: list[str]) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pretrained")
    draw = random.Random(1)
    texts = []
    for name, count in (("train", 149), ("valid", 43)):
        rows = []
        for _ in range(count):
            word = draw.choice(list(WORDS))
            texts.append(f"{draw.choice('abc')} {word} {draw.choice('def')}")
            rows.append(f"{texts[-1]}\t{WORDS[word]}\n")
        (made / f"{name}.tsv").write_text("".join(rows), encoding="utf-8")
    (made / "text.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    words = ["--data", str(made / "text.txt"), "--out", str(made / "mlm"), "--steps", "20"]
    assert main(["train", *words, *settings(TEXT)]) == 0
    return made


def data(folder: Path) -> list[str]:
    return ["--data", str(folder / "train.tsv"), "--valid-data", str(folder / "valid.tsv")]


def train(folder: Path, out: Path, *more: str, run: str = "mlm") -> int:
    return main(
        ["train", *data(folder), "--out", str(out), *settings([*CLASSES, f"model.pretrained={folder / run}"]), *more]
    )


def begun(folder: Path, out: Path, *keys: str) -> ClassificationJob:
    model: dict[str, object] = {"pretrained": str(folder / "mlm")}
    for key in keys:
        name, _, value = key.partition("=")
        model[name] = int(value)
    tree = {
        "task": "classification",
        "data": {"data": str(folder / "train.tsv"), "valid_data": str(folder / "valid.tsv")},
        "model": model,
        "training": {"device": "cpu", "precision": "fp32", "batch_tokens": 200},
    }
    return ClassificationJob.begin(tree, RunFolder(out), Console(quiet=True), "a test", False)


def test_it_begins_with_the_very_encoder(folder: Path, tmp_path: Path) -> None:
    job = begun(folder, tmp_path / "run")
    stored = load_file(folder / "mlm" / "model.safetensors")
    encoder = job.network.encoder.state_dict()  # type: ignore[union-attr]
    assert {f"encoder.{name}" for name in encoder} == {name for name in stored if name.startswith("encoder.")}
    assert all(torch.equal(tensor, stored[f"encoder.{name}"]) for name, tensor in encoder.items())
    mlm = regard.load(folder / "mlm")
    text = "a schnee e"
    assert job.finished.tokenizer.encode_batch([text]) == mlm.tokenizer.encode_batch([text])
    assert job.recipe.training.learning_rate < 3e-3  # what a recipe leaves out is this kind of training's


def test_the_encoder_stays_for_the_first_epochs(folder: Path, tmp_path: Path) -> None:
    job = begun(folder, tmp_path / "run", "frozen_epochs=2")
    gradients = []
    for number in range(4):
        batch = next(iter(job.batches.epoch(number)))
        job.network.train().zero_grad(set_to_none=True)
        job.loss(batch).total.backward()
        gradients.append(job.network.encoder.embedding.weight.grad is not None)  # type: ignore[union-attr]
        assert job.network.output.weight.grad is not None  # type: ignore[union-attr]
    assert gradients == [False, False, True, True]


def test_it_goes_on_as_if_it_had_not_stopped_and_stands_alone(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "mlm", folder / "gone")
    thaw = ("--set", "model.frozen_epochs=1")
    assert train(folder, tmp_path / "whole", "--steps", "16", *thaw, run="gone") == 0
    assert (
        train(folder, tmp_path / "parts", "--steps", "8", "--set", "training.schedule=constant", *thaw, run="gone") == 0
    )
    assert (
        train(folder, tmp_path / "one", "--steps", "16", "--set", "training.schedule=constant", *thaw, run="gone") == 0
    )
    shutil.rmtree(folder / "gone")
    assert main(["train", "--out", str(tmp_path / "parts"), "--resume", "--steps", "16"]) == 0
    one, parts = (load_file(tmp_path / name / "state" / "tensors.safetensors") for name in ("one", "parts"))
    names = [name for name in one if name.startswith("model/")]
    assert names and all(torch.equal(one[name], parts[name]) for name in names)
    model = regard.load(tmp_path / "whole")
    assert len(model.predict(["a soup d"])) == 1
    stack = read_toml(tmp_path / "whole" / "recipe.toml")["model"]["stack"]
    assert stack["dim"] == 24 and stack["positions"] == "learned"
    assert main(["embed", str(tmp_path / "whole"), "a soup d", "--word", "soup"]) == 0
    assert main(["pack", str(tmp_path / "whole"), str(tmp_path / "packed")]) == 0
    for path in (tmp_path / "packed").iterdir():
        assert str(folder).encode() not in path.read_bytes(), path.name
    assert read_toml(tmp_path / "packed" / "recipe.toml")["model"]["pretrained"] == "gone"
    assert regard.load(tmp_path / "packed").predict(["a soup d"])[0].label == model.predict(["a soup d"])[0].label


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("model.embedding=32", "model.embedding is 32, and that of"),
        ("model.heads=3", "model.heads is 3, and that of"),
        ("model.encoder=recurrent", "model.encoder is recurrent"),
        ("data.tokenizer=bpe", "data.tokenizer is bpe"),
        ("data.max_length=40", "reads 16 tokens"),
    ],
)
def test_what_does_not_fit_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, sentence: str
) -> None:
    assert train(folder, tmp_path / "run", "--set", key) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_another_kind_of_run_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *data(folder), "--out", str(tmp_path / "plain"), "--steps", "4", *settings(CLASSES)]) == 0
    capsys.readouterr()
    words = ["train", *data(folder), "--out", str(tmp_path / "run")]
    for run, sentence in ((tmp_path / "plain", "a run of classification"), (tmp_path / "no", "does not exist")):
        assert main([*words, *settings([*CLASSES, f"model.pretrained={run}"])]) == 2
        assert sentence in capsys.readouterr().err
    assert main([*words, *settings([*CLASSES, "model.frozen_epochs=1"])]) == 2
    assert "frozen_epochs" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
