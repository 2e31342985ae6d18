"""A hidden Markov model aligns words: what would have it translate is refused, and says what the run is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.cli import main
from regard.cli.aligners import aligns_only
from regard.embedded import english_french
from regard.errors import UsageError

RUN = str(english_french())
USE = "which aligns words and does not translate: use 'regard align {run} --source FILE --target FILE'"


@pytest.fixture
def aligner(tmp_path: Path) -> str:
    """As far as the refusal reads a run."""
    run = tmp_path / "aligner"
    run.mkdir()
    (run / "recipe.toml").write_text('task = "translation"\n[model]\nkind = "hidden-markov"\n', encoding="utf-8")
    (tmp_path / "in").write_text("They are watching.\n", encoding="utf-8")
    return str(run)


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "ALIGNER", "IN"],
        ["translate", "ALIGNER", "IN", "--jsonl"],
        ["predict", RUN, "IN", "--ensemble", "ALIGNER"],
        ["show", "ALIGNER", "They are watching."],
        ["show", RUN, "They are watching.", "--ensemble", "ALIGNER"],
        ["serve", "ALIGNER"],
        ["serve", RUN, "ALIGNER"],
        ["evaluate", "ALIGNER", "--source", "IN", "--target", "IN"],
        ["evaluate", RUN, "--source", "IN", "--target", "IN", "--against", "ALIGNER"],
        ["evaluate", RUN, "--source", "IN", "--target", "IN", "--ensemble", "ALIGNER"],
    ],
)
def test_what_would_have_it_translate_is_refused(
    command: list[str], aligner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"ALIGNER": aligner, "IN": str(Path(aligner).parent / "in")}
    assert main([places.get(word, word) for word in command]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == f"regard: {aligner} is a hidden Markov model, {USE.format(run=aligner)}\n"


def test_other_runs_are_none(aligner: str, tmp_path: Path) -> None:
    assert aligns_only(Path(aligner)) and not aligns_only(Path(RUN))
    (tmp_path / "recipe.toml").write_text('task = "language-model"\n[data]\ndata = "x"\n', encoding="utf-8")
    assert not aligns_only(tmp_path)
    with pytest.raises(UsageError, match="nowhere does not exist"):
        aligns_only(tmp_path / "nowhere")


def test_training_one_says_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{a} {b}" for a in ("one", "two", "three", "four") for b in ("five", "six", "seven", "eight", "nine")]
    Path("train.en").write_text("".join(f"{line}\n" for line in lines * 3), encoding="utf-8")
    chosen = ("model.kind=hidden-markov", "model.dim=8", "data.tokenizer=words", "training.device=cpu")
    keys = [word for key in chosen for word in ("--set", key)]
    files = ["--source", "train.en", "--target", "train.en"]
    assert main(["train", *files, "--out", "run", "--steps", "2", *keys]) == 0
    said = capsys.readouterr().out
    assert "Try it:\n  regard align run --source FILE --target FILE\n" in said and "regard predict" not in said
    assert main(["align", "run", *files]) == 0
    assert capsys.readouterr().out.count("\n") == len(lines) * 3
