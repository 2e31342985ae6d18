"""Captioning by its commands: coloured squares at places, learned in seconds from generated pictures."""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import regard
from regard.cli import main
from regard.errors import UsageError
from regard.evaluation.captions import caption_bleu
from regard.layers import vision
from regard.run.captioning.model import CaptionModel

Image = pytest.importorskip("PIL.Image")

COLOURS = {"red": (230, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230)}
SETTINGS = [
    "task=captioning", "data.height=12", "data.width=24", "model.widths=[8, 16]", "model.dim=24", "model.hidden=24",
    "model.embedding=12", "model.heads=3", "model.feed_forward=31", "model.dropout=0.0", "training.precision=fp32",
    "training.device=cpu", "training.learning_rate=0.01", "training.warmup=10", "training.label_smoothing=0.0",
    "training.batch_pictures=24", "decoding.max_length=7", "training.average=1",
]  # fmt: skip


def settings(*keys: str) -> list[str]:
    return [part for key in (*SETTINGS, *keys) for part in ("--set", key)]


def draw(folder: Path, name: str, seed: int) -> list[str]:
    """A square in one of three colours on either side, under noise. What is said of it: two captions."""
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    left, right = chance.choice(list(COLOURS)), chance.choice(list(COLOURS))
    pixels = noise.integers(0, 40, (12, 24, 3), dtype=np.uint8)
    for start, colour in ((1, left), (13, right)):
        start += chance.randint(0, 2)
        pixels[2:11, start : start + 8] = COLOURS[colour]
    Image.fromarray(pixels).save(folder / name)
    return [f"{left.title()} left, {right} right.", f"{left} left and {right} right"]


def write(folder: Path, name: str, count: int, seed: int, split: str | None = None) -> list[dict[str, Any]]:
    (folder / "images").mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        file = f"{name}-{number}.png"
        rows.append({"image": file, "captions": draw(folder / "images", file, seed + number)})
        if split is not None:
            rows[-1]["split"] = split
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    write(folder, "train", 120, 1000)
    write(folder, "valid", 53, 5000)
    return folder


def train(corpus: Path, out: Path, *more: str) -> int:
    files = ["--data", str(corpus / "train.jsonl"), "--valid-data", str(corpus / "valid.jsonl")]
    return main(["train", *files, "--out", str(out), *more])


@pytest.fixture(scope="module")
def run(corpus: Path) -> Path:
    """An LSTM with a gate and soft attention that has learned to see."""
    out = corpus / "runs" / "shapes"
    assert train(corpus, out, "--steps", "180", *settings("training.validate_every=90")) == 0
    return out


def test_it_has_learned_to_see(run: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--data", str(corpus / "valid.jsonl"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    scores = {score["name"]: score["value"] for score in report["scores"]}
    assert list(scores) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr-D"]
    rows = [json.loads(line)["captions"] for line in (corpus / "valid.jsonl").read_text().splitlines()]
    blind = max(caption_bleu([text] * len(rows), rows, bootstrap=0).value for those in rows for text in those)
    assert scores["BLEU-4"] > max(70, blind + 25) and report["sentences"] == 53
    said = json.loads((run / "report.json").read_text())
    assert said["pictures"] == 53 and said["scores"][-1]["value"] == pytest.approx(scores["CIDEr-D"])


def test_two_runs_are_compared_on_the_same_pictures(
    run: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(corpus / "valid.jsonl"), "--beam", "1"]
    assert main(["evaluate", str(run), *data, "--against", str(run), "--json"]) == 0
    paired = json.loads(capsys.readouterr().out)["paired"]
    assert len(paired) == 2 and all(test["p_value"] == 1 for test in paired)


def test_a_run_holds_what_it_should(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"recipe.toml", "tokenizer.json", "model.safetensors", "metrics.jsonl", "report.json", "state"} <= names
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    validated = [row for row in rows if "valid_loss" in row]
    assert [row["step"] for row in validated] == [90, 180] and "valid_cider_d" in validated[0]
    recipe = (run / "recipe.toml").read_text()
    assert "doubly_stochastic = 1.0" in recipe and "guided" not in recipe


def test_as_many_captions_come_out_as_pictures_went_in(
    run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(corpus / "images" / f"valid-{number}.png") for number in (3, 0, 3, 7)]
    listed = tmp_path / "pictures.txt"
    listed.write_text("\n".join([names[0], "", *names[1:]]), encoding="utf-8")
    assert main(["predict", str(run), str(listed)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 6 and lines[1] == "" and lines[0] == lines[3] != "" and lines[-1] == ""

    assert main(["predict", str(run), names[0]]) == 0  # a picture itself
    assert capsys.readouterr().out == lines[0] + "\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(names).encode())))
    assert main(["predict", str(run)]) == 0
    assert capsys.readouterr().out.split("\n")[:4] == [lines[0], *lines[2:5]]
    beside = corpus / "images" / "some.txt"  # paths that count from the list
    beside.write_text("valid-3.png\nvalid-7.png\n", encoding="utf-8")
    assert main(["predict", str(run), str(beside)]) == 0
    assert capsys.readouterr().out.split("\n")[:2] == [lines[0], lines[4]]


def test_a_caption_as_json_says_where_each_word_looked(
    run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, page = corpus / "images" / "valid-0.png", tmp_path / "out.html"
    options = ["--jsonl", "--nbest", "2", "--beam", "3", "--attention", str(page)]
    assert main(["predict", str(run), str(picture), *options]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["grid"] == [3, 6] and len(row["places"]) == len(row["text"].split()) and len(row["nbest"]) == 2
    assert all(0 <= r < 3 and 0 <= c < 6 for r, c in row["places"])
    assert page.read_text(encoding="ascii").count("<section") == 1
    assert main(["predict", str(run), str(picture), "--prefix", "Blue left AND"]) == 0
    assert capsys.readouterr().out.startswith("blue left and ")
    assert main(["predict", str(run), str(picture), "--prefix", "blue 颜色"]) == 0
    assert capsys.readouterr().err == "line 1: 1 of 2 tokens of the prefix are unknown to the model\n"
    assert main(["predict", str(run), str(picture), "--max-tokens", "2"]) == 0
    assert len(capsys.readouterr().out.split()) == 2


def test_show_lays_the_attention_over_the_picture(
    run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, html, png = corpus / "images" / "valid-1.png", tmp_path / "o.html", tmp_path / "o.png"
    assert main(["show", str(run), str(picture), "--html", str(html), "--png", str(png)]) == 0
    shown = capsys.readouterr().out
    [caption] = CaptionModel.load(run, "cpu").predict([picture], attention=True)
    assert shown.startswith(caption.text + "\n") and f"wrote {png}" in shown
    assert caption.attention is not None
    weights = caption.attention.map().weights
    assert weights.shape == (len(caption.tokens), 3, 6)
    np.testing.assert_allclose(weights.sum(axis=(1, 2)), 1, rtol=1e-5)
    assert caption.attention.picture.shape == (16 * 12, 16 * 24, 3)
    with Image.open(png) as sheet:
        assert sheet.format == "PNG"
    for word in caption.text.split():
        assert f"<span>{word}</span>" in html.read_text(encoding="ascii")
    capsys.readouterr()
    assert main(["show", str(run), str(picture), "--layer", "1"]) == 2
    assert "there is no layer 1: this model has layers 0 to 0" in capsys.readouterr().err
    before = picture.read_bytes()
    listed = tmp_path / "list.txt"
    listed.write_text(f"{picture}\n")
    for arguments in (["show", picture, "--png"], ["show", picture, "--html"], ["predict", listed, "--attention"]):
        assert main([arguments[0], str(run), *map(str, arguments[1:]), str(picture)]) == 2
        assert "is what is to be read" in capsys.readouterr().err and picture.read_bytes() == before
    assert main(["show", str(run), str(picture), "--png", str(png), "--html", str(png)]) == 2
    assert "name two files" in capsys.readouterr().err


def test_regard_load_gives_the_captioner(run: Path, corpus: Path) -> None:
    model = regard.load(run, "cpu")
    assert isinstance(model, CaptionModel)
    pictures = [corpus / "images" / f"valid-{number}.png" for number in range(3)]
    together = [caption.text for caption in model.predict(pictures)]
    assert together == [model.predict([picture])[0].text for picture in pictures]
    drawn = model.predict(pictures, nbest=2, sample={"seed": 5, "temperature": 3.0})
    assert [len(caption.alternatives) for caption in drawn] == [2, 2, 2]
    with pytest.raises(UsageError, match="takes a list of pictures"):
        model.predict(str(pictures[0]))
    with pytest.raises(UsageError, match="beam is 0: write how many"):
        model.predict(pictures, beam=0)
    with pytest.raises(UsageError, match="sample draws and beam searches"):
        model.predict(pictures, beam=2, sample={})


@pytest.mark.parametrize(
    "keys",
    [
        ("model.decoder=transformer", "model.decoder_layers=2", "model.grid_layers=1", "model.positions=learned"),
        ("model.attention.normalize=hard", "model.decoder=gru", "model.gate=false"),
        ('model.attention={score = "dot", normalize = "sparsemax"}', "data.tokenizer=bpe", "data.mirror=true"),
    ],
    ids=["transformer", "hard", "dot-bpe"],
)
def test_every_kind_trains_and_resumes_as_if_it_had_not_been_stopped(
    corpus: Path, tmp_path: Path, keys: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    every = settings(*keys, "training.validate_every=3", "training.save_every=2", "training.schedule=constant")
    assert train(corpus, tmp_path / "a", "--steps", "5", *every) == 0
    assert train(corpus, tmp_path / "b", "--steps", "3", *every) == 0
    assert train(corpus, tmp_path / "b", "--steps", "5", "--resume") == 0
    a, b = (load_file(tmp_path / name / "state" / "tensors.safetensors") for name in "ab")
    assert a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
    capsys.readouterr()
    assert main(["show", str(tmp_path / "b"), str(corpus / "images" / "valid-1.png")]) == 0
    assert capsys.readouterr().out


class Small(nn.Module):
    """Stands in for a network of torchvision."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.classifier = nn.Linear(8, 2)


def test_a_backbone_is_read_once_and_is_in_the_run_from_then_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vision, "_network", lambda name: Small())
    pretrained = Small()
    save_file(pretrained.state_dict(), tmp_path / "weights.safetensors")
    recipe = tmp_path / "mine.toml"  # paths in it count from it
    recipe.write_text(
        f'task = "captioning"\n[data]\ndata = {json.dumps(str(corpus / "train.jsonl"))}\n'
        '[model]\nbackbone = "small"\nweights = "weights.safetensors"\n'
    )
    command = ["train", str(recipe), "--out", str(tmp_path / "run")]
    assert main([*command, "--steps", "2", *settings()]) == 0
    (tmp_path / "weights.safetensors").unlink()
    assert main([*command, "--steps", "4", "--resume"]) == 0
    kept = regard.load(tmp_path / "run", "cpu").network.encoder.vision.features
    for name, tensor in pretrained.features.state_dict().items():
        assert torch.equal(kept.state_dict()[name], tensor)
    assert main(["predict", str(tmp_path / "run"), str(corpus / "images" / "valid-0.png")]) == 0
    capsys.readouterr()

    command[-1] = str(tmp_path / "other")
    assert main([*command, "--steps", "2", *settings()]) == 2
    assert "give the file with the weights of 'small', which is not downloaded" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_one_file_with_splits_and_one_without(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*write(tmp_path, "train", 20, 1, "train"), *write(tmp_path, "dev", 5, 300, "dev")]
    rows += write(tmp_path, "test", 3, 700, "test")
    whole = tmp_path / "all.jsonl"
    # A line a caption: the two of a picture are references of one.
    whole.write_text(
        "".join(json.dumps({**row, "captions": [text]}) + "\n" for row in rows for text in row["captions"])
    )
    out = tmp_path / "run"
    assert main(["train", "--data", str(whole), "--out", str(out), "--steps", "2", *settings()]) == 0
    assert "40 captions" in capsys.readouterr().out
    assert json.loads((out / "report.json").read_text())["pictures"] == 5
    assert main(["evaluate", str(out), "--data", str(whole), "--split", "test", "--beam", "1"]) == 0
    found = capsys.readouterr()
    assert "3 inputs, beam 1" in found.out and "several splits" not in found.err
    assert main(["evaluate", str(out), "--data", str(whole), "--beam", "1"]) == 0
    found = capsys.readouterr()
    assert "28 inputs" in found.out
    assert "all.jsonl holds several splits (dev, test, train), and all are scored: --split takes one\n" in found.err
    assert main(["evaluate", str(out), "--data", str(whole), "--split", "val", "--beam", "1"]) == 2
    assert 'no line with "split": "val": name "dev", "test", "train"\n' in capsys.readouterr().err
    assert main(["evaluate", str(out), "--data", str(corpus / "valid.jsonl"), "--split", "test"]) == 2
    assert 'no line with "split": "test": no line has one, so leave it out' in capsys.readouterr().err

    wrong = main(["train", "--data", str(whole), "--out", str(tmp_path / "no"), *settings("data.valid_split=val")])
    assert wrong == 2 and 'no line with "split": "val" to validate on, but "dev", "test"' in capsys.readouterr().err

    out = tmp_path / "held"
    files = ["--data", str(corpus / "train.jsonl"), "--out", str(out)]
    assert main(["train", *files, "--steps", "1", *settings()]) == 0
    kept = json.loads((out / "report.json").read_text())["pictures"]
    said = capsys.readouterr().out
    assert 1 <= kept <= 20 and f"{kept} pictures are kept from training" in said and f"{2 * (120 - kept)} capt" in said


BAD = {
    "not JSON": (lambda f: (f / "train.jsonl").write_text("nonsense\n"), "train.jsonl, line 1 is not JSON"),
    "no key": (
        lambda f: (f / "train.jsonl").write_text('{"image": "train-0.png"}\n'),
        'line 1: "captions" is missing: write "captions": ["…", "…"]',
    ),
    "no file": (
        lambda f: (f / "images" / "train-3.png").unlink(),
        "train-3.png does not exist: check the picture's name",
    ),
    "cut off": (
        lambda f: (f / "images" / "train-3.png").write_bytes((f / "images" / "train-3.png").read_bytes()[:90]),
        "train-3.png is a broken picture",
    ),
    "which line": (
        lambda f: (f / "images" / "train-3.png").write_bytes((f / "images" / "train-3.png").read_bytes()[:90]),
        "train.jsonl, line 4: ",
    ),
    "no picture": (lambda f: (f / "images" / "valid-1.png").write_text("text"), "valid-1.png is no picture"),
    "line of the other file": (lambda f: (f / "images" / "valid-1.png").write_text("text"), "valid.jsonl, line 2: "),
    "no JSONL": (lambda f: (f / "train.jsonl").unlink(), "train.jsonl does not exist"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_nothing_half_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "train", 5, 1)
    write(tmp_path, "valid", 3, 90)
    spoil, sentence = BAD[name]
    spoil(tmp_path)
    assert train(tmp_path, tmp_path / "run", "--steps", "1", *settings()) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1 and "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_pictures_that_cannot_be_captioned(
    run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("no.png\n", encoding="utf-8")
    rows = [{"image": name, "captions": ["a"]} for name in (str(corpus / "images" / "valid-1.png"), "cut.png")]
    (tmp_path / "cut.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cut = tmp_path / "cut.png"
    cut.write_bytes((corpus / "images" / "valid-0.png").read_bytes()[:80])
    for arguments, sentence in (
        (["predict", str(run), str(listed)], "no.png does not exist: check the path of the picture"),
        (["predict", str(run), str(cut)], f"regard: {cut} is a broken picture"),
        (["predict", str(run), str(tmp_path / "cut.jsonl")], "cut.jsonl, line 2: "),
        (
            ["evaluate", str(run), "--data", str(tmp_path / "cut.jsonl")],
            f"cut.jsonl, line 2: {cut} is a broken picture",
        ),
        (["show", str(run), str(tmp_path)], "is a folder: give the file of a picture"),
        (["predict", str(run), str(listed), "--max-length-ratio", "2"], "use --max-tokens"),
        (["predict", str(run), str(listed), "--seed", "2"], "--seed says how to draw"),
        (["predict", str(run), str(listed), "--sample", "--beam", "2"], "--beam says how to search"),
        (["predict", str(run), str(listed), "--sample", "--temperature", "nan"], "temperature is nan"),
        (["predict", str(run), str(listed), "--length-penalty", "nan"], "length_penalty is nan"),
        (["evaluate", str(run)], "give --data FILE.jsonl"),
        (["evaluate", str(run), "--data", str(corpus / "no.jsonl")], "no.jsonl does not exist"),
    ):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1


def test_a_run_whose_files_changed_does_not_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "train", 5, 1)
    write(tmp_path, "valid", 3, 90)
    assert train(tmp_path, tmp_path / "run", "--steps", "1", *settings()) == 0
    draw(tmp_path / "images", "train-2.png", 7777)
    capsys.readouterr()
    assert train(tmp_path, tmp_path / "run", "--steps", "2", "--resume") == 2
    assert "or its pictures changed since the run" in capsys.readouterr().err


def test_a_picture_of_a_list_that_cannot_be_read_is_named_with_its_line(
    run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    whole = min((corpus / "images").glob("*.png"))
    for name in ("broken.png", "none.png"):
        lines = f"{whole}\n\n{name}\n{name}\n"
        (tmp_path / "list.txt").write_text(lines)
        assert main(["predict", str(run), str(tmp_path / "list.txt")]) == 2
        found = capsys.readouterr().err
        assert found.startswith(f"regard: {tmp_path / 'list.txt'}, line 3: ") and f"{name} " in found
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        assert main(["predict", str(run)]) == 2
        assert capsys.readouterr().err.startswith(f"regard: standard input, line 3: {name} ")
