"""`regard embed` on a run of seconds: its vectors are those of the weights, and bad input is one sentence."""

from __future__ import annotations

import io
import json
import math
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import regard
from regard.batch import EOS
from regard.cli import main
from regard.run.embedding.senses import apart, read_folders
from regard.run.embedding.word import Embedder, found

SETTINGS = [
    "training.precision=fp32", "training.device=cpu", "training.warmup=5", "training.batch_tokens=300",
    "training.learning_rate=0.01", "model.dim=20", "model.heads=2", "model.feed_forward=24", "model.layers=3",
    "data.context=14", "data.vocabulary=60", "data.tokenizer=bpe", "training.validate_every=50",
]  # fmt: skip
SENTENCE = "an apple fell , and a plum too"


def settings(task: str) -> list[str]:
    return [part for key in [f"task={task}", *SETTINGS] for part in ("--set", key)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("words")
    draw = random.Random(1)
    fruit, firm = ["fell", "is ripe", "and a plum"], ["sells", "and a bank", "is rich"]
    rows = [
        (sense, f"an apple {draw.choice((fruit, firm)[sense])} {'xyz'[n % 3]}") for n in range(97) for sense in (0, 1)
    ]
    (made / "text.txt").write_text("".join(f"{text}\n" for _, text in rows) + "سيب 苹果 सेब\n" * 5, encoding="utf-8")
    for task in ("masked-language-model", "language-model"):
        files = ["--data", str(made / "text.txt"), "--valid-data", str(made / "text.txt")]
        words = [*files, "--out", str(made / task), "--steps", "9"]
        assert main(["train", *words, *settings(task)]) == 0
    return made


def said(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    assert main(["embed", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["embed", *map(str, words)]) != 0
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "bug" not in err
    return err


def test_the_vectors_are_those_of_the_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "masked-language-model"
    [each] = said(capsys, run, SENTENCE, "--word", "plum")["sentences"]
    model = regard.load(run)
    ids = model.tokenizer.encode_batch([SENTENCE])[0]
    tokens = model.tokenizer.tokens(ids)
    places = [n for n in range(len(ids)) if tokens[n : n + len(each["tokens"])] == each["tokens"]]
    assert len(places) == 1 and "".join(each["tokens"]) == "▁plum"
    own = range(places[0], places[0] + len(each["tokens"]))
    table = load_file(run / "model.safetensors")["encoder.embedding.weight"]
    static = torch.stack([table[ids[n]] for n in own]).mean(0) * math.sqrt(20)
    assert each["static"]["vector"] == pytest.approx(static.tolist(), abs=1e-5)
    with torch.no_grad():
        values = model.network.encoder(torch.tensor([[*ids, EOS]]), torch.tensor([len(ids) + 1])).values[0]
    last = values[list(own)].mean(0)
    assert len(each["layers"]) == 3
    assert each["layers"][2]["vector"] == pytest.approx(last.tolist(), abs=1e-5)
    a, b = static.double().numpy(), last.double().numpy()
    assert each["layers"][2]["cosine"] == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-5)
    assert each["layers"][2]["norm"] == pytest.approx(np.sqrt(b @ b), rel=1e-5)
    seen = model.look(SENTENCE).weights  # [L, H, S, S]
    for number, layer in enumerate(each["layers"]):
        row = seen[number].mean(0)[list(own)].mean(0)
        assert [name for name, _ in layer["weights"]] == [*SENTENCE.split(), "</s>"]
        assert sum(weight for _, weight in layer["weights"]) == pytest.approx(1, abs=1e-5)
        assert layer["weights"][6][1] == pytest.approx(row[list(own)].sum(), abs=1e-5)
        assert layer["weights"][-1][1] == pytest.approx(row[-1], abs=1e-5)


def test_a_model_that_reads_forwards_looks_at_what_came_before(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "language-model"
    first, second = said(capsys, run, SENTENCE, "--word", "apple"), said(capsys, run, "an apple", "--word", "apple")
    names, weights = zip(*first["sentences"][0]["layers"][1]["weights"], strict=True)
    assert names[:3] == ("<s>", "an", "apple") and sum(weights[:3]) == pytest.approx(1, abs=1e-5)
    a, b = (x["sentences"][0]["layers"][2]["vector"] for x in (first, second))
    assert a == pytest.approx(b, abs=1e-4)  # what comes after says nothing


def test_the_table_and_the_picture(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("an apple fell\n\nno fruit\nAn APPLE is rich\n苹果 apple\n", encoding="utf-8")
    png = tmp_path / "apple.png"
    words = ["embed", str(folder / "masked-language-model"), str(lines), "--word", "apple", "--png", str(png)]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.count("static") == 4 and f"wrote {png}" in out
    heads = [line.split("   ")[0] for line in out.splitlines() if line.startswith("line ")]
    assert heads == ["line 1: an apple fell", "line 4: An APPLE is rich", "line 5: 苹果 apple"]
    assert [line.split("  ") for line in out.splitlines() if "cosine between" in line] == [
        ["cosine between lines", "1 and 4", "1 and 5", "4 and 5"]
    ]
    assert 'line 3: "apple" is not in "no fruit"' in err and "1 line is blank and left out" in err
    with Image.open(png) as picture:
        assert picture.format == "PNG"


def test_json_has_the_lines_of_the_file(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run, lines = folder / "masked-language-model", tmp_path / "lines.txt"
    lines.write_text("\n an apple \n\nno fruit\n \t\n" + "a " * 499 + "apple", encoding="utf-8")
    assert main(["embed", str(run), str(lines), "--word", "apple", "--json"]) == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert [each["line"] for each in facts["sentences"]] == [2, 6] and facts["blank_lines"] == 3
    assert err.splitlines()[0].startswith("line 4: ") and "3 lines are blank and left out" in err
    assert f"line 6: {facts['sentences'][1]['notes'][0]}" in err
    lines.write_text("an apple\n")  # one line is a file, too
    facts = said(capsys, run, lines, "--word", "apple")
    assert facts["sentences"][0]["line"] == 1 and facts["blank_lines"] == 0
    facts = said(capsys, run, "an apple", "--word", "apple")  # and what was written here is none
    assert "line" not in facts["sentences"][0] and "blank_lines" not in facts
    lines.write_text("\nno fruit\n")
    assert refused(capsys, run, lines, "--word", "apple").startswith('regard: line 2: "apple" is not in')


def test_standard_input(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"an apple fell\n")

    monkeypatch.setattr("sys.stdin", Stdin())
    assert said(capsys, folder / "language-model", "-", "--word", "apple")["word"] == "apple"


def test_a_pipe_is_read_like_a_file(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    end, start = os.pipe()
    os.write(start, b"an apple fell\n\none apple\n")
    os.close(start)
    found = said(capsys, folder / "language-model", f"/dev/fd/{end}", "--word", "apple")
    os.close(end)
    (tmp_path / "lines.txt").write_text("an apple fell\n\none apple\n")
    assert found == said(capsys, folder / "language-model", tmp_path / "lines.txt", "--word", "apple")
    assert [each["line"] for each in found["sentences"]] == [1, 3]


def test_bad_input_is_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = folder / "masked-language-model"
    assert "is not in" in refused(capsys, run, "a pineapple", "--word", "apple")
    assert "--occurrence 1 to 2" in refused(capsys, run, "an apple, an Apple", "--word", "apple")
    assert '"apple" is once in' in refused(capsys, run, "an apple", "--word", "apple", "--occurrence", 2)
    assert "sentence is empty" in refused(capsys, run, " ", "--word", "apple")
    assert "word is empty" in refused(capsys, run, "an apple", "--word", " ")
    assert "give a sentence and its word" in refused(capsys, run, "an apple")
    (tmp_path / "empty.txt").write_text("\n\n")
    assert "holds no sentence" in refused(capsys, run, tmp_path / "empty.txt", "--word", "apple")
    assert "does not end in .png" in refused(capsys, run, "an apple", "--word", "apple", "--png", tmp_path / "a.jpg")
    assert "leave out the sentence" in refused(capsys, run, "an apple", "--senses", tmp_path)
    assert "has no train.data.txt" in refused(capsys, run, "--senses", tmp_path)
    assert "is no folder" in refused(capsys, run, "--senses", tmp_path / "no")


def test_the_second_of_two_and_a_word_far_behind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "masked-language-model"
    [one] = said(capsys, run, "apple and apple", "--word", "apple", "--occurrence", 2)["sentences"]
    [other] = said(capsys, run, "apple and apple", "--word", "apple", "--occurrence", 1)["sentences"]
    assert one["static"]["vector"] == other["static"]["vector"]
    assert one["layers"][2]["vector"] != pytest.approx(other["layers"][2]["vector"], abs=1e-3)
    [far] = said(capsys, run, "a " * 499 + "apple", "--word", "apple")["sentences"]
    assert "only 13 were read" in far["notes"][0] and far["layers"][0]["vector"]


def test_where_a_word_stands() -> None:
    assert found("Apple pineapple apple's (apple)", "apple") == [(0, 5), (16, 21), (25, 30)]
    assert found("我吃苹果和苹果派", "苹果") == [(2, 4), (5, 7)]
    assert found("cafe\u0301 café cafés", "café") == [(0, 5), (6, 10)]
    assert found("सेब सेबों", "सेब") == [(0, 3)]  # the second goes on with a mark
    assert found("a+b a+bc", "a+b") == [(0, 3)]


def test_senses_of_a_folder(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A word whose sense the next word tells, by a model that has read it: context tells, the word itself does not."""
    for word in ("apple", "plum"):
        (tmp_path / word).mkdir()
        rows = [
            (n % 3 == 0, f"{word} {'is ripe' if n % 3 else 'sells'} {chr(97 + n % 26)}{chr(97 + n // 26)}")
            for n in range(150)
        ]
        (tmp_path / word / "train.data.txt").write_text("".join(f"0\t{text}\n" for _, text in rows))
        (tmp_path / word / "train.gold.txt").write_text("".join(f"{int(sense)}\n" for sense, _ in rows))
    facts = said(capsys, folder / "masked-language-model", "--senses", tmp_path)
    test = [
        (s, text)
        for w in ("apple", "plum")
        for s, text in [(e.sense, e.text) for e in read_folders([tmp_path / w])[0].test]
    ]
    assert facts["test"] == len(test) and facts["train"] == 300 - len(test) and 30 <= len(test) <= 90
    assert all(apart(text) for _, text in test)
    usual = 100 * sum(sense == "0" for sense, _ in test) / len(test)
    rows = {row["vectors"]: row for row in facts["rows"]}
    assert list(rows) == ["static", "mean of the sentence's static", "layer 1", "layer 2", "layer 3"]
    for how in ("nearest", "mean", "regression"):
        assert rows["static"][how]["accuracy"]["value"] == pytest.approx(usual)
    assert rows["layer 3"]["regression"]["accuracy"]["value"] > 99
    assert facts["majority"]["value"] == pytest.approx(usual)
    assert main(["embed", str(folder / "language-model"), "--senses", str(tmp_path / "plum")]) == 0
    assert "commonest sense" in capsys.readouterr().out


def test_broken_folders_name_the_line(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data, gold = tmp_path / "train.data.txt", tmp_path / "train.gold.txt"
    run = folder / "masked-language-model"
    data.write_text("0\tapple a\n3\tan apple\n")
    gold.write_text("0\n1\n")
    assert "line 2" in refused(capsys, run, "--senses", tmp_path)
    data.write_text("0\tapple a\n" + "9" * 5000 + "\tan apple\n")
    assert "line 2: write the number of the word" in refused(capsys, run, "--senses", tmp_path)
    data.write_bytes(b"\xef\xbb\xbf0\tapple a\n7\tan apple\n")
    assert "train.data.txt, line 2" in refused(capsys, run, "--senses", tmp_path), "the mark is no part of line 1"
    data.write_text("0\tapple a\n1\tan apple\n")
    gold.write_text("0\n\n")
    assert "train.gold.txt, line 2 is blank" in refused(capsys, run, "--senses", tmp_path)
    gold.write_text("0\n")
    assert "2 lines and train.gold.txt 1" in refused(capsys, run, "--senses", tmp_path)
    data.write_bytes(b"0\t\xff\n")
    assert "is not UTF-8" in refused(capsys, run, "--senses", tmp_path)


def test_words_of_the_vocabulary_are_whole(folder: Path) -> None:
    model = Embedder.load(folder / "masked-language-model")
    assert "apple" in model.vocabulary and "," not in model.vocabulary and "</s>" not in model.vocabulary
    near = model.embed("an apple fell", "apple").static.nearest
    assert all(name != "apple" for name, _ in near) and [c for _, c in near] == sorted(
        (c for _, c in near), reverse=True
    )
