"""Trainings that begin with vectors of words, by the commands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console

import regard
from regard.cli import main
from regard.data import Tokenizer
from regard.layers import Embedding
from regard.run.folder import RunFolder
from regard.run.jobs import begin
from regard.run.vectors import embedding_of

WORDS = {"rain": "weather", "schnee": "weather", "soup": "food", "米": "food"}
PAIRS = [("a dog", "ein hund"), ("a cat", "eine katze"), ("the dog", "der hund"), ("the cat", "die katze")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("vectors")
    rows = [f"{left} {word} {right}\t{kind}\n" for word, kind in WORDS.items() for left in "abcdef" for right in "ghi"]
    (made / "train.tsv").write_text("".join(rows), encoding="utf-8")
    (made / "pairs.tsv").write_text("".join(f"{s}\t{t}\n" for s, t in PAIRS * 30), encoding="utf-8")
    (made / "v.txt").write_text("rain 3 0 0 0\nsoup 0 3 0 0\n米 0 0 3 0\nyeti 9 9 9 9\n", encoding="utf-8")
    (made / "en.txt").write_text("dog 1 0 0 0 0 0\ncat 0 2 0 0 0 0\n", encoding="utf-8")
    (made / "de.txt").write_text("hund 0 0 5 0 0 0\n", encoding="utf-8")
    return made


def network_of(folder: Path, tree: dict, out: Path) -> tuple[torch.nn.Module, Console]:
    console = Console(record=True, quiet=False, width=200)
    tree["training"] = {"device": "cpu", "precision": "fp32", "steps": 2}
    job = begin(tree, RunFolder(out), console, "the test", False)
    return job.network, console


def row(embedding: Embedding, tokenizer: Tokenizer, word: str) -> torch.Tensor:
    return embedding.weight[tokenizer.encode(word).ids[0]].detach()


def test_a_classifier_begins_with_them(folder: Path, tmp_path: Path) -> None:
    tree = {"task": "classification", "data": {"data": str(folder / "train.tsv")}}
    tree["model"] = {"embedding": 4, "hidden": 4, "vectors": str(folder / "v.txt")}
    network, console = network_of(folder, tree, tmp_path / "run")
    tokenizer = RunFolder(tmp_path / "run").tokenizer("source", True)
    words, found = Tokenizer.load(tokenizer), embedding_of(network)
    # Nine numbers in twelve are 0 and three are 3: √(27/12) = 1.5, and drawn ones have 4^-½ = 0.5.
    torch.testing.assert_close(row(found, words, "rain"), torch.tensor([1.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(row(found, words, "米"), torch.tensor([0.0, 0.0, 1.0, 0.0]))
    assert row(found, words, "schnee").count_nonzero() == 4  # drawn, as the file has none
    assert "model.vectors: 3 of " in console.export_text()


@pytest.mark.parametrize("kind", ["recurrent", "transformer"])
def test_each_side_of_a_translation_has_its_file(folder: Path, tmp_path: Path, kind: str) -> None:
    size = {"embedding": 6, "hidden": 4} if kind == "recurrent" else {"dim": 6, "heads": 1, "feed_forward": 8}
    tree = {"task": "translation", "data": {"data": str(folder / "pairs.tsv"), "tokenizer": "words"}}
    tree["data"]["shared_vocabulary"] = False  # type: ignore[assignment]
    files = {"source_vectors": str(folder / "en.txt"), "target_vectors": str(folder / "de.txt")}
    network, _ = network_of(folder, {**tree, "model": {"kind": kind, **size, **files}}, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    source, target = (Tokenizer.load(run.tokenizer(side, False)) for side in ("source", "target"))
    read, said = embedding_of(network.encoder), embedding_of(network.decoder)  # type: ignore[arg-type]
    dog, cat = row(read, source, "dog"), row(read, source, "cat")
    torch.testing.assert_close(cat[1], 2 * dog[0])  # longer and shorter ones stay so
    assert dog.count_nonzero() == cat.count_nonzero() == 1
    assert row(said, target, "hund").nonzero().tolist() == [[2]] and row(said, target, "katze").count_nonzero() == 6


def test_a_trained_run_stands_without_the_file(folder: Path, tmp_path: Path) -> None:
    words = ["--data", str(folder / "train.tsv"), "--out", str(tmp_path / "run"), "--steps", "30"]
    file = tmp_path / "v.txt"
    file.write_bytes((folder / "v.txt").read_bytes())
    keys = ["task=classification", f"model.vectors={file}", "model.embedding=4", "training.precision=fp32"]
    sets = [word for key in keys for word in ("--set", key)]
    assert main(["train", *words, *sets]) == 0
    file.unlink()
    assert regard.load(tmp_path / "run").predict(["a rain g"])[0].label in WORDS.values()
    assert main(["pack", str(tmp_path / "run"), str(tmp_path / "packed")]) == 0
    assert 'vectors = "v.txt"' in (tmp_path / "packed" / "recipe.toml").read_text(encoding="utf-8")
    assert regard.load(tmp_path / "packed").predict(["a rain g"])[0].label in WORDS.values()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["model.vectors=v.txt"], "model.vectors: v.txt has vectors of 4 numbers, and model.embedding is 128: set it to 4"),
        (["model.vectors=no.txt"], "no.txt does not exist"),
        (["model.vectors=train.tsv", "model.embedding=4"], "line 1: not all that stands behind 'a' are numbers"),
        (["model.vectors=v.txt", "model.pretrained=x"], "vectors and pretrained, whose words have vectors"),
        (["model.vectors=v.txt", "model.encoder=grid"], "vectors is of texts"),
    ],
)  # fmt: skip
def test_what_does_not_go_is_one_sentence_and_leaves_nothing(
    folder: Path, tmp_path: Path, keys: list[str], said: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    sets = [word for key in ["task=classification", *keys] for word in ("--set", key)]
    assert main(["train", "--data", "train.tsv", "--out", str(tmp_path / "run"), *sets]) == 2
    written = capsys.readouterr().err
    assert said in written.replace(f"{folder}/", "") and "Traceback" not in written
    assert not (tmp_path / "run").exists()


def test_one_vocabulary_has_one_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["data.tokenizer=words", "data.shared_vocabulary=true", f"model.target_vectors={folder / 'de.txt'}"]
    words = [word for key in sets for word in ("--set", key)]
    assert main(["train", "--data", str(folder / "pairs.tsv"), "--out", str(tmp_path / "run"), *words]) == 2
    assert "share one vocabulary, whose vectors are model.source_vectors" in capsys.readouterr().err


def test_fine_tuning_has_the_vectors_of_its_run(folder: Path, tmp_path: Path) -> None:
    keys = [
        "data.tokenizer=words", "data.shared_vocabulary=false", "model.kind=recurrent", "model.embedding=6",
        "model.hidden=4", f"model.source_vectors={folder / 'en.txt'}", "training.precision=fp32", "data.spelling=false",
    ]  # fmt: skip
    data = ["--data", str(folder / "pairs.tsv"), "--steps", "2"]
    sets = [word for key in keys for word in ("--set", key)]
    assert main(["train", *data, "--out", str(tmp_path / "first"), *sets]) == 0
    assert main(["train", *data, "--out", str(tmp_path / "second"), "--from", str(tmp_path / "first")]) == 0
    assert "source_vectors" not in (tmp_path / "second" / "recipe.toml").read_text(encoding="utf-8")
