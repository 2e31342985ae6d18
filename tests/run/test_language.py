"""Language models as a user trains and asks them, on a text small enough to learn in seconds."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import regard
from regard.batch import BOS, EOS
from regard.cli import main
from regard.errors import UsageError
from regard.evaluation import FineScore
from regard.models.language_model import no_source
from regard.run.language.causal import LanguageModel
from regard.run.language.masked import MaskedLanguageModel
from regard.run.language.model import with_confidence

WHO, DOES, WHERE = ["the cat", "a dog", "my horse"], ["sleeps", "runs", "sings"], ["on the mat", "in the sea"]
SHARED = [
    "training.precision=fp32", "training.device=cpu", "training.warmup=10", "training.batch_tokens=300",
    "training.learning_rate=0.01", "model.dropout=0.0", "data.tokenizer=words", "data.context=16",
]  # fmt: skip
STACK = [
    *SHARED, "model.dim=24", "model.heads=2", "model.feed_forward=48", "model.layers=2", "training.validate_every=15",
    "training.save_every=7",
]  # fmt: skip
RECURRENT = [
    *SHARED, "model.cell=gru", "model.hidden=24", "model.embedding=16", "model.attention={}",
    "training.validate_every=30",
]  # fmt: skip


def settings(keys: list[str], task: str = "language-model") -> list[str]:
    return [part for key in [f"task={task}", *keys] for part in ("--set", key)]


def write_text(path: Path, count: int, seed: int) -> None:
    draw = random.Random(seed)
    lines = [f"{draw.choice(WHO)} {draw.choice(DOES)} {draw.choice(WHERE)} .\n" for _ in range(count)]
    path.write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    write_text(folder / "train.txt", 311, 1)
    write_text(folder / "valid.txt", 23, 2)
    return folder


def train(corpus: Path, out: Path, *more: str) -> int:
    files = ["--data", str(corpus / "train.txt"), "--valid-data", str(corpus / "valid.txt")]
    return main(["train", *files, "--out", str(out), *more])


@pytest.fixture(scope="module")
def run(corpus: Path) -> Path:
    out = corpus / "runs" / "transformer"
    assert train(corpus, out, "--steps", "60", *settings(STACK)) == 0
    return out


@pytest.fixture(scope="module")
def recurrent(corpus: Path) -> Path:
    out = corpus / "runs" / "recurrent"
    assert train(corpus, out, "--steps", "210", *settings(RECURRENT)) == 0
    return out


@pytest.fixture(scope="module")
def masked(corpus: Path) -> Path:
    out = corpus / "runs" / "masked"
    assert train(corpus, out, "--steps", "200", *settings(STACK, "masked-language-model")) == 0
    return out


def nats_by_hand(model: LanguageModel, path: Path) -> tuple[float, int, int]:
    """The text token by token, each after all that the windows of `measure` let it see; stride is half the context."""
    lines = path.read_text(encoding="utf-8").splitlines()
    stream = [EOS]
    for line in lines:
        stream += [*model.tokenizer.encode_batch([line])[0], EOS]
    context, said = model.context, len(stream) - 1
    nats, begin, done = 0.0, 0, 0
    while done < said:
        end = min(begin + context, said)
        begin = max(0, end - context)
        read = torch.tensor([[BOS if i == EOS else i for i in stream[begin:end]]])
        with torch.no_grad():
            logits, _ = model.network(read, model.network.start(no_source(1)))
        for place in range(done, end):
            row = logits[0, place - begin].double().numpy()
            nats -= row[stream[place + 1]] - np.log(np.exp(row - row.max()).sum()) - row.max()
        done, begin = end, end - context + context // 2
    return nats, said, sum(len(line) + 1 for line in lines)


def test_a_run_is_as_good_as_its_text_allows_and_says_so(run: Path, recurrent: Path) -> None:
    # Of the 8 tokens of a line, its end included, only three are open: one of three, of three and of two.
    floor = math.log(18) / 8
    for folder in (run, recurrent):
        report = json.loads((folder / "report.json").read_text())
        perplexity, bits = (score["value"] for score in report["scores"])
        assert math.exp(floor) * 0.9 < perplexity < math.exp(floor) * 1.35
        assert bits == pytest.approx(math.log2(perplexity) * report["tokens"] / report["characters"])
        assert report["documents"] == 23


@pytest.mark.parametrize("which", ["run", "recurrent"])
def test_evaluate_is_the_likelihood_of_every_token_by_hand(
    which: str, corpus: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = request.getfixturevalue(which)
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--data", str(corpus / "valid.txt"), "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    nats, tokens, characters = nats_by_hand(regard.load(folder, "cpu"), corpus / "valid.txt")
    perplexity, bits = (score["value"] for score in found["scores"])
    assert perplexity == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    assert bits == pytest.approx(nats / characters / math.log(2), rel=1e-4)
    assert found["documents"] == 23
    for score in found["scores"]:
        assert score["low"] < score["value"] < score["high"] < 1.5 * score["low"]
        assert score["signature"].endswith("|pieces:23|bs:1000|seed:12345")


def test_two_runs_are_tested_on_the_same_text(
    corpus: Path, run: Path, recurrent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the same words piece by piece, of other tokens document by document; each as it is alone."""
    short, whole = tmp_path / "short", tmp_path / "whole"
    assert train(corpus, short, "--steps", "20", *settings([*STACK, "data.tokenizer=characters"])) == 0
    assert train(corpus, whole, "--steps", "2", *settings([*STACK, "data.unit=files"])) == 0
    text = ["--data", str(corpus / "valid.txt"), "--json"]

    def evaluated(first: Path, *more: str) -> Any:
        assert main(["evaluate", str(first), *text, *more]) == 0
        return json.loads(capsys.readouterr().out)

    def bits(first: Path) -> float:
        found = evaluated(first)
        assert found["paired"] == []
        return next(each["value"] for each in found["scores"] if each["name"] == "bits per character")

    capsys.readouterr()
    for other, cut in ((recurrent, "pieces:23|"), (short, "documents:23|")):  # letters fill more than a context
        [paired] = evaluated(run, "--against", str(other))["paired"]
        assert paired["a"]["value"] == pytest.approx(bits(run)) and paired["b"]["value"] == pytest.approx(bits(other))
        assert paired["difference"] == pytest.approx(bits(run) - bits(other))
        assert paired["signature"].startswith(cut)
    assert paired["p_value"] == pytest.approx(1 / 10_001), "letters after 20 steps are worse in every line"
    [paired] = evaluated(run, "--against", str(run))["paired"]
    assert paired["difference"] == 0 and paired["p_value"] == 1
    assert main(["evaluate", str(run), *text[:2], "--against", str(short)]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert f"bits per character {bits(run):.3f} [" in said and f"{bits(run) - bits(short):+.3f}, p = 0.0001" in said
    assert main(["evaluate", str(run), *text, "--against", str(whole)]) == 2
    assert "a test needs two runs with the same data.unit" in one_sentence(capsys)


def test_confidence_is_that_of_a_bootstrap_over_pieces() -> None:
    pieces = np.array([[2.0, 1, 3], [1, 2, 5], [4, 3, 2], [1, 1, 1], [7, 2, 9]])
    bare = FineScore("perplexity", math.exp(15 / 9), None, None, "context:7")
    found = with_confidence(bare, pieces, lambda sums: np.exp(sums[:, 0] / sums[:, 1]))
    values = []
    for drawn in np.random.default_rng(12345).choice(5, size=(1000, 5)).tolist():
        values.append(math.exp(sum(pieces[i][0] for i in drawn) / sum(pieces[i][1] for i in drawn)))
    values.sort()
    assert (found.low, found.high) == pytest.approx((values[25], values[974]))
    assert found.value == bare.value and found.signature == "context:7|pieces:5|bs:1000|seed:12345"
    assert str(found) == f"perplexity 5.294 [{values[25]:.3f}, {values[974]:.3f}]"
    # One piece says nothing of others, and what cannot be said at all has no bounds.
    assert str(with_confidence(bare, pieces[:1], lambda sums: sums[:, 0])) == "perplexity 5.294"
    assert with_confidence(bare, pieces * 1e4, lambda sums: np.exp(sums[:, 0])).high == math.inf


def test_each_line_gives_one_line_that_begins_with_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["the cat", "", "a dog runs", "my horse sings", "the cat", "   "]
    (tmp_path / "in.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", str(run), str(tmp_path / "in.txt"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(lines) and said[1] == said[5] == "", "what goes on from nothing is no answer to it"
    assert all(
        whole.startswith(line.strip()) and whole != line for whole, line in zip(said, lines, strict=True) if line
    )
    assert main(["predict", str(run), str(tmp_path / "in.txt"), "--device", "cpu", "--jsonl", "--seed", "3"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == {"prompt": "", "text": "", "tokens": []} and rows[5]["text"] == ""
    # A blank line takes up its number, so what is drawn for the others is what it is without it.
    model = regard.load(run, "cpu")
    assert [row["text"] for row in rows if row["text"]] == [
        each.text for each in model.predict(lines, model.how(seed=3)) if each.prompt.strip()
    ]
    assert said[2].removeprefix("a dog runs ") in [f"{where} ." for where in WHERE]
    assert said[0] == said[4]


@pytest.mark.parametrize("which", ["run", "recurrent"])
@pytest.mark.parametrize("how", [[], ["--sample", "--temperature", "1", "--seed", "5"]])
def test_what_is_streamed_is_what_is_said(
    which: str,
    how: list[str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "in.txt").write_text("the cat\n\n a dog 猫 \nmy horse sings", encoding="utf-8")
    call = ["predict", str(request.getfixturevalue(which)), str(tmp_path / "in.txt"), "--device", "cpu", *how]
    capsys.readouterr()
    assert main(call) == 0
    whole = capsys.readouterr()
    assert main([*call, "--stream"]) == 0
    assert capsys.readouterr() == whole and whole.out.count("\n") == 4 and whole.err.startswith("line 3: 1 of 3 tokens")

    def first(self: LanguageModel, *_: Any, **__: Any) -> Iterator[str]:
        yield " begins"
        assert "the cat begins" in capsys.readouterr().out, "what is said is seen before the rest is known"
        raise UsageError("no more")

    monkeypatch.setattr(LanguageModel, "stream", first)
    assert main([*call, "--stream"]) == 2
    assert main([*call, "--stream", "--jsonl"]) == 2 and "--stream prints words alone" in capsys.readouterr().err


def test_many_unknown_tokens_are_said_beside_the_scores(
    run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (corpus / "valid.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("".join(line.replace("the", "猫") for line in lines), encoding="utf-8")
    unknown = foreign.read_text(encoding="utf-8").count("猫")
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(foreign), "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    tokens = 23 * 8  # seven of a line, and its end
    assert err.startswith(f"{unknown} of {tokens} tokens ({unknown / tokens:.1%}) are unknown to the model")
    assert err.count("\n") == 1 and "bits per character" in err and f"unknown:{unknown}" in out
    assert main(["evaluate", str(run), "--data", str(corpus / "valid.txt"), "--device", "cpu", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_what_is_drawn_follows_from_the_seed_and_the_place_of_the_line(run: Path) -> None:
    model = regard.load(run, "cpu")
    how = model.how(draw=True, temperature=1.0, seed=5, max_tokens=7)
    lines = ["the cat", "my horse sings", "", "the cat", "a dog"]
    together = [each.text for each in model.predict(lines, how)]
    assert together == [each.text for each in model.predict(lines, how)]
    assert together != [each.text for each in model.predict(lines, model.how(draw=True, temperature=1.0, seed=6))]
    for number, line in enumerate(lines):
        assert "".join(model.stream(line, how, number=number)) == together[number]
        assert model.predict([line], how, first=number)[0].text == together[number]


def test_a_prompt_that_fills_the_context_goes_on(run: Path) -> None:
    model = regard.load(run, "cpu")
    [said] = model.predict(["the cat sleeps on the mat . " * 5], model.how(max_tokens=11))
    assert said.text == "".join(model.stream("the cat sleeps on the mat . " * 5, model.how(max_tokens=11)))


@pytest.mark.parametrize("which", ["run", "recurrent"])
def test_show_streams_and_draws_what_was_looked_at(
    which: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = request.getfixturevalue(which)
    capsys.readouterr()
    page = tmp_path / "out.html"
    assert main(["show", str(folder), "a dog", "--max-tokens", "3", "--html", str(page), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("a dog ") and "≥0.50" in shown and page.exists()
    seen = regard.load(folder, "cpu").look("a dog runs")
    assert seen.source == ["<s>", "a", "dog"] and seen.target == ["a", "dog", "runs"]
    layers, heads, rows, columns = seen.weights.shape
    assert (layers, heads, rows, columns) == ((2, 2, 3, 3) if which == "run" else (1, 1, 3, 3))
    np.testing.assert_allclose(seen.weights.sum(-1), 1.0, rtol=1e-5)
    assert not np.triu(seen.weights, 1).any()  # nothing that is yet to be said


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(corpus: Path, run: Path, tmp_path: Path) -> None:
    for name, task in (("whole", "language-model"), ("masked", "masked-language-model")):
        cut, whole = tmp_path / f"{name}-cut", tmp_path / f"{name}-whole"
        assert train(corpus, whole, "--steps", "30", *settings([*STACK, "training.schedule=constant"], task)) == 0
        assert train(corpus, cut, "--steps", "17", *settings([*STACK, "training.schedule=constant"], task)) == 0
        assert main(["train", "--out", str(cut), "--resume", "--steps", "30"]) == 0
        first, second = (load_file(folder / "state" / "tensors.safetensors") for folder in (whole, cut))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_text_that_changed_cannot_be_gone_on_with(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(corpus / "train.txt", tmp_path / "text.txt")
    call = ["train", "--data", str(tmp_path / "text.txt"), "--out", str(tmp_path / "run"), *settings(STACK)]
    assert main([*call, "--steps", "2"]) == 0
    assert "are kept from training" in capsys.readouterr().out
    write_text(tmp_path / "text.txt", 300, 3)
    assert main(["train", "--out", str(tmp_path / "run"), "--resume", "--steps", "4"]) == 2
    assert "put the old text back" in one_sentence(capsys)


def test_gaps_are_filled_with_what_fits(masked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = regard.load(masked, "cpu")
    assert isinstance(model, MaskedLanguageModel)
    filled = model.fill("the cat [MASK] on [MASK] mat .")
    assert [len(gap) for gap in filled.gaps] == [5, 5]
    assert filled.gaps[0][0][0] in DOES and filled.gaps[1][0][0] == "the"
    assert filled.text == f"the cat {filled.gaps[0][0][0]} on the mat ."
    assert {name for name, _ in filled.gaps[0][:3]} == set(DOES)
    # By hand: the chances are the softmax over all that is no special token, at the place of the gap.
    ids = model.tokenizer.encode_batch(["the cat on the mat ."])[0]
    mask = model.tokenizer.size
    with torch.no_grad():
        logits = model.network(torch.tensor([[*ids[:2], mask, ids[2], mask, *ids[4:], EOS]]), torch.tensor([8]))
    chances = torch.softmax(logits[0, 2, 4:].double(), 0)
    [best] = model.tokenizer.tokens([int(chances.argmax()) + 4])
    assert filled.gaps[0][0] == (best, pytest.approx(float(chances.max()), rel=1e-5))
    capsys.readouterr()
    page = masked.parent / "gap.html"
    asked = ["a dog [MASK] in the sea .", "--device", "cpu", "--layer", "1", "--html", str(page)]
    assert main(["show", str(masked), *asked]) == 0
    assert "[MASK]" in page.read_text() and "attention" in page.read_text()
    shown = capsys.readouterr().out
    assert "[MASK] 1: " in shown and "</s>" in shown


def test_every_line_is_filled_or_named(masked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("a dog runs in [MASK] sea .\n\nno gap\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", str(masked), str(tmp_path / "in.txt"), "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["a dog runs in the sea .", "", "no gap"]
    assert err == "line 3: there is no [MASK] to fill\n"


def test_how_much_of_the_hidden_is_found_is_counted_by_hand(
    masked: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(masked), "--data", str(corpus / "valid.txt"), "--json", "--device", "cpu"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    perplexity, found = (score["value"] for score in scores)
    assert all(score["low"] <= score["value"] <= score["high"] for score in scores)
    assert all(score["signature"].endswith("|pieces:23|bs:1000|seed:12345") for score in scores)
    report = json.loads((masked / "report.json").read_text())
    assert [perplexity, found] == pytest.approx([score["value"] for score in report["scores"]])
    # Of the seven tokens of a line one is hidden: 23 in all.
    assert found * 23 / 100 == pytest.approx(round(found * 23 / 100)) and found > 40
    assert 1 < perplexity < 6


@pytest.mark.parametrize("kind", ["characters", "bpe", "unigram"])
def test_a_gap_between_other_tokens_is_read_where_it_stands(masked: Path, kind: Any) -> None:
    from regard.data import Tokenizer

    model = regard.load(masked, "cpu")
    lines = ["the cat sleeps on the mat .", "a dog runs in the sea ."] * 9
    model.tokenizer = Tokenizer.train(kind, lines, 60)
    ids, _ = model._read("the [MASK] sleeps")
    gap = ids.index(model.network.vocabulary)
    assert model.tokenizer.decode(ids[:gap]) == "the"
    assert model.tokenizer.decode(ids[gap + 1 :]) == "sleeps"
    spaces = [name for name in model.tokenizer.tokens(ids[:gap] + ids[gap + 1 :]) if name == " "]
    assert len(spaces) == (2 if kind == "characters" else 0)


# --- what a user gets wrong -------------------------------------------------------------------------------------------


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.startswith("regard: ") and err.count("\n") == 1 and "bug" not in err
    return err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n \n\n", "holds no text: every line is blank"),
        (b"good\nb\xe4d\n", "line 2, byte 2 is not UTF-8"),
        (None, "does not exist: check the path"),
        (b"one line\n", "too few to keep some for validation"),
    ],
)
@pytest.mark.parametrize("task", ["language-model", "masked-language-model"])
def test_a_text_that_is_none_is_said_in_one_sentence(
    task: str, content: bytes | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    out = tmp_path / "run"
    assert main(["train", "--data", str(path), "--out", str(out), "--steps", "1", *settings(STACK, task)]) != 0
    assert sentence in one_sentence(capsys)
    assert not (out / "recipe.toml").exists()


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("model.layer=3", "there is no key 'model.layer'; did you mean 'model.layers'?"),
        ("model.cel=gru", "there is no key 'model.cel'"),
        ("data.contxt=3", "there is no key 'data.contxt'; did you mean 'data.context'?"),
        ("data.context=1", "'data.context' is 1, but it should be greater than or equal to 2"),
        ("decoding.top_p=0", "'decoding.top_p' is 0"),
        ("training.r_drop=5.0", "training.r_drop is of models that read a source: leave it out"),
        ("training.guided_layer=1", "training.guided_layer is of models that read a source: leave it out"),
        ("training.guided_row=input", "training.guided_row is of models that read a source: leave it out"),
        ("training.discount=0.5", "training.discount is of models that read a source: leave it out"),
        ('model.attention.scope={kind="local-predictive"}', "a text that is not at its end yet"),
        ("model.attention.normalize=monotonic", '"monotonic" goes from step to step'),
        ("model.positions=sinus", "write 'sinusoidal'"),
        ("task=language-modell", "did you mean 'language-model'?"),
    ],
)
def test_a_wrong_key_is_said_in_one_sentence(
    key: str, sentence: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert train(corpus, tmp_path / "run", *settings([*STACK, key])) == 2
    assert sentence in one_sentence(capsys)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (["evaluate", "RUN", "--source", "a", "--target", "b"], "give --data FILE alone"),
        (["evaluate", "RUN", "--data", "nowhere.txt"], "nowhere.txt does not exist"),
        (["predict", "RUN", "nowhere.txt"], "nowhere.txt does not exist"),
        (["predict", "RUN", "TEXT", "--temperature", "-1"], "temperature is -1"),
        (["predict", "RUN", "TEXT", "--top-p", "2"], "top_p is 2"),
        (["predict", "RUN", "TEXT", "--temperature", "nan"], "temperature is nan: write 0 for the likeliest token"),
        (["predict", "RUN", "TEXT", "--sample", "--temperature", "inf"], "temperature is inf"),
        (["predict", "RUN", "TEXT", "--top-p", "nan"], "top_p is nan"),
        (["predict", "RUN", "TEXT", "--seed", "99999999999999999999999"], "seed is 99999999999999999999999: write"),
        (["show", "RUN", "the cat", "--seed", "-1"], "seed is -1: write a whole number from 0"),
        (["show", "RUN", "the cat", "--max-tokens", "99999999999999999999"], "max_tokens is 99999999999999999999"),
        (["show", "RUN", " "], "the sentence is empty"),
    ],
)
def test_a_wrong_call_is_said_in_one_sentence(
    call: list[str], sentence: str, run: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    places = {"RUN": str(run), "TEXT": str(corpus / "valid.txt")}
    assert main([places.get(word, word) for word in call]) == 2
    assert sentence in one_sentence(capsys)


def test_files_of_a_recipe_are_beside_it(corpus: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_text(tmp_path / f"{name}.txt", 40, ord(name))
    lines = ['task = "language-model"', "[data]", 'data = ["a.txt", "b.txt"]', 'valid_data = "a.txt"']
    (tmp_path / "recipe.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "run"
    assert main(["train", str(tmp_path / "recipe.toml"), "--out", str(out), "--steps", "1", *settings(STACK)]) == 0
    assert str(tmp_path / "b.txt") in (out / "recipe.toml").read_text(encoding="utf-8")
    assert json.loads((out / "report.json").read_text())["documents"] == 40
