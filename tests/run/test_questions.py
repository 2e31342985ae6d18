"""Questions about pictures by the commands: drawn ones, and lines of JSONL that name files."""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import regard
from regard.build.visual_question import visual_question
from regard.cli import main
from regard.config.reading import recipe_of
from regard.config.visual_question import FusionName, VisualQuestionPart, VisualQuestionRecipe
from regard.data.images import pillow
from regard.data.labels import Labels
from regard.errors import UsageError
from regard.models.visual_question import Fusing
from regard.run import training

COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}
SHARED = [
    "task=visual-question", "training.device=cpu", "training.precision=fp32", "data.height=8", "data.width=8",
    "model.widths=[8]", "model.dim=16", "model.embedding=8", "model.hidden=8", "model.output=16", "model.dropout=0.0",
    "training.batch=32", "training.warmup=5", "training.validate_every=40", "training.learning_rate=0.02",
]  # fmt: skip


def settings(keys: list[str]) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


def write(folder: Path, name: str) -> Path:
    """Two colours side by side, all nine pairs, and which is on the left and which on the right."""
    (folder / "images").mkdir(exist_ok=True)
    rows = []
    for left, first in COLOURS.items():
        for right, second in COLOURS.items():
            pixels = np.zeros((8, 8, 3), dtype=np.uint8)
            pixels[:, :4], pixels[:, 4:] = first, second
            pillow().fromarray(pixels).save(folder / "images" / f"{left}-{right}.png")
            for side, answer in (("left", left), ("right", right)):
                asked = f"What colour is on the {side}?"
                rows.append({"image": f"{left}-{right}.png", "question": asked, "answer": answer})
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("questions")
    data = write(made, "asked.jsonl")
    arguments = ["--data", str(data), "--valid-data", str(data), "--out", str(made / "run"), "--steps", "80"]
    assert main(["train", *arguments, *settings(SHARED)]) == 0
    return made


def test_it_learns_what_picture_and_question_tell_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder / "run"), "--data", str(folder / "asked.jsonl"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["questions"] == 18 and [each["name"] for each in found["scores"]] == ["accuracy"]
    assert found["scores"][0]["value"] == 100
    report = json.loads((folder / "run" / "report.json").read_text())
    assert report["scores"] == found["scores"] and report["answers"] == 3


def test_n_lines_in_are_n_lines_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def line(name: str, side: str) -> str:
        return json.dumps({"image": str(folder / "images" / name), "question": f"which colour is on the {side}"})

    lines = [line("red-blue.png", "left"), "", line("red-blue.png", "RIGHT?"), line("green-red.png", "left")]
    (folder / "in.jsonl").write_text("".join(each + "\n" for each in lines))
    assert main(["predict", str(folder / "run"), str(folder / "in.jsonl")]) == 0
    assert capsys.readouterr().out.splitlines() == ["red", "", "blue", "green"]
    assert main(["predict", str(folder / "run"), str(folder / "in.jsonl"), "--jsonl"]) == 0
    rows = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert [row["answer"] for row in rows] == ["red", "", "blue", "green"]
    assert all(sum(row["top"].values()) == pytest.approx(1) for row in rows if row["answer"])
    # It has learned questions that begin with "what".
    assert [row.get("notes") for row in rows] == [
        ["1 of 6 tokens are unknown to the model"] if row["answer"] else None for row in rows
    ]
    strange = json.dumps({"image": str(folder / "images" / "red-blue.png"), "question": "What 颜色 is on the 左"})
    (folder / "in.jsonl").write_text(strange, encoding="utf-8")
    assert main(["predict", str(folder / "run"), str(folder / "in.jsonl"), "--jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == ["2 of 6 tokens are unknown to the model"]


def test_a_blank_question_has_a_blank_answer_and_a_strange_one_is_noted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["What 颜色 is on the 左", "", "What colour is on the left", " \t", "🙂?"]
    picture = str(folder / "images" / "red-blue.png")
    lines = [json.dumps({"image": picture, "question": question}) + "\n" for question in asked]
    (folder / "in.jsonl").write_text("".join(lines))
    notes = {1: "2 of 6 tokens are unknown to the model", 5: "the question has no word to read"}
    assert main(["predict", str(folder / "run"), str(folder / "in.jsonl")]) == 0
    out, err = capsys.readouterr()
    assert [bool(answer) for answer in out.splitlines()] == [True, False, True, False, True]
    assert err == "".join(f"line {number}: {note}\n" for number, note in notes.items())
    assert main(["predict", str(folder / "run"), str(folder / "in.jsonl"), "--jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == rows[3] == {"answer": "", "probability": 0.0, "top": {}}
    assert {n: row["notes"] for n, row in enumerate(rows, start=1) if "notes" in row} == {
        n: [t] for n, t in notes.items()
    }


def test_a_question_that_is_cut_is_noted(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit = regard.load(folder / "run").recipe.data.max_length
    picture, long = str(folder / "images" / "red-blue.png"), "what " * limit + "left"
    (tmp_path / "in.jsonl").write_text(
        "".join(
            json.dumps({"image": picture, "question": question, "answer": answer}) + "\n"
            for question, answer in (("what left", "red"), (long, "blue"))
        )
    )
    note = f"{limit + 1} tokens are more than data.max_length = {limit}, so only the first {limit} were read; shorten"
    assert main(["predict", str(folder / "run"), str(tmp_path / "in.jsonl")]) == 0
    assert capsys.readouterr().err == f"line 2: {note} the question\n"
    assert main(["show", str(folder / "run"), f"{picture} {long}"]) == 0
    assert note in capsys.readouterr().out.splitlines()[-1]
    cut = (
        f"1 of 2 questions have more than data.max_length = {limit} tokens: of those the first {limit} alone were read"
    )
    assert main(["evaluate", str(folder / "run"), "--data", str(tmp_path / "in.jsonl")]) == 0
    assert capsys.readouterr().err == cut + "\n"
    training = ["--data", str(tmp_path / "in.jsonl"), "--valid-data", str(tmp_path / "in.jsonl"), "--steps", "1"]
    small = settings([f"data.max_length={limit}", "model.embedding=8", "model.hidden=8", "model.dim=8"])
    assert main(["train", "--task", "visual-question", "--out", str(tmp_path / "run"), *training, *small]) == 0
    assert cut in " ".join(capsys.readouterr().out.split())


def test_predict_looks_for_pictures_where_evaluate_does(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [json.loads(line) for line in (folder / "asked.jsonl").read_text().splitlines()]
    assert main(["predict", str(folder / "run"), str(folder / "asked.jsonl")]) == 0
    assert capsys.readouterr().out.splitlines() == [row["answer"] for row in rows]
    # What is not there is still looked for from where the command is given.
    (tmp_path / "here.png").write_bytes((folder / "images" / "red-blue.png").read_bytes())
    asked = folder / "other.jsonl"
    asked.write_text(json.dumps({"image": "here.png", "question": "What colour is on the left?"}))
    assert main(["predict", str(folder / "run"), str(asked)]) == 0
    assert capsys.readouterr().out == "red\n"
    for command in (["predict", str(folder / "run")], ["evaluate", str(folder / "run"), "--data"]):
        for name, sentence in (("no.png", f"{folder / 'no.png'} does not exist"), ("a" * 5000, f"{'a' * 60}… cannot")):
            asked.write_text(json.dumps({"image": name, "question": "What?", "answer": "red"}))
            assert main([*command, str(asked)]) == 2
            assert f"{asked}, line 1: {sentence}" in capsys.readouterr().err


def test_questions_of_a_pipe_are_about_pictures_from_where_the_command_is_given(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = json.loads((folder / "asked.jsonl").read_text().splitlines()[0])
    picture = Path(row["image"]) if Path(row["image"]).is_absolute() else folder / "images" / Path(row["image"]).name
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "here.png").write_bytes(picture.read_bytes())
    monkeypatch.chdir(tmp_path)

    def of_pipe(command: list[str], image: str) -> tuple[int, str, str]:
        end, start = os.pipe()
        os.write(start, (json.dumps(row | {"image": image}) + "\n").encode())
        os.close(start)
        capsys.readouterr()
        status = main([*command, f"/dev/fd/{end}"])
        os.close(end)
        out, err = capsys.readouterr()
        return status, out, err

    for image in ("here.png", "images/here.png"):
        status, said, _ = of_pipe(["predict", str(folder / "run")], image)
        assert status == 0 and said == of_pipe(["predict", str(folder / "run")], str(picture))[1] != ""
        status, said, _ = of_pipe(["evaluate", str(folder / "run"), "--data"], image)
        assert status == 0 and "1 questions about 1 pictures" in said
    status, _, said = of_pipe(["evaluate", str(folder / "run"), "--data"], "gone.png")
    assert status == 2 and "gone.png does not exist" in said


def test_an_answer_of_two_lines_is_printed_on_one(folder: Path) -> None:
    model = regard.load(folder / "run")
    model.labels = Labels([f"{name}\nall over" for name in model.labels.names])
    picture = str(folder / "images" / "red-blue.png")
    line = json.dumps({"image": picture, "question": "What colour is on the left?"})
    assert list(model.said([line], jsonl=False)) == ["red all over"]
    [row] = model.said([line], jsonl=True)
    assert json.loads(row)["answer"] == "red\nall over"


def test_where_it_looked_lies_over_the_picture_and_the_words(folder: Path) -> None:
    model = regard.load(folder / "run")
    seen, words = model.look(folder / "images" / "red-blue.png", "What colour is on the left?")
    assert seen.picture.shape == (384, 384, 3) and seen.weights.shape == (1, 4, 4)
    assert seen.weights.sum() == pytest.approx(1, abs=1e-5)
    assert words.source_words == ["what", "colour", "is", "on", "the", "left", "</s>"]
    assert words.weights.shape == (1, 1, 1, 7) and words.weights.sum() == pytest.approx(1, abs=1e-5)
    assert model.predict([]) == []


def test_it_shows_the_answer_and_both_looks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    asked = f"{folder / 'images' / 'green-red.png'} what colour is on the right?"
    assert main(["show", str(folder / "run"), asked]) == 0
    said = capsys.readouterr().out
    assert "red" in said.splitlines()[0] and "green" in said and "answer" in said and "█" in said
    assert "unknown" not in said
    assert main(["show", str(folder / "run"), asked.replace("the right", "la droite")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 6 tokens are unknown to the model"


class Reader(HTMLParser):
    """The texts of a page, and what it would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.fetched: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")] + [tag] * (tag == "script")


def test_show_writes_a_page_and_a_picture_of_answer_places_and_words(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, page, png = folder / "images" / "green-red.png", tmp_path / "a.html", tmp_path / "a.png"
    asked = f"{picture} what colour is on the right?"
    assert main(["show", str(folder / "run"), asked, "--html", str(page), "--png", str(png)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [f"wrote {png}", f"wrote {page}"]
    text = page.read_text(encoding="ascii")
    read = Reader(text)
    [found] = regard.load(folder / "run").predict([(picture, "what colour is on the right?")])
    assert "what colour is on the right? – red" in read.texts and not read.fetched
    for name, share in found.top():
        assert read.texts[read.texts.index(name) + 1] == f"{share:.1%}"
    _, words = regard.load(folder / "run").look(picture, "what colour is on the right?")
    gave = dict(zip(words.source_words, words.words()[0].tolist(), strict=True))
    for word, share in gave.items():
        assert read.texts[read.texts.index(word) + 1] == f"{share:.1%}"
    assert text.count("data:image/png") == 1 + 2, "the picture once, and the light of the whole and of the answer"
    pixels = np.asarray(pillow().open(png))
    # Under a line of text and a label the picture as it is: 192 pixels wide, green on the left and red on the right.
    assert (
        pixels.shape[1] == 560
        and pixels[150, 40].tolist() == [20, 220, 20]
        and pixels[150, 180].tolist() == [220, 20, 20]
    )
    before = picture.read_bytes()
    for option in ("--png", "--html"):
        assert main(["show", str(folder / "run"), asked, option, str(picture)]) == 2
        assert "is what is to be read" in capsys.readouterr().err and picture.read_bytes() == before
    assert main(["show", str(folder / "run"), asked, "--head", "0"]) == 2
    assert "--head is of" in capsys.readouterr().err


@pytest.mark.parametrize("name", get_args(FusionName))
def test_each_fusion_shows_what_it_has(name: str, folder: Path, tmp_path: Path) -> None:
    keys = settings([*SHARED, f"model.fusion={name}", "model.heads=2", "model.fusion_layers=1"])
    data = ["--data", str(folder / "asked.jsonl"), "--valid-data", str(folder / "asked.jsonl")]
    assert main(["train", *data, "--out", str(tmp_path / "run"), "--steps", "1", *keys]) == 0
    model = regard.load(tmp_path / "run")
    picture = folder / "images" / "blue-red.png"
    view = model.view(picture, "what colour is on the left")
    words = ["what", "colour", "is", "on", "the", "left", "</s>"]
    assert len(view.looks.words) == (3 if name == "hierarchical" else 1)
    if name in ("dense", "modular"):
        assert view.each is not None and view.each.words == words and view.each.weights.shape == (7, 4, 4)
        if name == "modular":  # each place shares itself out among the words
            assert view.each.weights.sum(axis=0) == pytest.approx(np.ones((4, 4)), abs=1e-5)
        else:  # each word shares itself out among the places and three slots
            sums = view.each.weights.sum(axis=(1, 2))
            assert (sums > 0).all() and (sums < 1).all()
    else:
        assert view.each is None
    assert view.sees_picture == (name != "question-only") and (view.shares is None) == (name == "image-only")
    text = f"{picture} what colour is on the left"
    model.save_page(text, tmp_path / "a.html")
    model.save_picture(text, tmp_path / "a.png")
    page = " ".join(Reader((tmp_path / "a.html").read_text()).texts)
    assert ("does not look at the picture" in page) == (name == "question-only")
    assert ("does not read the question" in page) == (name == "image-only")
    assert ("by phrase" in page) == (name == "hierarchical")
    assert (
        ("Where each word" in page) == (name in ("dense", "modular")) == ("Where each" in model.shown(text, 80, False))
    )


def test_two_runs_are_tested_on_the_same_questions(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(folder / "asked.jsonl")]
    keys = settings([*SHARED, "model.fusion=question-only", "data.height=16", "data.width=16"])
    assert main(["train", *data, "--valid-data", data[1], "--out", str(tmp_path / "blind"), "--steps", "1", *keys]) == 0
    capsys.readouterr()
    both = ["evaluate", str(folder / "run"), *data, "--against", str(tmp_path / "blind")]
    assert main([*both, "--json"]) == 0
    [test] = json.loads(capsys.readouterr().out)["paired"]
    # One is always right, so all that the other has wrong speaks for the first: by chance that is 2 · 2⁻ⁿ.
    wrong = round(18 * (100 - test["b"]["value"]) / 100)
    assert test["a"]["value"] == 100 and wrong >= 9 and test["difference"] == pytest.approx(100 * wrong / 18)
    assert test["p_value"] == pytest.approx(2 * 0.5**wrong, abs=0.002)
    assert main(both) == 0
    assert "measure:accuracy|ar:10000|seed:12345" in capsys.readouterr().out.splitlines()[-1]
    for option in (["--beam", "3"], ["--lowercase", "de"], ["--split", "test"]):
        assert main(["evaluate", str(folder / "run"), *data, *option]) == 2
        said = capsys.readouterr().err
        assert f"{option[0]} is of " in said and "visual-question: leave it out" in said


def test_a_task_and_settings_are_enough_to_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counted, terminal = [], training.Terminal
    monkeypatch.setattr(training, "Terminal", lambda *a, **k: counted.append(k["counted"]) or terminal(*a, **k))
    keys = settings([*SHARED[1:], "data.height=26", "data.width=26"])
    drawn = ["--set", "data.drawn=11", "--steps", "1", *keys]
    assert main(["train", "--task", "visual-question", "--out", str(tmp_path / "run"), *drawn]) == 0
    assert regard.load(tmp_path / "run").recipe.data.drawn == 11
    # A file that is named by a setting counts from where the command was given, and so the run can go on elsewhere.
    write(tmp_path, "asked.jsonl")
    monkeypatch.chdir(tmp_path)
    named = ["--set", "data.data=asked.jsonl", "--set", "data.valid_data=asked.jsonl"]
    assert main(["train", *named, "--out", "named", "--steps", "1", *settings(SHARED)]) == 0
    assert regard.load("named").recipe.data.data == str(tmp_path / "asked.jsonl")
    assert counted == ["questions", "questions"], "and that is what the speed of a training is said in"
    capsys.readouterr()
    for arguments, words in (
        (["--task", "visual-question"], "data.drawn=9000"),
        (["--task", "visual-questions"], "did you mean 'visual-question'?"),
        (["--set", "data.drawn=11"], "add --task visual-question"),
        (["--set", "model.dim=8"], "there is nothing to train on"),
    ):
        assert main(["train", "--out", str(tmp_path / "none"), *arguments]) == 2
        said = capsys.readouterr().err.strip()
        assert words in said and "\n" not in said and not (tmp_path / "none").exists()


def test_drawn_pictures_are_told_by_kind_and_a_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    recipe = tmp_path / "drawn.toml"
    recipe.write_text("[data]\ndrawn = 30\n")
    keys = settings([*SHARED, "data.height=26", "data.width=26", "training.save_every=4"])
    assert main(["train", str(recipe), "--out", out, "--steps", "4", *keys]) == 0
    assert main(["train", "--out", out, "--resume", "--steps", "6"]) == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 6
    assert f"\n  regard evaluate {out}\n" in capsys.readouterr().out, "what to try, as pictures are drawn for it"
    assert main(["evaluate", out]) == 0
    said = capsys.readouterr().out
    assert "questions about 3 pictures, 11 answers" in said
    for kind in ("relational", "non-relational", "shape", "nearest", "left of"):
        assert f"accuracy ({kind})" in said


def test_a_list_of_easy_vqa_is_held_out_by_picture(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in write(tmp_path, "asked.jsonl").read_text().splitlines()]
    names = sorted({row["image"] for row in lines})
    for number, name in enumerate(names):
        (tmp_path / "images" / name).rename(tmp_path / "images" / f"{number}.png")
    rows = [[row["question"], row["answer"], names.index(row["image"])] for row in lines]
    (tmp_path / "questions.json").write_text(json.dumps(rows))
    arguments = ["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--steps", "2"]
    assert main([*arguments, *settings(SHARED)]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["scored_on"] == "held out from training" and report["questions"] == 2


def test_mistakes_are_one_sentence_and_leave_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(arguments: list[str], *words: str) -> None:
        assert main(arguments) in (1, 2)
        said = capsys.readouterr().err.strip()
        assert "\n" not in said and "Traceback" not in said and all(word in said for word in words), said

    def trained(row: dict[str, str], *keys: str) -> list[str]:
        (tmp_path / "bad.jsonl").write_text(json.dumps(row) + "\n")
        data = ["--data", str(tmp_path / "bad.jsonl"), "--valid-data", str(folder / "asked.jsonl")]
        return ["train", *data, "--out", str(tmp_path / "r"), *settings([*SHARED, *keys])]

    capsys.readouterr()
    picture = str(folder / "images" / "red-red.png")
    fails(trained({"image": picture, "question": "what?"}), "line 1", '"answer" is missing')
    fails(trained({"image": "none.png", "question": "what?", "answer": "x"}), "none.png does not exist", "bad.jsonl")
    fails(trained({"image": picture, "question": "what?", "answer": "x"}), "only the class 'x'")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    broken = {"image": "broken.png", "question": "what?", "answer": "x"}
    fails(trained(broken), "bad.jsonl, line 1: ", "broken.png is")
    fails(["evaluate", str(folder / "run"), "--data", str(tmp_path / "bad.jsonl")], "'x' is none of the 3")
    (tmp_path / "bad.jsonl").write_text("\n" + json.dumps(broken | {"answer": "red"}) + "\n")
    fails(["evaluate", str(folder / "run"), "--data", str(tmp_path / "bad.jsonl")], "bad.jsonl, line 2: ", "broken.png")
    for row, words in (
        (json.dumps({"image": picture}), '"question" is missing'),
        (json.dumps({"question": "what?"}), '"image" is missing'),
        (json.dumps({"image": picture, "question": 3}), '"question" is no text'),
        ("[]", "is no object"),
        ("{", "is not JSON"),
        (json.dumps({"image": str(tmp_path / "broken.png"), "question": "what?"}), "broken.png is"),
    ):
        (tmp_path / "asked.jsonl").write_text(f"\n{row}\n")
        fails(
            ["predict", str(folder / "run"), str(tmp_path / "asked.jsonl")],
            f"{tmp_path / 'asked.jsonl'}, line 2",
            words,
        )
    fails(trained({"image": picture, "question": "?", "answer": "x"}, "model.fusion=paralel"), "fusion", "parallel")
    fails(trained({"image": picture, "question": "?", "answer": "x"}, "training.batch_tokens=99"), "set batch")
    assert not (tmp_path / "r").exists()
    (tmp_path / "recipe.toml").write_text("")
    bare = ["train", str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "r")]
    fails([*bare, *settings(SHARED)], "data.drawn=9000")
    fails([*bare, *settings([*SHARED, "data.drawn=9"])], "at least 26×26", "8×8")
    fails(["evaluate", str(folder / "run")], "give --data FILE.jsonl")
    (tmp_path / "bad.jsonl").write_text(json.dumps({"image": picture, "question": "?", "answer": "reed"}) + "\n")
    fails(["evaluate", str(folder / "run"), "--data", str(tmp_path / "bad.jsonl")], "line 1", "did you mean 'red'")
    fails(["show", str(folder / "run"), "what is red?"], "no picture with a question", "'shape.png what")
    fails(["show", str(folder / "run"), "none.png what is red?"], "none.png does not exist")
    for blank in ("", " ", "  "):
        fails(["show", str(folder / "run"), picture + blank], "is no picture with a question: write both")
    (tmp_path / "in.jsonl").write_text('\n{"image": "a.png"}\n')
    fails(["predict", str(folder / "run"), str(tmp_path / "in.jsonl")], "line 2", '"question"')


def test_the_names_of_a_recipe_are_those_of_the_model() -> None:
    assert get_args(FusionName) == get_args(Fusing)
    for name in get_args(FusionName):
        part = VisualQuestionPart(widths=(8,), dim=8, hidden=5, output=7, grid_layers=1, fusion=name)
        visual_question(part, 3, 11, 5)


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"model": {"widths": []}}, "widths is empty"),
        ({"model": {"widths": [12]}}, "12 is no multiple of 8"),
        ({"model": {"dim": 6}}, "multiple of 4"),
        ({"model": {"dim": 12, "heads": 5, "fusion": "dense"}}, "heads = 5"),
        ({"data": {"drawn": 5, "data": "x"}}, "not both"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(tree: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        recipe_of(tree, "the recipe", VisualQuestionRecipe)
