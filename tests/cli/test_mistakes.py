"""What a newcomer types wrong ends in one sentence that says what to type."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import torch

from regard.cli import main
from regard.embedded import english_french


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "bug" not in err
    return err


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("show", 'put quotes around the whole sentence, as in: regard show RUN "A man is cooking."'),
        ("embed", "put quotes around the whole sentence, as in: regard embed RUN "),
        ("predict", 'standard input, as in: echo "A man is cooking." | regard predict RUN -'),
        ("translate", 'standard input, as in: echo "A man is cooking." | regard translate RUN -'),
        ("pack", "see 'regard --help'"),
    ],
)
def test_a_sentence_without_quotes_is_told_where_they_belong(
    command: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = said([command, "run", "A", "man", "is", "cooking"], capsys)
    assert "(man is cooking)" in sentence or "(is cooking)" in sentence
    assert advice in sentence


def test_a_sentence_where_a_file_belongs_is_told_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(english_french())
    for sentence in ("A man is cooking.", "A man " * 200, "zero \0 character"):
        told = said(["predict", run, sentence, "--device", "cpu"], capsys)
        assert told.startswith(f"regard: there is no file '{sentence[:9]}") and len(told) < 500
        assert f'regard show {run} "…"' in told and f'echo "…" | regard predict {run} -' in told
    assert "cooking.txt does not exist: check the path" in said(["predict", run, "cooking.txt"], capsys)
    (tmp_path / "two words.txt").write_text("They are watching.\n")
    assert main(["predict", run, str(tmp_path / "two words.txt"), "--beam", "1"]) == 0
    from_file = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"They are watching.\n")))
    assert main(["predict", run, "-", "--beam", "1"]) == 0, "as the sentence says"
    assert capsys.readouterr().out == from_file != ""


@pytest.mark.parametrize("command", [["predict", "RUN", "FILE"], ["show", "RUN", "words"], ["serve", "RUN"]])
def test_a_device_that_is_not_there_is_no_bug(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "file").write_text("words\n")
    places = {"RUN": str(english_french()), "FILE": str(tmp_path / "file")}
    command = [places.get(word, word) for word in command]
    for name, sentence in (
        ("gpu", "there is no device 'gpu': write auto, cpu, cuda, cuda:N or mps\n"),
        ("cuda", "device 'cuda' is not there, for PyTorch finds no CUDA here: write cpu or auto\n"),
    ):
        assert said([*command, "--device", name], capsys) == f"regard: {sentence}"


def test_help_tells_how_to_see_where_a_bug_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "--debug" in capsys.readouterr().out
    assert main(["predict", "nowhere", "--debug"]) == 2, "wherever it stands"
    assert "nowhere does not exist" in capsys.readouterr().err


def test_help_tells_what_a_run_that_goes_on_may_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert "only its budget, device and tensorboard can change" in " ".join(capsys.readouterr().out.split())
