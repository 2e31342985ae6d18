"""`regard demo` on a few hundred words: what it says and leaves behind, and what it never removes."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from rich.console import Console

import regard.run.demo as demo
from regard import build, load
from regard.embedded import pronunciations
from regard.errors import UsageError
from regard.run import RunFolder, demonstrate

Words = list[tuple[str, list[str]]]
TRAIN: Words = pronunciations("train")[::367][:300]
DEV: Words = pronunciations("dev")[::97][:13]
# A dictionary may well hold what is asked afterwards: neither must be learned from.
ASKED: Words = [("attention", ["AH T EH N SH AH N"]), ("physics", ["F IH Z IH K S"]), DEV[7]]


def few(split: Literal["train", "dev"]) -> Words:
    return [*TRAIN, *ASKED] if split == "train" else DEV


@pytest.fixture(autouse=True, scope="module")
def _few_words() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "pronunciations", few)
        patch.setattr(build, "device", lambda _: torch.device("cpu"))  # one that can be repeated needs settings
        yield


def said(out: Path, minutes: float = 0.05, again: bool = False) -> str:
    """All that is printed, in its order; the maps go to stdout past the console."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        demonstrate(out, minutes, Console(file=stream, width=200, soft_wrap=True, markup=False), again=again)
    return stream.getvalue()


def scores(text: str) -> list[str]:
    """The lines between the count of words and the examples."""
    lines = text.split("never saw:\n")[1].split("\n\n")[0].splitlines()
    return [line.strip() for line in lines]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Trained(Exception):
    """Stands for a training that would begin now."""


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise Trained

    monkeypatch.setattr(demo, "train", refuse)


@pytest.fixture(scope="module")
def first(_few_words: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of three seconds, and what it said."""
    out = tmp_path_factory.mktemp("demo") / "run"
    return out, said(out)


@pytest.fixture
def finished(first: tuple[Path, str], tmp_path: Path) -> Path:
    return shutil.copytree(first[0], tmp_path / "run")


def test_it_trains_scores_and_shows_five(first: tuple[Path, str]) -> None:
    out, text = first
    assert "13 other words" in text and "0.05 minutes" in text
    assert "On 13 words that it never saw:" in text
    assert [line.split()[0] for line in scores(text)] == ["WER", "PER"]
    lines = text.splitlines()
    predictions = load(out).predict(list(demo.EXAMPLES))
    assert len(predictions) == 5
    places = [lines.index(f"{p.source} → {p.text}") for p in predictions]
    assert places == sorted(places)
    for place, word in zip(places, demo.EXAMPLES, strict=True):
        assert lines[place + 1].split() == [*word, "</s>"]  # the map's head: letters, and the end as the model reads it
    page = (out / "attention.html").read_text(encoding="utf-8")
    assert all(word in page for word in demo.EXAMPLES) and str(out / "attention.html") in text


def test_scores_are_those_of_the_report(first: tuple[Path, str]) -> None:
    """All 13 words validate as well, so the two ways to score them must agree."""
    reported = RunFolder(first[0]).read_report()["scores"]
    assert isinstance(reported, list)
    printed = {line.split()[0]: float(line.split()[1]) for line in scores(first[1])}
    assert printed == {s["name"]: pytest.approx(s["value"], abs=0.051) for s in reported}


def test_what_is_asked_is_not_learned(first: tuple[Path, str]) -> None:
    data = first[0] / "cmudict"
    pairs = [line.split("\t") for line in (data / "train.tsv").read_text(encoding="utf-8").splitlines()]
    assert pairs == [[word, each] for word, several in TRAIN for each in several]
    pairs = [line.split("\t") for line in (data / "dev.tsv").read_text(encoding="utf-8").splitlines()]
    assert pairs == [[word, each] for word, several in DEV for each in several]


@pytest.mark.usefixtures("no_training")
def test_a_second_time_it_only_shows(first: tuple[Path, str], finished: Path) -> None:
    page = finished / "attention.html"
    page.unlink()
    before = contents(finished)
    text = said(finished)
    assert text.startswith(f"{finished} is trained already (--again trains it anew).\n")
    assert scores(text) == scores(first[1])
    assert (
        text.split("\nFive more")[1].split("The sounds again")[0]
        == first[1].split("\nFive more")[1].split("The sounds again")[0]
    )
    assert page.exists() and {p: b for p, b in contents(finished).items() if p != page} == before


def test_again_trains_anew(finished: Path) -> None:
    (finished / "from-before").touch()
    text = said(finished, minutes=0.001, again=True)
    assert "trained already" not in text and "0.001 minutes" in text and len(scores(text)) == 2
    folder = RunFolder(finished)
    assert folder.read_recipe().training.minutes == 0.001 and folder.read_report()["steps"] == 1
    assert not (finished / "from-before").exists() and (finished / "attention.html").exists()


@pytest.mark.usefixtures("no_training")
def test_an_unfinished_run_is_one_sentence(finished: Path) -> None:
    RunFolder(finished).report.unlink()
    before = contents(finished)
    with pytest.raises(UsageError, match=r"unfinished run: add --again .* or choose another --out") as caught:
        said(finished)
    assert str(finished) in str(caught.value) and "\n" not in str(caught.value)
    assert contents(finished) == before
    with pytest.raises(Trained):
        said(finished, again=True)
    assert {path.name for path in contents(finished)} == {"train.tsv", "dev.tsv"}


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("recipe", ['dish = "soup"\n', "2 onions, 1 carrot\n", None])
def test_a_folder_that_is_no_run_is_not_removed(tmp_path: Path, recipe: str | None) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    if recipe is not None:
        (tmp_path / "recipe.toml").write_text(recipe)
    before = contents(tmp_path)
    with pytest.raises(Trained if recipe is None else UsageError) as caught:
        said(tmp_path, again=True)
    assert contents(tmp_path).items() >= before.items()
    if recipe is not None:
        assert contents(tmp_path) == before and "recipe.toml" in str(caught.value)


@pytest.mark.parametrize(("load", "kept"), [(2.0, False), (0.1, True), (None, True)])
def test_it_makes_way_for_other_programs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load: float | None, kept: bool
) -> None:
    asked: list[int] = []

    def train(*arguments: object, **named: object) -> None:
        raise Trained

    monkeypatch.setattr(demo, "train", train)
    monkeypatch.setattr(demo, "load_before", lambda: load)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("regard.run.crowding._allowed", lambda: 2)
    with pytest.raises(Trained):
        said(tmp_path / "run")
    assert asked == ([] if kept else [1])
