"""The nearest training pairs: against vectors written out in full, and with what lies about in folders."""

from __future__ import annotations

import math
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from regard.batch import UNK
from regard.config import Recipe, recipe_of, write_toml
from regard.data import Tokenizer, build_corpus
from regard.errors import UsageError
from regard.run import RunFolder
from regard.run.translation import nearest
from regard.run.translation.nearest import Example, Nearest

WORDS = ["ein", "zwei", "六", "سبعة", "नौ", "élf", "👩‍👧", "don't", "e\u0301t", "дом", "a"]
Pairs = Sequence[tuple[str, str]]


def drawn(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Short lines of few words, so that many are alike and some the same."""
    draw = random.Random(seed)
    lines = [" ".join(draw.choices(WORDS, range(len(WORDS), 0, -1), k=draw.randint(1, 7))) for _ in range(count)]
    return [(line, draw.choice(["x", "y z", line[::-1]])) for line in lines]


def run_of(path: Path, pairs: Pairs, kind: str = "words", *, known: Sequence[str] = (), mark: str = "1") -> Path:
    """A run folder as training leaves it, but for the network."""
    path.mkdir(exist_ok=True)
    recipe = recipe_of(
        {
            "data": {"shared_vocabulary": True, "max_length": 29, "source": "gone.en", "target": "gone.de"},
            "model": {"kind": "recurrent", "hidden": 4, "embedding": 4},
        }
    )
    folder = RunFolder(path)
    folder.recipe.write_text(write_toml(recipe.model_dump(mode="json")), encoding="utf-8")
    lines = known or [side for pair in pairs for side in pair] * 2
    tokenizer = Tokenizer.train(kind, lines, 97)  # type: ignore[arg-type]
    tokenizer.save(folder.tokenizer("source", True))
    triples = [(number, *pair) for number, pair in enumerate(pairs, start=1)]
    build_corpus(triples, tokenizer, tokenizer, folder.corpus, fingerprint=mark, max_length=29)
    return path


def opened(path: Path) -> Nearest:
    found = Nearest.open(path)
    assert found is not None
    return found


def by_hand(path: Path, pairs: Pairs, text: str, count: int) -> list[tuple[str, str, float]]:
    """All pairs, by dictionaries and dense vectors of numpy: no index, no sorting of terms."""
    tokenizer = Tokenizer.load(path / "tokenizer.json")
    targets: dict[tuple[int, ...], Counter[tuple[int, ...]]] = {}
    for source, target in pairs:  # a Counter keeps the order of the first
        ids = [tuple(tokenizer.encode(side).ids) for side in (source, target)]
        if max(map(len, ids)) <= 29:
            targets.setdefault(ids[0], Counter())[ids[1]] += 1
    sources = list(targets)

    def terms(ids: Sequence[int], name: str) -> Counter[Any]:
        found: Counter[Any] = Counter()
        for place, (one, two) in enumerate(zip(ids, [*ids[1:], None], strict=True)):
            if one == UNK or not tokenizer.tokens([one])[0].strip(" ▁"):
                found[(name, place) if one == UNK else None] += 1
            else:
                found[one,] += 1
            if two is not None:
                found[(name, place, "2") if UNK in (one, two) else (one, two)] += 1
        del found[None]
        return found

    bags = [terms(ids, f"source {n}") for n, ids in enumerate(sources)]
    asked = terms(tokenizer.encode(text).ids[:29], "asked")
    columns = {term: n for n, term in enumerate(dict.fromkeys(t for bag in [asked, *bags] for t in bag))}
    counts = np.zeros((len(bags) + 1, len(columns)))
    for row, bag in enumerate([*bags, asked]):
        for term, times in bag.items():
            counts[row, columns[term]] = times
    held = np.maximum((counts[:-1] > 0).sum(0), 1)
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * np.log1p(len(bags) / held)
    similar = weights[:-1] @ weights[-1]
    lengths = np.linalg.norm(weights, axis=1)
    near = [0.0 if s == 0 else round(s / (lengths[n] * lengths[-1]), 9) for n, s in enumerate(similar)]
    best = sorted((n for n, s in enumerate(near) if s > 0), key=lambda n: (-near[n], n))[:count]
    decoded = [(sources[n], targets[sources[n]].most_common(1)[0][0]) for n in best]
    return [(tokenizer.decode(s), tokenizer.decode(t), near[n]) for (s, t), n in zip(decoded, best, strict=True)]


@pytest.mark.parametrize("kind", ["words", "bpe", "unigram", "characters"])
@pytest.mark.parametrize("at_once", [1, 40, 4_000_000])
def test_it_is_what_full_vectors_say(tmp_path: Path, kind: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "SLICE", at_once)
    pairs = drawn(211)
    assert len({source for source, _ in pairs}) < 200  # some occur again
    run = run_of(tmp_path / "run", pairs, kind, known=[f"{a} {b}" for a, b in pairs[:13]] * 2)
    found = opened(run)
    asked = [
        "ein",
        "zwei ein ein 六",
        "سبعة नौ",
        "дом дом дом дом",
        "unheard ein",
        "a  zwei",
        pairs[5][0],
        "👩‍👧 élf a",
    ]
    told = 0
    for text in [*asked, *(source for source, _ in pairs[::37])]:
        whole = by_hand(run, pairs, text, 500)
        for count in (1, 5, 500):
            expected = whole[:count]
            said = found.examples(text, count)
            assert [(e.source, e.target) for e in said] == [row[:2] for row in expected]
            np.testing.assert_allclose([e.similarity for e in said], [row[2] for row in expected], atol=2e-9)
            told += len(said)
    assert told > 500


def test_a_cosine_by_hand(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [("a b", "1"), ("b", "2"), ("c c", "3")])
    # Of three sources a, ab, c and cc stand in one, b in two. Asked: b, with nothing else.
    one, two = math.log(1 + 3 / 1), math.log(1 + 3 / 2)
    cosine = two / math.sqrt(one**2 + two**2 + one**2)
    assert opened(run).examples("b") == [Example("b", "2", 1.0), Example("a b", "1", round(cosine, 9))]
    # c twice weighs (1 + ln 2) as much as once, and cc is a term of its own.
    twice = 1 + math.log(2)
    [found] = opened(run).examples("c")
    assert found.similarity == pytest.approx(twice / math.sqrt(twice**2 + 1), abs=1e-9)


def test_a_source_stands_once_with_its_commonest_target(tmp_path: Path) -> None:
    pairs = [("a", "1"), ("b", "9"), ("a", "2"), ("a", "3"), ("a", "2"), ("b", "8"), ("a", "3")]
    run = run_of(tmp_path / "run", pairs)
    assert opened(run).examples("a") == [Example("a", "2", 1.0)]  # 2 and 3 twice each, 2 before 3
    assert opened(run).examples("b") == [Example("b", "9", 1.0)]


def test_equals_come_in_the_order_of_the_corpus(tmp_path: Path) -> None:
    names = [f"w{n}" for n in range(41)]
    random.Random(2).shuffle(names)
    run = run_of(tmp_path / "run", [(f"{name} same", name) for name in names])
    assert [example.target for example in opened(run).examples("same", 7)] == names[:7]


def test_what_has_nothing_in_common_is_not_told(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [("a b", "1"), ("odd b", "2"), ("odd", "3")], known=["a b 1 2 3"] * 2)
    found = opened(run)
    for text in ("", " \t\n", "never heard", "odd", "\u200b", "\ud800", "1"):
        assert found.examples(text) == []  # "odd" is unknown here, and like no other unknown word
    assert found.examples("a b", 0) == []
    first, second = found.examples("a b")
    assert (first.similarity, second.source) == (1.0, "<unk> b")
    assert second.similarity < first.similarity


def test_white_space_is_in_common_with_nothing(tmp_path: Path) -> None:
    pairs = [("ab ab", "x"), ("ab  ba", "y")]
    run = run_of(tmp_path / "run", pairs, "characters")
    tokenizer = Tokenizer.load(run / "tokenizer.json")
    assert " " in tokenizer.tokens(tokenizer.encode("ab ab").ids)  # or this shows nothing
    assert opened(run).examples("中 中") == []


def test_a_huge_text_is_read_as_far_as_the_model_reads(tmp_path: Path) -> None:
    pairs = drawn(53)
    run = run_of(tmp_path / "run", pairs)
    beginning = " ".join(["ein zwei a"] * 10)  # 30 words, of which the model reads 29
    found = opened(run)
    assert found.examples(beginning + " дом" * 200_000) == found.examples(beginning) != []


def test_a_corpus_of_nothing_has_no_examples(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [], known=["a b"] * 2)
    assert opened(run).examples("a") == []
    one = run_of(tmp_path / "one", [("a", "b")])
    assert opened(one).examples("a") == [Example("a", "b", 1.0)]
    sides = run_of(tmp_path / "sides", [("", "b"), ("a", ""), ("", "b")], known=["a b"] * 2)
    assert opened(sides).examples("a") == [Example("a", "", 1.0)]


# --- folders --------------------------------------------------------------------------------------------------------


def test_a_run_without_its_corpus_has_none(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", drawn(7))
    (run / "corpus" / "ids.bin").write_bytes(b"\0")
    assert Nearest.open(run) is None
    shutil.rmtree(run / "corpus")
    assert Nearest.open(run) is None and Nearest.open(RunFolder(run)) is None and Nearest.open(str(run)) is None
    with pytest.raises(UsageError, match="does not exist"):
        Nearest.open(tmp_path / "nowhere")


@pytest.mark.parametrize("other", ["vocabulary", "length"])
def test_a_corpus_that_the_recipe_cannot_have_made_is_none(tmp_path: Path, other: str) -> None:
    run = run_of(tmp_path / "run", drawn(31))
    if other == "vocabulary":
        Tokenizer.train("words", ["a a"], 50).save(run / "tokenizer.json")
    else:
        text = (run / "recipe.toml").read_text(encoding="utf-8")
        (run / "recipe.toml").write_text(re.sub("max_length = 29", "max_length = 2", text), encoding="utf-8")
    assert Nearest.open(run) is None


def test_a_large_index_is_kept_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = drawn(101)
    run = run_of(tmp_path / "run", pairs)
    expected = opened(run).examples("ein zwei", 9)
    file = run / "corpus" / "nearest.bin"
    assert not file.exists()  # a small one is not worth a file
    monkeypatch.setattr(nearest, "WORTH_KEEPING", 1)
    assert opened(run).examples("ein zwei", 9) == expected
    assert file.exists() and not list(file.parent.glob("*.part"))
    monkeypatch.setattr(nearest.Index, "of", lambda *_: pytest.fail("it is not made again"))
    assert opened(run).examples("ein zwei", 9) == expected


def _cut(data: bytes) -> bytes:
    return data[:-8]


def _flipped(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


def _other_version(data: bytes) -> bytes:
    return data.replace(b'"mark": "', b'"mark": "0', 1)


def _foreign(_: bytes) -> bytes:
    return b"PK\x03\x04" + bytes(range(256)) * 20


def _list(data: bytes) -> bytes:
    return b"[1]".ljust(1023) + b"\n" + data[1024:]


@pytest.mark.parametrize("spoilt", [_cut, _flipped, _other_version, _foreign, _list, lambda _: b"", lambda d: d[:1024]])
def test_a_corrupt_index_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: Any) -> None:
    monkeypatch.setattr(nearest, "WORTH_KEEPING", 1)
    run = run_of(tmp_path / "run", drawn(101))
    expected = opened(run).examples("ein zwei")
    file = run / "corpus" / "nearest.bin"
    whole = file.read_bytes()
    file.write_bytes(spoilt(whole))
    assert opened(run).examples("ein zwei") == expected
    assert file.read_bytes() == whole


def test_another_corpus_has_another_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "WORTH_KEEPING", 1)
    run = run_of(tmp_path / "run", [("a b", "1"), ("c", "2")])
    before = opened(run)
    assert before.examples("a b") == [Example("a b", "1", 1.0)]
    old = (run / "corpus" / "nearest.bin").read_bytes()
    run_of(run, [("c", "2"), ("a b", "3")], known=["a b c 1 2 3"] * 2, mark="2")
    (run / "corpus" / "nearest.bin").write_bytes(old)  # even if it were left
    assert opened(run).examples("a b") == [Example("a b", "3", 1.0)]


@pytest.mark.parametrize("function", ["replace", "open"])
def test_a_folder_that_cannot_be_written_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    monkeypatch.setattr(nearest, "WORTH_KEEPING", 1)
    run = run_of(tmp_path / "run", drawn(101))
    real = open

    def refuse(path: Any, mode: str = "r", **options: Any) -> Any:
        if function == "replace" or ("w" in mode and ".part" in str(path)):
            raise OSError(30, "Read-only file system")
        return real(path, mode, **options)

    if function == "replace":
        monkeypatch.setattr(os, "replace", refuse)
    else:
        monkeypatch.setattr("builtins.open", refuse)
    pairs = drawn(101)
    expected = by_hand(run, pairs, "ein zwei", 5)
    assert [(e.source, e.target) for e in opened(run).examples("ein zwei")] == [row[:2] for row in expected]
    assert not [path.name for path in (run / "corpus").iterdir() if path.name.startswith("nearest")]


def test_sides_with_their_own_tokenizers_are_read_by_them(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [("a b", "1")])
    text = (run / "recipe.toml").read_text(encoding="utf-8")
    (run / "recipe.toml").write_text(text.replace("shared_vocabulary = true", "shared_vocabulary = false"))
    source, target = Tokenizer.train("words", ["a b"] * 2, 9), Tokenizer.train("words", ["六 سبعة b a"] * 2, 9)
    source.save(run / "source.tokenizer.json")
    target.save(run / "target.tokenizer.json")
    build_corpus([(1, "b a", "六 a")], source, target, run / "corpus", fingerprint="2", max_length=29)
    assert opened(run).examples("b a") == [Example("b a", "六 a", 1.0)]


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_prints_them_or_says_why_not(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from regard.cli.app import app
    from regard.run.translation.model import new_network
    from regard.training.checkpoint import parameters_of

    pairs = [("a b", "六"), ("a c", "नौ")]
    run = run_of(tmp_path / "run", pairs)
    recipe = RunFolder(run).read_recipe_of(Recipe)
    tokenizer = Tokenizer.load(run / "tokenizer.json")
    network = new_network(recipe, tokenizer, tokenizer)
    save_file({name: each.clone() for name, each in parameters_of(network).items()}, run / "model.safetensors")
    said = CliRunner().invoke(app, ["show", str(run), "a b", "--nearest"])
    assert said.exit_code == 0
    assert "nearest training pairs\n1.00  a b\n      六\n0." in said.stdout
    assert "a c\n      नौ\n" in said.stdout
    assert "nearest" not in CliRunner().invoke(app, ["show", str(run), "a b"]).stdout
    shutil.rmtree(run / "corpus")
    said = CliRunner().invoke(app, ["show", str(run), "a b", "--nearest"])
    assert said.exit_code == 0
    assert "keeps no training pairs" in said.stderr
