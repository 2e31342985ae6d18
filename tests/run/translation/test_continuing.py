"""A training that begins with the weights of a finished run: `regard train --from RUN`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import regard
from regard.cli import main
from regard.config import read_toml
from regard.data import Corpus
from regard.run.folder import RunFolder
from regard.run.translation.job import TranslationJob
from tests.run.translation.numbers import WORDS, files, settings, train

# A dialect of the parent's language, in which two words have changed places.
DIALECT = {**WORDS, "two": WORDS["سبعة"], "سبعة": WORDS["two"]}
SHORT = ["training.validate_every=10", "training.save_every=5", "training.precision=fp32", "training.device=cpu"]


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Few pairs, of which the parent has learned most."""
    for name, count in (("train", 40), ("valid", 20)):
        lines = [[word, list(DIALECT)[(i * 3 + j) % 7]] for i in range(count) for j, word in enumerate(DIALECT)][:count]
        (tmp_path / f"{name}.src").write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
        said = [" ".join(DIALECT[word] for word in line) for line in lines]
        (tmp_path / f"{name}.tgt").write_text("".join(line + "\n" for line in said), encoding="utf-8")
    return tmp_path


def begun(corpus: Path, out: Path, **parts: object) -> TranslationJob:
    tree = {"data": {"source": str(corpus / "train.src"), "target": str(corpus / "train.tgt")}, **parts}
    tree["training"] = {"precision": "fp32", "device": "cpu"}
    return TranslationJob.begin(tree, RunFolder(out), Console(quiet=True), "a test", False)


def test_it_begins_with_the_very_weights_tokenizers_and_sizes(run: Path, others: Path) -> None:
    job = begun(others, others / "run", model={"pretrained": str(run), "dropout": 0.25, "word_dropout": 0.1})
    stored = load_file(run / "model.safetensors")
    now = job.network.state_dict()
    assert stored and all(torch.equal(now[name], tensor) for name, tensor in stored.items())
    parent = regard.load(run)
    for side in ("source_tokenizer", "target_tokenizer"):
        assert getattr(job.model(), side).equals(getattr(parent, side))
    own = parent.recipe.model.model_dump() | {"pretrained": str(run.resolve()), "dropout": 0.25, "word_dropout": 0.1}
    assert job.recipe.model.model_dump() == own
    training = parent.recipe.training
    assert job.recipe.training.learning_rate == training.learning_rate
    assert (job.recipe.training.optimizer, job.recipe.training.batch_tokens) == (training.optimizer, 400)


def test_what_was_learned_is_changed_and_not_begun_anew(
    run: Path, others: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forty pairs in thirty updates teach a child the dialect, and a model that begins with nothing hardly a word."""
    more = settings([*SHORT, "training.learning_rate=0.01", "training.warmup=5"])
    assert train(others, others / "child", "--from", str(run), "--steps", "30", *more) == 0
    assert "training begins with the weights of" in capsys.readouterr().out
    sizes = ["model.kind=recurrent", "model.hidden=48", "model.embedding=32", "model.dropout=0.0"]
    alone = settings([*sizes, "data.tokenizer=words", "training.batch_tokens=400"])
    assert train(others, others / "alone", "--steps", "30", *more, *alone) == 0
    right = []
    for name in ("child", "alone"):
        scores = json.loads((others / name / "report.json").read_text())["scores"]
        right += [score["value"] for score in scores if score["name"] == "exact match"]
    assert len(right) == 2 and right[0] >= 80 and right[0] > right[1] + 40
    lines = (others / "valid.src").read_text(encoding="utf-8").splitlines()
    wanted = (others / "valid.tgt").read_text(encoding="utf-8").splitlines()
    child, parent = ([p.text for p in regard.load(of).predict(lines)] for of in (others / "child", run))
    changed = [i for i, line in enumerate(lines) if {"two", "سبعة"} & set(line.split())]
    assert any(child[i] == wanted[i] for i in changed) and all(parent[i] != wanted[i] for i in changed)


def test_it_goes_on_as_if_it_had_not_stopped_and_stands_alone(transformer: Path, others: Path) -> None:
    shutil.copytree(transformer, others / "gone")
    even = settings([*SHORT, "training.schedule=constant", "training.warmup=9"])
    begin = ["--from", str(others / "gone"), *even]
    assert train(others, others / "one", *begin, "--steps", "10") == 0
    assert train(others, others / "parts", *begin, "--steps", "5") == 0
    assert train(others, others / "early", *begin, "--steps", "5") == 0
    shutil.rmtree(others / "early" / "state")  # killed before its first state: it begins with the parent again
    assert train(others, others / "early", "--resume", "--steps", "10") == 0
    shutil.rmtree(others / "gone")
    assert train(others, others / "parts", "--resume", "--steps", "10") == 0
    one, *rest = (load_file(others / name / "state" / "tensors.safetensors") for name in ("one", "parts", "early"))
    names = [name for name in one if name.startswith("model/")]
    assert names and all(torch.equal(one[name], other[name]) for other in rest for name in names)
    assert regard.load(others / "parts").predict(["one"])[0].tokens is not None


def test_a_recipe_names_its_parent_from_where_it_lies(run: Path, others: Path) -> None:
    recipe = others / "child.toml"
    shutil.copytree(run, others / "parent")
    recipe.write_text(
        '[data]\nsource = "train.src"\ntarget = "train.tgt"\n[model]\npretrained = "parent"\n[training]\nsteps = 2\n'
    )
    assert main(["train", str(recipe), "--out", str(others / "child")]) == 0
    resolved = read_toml(others / "child" / "recipe.toml")
    assert resolved["model"]["pretrained"] == str((others / "parent").resolve())
    assert resolved["model"]["hidden"] == 48 and resolved["data"]["source_tokenizer"] == "words"


def test_what_learns_nothing_may_change(run: Path, transformer: Path, others: Path) -> None:
    """Soft attention goes on as hard attention, heads as sparse ones in a window: the weights are the same ones."""
    hard = {"normalize": "hard", "scope": {"kind": "local-monotonic", "window": 2}}
    near = {"scope": {"kind": "window", "left": 1, "right": 1}}
    sparse = {"encoder_attention": near, "attention": {"normalize": "sparsemax"}}
    for parent, changed in ((run, {"attention": hard}), (transformer, sparse)):
        job = begun(others, others / parent.name, model={"pretrained": str(parent), **changed})
        stored, now = load_file(parent / "model.safetensors"), job.network.state_dict()
        assert stored and all(torch.equal(now[name], tensor) for name, tensor in stored.items())
    even = settings(["model.attention.normalize=hard", "training.samples=2", *SHORT])
    assert train(others, others / "child", "--from", str(run), "--steps", "2", *even) == 0
    soft, chosen = (
        regard.load(of).predict(["one two three"], attention=True)[0].attention for of in (run, others / "child")
    )
    assert soft is not None and chosen is not None
    assert set(chosen.weights.flat) == {0.0, 1.0} != set(soft.weights.flat)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (["model.hidden=64"], "model.hidden is 64, and that of"),
        (["model.kind=transformer"], "model.kind is transformer, and that of"),
        (["model.attention.score=dot"], "model.attention is dot with softmax, global, and that of"),
        (["model.attention.normalize=monotonic"], "model.attention is additive with monotonic, global, and that of"),
        (
            ["model.attention.scope.kind=local-predictive"],
            "model.attention is additive with softmax, local-predictive,",
        ),
        (["data.tokenizer=characters"], "data.source_tokenizer is characters, and that of"),
        (["data.vocabulary=99"], "data.vocabulary is 99, and that of"),
        (["model.hiden=64"], "did you mean 'model.hidden'?"),
    ],
)
def test_what_its_parent_is_not_it_cannot_be(
    run: Path, others: Path, capsys: pytest.CaptureFixture[str], keys: list[str], sentence: str
) -> None:
    assert train(others, others / "run", "--from", str(run), "--steps", "2", *settings(keys)) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not (others / "run" / "recipe.toml").exists()


def test_what_is_no_parent_is_named(run: Path, others: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = others / "half"
    shutil.copytree(run, half)
    (half / "model.safetensors").unlink()
    (others / "file").write_text("one\n")
    words = others / "text"
    shape = settings(["model.dim=8", "model.heads=2", "model.feed_forward=8", "model.layers=1", "data.context=9"])
    text = ["--task", "language-model", "--data", str(corpus / "train.src"), "--out", str(words), "--steps", "1"]
    assert main(["train", *text, *shape]) == 0
    capsys.readouterr()
    for wrong, sentence in (
        (half, "has no model.safetensors yet"),
        (others / "none", "does not exist"),
        (others / "file", "is a file"),
        (others, "is not a run"),
        (words, "is a run of language-model, and this needs one of translation"),
    ):
        assert train(others, others / "run", "--from", str(wrong), "--steps", "2") == 2
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1


def test_learned_positions_end_where_they_were_learned(
    corpus: Path, others: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = ["model.dim=8", "model.heads=2", "model.feed_forward=8", "model.encoder_layers=1", "model.decoder_layers=1"]
    keys = [*shape, "model.positions=learned", "data.max_length=20", "data.tokenizer=words", "training.precision=fp32"]
    parent = corpus / "runs" / "positions"
    assert train(corpus, parent, "--steps", "1", *settings(keys)) == 0
    capsys.readouterr()
    assert train(others, others / "a", "--from", str(parent), "--steps", "1", "--set", "data.max_length=21") == 2
    assert "has learned 20 positions: write 20 at most" in capsys.readouterr().err
    assert train(others, others / "b", "--from", str(parent), "--steps", "1") == 0
    assert read_toml(others / "b" / "recipe.toml")["data"]["max_length"] == 20


def test_a_score_of_places_has_as_many_as_it_learned(
    corpus: Path, others: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = ["model.kind=recurrent", "model.hidden=8", "model.embedding=8", "model.attention.score=location"]
    parent = corpus / "runs" / "places"
    keys = settings([*shape, "data.max_length=20", "data.tokenizer=words", "training.precision=fp32"])
    assert train(corpus, parent, "--steps", "1", *keys) == 0
    capsys.readouterr()
    for longest in ("19", "21"):
        assert train(others, others / "a", "--from", str(parent), "--set", f"data.max_length={longest}") == 2
        said = capsys.readouterr().err
        assert "has weights for 20 positions: leave max_length out" in said and said.count("\n") == 1
    assert train(others, others / "b", "--from", str(parent), "--steps", "1") == 0


def test_it_says_how_much_the_tokenizer_does_not_know(
    run: Path, others: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "valid"):
        path = others / f"{name}.src"
        path.write_text(path.read_text(encoding="utf-8").replace("one", "ένα 👍🏽"), encoding="utf-8")
    assert train(others, others / "run", "--from", str(run), "--steps", "2", *settings(SHORT)) == 0
    said = capsys.readouterr().out
    lines = [line.split() for line in (others / "train.src").read_text(encoding="utf-8").splitlines()]
    share = sum(word in ("ένα", "👍🏽") for line in lines for word in line) / sum(map(len, lines))
    assert f"{share:.1%} of the source tokens are unknown to the tokenizer of" in said
    assert "target tokens are unknown" not in said


def test_unknown_tokens_are_counted_by_side() -> None:
    corpus = Corpus.in_memory([([3, 9, 9], [3]), ([8], [7, 3, 3])])
    unk = regard.batch.UNK
    assert unk != 3
    known = Corpus.in_memory([([unk, 9, 9], [8]), ([8], [7, unk, unk])])
    assert corpus.unknown() == (0.0, 0.0) and known.unknown() == (1 / 4, 2 / 4)
    assert Corpus.in_memory([]).unknown() == (0.0, 0.0)


def test_files_are_the_recipes_even_so(run: Path, corpus: Path, others: Path) -> None:
    """Nothing of where the parent's pairs lay is passed on."""
    out = others / "run"
    assert main(["train", *files(others, "train"), "--out", str(out), "--from", str(run), "--steps", "1"]) == 0
    data = read_toml(out / "recipe.toml")["data"]
    assert str(corpus) not in json.dumps(data)
