"""Several classifiers that answer together, by the commands: the mean of what each holds probable."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import regard
from regard.cli import main
from regard.data.labels import Labels
from regard.errors import UsageError
from regard.run.classification import together
from regard.tasks import classification
from regard.tasks.classification import Prediction
from tests.run import test_classifying as texts
from tests.run import test_classifying_pictures as pictures

SHORT = ["--steps", "8"]  # so that they are neither sure nor alike


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classifiers of texts with tokens of their own, and two of pictures of different sizes."""
    made = tmp_path_factory.mktemp("together")
    texts.write(made / "train.tsv", 200, 1)
    texts.write(made / "valid.tsv", 40, 2)
    data = ["--data", str(made / "train.tsv"), "--valid-data", str(made / "valid.tsv"), *SHORT]
    own = {
        "words": [],
        "letters": ["data.tokenizer=characters", "data.max_length=12", "seed=2"],
        "sentences": ["model.pooling=hierarchical", "seed=3"],
    }
    for name, keys in own.items():
        keys = texts.settings([*texts.SHARED, *keys])
        assert main(["train", *data, "--out", str(made / name), *keys]) == 0
    spots = ["--data", str(pictures.write(made, "spots", 60, 1)), "--valid-data", str(made / "spots.jsonl"), *SHORT]
    for name, size in (("coarse", 16), ("fine", 24)):
        keys = [*pictures.SHARED, f"data.height={size}", f"data.width={size}", "data.channels=1"]
        assert main(["train", *spots, "--out", str(made / name), *pictures.settings(keys)]) == 0
    return made


def others(runs: Path, *names: str) -> list[str]:
    return [word for name in names for word in ("--ensemble", str(runs / name))]


def test_the_mean_of_probabilities_answers(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["a soup b", "", "c قطار", "👩‍👩‍👧‍👦 zz a b c d e f"]
    (runs / "in.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    three = others(runs, "letters", "sentences")
    assert main(["predict", str(runs / "words"), str(runs / "in.txt"), "--jsonl", *three]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows.pop(1) == {"label": "", "probability": 0.0, "top": {}}
    each = [regard.load(runs / name).predict([line for line in lines if line]) for name in own_names()]
    for row, said in zip(rows, zip(*each, strict=True), strict=True):
        mean = {name: np.mean([dict(one.top())[name] for one in said]) for name in ("food", "travel", "weather")}
        assert row["top"] == pytest.approx(mean, abs=1e-6) and row["label"] == max(mean, key=lambda name: mean[name])
        assert len({one.probability for one in said}) == 3  # else the mean would be any of them
    # Each says of itself what it did not know or read.
    assert "line 4: words: 2 of 8 tokens are unknown to the model\n" in err
    assert "line 4: letters: " in err and "more than data.max_length = 12" in err


def own_names() -> list[str]:
    return ["words", "letters", "sentences"]


def test_scores_are_of_all_and_tested_against_one(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", str(runs / "words"), "--data", str(runs / "valid.tsv"), *others(runs, "letters")]
    assert main([*command, "--against", str(runs / "words"), "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["run"] == "words + letters"
    rows = [line.split("\t") for line in (runs / "valid.tsv").read_text(encoding="utf-8").splitlines()]
    both = [regard.load(runs / name).predict([text for text, _ in rows]) for name in ("words", "letters")]
    sums = [{k: v + dict(b.top())[k] for k, v in a.top()} for a, b in zip(*both, strict=True)]
    right = [max(each, key=lambda name: each[name]) == gold for each, (_, gold) in zip(sums, rows, strict=True)]
    alone = [a.label == gold for a, (_, gold) in zip(both[0], rows, strict=True)]
    scores = {each["name"]: each["value"] for each in report["scores"]}
    assert scores["accuracy"] == pytest.approx(100 * sum(right) / 40)
    assert report["paired"][0]["difference"] == pytest.approx(100 * (sum(right) - sum(alone)) / 40)
    assert err.startswith("letters: ") and "more than data.max_length = 12 tokens" in err


def test_each_shows_what_it_looked_at(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    command = ["show", str(runs / "words"), "a soup. b", *others(runs, "sentences")]
    assert main([*command, "--html", str(page)]) == 0
    out = capsys.readouterr().out
    models = {name: regard.load(runs / name) for name in ("words", "sentences")}
    own = {name: model.predict(["a soup. b"])[0] for name, model in models.items()}
    both = together(list(models.values())).predict(["a soup. b"])[0]
    head = {name: f"{name}: {found.label} {found.probability:.1%}\n" for name, found in own.items()}
    before, rest = out.split(head["words"])
    words, sentences = rest.split(head["sentences"])
    assert before.split()[:2] == [f"{both.probability:.1%}", both.label] and before.count("%") == 3
    assert "look 1" in words and "1. a soup." in sentences and "2. b" in sentences and "the text" in sentences
    # On the page each says what it says alone, and the title what they say together.
    written = page.read_text(encoding="ascii")
    said = re.findall(r'"output":"(.*?)"', written)
    assert [each.split(",")[0] for each in said] == [f"{f.label} {f.probability:.1%}" for f in own.values()]
    assert re.findall(r'"label":"(.*?)"', written) == ["words", "sentences"]
    assert f"<title>words + sentences: {both.label} {both.probability:.1%}</title>" in written


def test_pictures_of_different_sizes(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fine = others(runs, "fine")
    command = [str(runs / "coarse"), str(runs / "spots.jsonl"), "--jsonl"]
    assert main(["predict", *command, *fine]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    models = [regard.load(runs / name) for name in ("coarse", "fine")]
    files = [runs / f"spots-{i}.png" for i in range(60)]
    for row, a, b in zip(rows, *(model.predict(files) for model in models), strict=True):
        assert row["top"] == pytest.approx({k: (v + dict(b.top())[k]) / 2 for k, v in a.top()}, abs=1e-6)
    assert main(["evaluate", str(runs / "coarse"), "--data", str(runs / "spots.jsonl"), "--json", *fine]) == 0
    report = json.loads(capsys.readouterr().out)
    named = [json.loads(line)["label"] for line in (runs / "spots.jsonl").read_text(encoding="utf-8").splitlines()]
    right = sum(row["label"] == label for row, label in zip(rows, named, strict=True))
    assert report["scores"][0]["value"] == pytest.approx(100 * right / 60)
    looks = together(models).view(files[0]).looks
    assert looks.words == ["coarse: look 1", "coarse: look 2", "fine: look 1", "fine: look 2"]
    twice = together([models[0], models[0]]).view(files[0]).looks.words
    assert twice[2:] == ["coarse (2): look 1", "coarse (2): look 2"]
    # On one grid, the weights of each model are what they were: the share of a place is its parts' together.
    for model, part in zip(models, (looks.weights[:2], looks.weights[2:]), strict=True):
        own = model.view(files[0]).looks.weights
        down, right = (part.shape[side] // own.shape[side] for side in (1, 2))
        summed = part.reshape(2, own.shape[1], down, own.shape[2], right).sum(axis=(2, 4))
        np.testing.assert_allclose(summed, own, atol=1e-6)
    assert main(["show", str(runs / "coarse"), str(files[0]), *fine, "--png", str(tmp_path / "a.png")]) == 0
    assert "fine: look 2" in capsys.readouterr().out and (tmp_path / "a.png").exists()


def test_classes_are_told_by_name() -> None:
    """Whatever order a model has them in."""
    a, b = Labels(["米", "tea", "قهوة"]), Labels(["tea", "قهوة", "米"])
    shares = np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.3, 0.1])
    one, other = Prediction("米", 0.5, shares[0], a), Prediction("tea", 0.6, shares[1], b)
    [found] = classification.together([[one], [other]])
    assert found.label == "tea" and found.probability == pytest.approx(0.45)
    assert dict(found.top()) == pytest.approx({"tea": 0.45, "米": 0.3, "قهوة": 0.25})


def test_what_cannot_answer_together_is_one_sentence(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.tsv"
    other.write_text("a soup\tfood\nb rain\tتعب\n" * 10, encoding="utf-8")
    train = ["--data", str(other), "--valid-data", str(other), "--steps", "1", *texts.settings(texts.SHARED)]
    assert main(["train", *train, "--out", str(tmp_path / "few")]) == 0
    capsys.readouterr()
    data = ["--data", str(runs / "valid.tsv")]
    for wrong, sentence in (
        (tmp_path / "few", "words and few cannot answer together, since one alone knows the class 'travel'"),
        (runs / "coarse", "is a run of classification that reads pictures, and this needs one that reads texts"),
        (tmp_path / "none", "none does not exist"),
        (tmp_path, "is not a run"),
    ):
        assert main(["evaluate", str(runs / "words"), *data, "--ensemble", str(wrong)]) == 2
        said = capsys.readouterr()
        assert sentence in said.err and said.err.count("\n") == 1 and not said.out
    with pytest.raises(UsageError, match="one model at least"):
        together([])
    with pytest.raises(UsageError, match="one reads texts and the other pictures"):
        together([regard.load(runs / "words"), regard.load(runs / "coarse")])
    alone = regard.load(runs / "words")
    assert together([alone]) is alone
    assert together([alone, regard.load(runs / "letters"), alone]).name == "words + letters + words (2)"
