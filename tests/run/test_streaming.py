"""What is said step by step: the same as all at once, looked at or not, steered or not, left early or not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regard import build
from regard.attention import Edit, attends
from regard.batch import EOS
from regard.config import recipe_of
from regard.data import Tokenizer
from regard.errors import UsageError
from regard.run.translation.model import Model
from regard.run.translation.streaming import Partial

LINES = ("ab cab 中文 سلام", "b", "ca ab ab b", "中文 é e\u0301 👩‍👧 ca")
RECURRENT: dict[str, Any] = {"kind": "recurrent", "embedding": 6, "hidden": 10, "dropout": 0.0}
TRANSFORMER: dict[str, Any] = {
    "kind": "transformer", "dim": 12, "heads": 3, "feed_forward": 16, "encoder_layers": 1, "decoder_layers": 2,
    "dropout": 0.0,
}  # fmt: skip
PARTS: dict[str, dict[str, Any]] = {
    "transformer": TRANSFORMER,
    "relative": TRANSFORMER | {"positions": "relative"},
    "lexical": TRANSFORMER | {"lexical": True},
    "bahdanau": RECURRENT,
    "luong": RECURRENT | {"decoder": "luong", "attention": {"score": "general", "scope": {"kind": "local-predictive"}}},
    "location": RECURRENT | {"attention": {"score": "location"}},
    "coverage": RECURRENT | {"attention": {"score": "coverage"}},
    "monotonic": RECURRENT | {"attention": {"normalize": "monotonic"}},
    "fixed": RECURRENT | {"decoder": "fixed-initial"},
}
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"beam": 1},
    "beam": {"beam": 3},
    "sample": {"sample": {"seed": 4, "temperature": 0.8}},
}
parts = pytest.mark.parametrize("part", PARTS)
ways = pytest.mark.parametrize("way", WAYS)


def made(part: str) -> Model:
    """Untrained, so that it has something to say at every step; in float64, where rounding does not count."""
    torch.manual_seed(3)
    tokenizer = Tokenizer.train("characters", LINES * 2, 60)
    recipe = recipe_of({"model": PARTS[part], "data": {"max_length": 23}})
    network = build.encoder_decoder(recipe.model, tokenizer.size, tokenizer.size, shared=False, max_length=23)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)
    return Model(network.double().eval(), tokenizer, tokenizer, recipe, part)


def hooks(model: Model) -> list[int]:
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.network.modules()] + [
        (a.recorder is not None) + (getattr(a, "editor", None) is not None) for a in attends(model.network).values()
    ]


@parts
@ways
def test_the_last_one_is_what_predict_says_and_the_others_lead_there(part: str, way: str) -> None:
    model, options = made(part), WAYS[way]
    for line in LINES:
        [expected] = model.predict([line], attention=True, **options)
        said = list(model.stream(line, attention=True, **options))
        last = said[-1]
        assert [p.finished for p in said] == [False] * (len(said) - 1) + [True]
        assert [p.step for p in said] == list(range(len(said)))
        assert (last.text, last.tokens, last.score) == (expected.text, expected.tokens, expected.score)
        assert last.log_probability == expected.log_probabilities[-1]
        assert last.prediction is not None
        assert last.prediction.to_json() == expected.to_json()
        for partial in said:
            assert expected.text.startswith(partial.settled)
        if way != "beam":
            for t, partial in enumerate(said[:-1]):
                assert partial.tokens == expected.tokens[: t + 1]
                assert partial.log_probability == expected.log_probabilities[t]
                assert partial.score == pytest.approx(sum(expected.log_probabilities[: t + 1]))
        if expected.attention is None:  # nothing to look at
            assert part == "fixed" and all(p.attention is None for p in said)
            continue
        weights = expected.attention.weights
        assert last.weights is not None and last.prediction.attention is not None
        np.testing.assert_allclose(last.weights, weights, atol=1e-5)
        np.testing.assert_allclose(last.prediction.attention.weights, weights, atol=1e-5)
        if way != "beam":
            for t, partial in enumerate(said):
                assert partial.attention is not None
                np.testing.assert_allclose(partial.attention, weights[:, :, t], atol=1e-5)


@pytest.mark.parametrize("part", ["transformer", "location"])
def test_what_a_beam_shows_was_looked_at_for_these_very_words(part: str) -> None:
    """Each best so far is said again by force, as a prefix, and looked at."""
    model = made(part)
    for partial in model.stream(LINES[0], 4, attention=True):
        ids = [model.target_tokenizer._library.token_to_id(token) or 0 for token in partial.tokens]
        assert partial.weights is not None and partial.attention is not None
        prefix = model.target_tokenizer.decode(ids)
        assert prefix == partial.text
        if model.target_tokenizer.encode(prefix).ids != ids:
            continue  # its white space is lost when it is read again
        [again] = model.predict([LINES[0]], 1, attention=True, prefix=[prefix])
        assert again.attention is not None
        rows = len(ids)
        np.testing.assert_allclose(partial.weights[:, :, :rows], again.attention.weights[:, :, :rows], atol=1e-5)
        np.testing.assert_array_equal(partial.attention, partial.weights[:, :, -1])
        assert partial.score == pytest.approx(
            sum(again.log_probabilities[:rows]) + (0 if partial.weights.shape[2] == rows else partial.log_probability),
            abs=1e-4,
        )


@ways
def test_it_speaks_before_it_has_searched_and_leaves_nothing_behind(way: str) -> None:
    model = made("transformer")
    calls: list[int] = []
    model.network.decoder.register_forward_hook(lambda *_: calls.append(1))
    before = hooks(model)
    speaking = model.stream(LINES[0], attention=True, steer=[Edit("flatten")], **WAYS[way])
    assert not calls
    for step in range(3):
        assert isinstance(next(speaking), Partial)
        assert len(calls) == step + 1
        assert hooks(model) == before
        assert not torch.is_inference_mode_enabled()
    speaking.close()  # type: ignore[attr-defined]
    assert hooks(model) == before and len(calls) == 3
    with pytest.raises(StopIteration):
        next(speaking)


def test_others_may_use_the_model_meanwhile() -> None:
    model = made("bahdanau")
    alone = [list(model.stream(line, 2, attention=True)) for line in LINES[:2]]
    one, two = (model.stream(line, 2, attention=True) for line in LINES[:2])
    together: list[list[Partial]] = [[], []]
    for _ in range(30):
        together[0] += [p for p in [next(one, None)] if p is not None]
        model.predict(LINES[2:], attention=True)
        together[1] += [p for p in [next(two, None)] if p is not None]
    for first, second in zip(alone, together, strict=True):
        assert [(p.text, p.score) for p in first] == [(p.text, p.score) for p in second]
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a.weights, b.weights)


def test_how_it_begins_and_what_it_has_nothing_to_say_to() -> None:
    model = made("bahdanau")
    *_, last = model.stream("b", 2, prefix="ca")
    assert last.text.startswith("ca")
    assert last.text == model.predict(["b"], 2, prefix=["ca"])[0].text
    for empty in ("", "  \t"):
        [only] = model.stream(empty, attention=True)
        assert (only.text, only.tokens, only.score, only.finished) == ("", [], 0.0, True)
    long = "ab " * 2000
    *_, last = model.stream(long, 1, attention=True)
    assert last.prediction is not None and "only the first 23 were read" in last.prediction.notes[0]
    for wrong, sentence in (
        (lambda: model.stream(["b"]), "takes one line"),  # type: ignore[arg-type]
        (lambda: model.stream("b", prefix=["c"]), "prefix of a stream is a text"),  # type: ignore[arg-type]
        (lambda: model.stream("b", search=model.search(count=2, sampling={})), "one draw, not 2"),
        (lambda: list(model.stream("b", sample={"temperature": -1.0})), "temperature is -1"),
    ):
        with pytest.raises(UsageError, match=sentence):
            wrong()


@ways
@pytest.mark.parametrize("part", ["transformer", "coverage"])
def test_the_tree_of_each_line_leads_to_its_output(part: str, way: str) -> None:
    model = made(part)
    lines = [*LINES, "", "ca"]
    with_trees = model.predict(lines, tree=True, **WAYS[way])
    for line, plain, said in zip(lines, model.predict(lines, **WAYS[way]), with_trees, strict=True):
        assert (said.text, said.score) == (plain.text, plain.score)
        if not line:
            assert said.tree is None
            continue
        assert said.tree is not None
        assert model.target_tokenizer.tokens([n.token for n in said.tree.best[:-1]]) == said.tokens
        assert said.tree.best[-1].token == EOS and said.tree.best[-1].score == said.score
        row = json.loads(json.dumps(said.to_json(), allow_nan=False))["tree"]
        named = [node["token"] for node in row["nodes"] if node["state"] == "best"]
        assert named == [*said.tokens, "</s>"]
        assert (len(row["nodes"]) > len(named)) == (way == "beam")


def test_a_steered_stream_looks_where_it_is_told() -> None:
    model = made("transformer")
    plain = list(model.stream(LINES[0], 1, attention=True))
    told = list(model.stream(LINES[0], 1, attention=True, steer=[Edit("force", source=[2], layers=[1], heads=[0])]))
    for partial in told:
        assert partial.attention is not None
        assert partial.attention[1, 0].tolist() == [float(s == 2) for s in range(partial.attention.shape[-1])]
    assert [p.score for p in told] != [p.score for p in plain]
    frozen = list(model.stream(LINES[0], 3, attention=True, steer=[Edit("freeze", layers=[0], heads=[1])]))
    for partial in frozen:
        assert partial.weights is not None
        row = partial.weights[0, 1]
        np.testing.assert_allclose(row, np.broadcast_to(row[0], row.shape), atol=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from regard.cli import main

    folder = tmp_path_factory.mktemp("streaming")
    for name in ("a.src", "a.tgt"):
        (folder / name).write_text("".join(f"{line}\n" for line in LINES * 4), encoding="utf-8")
    files = [str(folder / name) for name in ("a.src", "a.tgt")]
    where = ["--source", files[0], "--target", files[1], "--valid-source", files[0], "--valid-target", files[1]]
    chosen = ["data.tokenizer=characters", "model.kind=recurrent", "model.hidden=8", "model.embedding=6"]
    chosen += ["training.device=cpu", "training.precision=fp32"]
    out = folder / "run"
    sets = [part for each in chosen for part in ("--set", each)]
    assert main(["train", *where, "--out", str(out), "--steps", "3", *sets]) == 0
    return out


def test_the_command_says_the_same_with_and_without(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from regard.cli import main

    text = tmp_path / "lines"
    text.write_text("".join(f"{line}\n" for line in (*LINES, "", "b")), encoding="utf-8")

    def said(*options: str) -> str:
        assert main(["predict", str(run), str(text), *options]) == 0
        return capsys.readouterr().out

    for beam in ("1", "3"):
        assert said("--stream", "--beam", beam) == said("--beam", beam)
    assert said("--stream") == said("--beam", "1")
    for line in said("--jsonl", "--tree", "--beam", "2").splitlines():
        row = json.loads(line)
        assert ("tree" in row) == bool(row["tokens"] or row["score"])
    for wrong in (["--tree"], ["--stream", "--jsonl"], ["--stream", "--nbest", "2", "--jsonl"]):
        assert main(["predict", str(run), str(text), *wrong]) == 2
        assert capsys.readouterr().err


def test_the_command_answers_a_line_before_it_has_the_next(run: Path) -> None:
    command = [sys.executable, "-m", "regard", "predict", str(run), "--stream", "--device", "cpu"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in (LINES[0], LINES[2]):
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().endswith(b"\n")  # it would wait for ever
        process.stdin.close()
        assert process.wait() == 0
