"""Several runs that speak together, by the commands and in Python."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import regard
from regard.batch import BOS, EOS, Batch, rectangle
from regard.cli import main
from regard.errors import UsageError
from tests.run.translation.numbers import RECURRENT, files, settings, train


def test_runs_speak_together(
    run: Path, transformer: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that has learned and one that has hardly: together they say what the mean of their probabilities says."""
    together = ["--ensemble", str(transformer)]
    (tmp_path / "in").write_text("one 六\n\nthree four\n", encoding="utf-8")
    assert main(["predict", str(run), str(tmp_path / "in"), "--jsonl", *together]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[1]["text"] == ""
    each = [regard.load(run), regard.load(transformer)]
    for line, row in zip(("one 六", "three four"), (rows[0], rows[2]), strict=True):
        [both] = regard.Model.ensemble(each).predict([line], attention=True)
        assert both.text == row["text"] and both.score == pytest.approx(row["score"], abs=1e-4)
        assert both.attention is not None and both.attention.weights.shape[0] == 1 + 3  # layers of both
        forced = [_forced(model, line, both.ids) for model in each]
        assert both.score == pytest.approx(sum(math.log((a + b) / 2) for a, b in zip(*forced, strict=True)), abs=1e-4)
        streamed = list(regard.Model.ensemble(each).stream(line, attention=True))[-1]
        assert streamed.text == both.text and streamed.weights is not None
        np.testing.assert_allclose(streamed.weights, both.attention.weights, atol=1e-5)
    assert main(["evaluate", str(run), *files(corpus, "valid"), "--json", *together, "--against", str(run)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["run"] == "numbers + transformer" and report["paired"]
    assert main(["show", str(run), "one 六", *together]) == 0
    assert "eins" in capsys.readouterr().out


def _forced(model: regard.Model, line: str, ids: list[int]) -> list[float]:
    """The probability of each token of an output, and of its end."""
    source, lengths = rectangle([[*model.source_tokenizer.encode(line).ids, EOS]])
    target, target_lengths = rectangle([[BOS, *ids, EOS]])
    logits = model.network(Batch(source, lengths, target, target_lengths, torch.arange(1)))[0]
    return [chances[i].item() for chances, i in zip(logits.softmax(dim=-1), [*ids, EOS], strict=True)]


def test_runs_that_cannot_speak_together(
    run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "letters"
    changed = ["data.tokenizer=characters", "training.validate_every=2", "training.save_every=2"]
    assert train(corpus, other, "--steps", "2", *settings([*RECURRENT[:-1], *changed])) == 0
    capsys.readouterr()
    for wrong, sentence in (
        (other, "numbers and letters cannot speak together, since their source tokens differ"),
        (tmp_path / "none", "none does not exist"),
    ):
        assert main(["evaluate", str(run), *files(corpus, "valid"), "--ensemble", str(wrong)]) == 2
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1
    with pytest.raises(UsageError, match="one model at least"):
        regard.Model.ensemble([])
