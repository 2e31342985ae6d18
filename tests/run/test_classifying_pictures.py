"""Classification of pictures by the commands: the class is what a spot is like, so the spot has to be looked at."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8
from safetensors.torch import load_file

import regard
from regard.build.classifier import picture_classifier
from regard.cli import main
from regard.config.classification import ClassifierPart
from regard.data.images import pillow
from regard.data.labels import Labels
from regard.data.picture_labels import LabelledPictureBatches
from regard.errors import UsageError

HALVES = {  # which half of a spot of 6×6 pixels is bright; the other is black
    "above": (slice(3), slice(6)),
    "below": (slice(3, 6), slice(6)),
    "左": (slice(6), slice(3)),
    "يمين": (slice(6), slice(3, 6)),
}
SHARED = [
    "task=classification", "training.device=cpu", "training.precision=fp32", "model.encoder=grid", "model.widths=[8]",
    "model.embedding=16", "model.pooling=self-attentive", "model.hops=2", "model.dropout=0.0", "training.batch=16",
    "model.output_dropout=0.0", "training.warmup=5", "training.validate_every=20", "training.learning_rate=0.02",
]  # fmt: skip
SIZE = ["data.height=16", "data.width=16", "data.channels=1"]


def settings(keys: list[str]) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


def spots(count: int, seed: int) -> tuple[UInt8[np.ndarray, "N 16 16"], list[str]]:
    """Grey pictures with a spot at a place that chance draws, by whose bright half they are called."""
    chance = np.random.default_rng(seed)
    images = np.full((count, 16, 16), 100, dtype=np.uint8)
    names = [str(chance.choice(list(HALVES))) for _ in range(count)]
    for image, name, (top, left) in zip(images, names, places(count, seed), strict=True):
        spot = image[top : top + 6, left : left + 6]
        spot[:] = 0
        spot[HALVES[name]] = 255
    return images, names


def places(count: int, seed: int) -> list[tuple[int, int]]:
    """Where the spots of `spots` are: row and column of their first pixel."""
    return [tuple(each) for each in np.random.default_rng([seed, 1]).integers(0, 11, (count, 2)).tolist()]  # type: ignore[misc]


def write(folder: Path, name: str, count: int, seed: int) -> Path:
    """A JSONL file with its pictures beside it."""
    images, classes = spots(count, seed)
    rows = []
    for i, (image, label) in enumerate(zip(images, classes, strict=True)):
        pillow().fromarray(image).save(folder / f"{name}-{i}.png")
        rows.append(json.dumps({"image": f"{name}-{i}.png", "label": label}, ensure_ascii=False) + "\n")
    path = folder / f"{name}.jsonl"
    path.write_text("".join(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("spots")
    data = ["--data", str(write(made, "train", 300, 1)), "--valid-data", str(write(made, "valid", 60, 2))]
    keys = settings([*SHARED, *SIZE])
    assert main(["train", *data, "--out", str(made / "run"), "--steps", "120", *keys]) == 0
    (made / "text.tsv").write_text("a soup\tabove\nb rain\tbelow\n" * 10, encoding="utf-8")
    texts = ["--data", str(made / "text.tsv"), "--valid-data", str(made / "text.tsv"), "--steps", "1"]
    small = settings(["model.embedding=8", "model.hidden=8", "training.device=cpu", "training.precision=fp32"])
    assert main(["train", "--task", "classification", *texts, "--out", str(made / "texts"), *small]) == 0
    return made


def test_it_learns_and_says_how_sure_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder / "run"), "--data", str(folder / "valid.jsonl"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    scores = {each["name"]: each["value"] for each in found["scores"]}
    assert found["pictures"] == 60 and scores["accuracy"] >= 95 and set(scores) == {"accuracy", "macro-F1", "ECE"}
    report = json.loads((folder / "run" / "report.json").read_text())
    assert {each["name"]: each["value"] for each in report["scores"]} == pytest.approx(scores)
    assert report["pictures"] == 60 and report["classes"] == 4 and report["scored_on"] == "validation set"
    stored = load_file(folder / "run" / "model.safetensors")["temperature"]
    assert float(stored) == pytest.approx(report["temperature"]) and float(stored) != 1.0
    assert main(["evaluate", str(folder / "run"), "--data", str(folder / "valid.jsonl")]) == 0
    assert capsys.readouterr().out.startswith("run: 60 pictures, 4 classes\n")


def test_it_looks_at_the_spot(folder: Path) -> None:
    model = regard.load(folder / "run")
    images, names = spots(40, 9)
    inside, right = [], []
    for image, name, (top, left) in zip(images, names, places(40, 9), strict=True):
        seen = model.view(image)
        assert seen.looks.weights.shape == (2, 8, 8)
        np.testing.assert_allclose(seen.looks.weights.sum(axis=(1, 2)), 1, atol=1e-5)
        right.append(seen.top[0][0] == name)
        # Each place stands for 2×2 pixels; those around the spot see it too.
        near = seen.looks.weights[:, max(0, top // 2 - 1) : top // 2 + 5, max(0, left // 2 - 1) : left // 2 + 5]
        inside.append(float(near.sum(axis=(1, 2)).max()))
    assert np.mean(right) >= 0.9
    assert np.mean(inside) > 0.9, "a blind look would leave there what such a part has of all places, which is 36 of 64"


def test_files_and_arrays_are_the_same_and_keep_their_order(folder: Path) -> None:
    model = regard.load(folder / "run")
    images, names = spots(60, 2)
    files = [folder / f"valid-{i}.png" for i in range(60)]
    one, two = model.predict([str(path) for path in files]), model.predict(list(images))
    assert [each.label for each in one] == [each.label for each in two] == [each.label for each in model.predict(files)]
    assert sum(each.label == name for each, name in zip(one, names, strict=True)) >= 57
    np.testing.assert_allclose(one[7].probabilities, two[7].probabilities, atol=1e-6)
    assert [each.label for each in model.predict([files[5], images[3][..., None]])] == [one[5].label, one[3].label]
    assert model.predict([]) == []
    for wrong, words in (
        ("a.png", "takes a list"),
        ([images[0].astype(float)], r"pictures\[0\] is float64"),
        ([images[0], images[0][:8]], r"pictures\[1\] is uint8 of shape \[8, 16\]"),
        ([3], r"pictures\[0\] is no path"),
        ([folder / "gone.png"], "gone.png does not exist"),
    ):
        with pytest.raises(UsageError, match=words):
            model.predict(wrong)


def test_n_lines_in_are_n_lines_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [each.label for each in regard.load(folder / "run").predict([folder / f"valid-{i}.png" for i in range(3)])]
    (folder / "list.txt").write_text(f"valid-0.png\n\n{folder / 'valid-1.png'}\n  valid-2.png \n", encoding="utf-8")
    assert main(["predict", str(folder / "run"), str(folder / "list.txt")]) == 0
    assert capsys.readouterr().out.splitlines() == [names[0], "", *names[1:]]
    assert main(["predict", str(folder / "run"), str(folder / "valid-1.png")]) == 0
    assert capsys.readouterr().out.splitlines() == [names[1]]
    rows = ['{"image": "valid-2.png"}', "", '{"image": "here.png", "label": "unknown"}']
    (folder / "list.jsonl").write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "here.png").write_bytes((folder / "valid-0.png").read_bytes())
    assert main(["predict", str(folder / "run"), str(folder / "list.jsonl"), "--jsonl"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["label"] for each in found] == [names[2], "", names[0]]
    assert found[1] == {"label": "", "probability": 0.0, "top": {}}
    assert all(sum(each["top"].values()) == pytest.approx(1) for each in found if each["label"])
    (folder / "empty.txt").write_text("")
    assert main(["predict", str(folder / "run"), str(folder / "empty.txt")]) == 2
    assert "empty.txt is empty" in capsys.readouterr().err


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.names.append(data)


def test_it_shows_where_it_looked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, picture = str(folder / "run"), str(folder / "valid-0.png")
    [found] = regard.load(run).predict([picture])
    assert found.label in HALVES
    arguments = ["show", run, picture, "--png", str(tmp_path / "o.png"), "--html", str(tmp_path / "o.html")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].endswith(found.label) and "look 1" in out and "look 2" in out
    page = Seen()
    page.feed((tmp_path / "o.html").read_text(encoding="ascii"))
    said = "".join(page.names)
    assert f"valid-0.png – {found.label} {found.probability:.1%}" in said and "look 2" in said
    assert "script" not in page.tags
    with pillow().open(tmp_path / "o.png") as image:
        wide, high = image.size
    # The picture and two looks of 192 pixels side by side, below a line for each of four classes.
    assert wide >= 3 * 192 and high >= 4 * 24 + 192
    assert main(["show", run, picture, "--png", picture]) == 2
    assert "is what is to be read" in capsys.readouterr().err


def test_arrays_are_trained_on_in_their_own_size_and_a_part_is_kept(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, names = spots(120, 4)
    number = {name: i for i, name in enumerate(HALVES)}
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([number[name] for name in names]))
    data = ["--data", str(tmp_path / "a.npz"), "--out", str(tmp_path / "run"), "--steps", "40"]
    assert main(["train", *data, *settings(SHARED)]) == 0
    model = regard.load(tmp_path / "run")
    assert (model.shape.height, model.shape.width, model.shape.channels) == (16, 16, 1)
    assert model.labels.names == ("0", "1", "2", "3")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["scored_on"] == "held out from training" and 8 <= report["pictures"] <= 16
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "a.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0]["value"] >= 90
    bad = np.array([number[name] for name in names])
    bad[6] = 77
    np.savez(tmp_path / "b.npz", images=images, labels=bad)
    np.savez(tmp_path / "c.npz", images=images[:, :8], labels=bad % 4)
    for name, words in (
        ("b.npz", "b.npz, picture 7: the class '77' is none of the 4"),
        ("c.npz", "are 16×8 pixels in grey, and 16×16 pixels in grey are read"),
    ):
        assert main(["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err
    keys = settings([*SHARED, "data.height=8"])
    assert main(["train", "--data", str(tmp_path / "a.npz"), "--out", str(tmp_path / "x"), *keys]) == 2
    assert "have height 16, and data.height is 8" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_a_run_goes_on_as_if_it_had_not_stopped_but_not_with_other_pictures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "some", 40, 5)
    data = ["--data", str(path), "--valid-data", str(folder / "valid.jsonl")]
    keys = settings([*SHARED, *SIZE, "training.save_every=4", "training.schedule=constant"])
    assert main(["train", *data, "--out", str(tmp_path / "whole"), "--steps", "8", *keys]) == 0
    assert main(["train", *data, "--out", str(tmp_path / "parts"), "--steps", "4", *keys]) == 0
    assert main(["train", "--out", str(tmp_path / "parts"), "--resume", "--steps", "8"]) == 0
    images = list(spots(20, 6)[0])
    for a, b in zip(*(regard.load(tmp_path / name).predict(images) for name in ("whole", "parts")), strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)
    pillow().new("L", (16, 16), 9).save(tmp_path / "some-3.png")
    assert main(["train", "--out", str(tmp_path / "parts"), "--resume", "--steps", "12"]) == 2
    assert "its pictures changed since the run" in capsys.readouterr().err
    assert main(["pack", str(tmp_path / "whole"), str(tmp_path / "small")]) == 0
    assert regard.load(tmp_path / "small").predict(images[:1])[0].label in HALVES


def test_mistakes_are_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(arguments: list[str], *words: str) -> None:
        assert main(arguments) in (1, 2)
        said, out = capsys.readouterr().err.strip(), ""
        assert "\n" not in said and "Traceback" not in said and not out and all(word in said for word in words), said

    run, texts = str(folder / "run"), str(folder / "texts")
    good = str(folder / "valid-0.png")

    def listed(name: str, *rows: dict[str, str]) -> str:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(tmp_path / name)

    (tmp_path / "broken.png").write_bytes(Path(good).read_bytes()[:60])
    gone = listed("gone.jsonl", {"image": good, "label": "above"}, {"image": "gone.png", "label": "below"})
    broken = listed("broken.jsonl", {"image": good, "label": "above"}, {"image": "broken.png", "label": "below"})
    unknown = listed("unknown.jsonl", {"image": good, "label": "abov"})
    one = listed("one.jsonl", {"image": good, "label": "x"}, {"image": str(folder / "valid-1.png"), "label": "x"})
    empty = listed("empty.jsonl")
    keys = settings([*SHARED, *SIZE])
    for path, words in ((gone, ("line 2", "gone.png does not exist")), (broken, ("line 2", "is a broken picture"))):
        name = Path(path).name
        fails(["train", "--data", path, "--valid-data", path, "--out", str(tmp_path / "r"), *keys], name, *words)
        fails(["evaluate", run, "--data", path], name, *words)
        fails(["predict", run, path], name, *words)
        assert not (tmp_path / "r").exists()
    fails(["evaluate", run, "--data", unknown], "unknown.jsonl, line 1", "'abov'", "did you mean 'above'")
    arguments = ["train", "--data", str(folder / "valid.jsonl"), "--valid-data", unknown]
    fails([*arguments, "--out", str(tmp_path / "r"), *keys], "unknown.jsonl, line 1", "'abov'")
    fails(["train", "--data", one, "--out", str(tmp_path / "r"), *keys], "only the class 'x'")
    fails(["train", "--data", empty, "--out", str(tmp_path / "r"), *keys], "is empty")
    fails(["train", "--out", str(tmp_path / "r"), *keys], "names no pictures")
    fails(["evaluate", run, "--data", empty], "is empty")
    fails(["evaluate", run], "give --data FILE.jsonl")
    fails(["evaluate", run, "--data", str(folder / "text.tsv")], "no known kind of labelled pictures")
    fails(["show", run, "some words"], "some words does not exist")
    fails(["predict", run, str(folder / "text.tsv")], "text.tsv, line 1", "does not exist")
    # Pictures for a run of texts.
    fails(["show", texts, good], "is a picture, and texts reads texts")
    fails(["predict", texts, good], "is a picture, and texts reads texts")
    fails(["evaluate", texts, "--data", gone], 'line 1 has an "image" and no "text"', 'model.encoder = "grid"')
    np.savez(tmp_path / "a.npz", images=spots(4, 1)[0], labels=np.arange(4))
    fails(["evaluate", texts, "--data", str(tmp_path / "a.npz")], "a.npz holds pictures")
    arguments = ["train", "--task", "classification", "--data", str(tmp_path / "a.npz"), "--out", str(tmp_path / "r")]
    fails(arguments, "a.npz holds pictures", 'set model.encoder = "grid"')
    fails(["show", texts, "a soup", "--png", str(tmp_path / "o.png")], "classification of pictures", "use --html")
    fails(["embed", run, "a soup", "--word", "soup"], "reads no words alone")


def test_two_classifiers_are_tested_on_the_same_pictures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(folder / "train.jsonl"), "--valid-data", str(folder / "valid.jsonl"), "--steps", "1"]
    # It sees the pictures in another size.
    keys = settings([*SHARED, "data.height=8", "data.width=8", "training.learning_rate=1e-9"])
    assert main(["train", *data, "--out", str(tmp_path / "new"), *keys]) == 0
    capsys.readouterr()
    test = ["--data", str(folder / "valid.jsonl")]
    assert main(["evaluate", str(folder / "run"), *test, "--against", str(tmp_path / "new"), "--json"]) == 0
    accuracy, f1 = json.loads(capsys.readouterr().out)["paired"]
    files = [folder / f"valid-{i}.png" for i in range(60)]
    a, b = (regard.load(run).predict(files) for run in (folder / "run", tmp_path / "new"))
    gold = spots(60, 2)[1]
    right = [(x.label == name, y.label == name) for x, y, name in zip(a, b, gold, strict=True)]
    first, second = sum(x and not y for x, y in right), sum(y and not x for x, y in right)
    assert first > second and accuracy["difference"] == pytest.approx(100 * (first - second) / 60)
    count = first + second  # McNemar's exact test: that many of all that differ, or more, on one side
    exact = min(1, 2 * sum(math.comb(count, k) for k in range(first, count + 1)) / 2**count)
    assert accuracy["p_value"] == pytest.approx(exact, abs=0.002) and f1["a"]["name"] == "macro-F1"
    # A run of texts is none to test against, nor is one that does not know the classes.
    run, texts = str(folder / "run"), str(folder / "texts")
    assert main(["evaluate", run, *test, "--against", texts]) == 2
    assert "reads texts, and this needs one that reads pictures" in capsys.readouterr().err
    assert main(["evaluate", texts, "--data", str(folder / "text.tsv"), "--against", run]) == 2
    assert "reads pictures, and this needs one that reads texts" in capsys.readouterr().err
    Labels(["a", "b", "c", "d"]).save(tmp_path / "new" / "labels.json")
    assert main(["evaluate", run, *test, "--against", str(tmp_path / "new")]) == 2
    said = capsys.readouterr()
    assert "run cannot be tested against new" in said.err and "line 1" in said.err and not said.out


@pytest.mark.parametrize("pooling", ["attentive", "self-attentive", "query", "mean", "max", "max+self-attentive"])
def test_every_pooling_of_a_grid_can_be_built(pooling: str) -> None:
    part = ClassifierPart(
        encoder="grid",
        pooling=pooling,  # type: ignore[arg-type]
        widths=(8, 16),
        embedding=12,
        heads=3,
        hops=2,
        grid_layers=1,
    )
    network = picture_classifier(part, 3, 5).double().eval()
    images = np.random.default_rng(1).integers(0, 255, (3, 9, 13, 3), dtype=np.uint8)
    [batch] = LabelledPictureBatches(images, [0, 1, 2], 3, 0, shuffle=False).epoch(0)
    [alone] = LabelledPictureBatches(images[1:2], [1], 3, 0, shuffle=False).epoch(0)
    logits, weights = network(batch), network.weights(batch)
    np.testing.assert_allclose(logits[1].detach(), network(alone)[0].detach(), rtol=1e-6, atol=1e-9)
    hops = {"self-attentive": 2, "query": 2, "max+self-attentive": 3}.get(pooling, 1)
    assert logits.shape == (3, 5) and weights.shape == (3, hops, 3 * 4)  # ⌈9 / 4⌉ · ⌈13 / 4⌉ places
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
