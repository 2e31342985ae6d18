"""Questions about pictures by the commands: drawn ones, and lines of JSONL that name files."""

from __future__ import annotations

import json
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
from regard.errors import UsageError
from regard.models.visual_question import Fusing

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


def test_drawn_pictures_are_told_by_kind_and_a_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    recipe = tmp_path / "drawn.toml"
    recipe.write_text("[data]\ndrawn = 30\n")
    keys = settings([*SHARED, "data.height=26", "data.width=26", "training.save_every=4"])
    assert main(["train", str(recipe), "--out", out, "--steps", "4", *keys]) == 0
    assert main(["train", "--out", out, "--resume", "--steps", "6"]) == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 6
    capsys.readouterr()
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
    fails(trained({"image": "broken.png", "question": "what?", "answer": "x"}), "broken.png is")
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
