"""How probable given outputs are: against the search's own account, a plain forward pass, and the mean of an ensemble."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import regard
from regard.batch import EOS, Batch
from regard.cli import main
from regard.errors import UsageError
from tests.run.translation.numbers import files

PAIRS = [("one two", "eins zwei"), ("three", "drei vier fünf"), ("六 سبعة one", "sechs"), ("two", ""), ("", "zwei")]


@pytest.fixture(scope="module")
def model(run: Path) -> regard.Model:
    return regard.load(run)


def plain(model: regard.Model, source: str, target: str) -> list[float]:
    """One pair alone, all its logits, one softmax."""
    ids = model.target_tokenizer.encode(target).ids
    batch = Batch.of([model.source_tokenizer.encode(source).ids], [ids])
    with torch.inference_mode():
        log_p = model.network(batch)[0].double().log_softmax(dim=-1)
    return [log_p[step, token].item() for step, token in enumerate([*ids, EOS])]


def test_each_pair_has_the_probability_it_has_alone(model: regard.Model) -> None:
    found = model.score(*zip(*PAIRS, strict=True), attention=True)
    for (source, target), each in zip(PAIRS, found, strict=True):
        wanted = plain(model, source, target)
        assert each.log_probabilities == pytest.approx(wanted, abs=1e-4)
        assert each.score == pytest.approx(sum(wanted), abs=1e-4)
        assert (each.source, each.text) == (source, target)
        assert each.tokens == target.split() and len(each.log_probabilities) == len(each.tokens) + 1
        assert each.attention is not None and each.attention.weights.shape[-2:] == (
            len(each.tokens) + 1, len(source.split()) + 1,
        )  # fmt: skip


def test_what_was_searched_scores_as_the_search_said(model: regard.Model) -> None:
    lines = ["one two three", "六", "four five six two"]
    said = model.predict(lines, beam=3, attention=True)
    again = model.score(lines, [each.text for each in said], attention=True)
    for before, after in zip(said, again, strict=True):
        assert after.score == pytest.approx(before.score, abs=1e-4) and after.ids == before.ids
        assert before.attention is not None and after.attention is not None
        np.testing.assert_allclose(after.attention.weights, before.attention.weights, atol=1e-5)
    # What was not said is less probable than what was.
    [worse] = model.score(lines[:1], ["eins zwei zwei"])
    assert worse.score < said[0].score


def test_an_ensemble_scores_by_the_mean_of_probabilities(model: regard.Model, transformer: Path) -> None:
    other = regard.load(transformer)
    both = regard.Model.ensemble([model, other]).score(["one two"], ["eins zwei"])
    each = zip(plain(model, "one two", "eins zwei"), plain(other, "one two", "eins zwei"), strict=True)
    assert both[0].score == pytest.approx(sum(math.log((math.exp(a) + math.exp(b)) / 2) for a, b in each), abs=1e-4)


def test_the_command_says_a_number_for_each_pair(
    run: Path, model: regard.Model, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert main(["score", str(run), *files(corpus, "valid"), "--attention", str(page)]) == 0
    said = capsys.readouterr()
    pairs = [[line.strip() for line in (corpus / f"valid.{e}").read_text("utf-8").splitlines()] for e in ("src", "tgt")]
    wanted = [sum(plain(model, a, b)) for a, b in zip(*pairs, strict=True)]
    assert [float(line) for line in said.out.splitlines()] == pytest.approx(wanted, abs=1e-3)
    tokens = sum(len(line.split()) + 1 for line in pairs[1])
    assert f"60 pairs, {tokens} tokens" in said.err
    assert f"perplexity {math.exp(-sum(wanted) / tokens):.2f}" in said.err
    assert "eins" in page.read_text("utf-8")
    assert main(["score", str(run), *files(corpus, "valid"), "--jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [sum(row["log_probabilities"]) for row in rows] == pytest.approx(wanted, abs=1e-3)
    assert [" ".join(row["tokens"]) for row in rows] == pairs[1]


def test_what_is_too_long_or_unknown_is_said(model: regard.Model) -> None:
    [long] = model.score(["one " * 300], ["eins " * 300])
    assert len(long.tokens) == 256 and ["source" in note or "target" in note for note in long.notes] == [True, True]
    [strange] = model.score(["☃ one"], ["eins ☃ 雪"])
    assert strange.notes == [
        "source: 1 of 2 tokens are unknown to the model",
        "2 of 3 tokens of the target are unknown to the model",
    ]


def test_wrong_use_is_one_sentence(
    run: Path, corpus: Path, model: regard.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short, broken, empty = tmp_path / "short", tmp_path / "broken", tmp_path / "empty"
    short.write_text("eins\n")
    broken.write_bytes(b"\xff\xfeeins\n")
    empty.write_text("")
    source = str(corpus / "valid.src")
    for given, sentence in (
        (["--source", source], "--target FILE"),
        (["--source", source, "--target", str(short)], "line 2 has no target"),
        (["--source", source, "--target", str(broken)], "UTF-16"),
        (["--source", source, "--target", str(empty)], "is empty"),
        (["--source", source, "--target", str(tmp_path)], "is a folder"),
    ):
        assert main(["score", str(run), *given]) == 2
        said = capsys.readouterr()
        assert sentence in said.err and said.err.count("\n") == 1 and not said.out
    assert main(["score", str(tmp_path), "--source", source, "--target", source]) == 2
    with pytest.raises(UsageError, match="2 sources and 1 targets"):
        model.score(["one", "two"], ["eins"])
    with pytest.raises(UsageError, match="lists of lines"):
        model.score("one", ["eins"])
