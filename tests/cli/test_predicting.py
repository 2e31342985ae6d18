"""`regard predict`: options that no search can have, and that would be passed over, are refused in one sentence."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from regard import Model
from regard.cli import main
from regard.embedded import english_french


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "in.txt"
    path.write_text("A man is here.\n\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--sample", "--temperature", "nan"], "temperature is nan: write 0 for the likeliest token"),
        (["--sample", "--temperature", "inf"], "temperature is inf: write 0 for the likeliest token"),
        (["--sample", "--top-p", "nan"], "top_p is nan: write a share above 0 and up to 1"),
        (["--sample", "--seed", "9" * 23], f"seed is {'9' * 23}: write a whole number from 0 to 9223372036854775807"),
        (["--length-penalty", "nan"], "length_penalty is nan: write 0 (rank by probability) or more"),
        (["--length-penalty", "1e9"], "length_penalty is 1e+09: write 0 (rank by probability) or more"),
        (["--unknown", "drop"], "unknown is 'drop': write keep, replace, forbid"),
        (["--min-length-ratio", "nan"], "min_length_ratio is nan: write how many tokens an output must have"),
        *(
            (["--max-length-ratio", value], f"max_length_ratio is {value}: write how many tokens an output may have")
            for value in ("-1", "0", "nan", "inf")
        ),
        *(
            (
                [option, "1"],
                f"{option} says how to draw, and without --sample the best output is searched for: add --sample",
            )
            for option in ("--temperature", "--top-k", "--top-p", "--seed")
        ),
        (["--sample", "--beam", "4"], "--beam says how to search, and --sample draws instead: leave out one of them"),
        (["--sample", "--length-penalty", "1"], "--length-penalty says how to search, and --sample draws instead"),
    ],
)
def test_what_no_search_can_have_is_one_sentence(
    options: list[str], sentence: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(english_french()), file, "--device", "cpu", *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith(f"regard: {sentence}")


@pytest.mark.parametrize(("given", "together"), [("file", 2), ("typed", 1), ("piped", 2)])
def test_only_what_is_typed_is_answered_line_by_line(
    given: str, together: int, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file is read in long stretches, also where somebody sits before the terminal."""
    asked: list[int] = []
    predict = Model.predict

    def counted(model: Model, lines: list[str], *given: Any, **options: Any) -> Any:
        asked.append(len(lines))
        return predict(model, lines, *given, **options)

    stdin = io.TextIOWrapper(io.BytesIO(Path(file).read_bytes()))
    monkeypatch.setattr(stdin, "isatty", lambda: given != "piped", raising=False)
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr(Model, "predict", counted)
    assert main(["predict", str(english_french()), file if given == "file" else "-"]) == 0
    assert capsys.readouterr().out.count("\n") == 2 and asked == [together] * (2 // together)


def test_a_draw_may_be_streamed_and_an_unknown_prefix_is_said(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(english_french())
    assert main(["predict", run, file, "--sample", "--temperature", "0", "--stream"]) == 0
    drawn = capsys.readouterr().out
    assert main(["predict", run, file, "--beam", "1"]) == 0
    assert capsys.readouterr().out == drawn and drawn.count("\n") == 2
    for more in ([], ["--stream"]):
        assert main(["predict", run, file, "--beam", "1", "--prefix", "你好 🙂", *more]) == 0
        assert capsys.readouterr().err == "line 1: 3 of 5 tokens of the prefix are unknown to the model\n"


def test_a_page_shows_what_was_said(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["predict", str(english_french()), file, "--beam", "1", "--jsonl", "--attention", str(page)]) == 0
    out, err = capsys.readouterr()
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["alignment"] and (second["text"], second["alignment"]) == ("", [])
    assert err == f"{page} shows 1 of the 2 lines\n"


@pytest.mark.parametrize("options", [[], ["--nbest", "3"], ["--nbest", "2", "--sample"]])
def test_every_line_has_the_same_keys(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.txt"
    path.write_text("\nA man is here.\n \u3000\n", encoding="utf-8")
    assert main(["predict", str(english_french()), str(path), "--jsonl", *options]) == 0
    empty, full, blank = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert list(empty) == list(full) and empty == blank
    if "--nbest" in options:
        assert empty["nbest"] == [{"text": "", "score": 0.0, "tokens": []}], (
            "what is said first of an empty line is all"
        )
        assert len(full["nbest"]) == int(options[1]) and full["nbest"][0]["text"] == full["text"]


def test_a_pipe_is_read_like_a_file(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    end, start = os.pipe()
    os.write(start, Path(file).read_bytes())
    os.close(start)
    assert main(["predict", str(english_french()), f"/dev/fd/{end}", "--device", "cpu"]) == 0
    os.close(end)
    out = capsys.readouterr().out
    assert main(["predict", str(english_french()), file, "--device", "cpu"]) == 0
    assert out == capsys.readouterr().out and out.count("\n") == 2


def test_training_does_not_wait_for_a_pipe_that_it_reads_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    words = ["--source", str(tmp_path / "fifo"), "--target", str(tmp_path / "fifo"), "--out", str(tmp_path / "run")]
    assert main(["train", *words]) == 2
    assert "fifo is a pipe, and this is read more than once: write it to a file first" in capsys.readouterr().err
