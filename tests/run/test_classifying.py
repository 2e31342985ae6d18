"""Classification by the commands, on texts whose class is a word in them."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import regard
from regard.cli import main
from regard.data.labels import Labels
from regard.errors import UsageError

WORDS = {"rain": "weather", "schnee": "weather", "soup": "food", "米": "food", "train": "travel", "قطار": "travel"}
SHARED = [
    "task=classification", "training.device=cpu", "training.precision=fp32", "model.embedding=24", "model.hidden=16",
    "model.hops=2", "model.output_dropout=0.1", "training.batch_tokens=200", "training.warmup=5",
    "training.validate_every=20", "training.learning_rate=0.02",
]  # fmt: skip


def settings(keys: list[str]) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


def write(path: Path, count: int, seed: int) -> None:
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        word = draw.choice(list(WORDS))
        text = [draw.choice("abcdefg") for _ in range(draw.randint(1, 6))]
        text.insert(draw.randint(0, len(text)), word)
        rows.append(f"{' '.join(text)}\t{WORDS[word]}\n")
    path.write_text("".join(rows), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("classes")
    write(made / "train.tsv", 300, 1)
    write(made / "valid.tsv", 60, 2)
    data = ["--data", str(made / "train.tsv"), "--valid-data", str(made / "valid.tsv")]
    assert main(["train", *data, "--out", str(made / "run"), "--steps", "60", *settings(SHARED)]) == 0
    return made


def test_it_learns_and_says_how_sure_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder / "run"), "--data", str(folder / "valid.tsv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    scores = {each["name"]: each["value"] for each in found["scores"]}
    assert found["sentences"] == 60 and scores["accuracy"] >= 95
    report = json.loads((folder / "run" / "report.json").read_text())
    assert {each["name"]: each["value"] for each in report["scores"]} == pytest.approx(scores)
    # The temperature that the report names is in the weights, so that a loaded run is as sure as the report says.
    stored = load_file(folder / "run" / "model.safetensors")["temperature"]
    assert float(stored) == pytest.approx(report["temperature"]) and float(stored) != 1.0


def test_n_lines_in_are_n_lines_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["a soup b", "", "قطار", "c rain", "👩‍👩‍👧‍👦 zz"]
    (folder / "in.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    assert main(["predict", str(folder / "run"), str(folder / "in.txt")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5 and said[:4] == ["food", "", "travel", "weather"] and said[4]
    assert main(["predict", str(folder / "run"), str(folder / "in.txt"), "--jsonl"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["label"] for row in rows] == said
    assert rows.pop(1) == {"label": "", "probability": 0.0, "top": {}}
    assert all(sum(row["top"].values()) == pytest.approx(1) for row in rows)  # three classes: all are the likeliest
    assert [row.get("notes") for row in rows] == [None, None, None, ["2 of 2 tokens are unknown to the model"]]
    assert err == "line 5: 2 of 2 tokens are unknown to the model\n"
    assert main(["show", str(folder / "run"), "zz soup"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 2 tokens are unknown to the model"


def test_a_text_that_is_cut_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit = regard.load(folder / "run").recipe.data.max_length
    (folder / "in.txt").write_text(f"a soup b\n{'a ' * limit}soup\n", encoding="utf-8")
    note = f"{limit + 1} tokens are more than data.max_length = {limit}, so only the first {limit} were read"
    assert main(["predict", str(folder / "run"), str(folder / "in.txt"), "--jsonl"]) == 0
    out, err = capsys.readouterr()
    assert err == f"line 2: {note}; shorten the text\n"
    assert [json.loads(line).get("notes") for line in out.splitlines()] == [None, [f"{note}; shorten the text"]]
    assert main(["show", str(folder / "run"), "a " * limit + "soup"]) == 0
    assert note in capsys.readouterr().out.splitlines()[-1]
    (folder / "in.tsv").write_text(f"a soup b\tfood\n{'a ' * limit}soup\tfood\n", encoding="utf-8")
    assert main(["evaluate", str(folder / "run"), "--data", str(folder / "in.tsv")]) == 0
    cut = f"1 of 2 texts have more than data.max_length = {limit} tokens: of those the first {limit} alone were read"
    assert capsys.readouterr().err == cut + "\n"


def test_a_class_of_two_lines_is_printed_on_one(folder: Path) -> None:
    model = regard.load(folder / "run")
    model.labels = Labels([f"{name}\nnews" for name in model.labels.names])
    assert list(model.said(iter(["a soup b"]), jsonl=False)) == ["food news"]
    assert "food news" in model.shown("a soup b", 80, False).splitlines()[0]
    [row] = model.said(iter(["a soup b"]), jsonl=True)
    assert json.loads(row)["label"] == "food\nnews"


def test_what_is_no_list_of_texts_is_named(folder: Path) -> None:
    model = regard.load(folder / "run")
    assert model.predict([""])[0].label in WORDS.values(), "by its end alone"
    for wrong, sentence in (
        ("a", "takes a list of texts"),
        ([1], r"texts\[0\] is 1, which is no text"),
        (3, "takes a list"),
    ):
        with pytest.raises(UsageError, match=sentence):
            model.predict(wrong)


def test_it_shows_which_word_decided(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder / "run"), "a b schnee c"]) == 0
    out = capsys.readouterr().out
    assert (
        "weather" in out.splitlines()[0]
        and "schnee" in out
        and "largest" in out
        and "look 2" in out
        and "look 3" not in out
    )
    model = regard.load(folder / "run")
    seen = model.attention("a b schnee c")
    assert seen.words().shape == (3, 5) and seen.words().mean(0).argmax() == 2


def test_a_run_goes_on_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    data = ["--data", str(folder / "train.tsv")]  # no validation file: some texts are kept
    keys = settings([*SHARED, "training.save_every=10"])
    assert main(["train", *data, "--out", str(tmp_path / "whole"), "--steps", "20", *keys]) == 0
    assert main(["train", *data, "--out", str(tmp_path / "parts"), "--steps", "10", *keys]) == 0
    assert main(["train", "--out", str(tmp_path / "parts"), "--resume", "--steps", "20"]) == 0
    assert json.loads((tmp_path / "whole" / "report.json").read_text())["scored_on"] == "held out from training"
    # The schedule of the first ten steps looked at an end at step ten, so the weights differ; the steps are all there.
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 20


def test_mistakes_are_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(arguments: list[str], *words: str) -> None:
        assert main(arguments) in (1, 2)
        said = capsys.readouterr().err.strip()
        assert "\n" not in said and "Traceback" not in said and all(word in said for word in words), said

    bad = tmp_path / "bad.tsv"
    bad.write_text("soup\tfod\n", encoding="utf-8")
    fails(["evaluate", str(folder / "run"), "--data", str(bad)], "line 1", "'fod'", "did you mean 'food'")
    fails(["evaluate", str(folder / "run")], "--source FILE")
    part = tmp_path / "part.tsv"
    part.write_bytes(b"soup\tfood\n\tfood\nsoup\t \ns\xffp\tfood\nsou\xffp\tfood\nsoup\t\n")
    assert main(["evaluate", str(folder / "run"), "--data", str(part)]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"left out of the 6 lines of {part}: 1 line, blank text (line 2)",
        f"left out of the 6 lines of {part}: 2 lines, blank label (line 3, 6)",
        f"left out of the 6 lines of {part}: 2 lines, text is not UTF-8 (line 4, 5)",
    ]
    one = tmp_path / "one.tsv"
    one.write_text("a\tx\nb\tx\n", encoding="utf-8")
    keys = settings(SHARED)
    fails(["train", "--data", str(one), "--out", str(tmp_path / "r"), "--steps", "2", *keys], "only the class 'x'")
    fails(["train", "--data", str(one), "--out", str(folder / "run"), *keys], "already holds a run")
    fails(
        ["train", "--data", str(one), "--out", str(tmp_path / "r"), *keys, "--set", "model.poling=max"],
        "did you mean 'model.pooling'",
    )
    fails(["align", str(folder / "run"), "--source", str(bad), "--target", str(bad)], "is a run of classification")
    fails(["train", "--data", str(one), "--out", str(tmp_path / "r"), "--set", "task=clasification"], "did you mean")


@pytest.mark.parametrize("pooling", ["attentive", "self-attentive", "query", "mean", "max", "max+self-attentive"])
@pytest.mark.parametrize("encoder", ["recurrent", "transformer", "convolutional"])
def test_every_pooling_of_every_encoder_can_be_built(pooling: str, encoder: str) -> None:
    from regard.batch import EOS, rectangle
    from regard.build.classifier import classifier
    from regard.config.classification import ClassifierPart
    from regard.data.labels import ClassificationBatch

    torch.manual_seed(1)
    part = ClassifierPart(encoder=encoder, pooling=pooling, embedding=12, hidden=7, heads=3, hops=2)  # type: ignore[arg-type]
    network = classifier(part, 11, 5).eval()
    source, lengths = rectangle([[4, 5, 6, EOS], [7, EOS]])
    batch = ClassificationBatch(source, lengths, torch.tensor([1, 2]), torch.arange(2))
    logits = network(batch)
    alone = network(ClassificationBatch(source[1:, :2], lengths[1:], torch.tensor([2]), torch.arange(1)))
    assert logits.shape == (2, 5)
    torch.testing.assert_close(logits[1:], alone)
    weights = network.weights(batch)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))


def test_two_classifiers_are_tested_on_the_same_texts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(folder / "valid.tsv")]
    keys = settings([*SHARED, "training.learning_rate=1e-9"])
    train = ["--data", str(folder / "train.tsv"), "--valid-data", str(folder / "valid.tsv"), "--steps", "1"]
    assert main(["train", *train, "--out", str(tmp_path / "new"), *keys]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(folder / "run"), *data, "--against", str(tmp_path / "new"), "--json"]) == 0
    accuracy, f1 = json.loads(capsys.readouterr().out)["paired"]
    rows = [line.split("\t") for line in (folder / "valid.tsv").read_text(encoding="utf-8").splitlines()]
    a, b = (regard.load(run).predict([text for text, _ in rows]) for run in (folder / "run", tmp_path / "new"))
    right = [(x.label == gold, y.label == gold) for x, y, (_, gold) in zip(a, b, rows, strict=True)]
    first, second = sum(x and not y for x, y in right), sum(y and not x for x, y in right)
    assert first > second and accuracy["difference"] == pytest.approx(100 * (first - second) / 60)
    # McNemar's exact test: that many of all that differ, or more, on one side.
    count = first + second
    exact = min(1, 2 * sum(math.comb(count, k) for k in range(first, count + 1)) / 2**count)
    assert accuracy["p_value"] == pytest.approx(exact, abs=0.002)
    assert accuracy["signature"] == "measure:accuracy|ar:10000|seed:12345" and f1["a"]["name"] == "macro-F1"
    assert main(["evaluate", str(folder / "run"), *data, "--against", str(folder / "run")]) == 0
    *_, one, two = capsys.readouterr().out.splitlines()
    assert "+0.0, p = 1.0000" in one and "macro-F1" in two


def test_a_model_of_other_classes_is_no_model_to_test_against(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [line.split("\t") for line in (folder / "valid.tsv").read_text(encoding="utf-8").splitlines()]
    other = tmp_path / "other.tsv"
    other.write_text("".join(f"{text}\t{'good' if label == 'food' else label}\n" for text, label in rows))
    train = ["--data", str(other), "--valid-data", str(other), "--steps", "1", *settings(SHARED)]
    assert main(["train", *train, "--out", str(tmp_path / "good")]) == 0
    capsys.readouterr()
    data = ["--data", str(folder / "valid.tsv")]
    line = next(i for i, (_, label) in enumerate(rows, start=1) if label == "food")
    for arguments in ([], ["--json"]):
        command = ["evaluate", str(folder / "run"), *data, "--against", str(tmp_path / "good"), *arguments]
        assert main(command) == 2
        said = capsys.readouterr()
        assert not said.out and said.err.count("\n") == 1
        assert f"run cannot be tested against good, which does not know all classes: {folder / 'valid.tsv'}" in said.err
        assert f"line {line}: the class 'food' is none of the 3" in said.err
    # Where both know what is asked for, their other classes do not matter.
    shared = tmp_path / "shared.tsv"
    shared.write_text("".join(f"{text}\t{label}\n" for text, label in rows if label != "food"), encoding="utf-8")
    command = ["evaluate", str(folder / "run"), "--data", str(shared), "--against", str(tmp_path / "good")]
    assert main(command) == 0 and "p = " in capsys.readouterr().out


def test_options_of_other_tasks_are_refused_and_a_page_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = str(folder / "run"), ["--data", str(folder / "valid.tsv")]
    assert main(["show", run, "a soup b", "--html", str(tmp_path / "a.html")]) == 0
    assert "soup" in (tmp_path / "a.html").read_text() and "food" in (tmp_path / "a.html").read_text()
    capsys.readouterr()
    text = str(folder / "valid.tsv")
    for arguments in (
        ["evaluate", run, *data, "--beam", "2"],
        ["evaluate", run, *data, "--lowercase", "de"],
        ["evaluate", run, *data, "--split", "test"],
        ["show", run, "a soup b", "--png", str(tmp_path / "a.png")],
        ["show", run, "a soup b", "--nearest"],
        ["show", run, "a soup b", "--layer", "0"],
        ["predict", run, text, "--beam", "3"],
        ["predict", run, text, "--sample"],
        ["predict", run, text, "--max-length-ratio", "2"],
        ["predict", run, text, "--attention", str(tmp_path / "b.html")],
        ["predict", run, text, "--tree", "--jsonl"],
    ):
        assert main(arguments) == 2
        said = capsys.readouterr()
        option = next(word for word in arguments if word.startswith("--") and word != "--data")
        assert (
            said.err.startswith(f"regard: {option} is of ") and "a run of classification" in said.err and not said.out
        )
    assert main(["evaluate", run, *data, "--against", str(tmp_path)]) == 2
    assert "is not a run" in capsys.readouterr().err
