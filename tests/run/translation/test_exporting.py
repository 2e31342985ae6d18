"""`regard export`: the folder that other programs read, and the programs of docs/export.md that read it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

import regard
from regard.cli import main
from tests.run.translation.numbers import RECURRENT, TRANSFORMER, settings, train

DOCS = Path(__file__).resolve().parents[3] / "docs" / "export.md"
LINES = ["one two three", "六 سبعة", "five"]


def program(number: int, **names: str) -> str:
    """A program of the documentation, which talks of other folders."""
    code = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[number]
    for old, new in names.items():
        assert old.replace("_", "-") in code
        code = code.replace(old.replace("_", "-"), new)
    return code


def test_the_program_of_the_documentation_speaks_as_the_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "onnx"
    assert main(["export", str(run), "--to", "onnx", str(out)]) == 0
    assert "differs from the run by" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        "encoder.onnx", "decoder.onnx", "regard.json", "source.tokenizer.json", "target.tokenizer.json",
    }  # fmt: skip
    names: dict[str, object] = {}
    exec(program(0, en_de_onnx=str(out)), names)
    own = regard.load(run).predict(LINES, beam=1)
    assert [names["translate"](line) for line in LINES] == [p.text for p in own]  # type: ignore[operator]
    assert own[0].text == "eins zwei drei"
    facts = json.loads((out / "regard.json").read_text(encoding="utf-8"))
    recipe = regard.load(run).recipe
    assert facts["decoding"]["beam"] == recipe.decoding.beam and facts["max_length"] == recipe.data.max_length
    assert facts["special_tokens"][facts["begin"]] == "<s>" and facts["special_tokens"][facts["end"]] == "</s>"
    assert 0 <= facts["largest_difference"] < 1e-3


def test_ctranslate2_speaks_as_the_run(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned = tmp_path / "run"
    more = ["data.shared_vocabulary=true", "training.validate_every=150", "training.learning_rate=0.01"]
    assert train(corpus, learned, "--steps", "150", *settings([*TRANSFORMER, *more])) == 0
    out = tmp_path / "ct2"
    assert main(["export", str(learned), "--to", "ctranslate2", str(out)]) == 0
    capsys.readouterr()
    code = program(1, en_de_ct2=str(out)).replace("A man is cooking.", LINES[0])
    exec(code, {})
    said = capsys.readouterr().out.strip()
    assert said == regard.load(learned).predict(LINES[:1])[0].text and said


def test_what_cannot_be_exported_is_one_sentence(
    run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    words = tmp_path / "text"
    shape = settings(["model.dim=8", "model.heads=2", "model.feed_forward=8", "model.layers=1", "data.context=9"])
    text = ["--task", "language-model", "--data", str(corpus / "train.src"), "--out", str(words), "--steps", "1"]
    assert main(["train", *text, *shape]) == 0
    capsys.readouterr()
    for arguments, sentence in (
        ([str(run), "--to", "onnx", str(tmp_path / "there")], "exists: name a folder that does not"),
        ([str(run), "--to", "ctranslate2", str(tmp_path / "new")], "nothing like a decoder of the kind Bahdanau"),
        ([str(run), "--to", "tflite", str(tmp_path / "new")], "'tflite' is not one of 'onnx', 'ctranslate2'"),
        ([str(run), str(tmp_path / "new")], "Missing option '--to'. Choose from: onnx, ctranslate2: see"),
        ([str(words), "--to", "onnx", str(tmp_path / "new")], "is a run of language-model"),
        ([str(tmp_path / "no"), "--to", "onnx", str(tmp_path / "new")], "does not exist"),
        ([str(run), "--to", "onnx", str(corpus / "train.src" / "new")], "cannot be written"),
    ):
        assert main(["export", *arguments]) == 2
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1, said
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    for to in ("onnx", "ctranslate2"):
        assert main(["export", str(run), "--to", to, str(tmp_path / "new")]) == 2
        assert f"pip install 'regard[{to}]'" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text", "there"]


def test_a_copy_that_differs_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("regard.export.onnx.CLOSE", 0.0)
    assert main(["export", str(run), "--to", "onnx", str(tmp_path / "new")]) == 1
    assert "differs from the model by" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keys", "means"),
    [
        (["model.kind=hidden-markov", "model.dim=8"], "a hidden Markov model"),
        ([*RECURRENT, "model.lexical=true"], "a lexicon"),
    ],
)
@pytest.mark.parametrize("to", ["onnx", "ctranslate2"])
def test_what_aligns_words_is_not_exported(
    to: str, keys: list[str], means: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    assert train(corpus, run, "--steps", "2", *settings([*keys, "training.precision=fp32"])) == 0
    assert main(["export", str(run), "--to", to, str(out)]) == 2
    assert f"{run} aligns words by {means} and is not exported" in capsys.readouterr().err and not out.exists()
