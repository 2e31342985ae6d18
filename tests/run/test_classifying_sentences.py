"""Classification by a hierarchy of words and sentences: texts of which one sentence decides, and all have the same words."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import regard
from regard.cli import main
from regard.tasks import classification

SHARED = [
    "task=classification", "training.device=cpu", "training.precision=fp32", "model.pooling=hierarchical",
    "model.embedding=16", "model.hidden=12", "model.dropout=0.0", "model.output_dropout=0.0", "model.word_dropout=0.0",
    "training.batch_tokens=500", "training.warmup=5", "training.validate_every=30", "training.learning_rate=0.02",
    "data.vocabulary=40",
]  # fmt: skip
THINGS = ("soup", "rain")


def settings(keys: list[str]) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


def texts(count: int, seed: int) -> list[tuple[str, str]]:
    """Every text has both things and `now`, a sentence each or together; the class is what stands in one sentence with
    `now`. The order of words and of sentences is chance, so that words alone tell nothing."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        chosen = draw.choice(THINGS)
        parts = [[thing, draw.choice("abc"), "now" if thing == chosen else "then"] for thing in THINGS]
        parts.append([draw.choice("abc") for _ in range(draw.randint(1, 4))])
        for part in parts:
            draw.shuffle(part)
        draw.shuffle(parts)
        rows.append((" ".join(" ".join(part) + draw.choice([" .", " !", " ؟"]) for part in parts), chosen))
    return rows


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sentences")
    data = ["--data", str(write(made / "train.tsv", texts(400, 1)))]
    data += ["--valid-data", str(write(made / "valid.tsv", texts(80, 2)))]
    assert main(["train", *data, "--out", str(made / "run"), "--steps", "150", *settings(SHARED)]) == 0
    return made


def test_it_learns_what_stands_in_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder / "run"), "--data", str(folder / "valid.tsv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"][0]["name"] == "accuracy" and found["scores"][0]["value"] >= 95
    (folder / "in.txt").write_text("soup a now . rain then .\n\nrain b now ؟ c . then soup\n", encoding="utf-8")
    assert main(["predict", str(folder / "run"), str(folder / "in.txt")]) == 0
    assert capsys.readouterr().out.splitlines() == ["soup", "", "rain"]


def test_a_sentence_that_says_nothing_weighs_little(folder: Path) -> None:
    model = regard.load(folder / "run")
    idle = []
    for text, _ in texts(40, 5):
        _, weights, number = classification.levels(model.network, model._ids([text])[0])
        words = model.reader.split_words(text)
        parts = [[word for word, i in zip(words, number, strict=False) if i == n] for n in range(3)]
        idle += [float(weights[n]) for n, part in enumerate(parts) if not {"soup", "rain"} & set(part)]
    assert len(idle) == 40 and np.mean(idle) < 0.15, "a blind pooling gives it a third"


def test_a_text_is_cut_where_its_sentences_end(folder: Path) -> None:
    model = regard.load(folder / "run")
    text = "soup a now . rain then ! c"
    [ids] = model._ids([text])
    words, sentences, number = classification.levels(model.network, ids)
    assert number.tolist() == [0] * 5 + [1] * 4 + [2] * 2  # each with its end
    assert float(sentences.sum()) == pytest.approx(1, abs=1e-5)
    assert [float(words[number == i].sum()) for i in range(3)] == pytest.approx([1, 1, 1], abs=1e-5)
    [together] = classification.look(model.network, [ids])
    np.testing.assert_allclose(together[0], words * sentences[number], atol=1e-6)
    # Without its stops it is one sentence, and the same words say something else.
    [plain] = model._ids(["soup a now rain then c"])
    assert classification.levels(model.network, plain)[1].shape == (1,)


def test_words_and_sentences_are_shown_with_their_weights(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "b c . rain now ! soup then a"
    page = tmp_path / "a.html"
    assert main(["show", str(folder / "run"), text, "--html", str(page)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "rain" in out[0]
    model = regard.load(folder / "run")
    seen = model.attention(text)
    assert seen.source_words == ["b", "c", ".", "</s>", "rain", "now", "!", "</s>", "soup", "then", "a", "</s>"]
    assert len(seen.target) == 4 and seen.target[0] == "the text"
    _, weights, _ = classification.levels(model.network, model._ids([text])[0])
    for i, sentence in enumerate(("b c .", "rain now !", "soup then a")):
        assert f"{weights[i]:6.1%}  {i + 1}. {sentence}" in out
        assert seen.target[i + 1] == f"sentence {i + 1} ({weights[i]:.1%})"
        assert seen.target[i + 1] in page.read_text(encoding="utf-8")
    rows = seen.words()
    np.testing.assert_allclose(rows.sum(axis=1), np.ones(4), atol=1e-5)
    np.testing.assert_allclose(weights @ rows[1:], rows[0], atol=1e-5)
    assert not rows[1, 4:].any() and not rows[2, :4].any() and not rows[2, 8:].any()


def test_a_long_text_is_cut_and_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = regard.load(folder / "run")
    limit = model.recipe.data.max_length
    text = "soup now . " * (limit // 4) + "rain then ."  # of four tokens each, with the mark
    assert len(model.reader.encode(text).ids) == limit + 3
    note = f"{limit + 3} tokens are more than data.max_length = {limit}, so only the first {limit} were read"
    assert main(["show", str(folder / "run"), text]) == 0
    assert note in capsys.readouterr().out.splitlines()[-1]
    assert model.predict([text])[0].probabilities == pytest.approx(
        model.predict(["soup now . " * (limit // 4)])[0].probabilities, abs=1e-3
    )
    assert model.notes("soup zz now .") == ["1 of 4 tokens are unknown to the model"]


def test_texts_of_nothing_and_of_one_endless_sentence(folder: Path) -> None:
    model = regard.load(folder / "run")
    longest = model.recipe.model.longest_sentence
    found = model.predict(["", "a " * (3 * longest), "。。。", "👩‍👩‍👧‍👦"])
    assert all(float(each.probabilities.sum()) == pytest.approx(1) for each in found)
    [ids] = model._ids(["a " * (3 * longest)])
    number = classification.levels(model.network, ids)[2]
    assert number.tolist() == [i // longest for i in range(3 * longest + 1)]
    model.attention("a " * (3 * longest))
    assert model.shown("a " * (3 * longest), 80, False).splitlines()[3].endswith(("a", "%"))


def test_what_has_no_encoder_is_not_embedded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(folder / "run"), "soup now", "--word", "soup"]) == 2
    assert "reads each sentence apart" in capsys.readouterr().err


def test_it_goes_on_and_is_packed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(folder / "train.tsv"), "--valid-data", str(folder / "valid.tsv")]
    keys = settings([*SHARED, "training.schedule=constant", "training.save_every=5"])
    assert main(["train", *data, "--out", str(tmp_path / "whole"), "--steps", "10", *keys]) == 0
    assert main(["train", *data, "--out", str(tmp_path / "parts"), "--steps", "5", *keys]) == 0
    assert main(["train", "--out", str(tmp_path / "parts"), "--resume", "--steps", "10"]) == 0
    rows = texts(20, 3)
    one, two = (regard.load(tmp_path / name).predict([text for text, _ in rows]) for name in ("whole", "parts"))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)
    assert main(["pack", str(folder / "run"), str(tmp_path / "small")]) == 0
    packed, whole = regard.load(tmp_path / "small"), regard.load(folder / "run")
    said = [[each.label for each in model.predict([text for text, _ in rows])] for model in (packed, whole)]
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("model.encoder=transformer", 'encoder = "transformer" does not go with it'),
        ("model.pretrained=runs/x", "pretrained does not go with it"),
        ("model.penalty=0.1", "penalty keeps several looks apart"),
        ("model.longest_sentence=0", "longest_sentence"),
        ("model.pooling=hierarchial", "'model.pooling' is \"hierarchial\""),
    ],
)
def test_bad_keys_are_one_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, sentence: str
) -> None:
    data = ["--data", str(folder / "train.tsv"), "--out", str(tmp_path / "run")]
    assert main(["train", *data, *settings([*SHARED, key])]) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said and "\n" not in said
