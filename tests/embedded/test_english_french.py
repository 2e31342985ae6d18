"""The model that comes with the package: small, there, and it translates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import regard
from regard.cli import main
from regard.embedded import english_french
from regard.errors import RegardError


def test_it_is_small_and_says_where_it_comes_from() -> None:
    folder = english_french()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12_000_000
    told = (folder / "README.md").read_text(encoding="utf-8")
    assert "tatoeba.org" in told and "CC BY 2.0" in told
    data = regard.load(folder, "cpu").recipe.data
    assert data.source is data.target is data.valid_source is None  # no paths of the machine that trained it


# Translations that any French speaker would give: no other word for word, so that a wrong model cannot pass.
KNOWN = {
    "They are watching.": {"Ils regardent.", "Elles regardent.", "Ils sont en train de regarder."},
    "Thank you.": {"Merci.", "Merci !", "Je te remercie.", "Je vous remercie."},
    "I love you.": {"Je t'aime.", "Je vous aime."},
    "Where is the station?": {"Où est la gare ?", "Où se trouve la gare ?"},
    "I don't know.": {"Je ne sais pas.", "Je l'ignore.", "Je sais pas."},
    "": {""},
}


def test_it_translates_everyday_sentences() -> None:
    model = regard.load(english_french(), "cpu")
    assert (model.recipe.data.source_language, model.recipe.data.target_language) == ("en", "fr")
    for prediction in model.predict(list(KNOWN)):
        assert prediction.text.replace("’", "'").replace("\u202f", " ") in KNOWN[prediction.source], prediction.text


def test_translate_demo_needs_no_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["translate", "--demo", "They are watching."]) == 0
    assert capsys.readouterr().out.strip() in KNOWN["They are watching."]
    assert main(["translate", "--demo", "Thank you.\nI love you.", "--jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2 and rows[0]["alignment"]
    page = tmp_path / "a.html"
    assert main(["translate", "--demo", "Thank you.", "--attention", str(page)]) == 0 and page.exists()
    capsys.readouterr()
    assert main(["show", "--demo", "Thank you."]) == 0
    assert "Thank" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["translate"], ["show"]])
def test_without_a_run_or_demo_one_sentence_says_so(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert "--demo" in capsys.readouterr().err


def test_two_texts_without_quotes_are_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", "--demo", "Thank", "you"]) == 2
    assert "put quotes around the whole" in capsys.readouterr().err
    assert main(["show", "--demo"]) == 2
    assert capsys.readouterr().err.startswith("regard: ")


def test_a_package_without_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("regard.embedded.files", lambda _: tmp_path)
    with pytest.raises(RegardError, match="install Regard again"):
        english_french()


def test_translate_demo_reads_a_file_that_is_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.en").write_text("They are watching.\n\nI don't know.\n", encoding="utf-8")
    assert main(["translate", "--demo", "in.en"]) == 0
    said = capsys.readouterr().out.split("\n")
    assert (
        said[0] in KNOWN["They are watching."] and said[1] == "" and said[2].replace("’", "'") in KNOWN["I don't know."]
    )
    for gone in ("none.txt", "no/where"):
        assert main(["translate", "--demo", gone]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err == f"regard: {gone} does not exist: check the path, or write a text in its place\n"
    for text in ("Hello.", "Wait for me at 3.30 or in.en"):
        assert main(["translate", "--demo", text]) == 0 and capsys.readouterr().out.count("\n") == 1
