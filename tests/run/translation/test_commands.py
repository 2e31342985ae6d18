"""The commands as a user types them, on a corpus small enough to learn in seconds."""

from __future__ import annotations

import io
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import regard
from regard.batch import BOS, EOS, rectangle
from regard.cli import main
from regard.errors import UsageError
from tests.run.translation.numbers import RECURRENT, TRANSFORMER, files, settings, train


def test_a_run_holds_what_it_should_and_nothing_in_pickle(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    wanted = {"recipe.toml", "source.tokenizer.json", "target.tokenizer.json", "model.safetensors", "metrics.jsonl"}
    assert wanted | {"dropped.tsv", "report.json", "state"} <= names
    assert not [p for p in run.rglob("*") if p.suffix in (".pt", ".pkl", ".bin") and p.name != "ids.bin"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {"step", "epoch", "seconds", "loss", "lr", "tokens_per_second"} <= rows[0].keys()
    assert [row["step"] for row in rows if "valid_loss" in row] == [100, 200]
    assert rows[-1]["valid_bleu"] > 90
    report = json.loads((run / "report.json").read_text())
    assert report["steps"] == 200 and report["scores"][0]["signature"].startswith("nrefs:1")
    assert "precision = " in (run / "recipe.toml").read_text()


def test_as_many_lines_come_out_as_went_in_in_order(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["one two", "", "   ", "five 六 three", "سبعة", "one\u2028two", "\t", "two"]
    file = tmp_path / "in.txt"
    file.write_bytes("\r\n".join(lines).encode())  # CRLF, and no end of line at the end
    assert main(["predict", str(run), str(file)]) == 0
    out = capsys.readouterr().out.split("\n")
    assert out[-1] == "" and len(out) == len(lines) + 1
    assert out[:5] == ["eins zwei", "", "", "fünf sechs drei", "sieben"]
    assert out[6:8] == ["", "zwei"]


def test_standard_input_and_the_other_name(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\ufefftwo\nthree one\n".encode())))
    assert main(["translate", str(run)]) == 0
    assert capsys.readouterr().out == "zwei\ndrei eins\n"


def test_unknown_and_endless_lines_are_said_and_still_answered(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("ሰላም one\n" + "two " * 10_000 + "\n", encoding="utf-8")
    assert main(["predict", str(run), str(file), "--beam", "1"]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 2
    assert "line 1: 1 of 2 tokens are unknown to the model" in said.err
    assert "line 2: 10000 tokens are more than data.max_length = 256, so only the first 256 were read" in said.err


def test_json_lines_hold_text_score_tokens_alignment_and_nbest(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "in.txt"
    file.write_text("one two three\n\n")
    assert (
        main(["predict", str(run), str(file), "--jsonl", "--nbest", "7", "--attention", str(tmp_path / "a.html")]) == 0
    )
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["text"] == "eins zwei drei" and first["tokens"] == ["eins", "zwei", "drei"]
    assert [target for _, target in first["alignment"]] == [0, 1, 2]
    scores = [other["score"] for other in first["nbest"]]
    assert len(scores) == 7 and first["score"] == scores[0]
    assert second["text"] == "" and second["tokens"] == []
    page = (tmp_path / "a.html").read_text()
    assert page.startswith("<!doctype html>") or page.lower().startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org/", "") and "https://" not in page


def test_prediction_in_python_is_as_the_design_says(run: Path) -> None:
    model = regard.load(str(run))
    assert isinstance(model, regard.Model)
    [p] = model.predict(["one 六 two"], beam=5, attention=True)
    assert (p.text, p.tokens) == ("eins sechs zwei", ["eins", "sechs", "zwei"])
    assert p.attention is not None
    weights = p.attention.weights
    assert weights.dtype == np.float32 and weights.shape == (1, 1, 4, 4)
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)
    assert p.attention.source == ["one", "六", "two", "</s>"] and p.attention.target[-1] == "</s>"
    assert p.attention.words().shape == (4, 4)
    # Words are tokens here, so the alignment is the likeliest source word of each step but the last.
    likeliest = weights[0, 0, :3, :3].argmax(-1)
    assert p.attention.alignment() == [(int(s), t) for t, s in enumerate(likeliest)]
    assert "<" in p.attention._repr_html_()
    assert p.score == pytest.approx(sum(p.log_probabilities)) and p.score < 0
    with pytest.raises(UsageError, match="list of lines"):
        model.predict("one two")


@pytest.mark.parametrize("kind", ["run", "transformer"])
def test_what_is_seen_is_what_the_search_did(kind: str, request: pytest.FixtureRequest) -> None:
    """Weights captured while a greedy search takes its steps equal those of the prediction, at every step."""
    from regard.attention import capture

    model = regard.load(request.getfixturevalue(kind))
    network = model.network
    line = "five one two two"
    [p] = model.predict([line], beam=1, attention=True)
    assert p.attention is not None
    ids, lengths = rectangle([[*model.source_tokenizer.encode(line).ids, EOS]])
    with torch.inference_mode(), capture(network, network.sights()) as seen:
        memory = network.encode(ids, lengths)
        state, token = network.decoder.start(memory), torch.tensor([[BOS]])  # type: ignore[operator]
        for _ in p.attention.target:
            logits, state = network.decoder(token, state, memory)
            token = logits[:, -1].argmax(-1, keepdim=True)
    assert p.attention.weights.shape[:2] == ((1, 1) if kind == "run" else (3, 2))
    for layer, sight in zip(p.attention.weights, network.sights(), strict=True):
        stepwise = seen.steps(sight)[0].numpy()
        np.testing.assert_allclose(layer, stepwise.reshape(layer.shape), atol=1e-5)


@pytest.mark.parametrize("kind", ["run", "transformer"])
def test_attention_under_beam_and_sampling_equals_that_of_forcing_the_same_output(
    kind: str, request: pytest.FixtureRequest
) -> None:
    model = regard.load(request.getfixturevalue(kind))
    lines = ["one two three four", "five", "two two one"]
    for options in ({"beam": 4}, {"sample": {"temperature": 1.5, "seed": 7}}):
        for p in model.predict(lines, attention=True, **options):  # type: ignore[arg-type]
            [forced] = model.predict([p.source], beam=2, attention=True, prefix=[p.text])
            assert p.attention is not None and forced.attention is not None
            steps = len(p.tokens)
            np.testing.assert_allclose(
                forced.attention.weights[:, :, :steps], p.attention.weights[:, :, :steps], atol=1e-5
            )


def test_show_draws_and_writes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run), "one 六", "--html", str(tmp_path / "s.html")]) == 0
    out = capsys.readouterr().out
    assert "eins sechs" in out and "六" in out and "█" in out
    assert (tmp_path / "s.html").stat().st_size > 1000


def test_evaluate_scores_and_compares(run: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), *files(corpus, "valid"), "--json", "--against", str(run)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [s["name"] for s in report["scores"]] == ["BLEU", "chrF2", "TER", "exact match"]
    assert report["scores"][0]["value"] > 90 and report["sentences"] == 60
    assert report["paired"][0]["p_value"] == 1.0
    assert main(["evaluate", str(run), *files(corpus, "valid")]) == 0
    said = capsys.readouterr()
    assert "BLEU" in said.out and said.err == ""


def test_evaluate_says_which_lines_it_leaves_out(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.src").write_text("one\n\ntwo\n\n", encoding="utf-8")
    (tmp_path / "in.tgt").write_text("eins\nzwei\n \ndrei\n", encoding="utf-8")
    assert main(["evaluate", str(run), *files(tmp_path, "in"), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["sentences"] == 1
    name = f"left out of the 4 lines of {tmp_path / 'in.src'} and {tmp_path / 'in.tgt'}"
    assert said.err.splitlines() == [
        f"{name}: 2 lines have an empty source and a target (line 2, 4)",
        f"{name}: 1 line has an empty target and a source (line 3)",
    ]


def test_evaluate_says_what_it_reads_in_part_and_what_is_no_pair(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = regard.load(run).recipe.data.max_length
    table = tmp_path / "in.tsv"
    table.write_text(f"src\ttgt\none\tone\n{'one ' * (limit + 1)}\tone\n{'one ' * limit}\tone\n", encoding="utf-8")
    assert main(["evaluate", str(run), "--data", str(table), "--json", "--beam", "1"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["sentences"] == 3
    header, cut = said.err.splitlines()
    assert header.startswith(f"line 1 of {table} is a header and no pair: column 1 ('src') is the source")
    assert cut == (
        f"1 of 3 sources have more than data.max_length = {limit} tokens: of those the first {limit} alone were read"
    )


@pytest.mark.parametrize(
    ("name", "column", "best"), [("exact-match", "valid_exact_match", max), ("ter", "valid_ter", min)]
)
def test_the_best_snapshot_is_that_of_the_score_that_was_named(
    corpus: Path, tmp_path: Path, name: str, column: str, best: Callable[[list[float]], float]
) -> None:
    out = tmp_path / "run"
    more = [f"training.choose_by={name}", "training.validate_every=30"]
    assert train(corpus, out, "--steps", "120", *settings([*RECURRENT, *more])) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    values = [row[column] for row in rows if column in row]
    assert len(values) == 4 and len(set(values)) > 1
    chosen = [row[column] for row in rows if row.get("best")]
    assert chosen[-1] == best(values)


def test_a_score_that_a_run_has_not_is_named(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = [*RECURRENT, "training.choose_by=wer"]
    assert train(corpus, tmp_path / "run", "--steps", "2", *settings(changed)) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert 'no score of this run: write "bleu", "chrf", "ter", "exact-match" or "loss"' in said


def test_interrupted_by_the_keyboard_and_resumed_gives_the_same_bits(
    transformer: Path, corpus: Path, tmp_path: Path
) -> None:
    """In a process of its own, as a user does it: Ctrl-C in the middle, then --resume."""
    import os
    import signal
    import time

    out = tmp_path / "cut"
    command = [sys.executable, "-m", "regard", "train", *files(corpus, "train"), *files(corpus, "valid", "valid-")]
    command += ["--out", str(out), "--steps", "40", *settings(TRANSFORMER)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    metrics = out / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 0):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"nothing is lost: run the same command with --resume" in said and b"Traceback" not in said
    subprocess.run([*command, "--resume"], check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    whole, cut = (load_file(folder / "state" / "tensors.safetensors") for folder in (transformer, out))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == sorted(steps) and steps[-1] == 40


def test_a_recipe_trains_with_paths_relative_to_it_and_resumes_to_a_longer_budget(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = corpus / "numbers.toml"
    recipe.write_text(
        '[data]\nsource = "train.src"\ntarget = "train.tgt"\ntokenizer = "words"\n'
        '[model]\nkind = "recurrent"\nhidden = 16\nembedding = 8\n[training]\nsteps = 4\nbatch_tokens = 200\n'
    )
    out = tmp_path / "run"
    assert main(["train", str(recipe), "--out", str(out)]) == 0
    assert json.loads((out / "report.json").read_text())["scored_on"] == "held out from training"
    assert main(["train", str(recipe), "--out", str(out), "--resume", "--steps", "6"]) == 0
    assert json.loads((out / "report.json").read_text())["steps"] == 6
    shutil.rmtree(out / "state")  # killed before its first state was written
    assert main(["train", str(recipe), "--out", str(out), "--resume", "--steps", "2"]) == 0
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2]
    monkeypatch.chdir(tmp_path)
    changed = (corpus / "train.src").read_text().replace("one", "two", 1)
    for name, text in (("train.src", changed), ("train.tgt", (corpus / "train.tgt").read_text())):
        (tmp_path / name).write_text(text)
    recipe = out / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(corpus), str(tmp_path)))
    assert main(["train", "--out", str(out), "--resume", "--steps", "9"]) == 2
    assert "changed since the run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "model.dimm=3"], "there is no key 'model.dimm'; did you mean 'model.dim'?"),
        (["--set", "training.steps=many"], "'training.steps' is \"many\", but it should be a valid integer"),
        (["--set", "model.kind=cnn"], "write 'recurrent', 'transformer'"),
        (["--set", "model.heads=3", "--set", "model.dim=32"], "cannot be shared out evenly"),
        (["--set", "nonsense"], "write it as path.to.key=value"),
        (["--source", "/nonexistent/a"], "/nonexistent/a does not exist"),
        (
            ["--set", "data.shared_vocabulary=true", "--set", "data.source_tokenizer=bpe"],
            "one tokenizer for both sides",
        ),
        (["--frobnicate"], "No such option"),
    ],
)
def test_bad_wishes_are_one_sentence(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert train(corpus, tmp_path / "run", *arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_files_that_cannot_be_trained_on_are_named(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = corpus / "train.src"
    empty, binary, short, one = (tmp_path / name for name in ("empty", "binary", "short", "one"))
    empty.write_bytes(b"")
    binary.write_bytes(bytes(range(256)) * 40 + b"\0" * 2000)
    short.write_text("".join(f"eins {i}\n" for i in range(399)))
    one.write_text("one\n")
    for target, status, sentence in (
        (empty, 2, "is empty"),
        (binary, 2, "is a binary file"),
        (tmp_path, 2, "is a folder"),
        (short, 1, "has 400 lines"),
        (one, 1, "has 400 lines"),
    ):
        out = tmp_path / "run"
        assert main(["train", "--source", str(good), "--target", str(target), "--out", str(out)]) == status
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1 and "Traceback" not in said
    assert main(["train", "--source", str(one), "--target", str(one), "--out", str(tmp_path / "r")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["doctor", "--source", str(good), "--target", str(short)]) == 1
    assert "has 400 lines" in capsys.readouterr().out


def test_a_run_is_never_overwritten_and_a_broken_one_is_named(
    run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "model.safetensors").read_bytes()
    assert train(corpus, run) == 2
    assert "already holds a run: add --resume" in capsys.readouterr().err
    assert (run / "model.safetensors").read_bytes() == before
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("recipe.toml", "source.tokenizer.json", "target.tokenizer.json", "model.safetensors"):
        (broken / name).write_bytes((run / name).read_bytes())
    (broken / "model.safetensors").write_bytes(before[: len(before) // 2])
    said = []
    for change in (
        lambda: None,
        lambda: (broken / "model.safetensors").unlink(),
        lambda: (broken / "target.tokenizer.json").write_text('{"version": "1.0", "tru'),
        lambda: (broken / "target.tokenizer.json").unlink(),
        lambda: (broken / "recipe.toml").write_text("format = 2\n"),
        lambda: (broken / "recipe.toml").write_text("[model\n"),
        lambda: (broken / "recipe.toml").unlink(),
    ):
        change()
        assert main(["predict", str(broken), str(corpus / "valid.src")]) == 2
        said.append(capsys.readouterr().err)
        assert said[-1].count("\n") == 1
    wanted = [
        "cut off",
        "no model.safetensors",
        "no tokenizer",
        "is missing",
        "pip install -U",
        "is not TOML",
        "not a run",
    ]
    assert all(part in sentence for part, sentence in zip(wanted, said, strict=True)), said
    assert main(["predict", str(tmp_path / "nothing"), "x"]) == 2
    assert main(["predict", str(run), str(tmp_path / "nothing")]) == 2
    assert main(["predict", str(run), str(corpus / "valid.src"), "--attention", str(tmp_path / "no" / "a.html")]) == 2
    assert main(["predict", str(run), str(corpus / "valid.src"), "--nbest", "2"]) == 2
    assert main(["predict", str(run), str(corpus / "valid.src"), "--sample", "--top-p", "3"]) == 2
    capsys.readouterr()


def test_a_fixed_context_says_that_there_is_nothing_to_show(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fixed"
    more = [
        "model.kind=recurrent",
        "model.decoder=fixed-initial",
        "model.hidden=8",
        "model.embedding=8",
        "training.steps=2",
    ]
    chosen = [part for key in (*more, "data.tokenizer=words") for part in ("--set", key)]
    assert train(corpus, out, *chosen) == 0
    assert main(["show", str(out), "one two"]) == 0
    assert "no attention to show" in capsys.readouterr().err
    assert math.isfinite(json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["valid_loss"])


def test_lengths_can_be_asked_for(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "in.txt"
    file.write_text("one two three four\n")
    assert main(["predict", str(run), str(file), "--min-length-ratio", "1.6"]) == 0
    assert len(capsys.readouterr().out.split()) >= 8  # of five tokens, the end being one
    assert main(["predict", str(run), str(file), "--min-length-ratio", "9", "--max-length-ratio", "1"]) == 2
    assert "min_length is above max_length" in capsys.readouterr().err
    assert main(["predict", str(run), str(file), "--prefix", "drei drei"]) == 0
    assert capsys.readouterr().out.startswith("drei drei")
