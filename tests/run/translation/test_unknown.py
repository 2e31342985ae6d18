"""What stands for a word that the vocabulary lacks."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regard
from regard.batch import UNK
from regard.cli import main
from regard.config import Recipe, read_toml, recipe_of, write_toml
from regard.data import Tokenizer
from regard.decoding import Hypothesis
from regard.errors import UsageError
from regard.run import Model
from regard.run.translation import unknown
from regard.tasks.translation import Search

KNOWN = [f"w{number}" for number in range(30)]


def sentences(count: int, seed: int) -> list[list[str]]:
    """Three to six words, one of which is a name that is nowhere else."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        words = draw.choices(KNOWN, k=draw.randint(3, 6))
        words[draw.randrange(len(words))] = "n" + "".join(draw.choices("abcdefgh", k=6))
        found.append(words)
    return found


def translated(words: list[str]) -> str:
    """In capitals; names stay as they are."""
    return " ".join(word if word.startswith("n") else word.upper() for word in words)


def pairs(folder: Path, name: str, rows: list[list[str]]) -> dict[str, str]:
    source, target = folder / f"{name}.s", folder / f"{name}.t"
    source.write_text("".join(" ".join(words) + "\n" for words in rows))
    target.write_text("".join(translated(words) + "\n" for words in rows))
    return {"source": str(source), "target": str(target)}


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """It has learned to translate, and that names are unknown."""
    folder = tmp_path_factory.mktemp("names")
    valid = {f"valid_{side}": path for side, path in pairs(folder, "valid", sentences(60, 2)).items()}
    data = pairs(folder, "train", sentences(1200, 1)) | valid
    recipe: dict[str, Any] = {
        "data": {**data, "tokenizer": "words", "vocabulary": 100, "shared_vocabulary": False},
        "model": {"kind": "recurrent", "embedding": 32, "hidden": 64, "dropout": 0.0},
        "training": {
            "steps": 200,
            "batch_tokens": 256,
            "learning_rate": 1e-2,
            "precision": "fp32",
            "validate_every": 200,
        },
    }
    return regard.train(recipe, folder / "run", quiet=True)


def test_names_that_it_never_saw_are_taken_from_the_source(speaker: Model) -> None:
    rows = sentences(50, 3)
    lines, wanted = [" ".join(words) for words in rows], [translated(words) for words in rows]
    said = speaker.predict(lines)
    assert sum(each.text == text for each, text in zip(said, wanted, strict=True)) >= 45
    assert all("<unk>" in each.tokens for each in said), "the tokens are what was said"
    kept = speaker.predict(lines, search=speaker.search(unknown="keep"))
    assert all("<unk>" in each.text for each in kept) and [p.tokens for p in kept] == [p.tokens for p in said]
    forbidden = speaker.predict(lines, search=speaker.search(unknown="forbid"))
    assert not any("<unk>" in each.text or UNK in each.ids for each in forbidden)


def test_it_is_the_same_one_by_one_as_a_stream_and_among_several(speaker: Model) -> None:
    lines = [" ".join(words) for words in sentences(3, 4)]
    whole = speaker.predict(lines, nbest=3)
    for line, said in zip(lines, whole, strict=True):
        assert "<unk>" not in said.text and not any("<unk>" in other.text for other in said.alternatives)
        assert speaker.predict([line])[0].text == said.text
        *partials, last = speaker.stream(line)
        assert last.text == said.text
        assert all(last.text.startswith(each.settled) for each in partials), "what is settled changes no more"


def test_new_runs_replace_and_older_ones_keep(speaker: Model) -> None:
    assert speaker.recipe.decoding.unknown == "replace"
    assert Search.of(recipe_of({"task": "translation"}, "x", Recipe).decoding, 9).unknown == "keep"


def test_the_report_scores_what_is_said(speaker: Model, tmp_path: Path) -> None:
    """BLEU on 60 pairs, each of which has a name, cannot be nearly 100 without the names."""
    source = speaker.recipe.data.valid_source
    assert source is not None
    report = (Path(source).parent / "run" / "report.json").read_text()
    [value] = [each["value"] for each in json.loads(report)["scores"] if each["name"] == "BLEU"]
    assert value > 90


def test_what_it_may_be() -> None:
    with pytest.raises(UsageError, match="unknown is 'drop': write keep, replace, forbid"):
        Search(unknown="drop")  # type: ignore[arg-type]


# --- by hand --------------------------------------------------------------------------------------------------------


class Looking:
    """A network that has looked where it is told: the weights of each row, in order."""

    looks = True


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[list[float]]], None]:
    def act(rows: list[list[float]]) -> None:
        weights = np.array(rows, dtype=np.float32)[None, None]
        monkeypatch.setattr(unknown, "looked_at", lambda _, sources, __: [weights] * len(sources))

    return act


def text_of(source: Tokenizer, target: Tokenizer, line: str, ids: list[int], how: Search) -> str:
    network: Any = Looking()
    read = source.encode(line).ids
    [text] = unknown.texts(network, (source, target), [line], [read], [Hypothesis(ids, 0.0, [0.0], True)], how)
    return text


REPLACE = Search(unknown="replace")


def test_the_word_that_is_looked_at_most_stands_for_it(looked: Callable) -> None:
    words = Tokenizer.train("words", ["the dog the dog sees"] * 2, 50)
    [the] = words.encode("the").ids
    line = "the  Łódź नमस्ते"
    # A row for each token that was said and one for the end; a column for each word and one for the end.
    looked([[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.3, 0.1, 0.5], [0, 0, 0, 1.0]])
    assert text_of(words, words, line, [UNK, the, UNK], REPLACE) == "नमस्ते the Łódź"
    assert text_of(words, words, line, [UNK, the, UNK], replace(REPLACE, unknown="keep")) == "<unk> the <unk>"
    looked([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    assert text_of(words, words, line, [UNK], REPLACE) == "<unk>", "the end is no word"


def test_of_a_word_in_pieces_the_whole_stands_for_it(looked: Callable) -> None:
    letters = Tokenizer.train("characters", ["ab cd"] * 2, 50)
    words = Tokenizer.train("words", ["ab cd"] * 2, 50)
    # "ab cd" is a, b, space, c, d and the end: the second word has 0.3 + 0.25, though a alone has most.
    looked([[0.4, 0.0, 0.0, 0.3, 0.25, 0.05], [0, 0, 0, 0, 0, 1.0]])
    assert text_of(letters, words, "ab cd", [UNK], REPLACE) == "cd"


@pytest.mark.parametrize("kind", ["bpe", "unigram", "characters"])
def test_of_what_is_said_in_pieces_an_unknown_character_stands_for_an_unknown_one(kind: Any, looked: Callable) -> None:
    corpus = ["a man eats pizza", "a man eats", "the man eats pizza today"] * 20
    tokenizer = Tokenizer.train(kind, corpus, 60)
    line = "a man eats 🍕"
    ids = tokenizer.encode(line).ids
    assert ids.count(UNK) == 1 and tokenizer.tokens(ids)[ids.index(UNK)]
    # Nearly all is looked at the first token, which is known, and a little at the one that is not.
    row = [0.9] + [0.0] * len(ids)
    row[ids.index(UNK)] = 0.1
    looked([row] * (len(ids) + 1))
    assert text_of(tokenizer, tokenizer, line, ids, REPLACE) == line
    assert "🍕" not in text_of(tokenizer, tokenizer, line, ids, replace(REPLACE, unknown="keep"))


def test_a_text_that_spells_the_mark_is_a_text(looked: Callable) -> None:
    tokenizer = Tokenizer.train("bpe", ["a <unk> b <unk> c"] * 20, 60)
    ids = tokenizer.encode("a <unk> ż b").ids
    assert ids.count(UNK) == 1, "the letter is unknown and the mark is not"
    row = [0.0] * (len(ids) + 1)
    row[ids.index(UNK)] = 1.0
    looked([row] * (len(ids) + 1))
    assert text_of(tokenizer, tokenizer, "a <unk> ż b", ids, REPLACE) == "a <unk> ż b"


def test_a_network_that_does_not_look_keeps_them() -> None:
    words = Tokenizer.train("words", ["the dog"] * 2, 50)
    network: Any = type("Blind", (), {"looks": False})()
    said = Hypothesis([UNK], 0.0, [0.0], True)
    assert unknown.texts(network, (words, words), ["x"], [[UNK]], [said], REPLACE) == ["<unk>"]


def test_an_older_run_speaks_as_it_did(speaker: Model, tmp_path: Path) -> None:
    """Its recipe has no such key."""
    source = speaker.recipe.data.valid_source
    assert source is not None
    run = tmp_path / "older"
    shutil.copytree(Path(source).parent / "run", run)
    tree = read_toml(run / "recipe.toml")
    del tree["decoding"]["unknown"]
    (run / "recipe.toml").write_text(write_toml(tree))
    [said] = Model.load(run).predict([" ".join(sentences(1, 5)[0])])
    assert "<unk>" in said.text


def test_the_command_line_says_what_becomes_of_them(
    speaker: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = speaker.recipe.data.valid_source
    assert source is not None
    run, words = str(Path(source).parent / "run"), sentences(1, 3)[0]
    (tmp_path / "lines").write_text(" ".join(words) + "\n\n")
    said = {}
    for how in ([], ["--unknown", "keep"], ["--unknown", "forbid"], ["--stream"]):
        assert main(["predict", run, str(tmp_path / "lines"), *how]) == 0
        said[" ".join(how)], empty = capsys.readouterr().out.split("\n")[:2]
        assert empty == ""
    assert said[""] == said["--stream"] == translated(words)
    assert "<unk>" in said["--unknown keep"] and "<unk>" not in said["--unknown forbid"] != translated(words)
