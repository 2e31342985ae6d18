"""`regard evaluate`: what cannot be scored is wrong use, and is said before anything is predicted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regard import Model
from regard.cli import main
from regard.embedded import english_french

RUN = str(english_french())


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in.en").write_text("A man is here.\nThey are watching.\n", encoding="utf-8")
    Path("in.fr").write_text("Un homme est là.\nIls regardent.\n", encoding="utf-8")
    Path("short.fr").write_text("Un homme est là.\n", encoding="utf-8")
    Path("blank.fr").write_text("\n\n", encoding="utf-8")
    Path("blank.tsv").write_text("\n\n", encoding="utf-8")
    Path("none.fr").write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--source", "in.en", "--target", "short.fr"], "in.en has 2 lines and short.fr has 1"),
        (["--source", "short.fr", "--target", "in.en"], "short.fr has 1 line"),
        (
            ["--source", "in.en", "--target", "blank.fr"],
            "in.en and blank.fr have no pair to score: see what 'regard doctor'",
        ),
        (["--data", "blank.tsv"], "blank.tsv has no pair to score"),
        (["--source", "in.en", "--target", "none.fr"], "none.fr is empty"),
        (["--source", "in.en", "--target", "gone.fr"], "gone.fr does not exist"),
        (["--data", "gone.tsv", "--tokenize", "chinese"], "tokenize is 'chinese', which sacreBLEU does not know"),
        (["--source", "in.en"], "give --source FILE and --target FILE, or --data FILE"),
        (
            ["--source", "in.en", "--target", "in.fr", "--lowercase", "xx"],
            "'xx' is no code of a language: write that of",
        ),
        (["--source", "in.en", "--target", "in.fr", "--lowercase", "deutsch"], "such as en, fr, it, ca, de or ast"),
    ],
)
@pytest.mark.usefixtures("files")
def test_wrong_input_is_wrong_use(
    given: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Model, "predict", lambda *given, **options: pytest.fail("nothing is predicted before"))
    assert main(["evaluate", RUN, *given]) == 2
    out, err = capsys.readouterr()
    assert out == "" and sentence in err and err.count("\n") == 1 and "bug" not in err


@pytest.mark.parametrize(("language", "generic"), [("fr", False), ("FR-ca", False), ("de", True), ("br", True)])
@pytest.mark.usefixtures("files")
def test_rules_that_are_no_languages_own_are_said(
    language: str, generic: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--source", "in.en", "--target", "in.fr"]
    assert main(["evaluate", RUN, *files, "--beam", "1", "--json", "--lowercase", language]) == 0
    report = json.loads(capsys.readouterr().out)
    [score] = [each for each in report["scores"] if each["name"] == "BLEU (lower-cased, tokenised)"]
    assert f"pretok:moses-rules-{language[:2].lower()}|" in score["signature"]
    assert ("rules:generic" in score["signature"]) is generic
