"""Word alignments of given pairs: from weights made by hand to the command, on a corpus whose order is known."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from regard.cli import main
from regard.data import Tokenizer
from regard.errors import UsageError
from regard.evaluation import Gold
from regard.run import AlignmentChoice, Alignments, Model, Wanted, forced_attention
from regard.run.aligning import alignments, forcing
from regard.run.aligning.choosing import (
    best_by_agreement,
    best_by_gold,
    choices,
    default_choice,
    link_table,
    links_of,
    turn,
)
from regard.run.aligning.forcing import Side, side, spelled, target_words

TEXTS = [
    "我 喜欢 猫 。",
    "cafe\u0301 noir , s'il vous plai\u0302t",
    "👩‍👩‍👧 loves 🇫🇷 !",
    "  a   longer\u3000line\u00a0of words ",
    "x",
]


def links(text: str) -> frozenset[tuple[int, int]]:
    return frozenset((int(a), int(b)) for a, b in (link.split("-") for link in text.split()))


# --- words and tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["words", "bpe", "unigram", "characters"])
@pytest.mark.parametrize("text", [*TEXTS, "never seen ☃ ሰላም"])
def test_a_token_belongs_to_the_word_in_which_its_letters_lie(kind: Any, text: str) -> None:
    tokenizer = Tokenizer.train(kind, TEXTS * 3, 300)
    found = side(tokenizer, text)
    spans = [match.span() for match in re.finditer(r"\S+", text.strip())]
    assert found.words == len(spans)
    assert len(found.parts) == len(found.ids) > 0
    for (start, end), (first, after) in zip(tokenizer.encode(text).offsets, found.parts, strict=True):
        touched = [n for n, (a, b) in enumerate(spans) if max(a, start) < min(b, end)]
        # A token of white space alone is part of the word before it or after it.
        assert touched == list(range(first, after)) if touched else after == first + 1 <= len(spans)
    assert {word for part in found.parts for word in range(*part)} == set(range(len(spans)))


def test_letters_are_words_only_where_no_line_has_two_words() -> None:
    tokenizer = Tokenizer.train("characters", ["cafe\u0301 猫👩‍👩‍👧"] * 2, 50)
    assert spelled(tokenizer, ["cafe\u0301", "", " 猫👩‍👩‍👧\n"])
    assert not spelled(tokenizer, ["cafe\u0301", "", "猫 👩‍👩‍👧"])
    assert not spelled(Tokenizer.train("words", ["a", "a"], 50), ["a"])
    ids = tokenizer.encode("cafe\u0301").ids
    assert side(tokenizer, "cafe\u0301", letters=True) == Side(ids, [(0, 1), (1, 2), (2, 3), (3, 4)], 4)  # é is one
    assert side(tokenizer, "cafe\u0301") == Side(ids, [(0, 1)] * 4, 1)
    assert side(tokenizer, "猫👩‍👩‍👧", letters=True).words == 2
    assert side(tokenizer, " \t") == side(tokenizer, "", letters=True) == Side([], [], 0)


# --- weights ---------------------------------------------------------------------------------------------------------

# 1 layer, 2 heads, 3 target tokens and the end, 3 source tokens and the end.
HEAD_0 = [[0.5, 0.2, 0.3, 0.0], [0.1, 0.1, 0.2, 0.6], [0.0, 0.0, 1.0, 0.0], [0.3, 0.3, 0.4, 0.0]]
HEAD_1 = [[0.1, 0.1, 0.8, 0.0], [0.0, 0.0, 0.9, 0.1], [0.2, 0.5, 0.0, 0.3], [0.0, 0.0, 0.0, 1.0]]
WEIGHTS = np.array([[HEAD_0, HEAD_1]], dtype=np.float32)
SOURCE, TARGET = Side([7, 8, 9], [(0, 1), (0, 1), (1, 2)], 2), Side([4, 5, 6], [(0, 1), (0, 1), (1, 2)], 2)


def test_weights_of_source_tokens_add_up_and_the_end_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(network: Any, sources: Sequence[list[int]], said: Sequence[Any], *, align: bool) -> list[Any]:
        assert network == "network" and sources == [[7, 8, 9]] and [h.ids for h in said] == [[4, 5, 6]]
        assert said[0].finished and align
        return [WEIGHTS]

    monkeypatch.setattr(forcing, "attention_weights", looked)
    [(number, found)] = forced_attention("network", [SOURCE], [TARGET])  # type: ignore[arg-type]
    assert number == 0 and found.dtype == np.float32 and found.shape == (1, 2, 4, 2)
    np.testing.assert_allclose(found[0, 0], [[0.7, 0.3], [0.2, 0.2], [0, 1], [0.6, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(found[0, 1], [[0.2, 0.8], [0, 0.9], [0.7, 0], [0, 0]], rtol=1e-6)


def test_batches_hold_each_pair_once_and_no_more_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, sizes = random.Random(5), []
    sources = [Side([draw.randint(4, 9)] * n, [(0, 1)] * n, 1) for n in (draw.randint(1, 13) for _ in range(53))]
    targets = [Side([4] * n, [(0, 1)] * n, 1) for n in (draw.randint(1, 13) for _ in range(53))]

    def looked(_: Any, ids: Sequence[list[int]], said: Sequence[Any], *, align: bool) -> list[Any]:
        area = (max(map(len, ids)) + 1) * (max(len(h.ids) for h in said) + 1)
        sizes.append((len(ids), area))
        return [np.full((1, 1, len(h.ids) + 1, len(i) + 1), sum(i)) for i, h in zip(ids, said, strict=True)]

    monkeypatch.setattr(forcing, "attention_weights", looked)
    monkeypatch.setattr(forcing, "AREA", 100)
    found = dict(forced_attention(None, sources, targets))  # type: ignore[arg-type]
    assert sorted(found) == list(range(53)) and sum(count for count, _ in sizes) == 53
    assert any(count > 1 for count, _ in sizes) and any(area > 100 for _, area in sizes)
    for number, weights in found.items():
        assert weights.shape == (1, 1, len(targets[number].ids) + 1, 1)
        assert weights[0, 0, 0, 0] == sum(sources[number].ids) * len(sources[number].ids)


def test_a_target_word_is_read_from_its_own_rows_or_from_those_after() -> None:
    forced = WEIGHTS[..., :-1] @ np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    said, read = target_words(forced, TARGET)
    np.testing.assert_allclose(said[0], [[[0.45, 0.25], [0, 1]], [[0.1, 0.85], [0.7, 0]]], rtol=1e-6)
    np.testing.assert_allclose(read[0], [[[0.1, 0.6], [0.6, 0.4]], [[0.35, 0.45], [0, 0]]], rtol=1e-6)
    table = link_table(said, read)
    # The mean of both heads first, then each head.
    assert table[0, 0].tolist() == [[1, 1], [0, 1], [1, 0]]
    assert table[1, 0].tolist() == [[1, 0], [1, 0], [1, -1]]
    assert links_of(table, AlignmentChoice(0, 0, "output")) == links("0-0 1-1")
    assert links_of(table, AlignmentChoice(0, 1, "input")) == links("1-0")
    assert links_of(table, AlignmentChoice(0, None, "input")) == links("1-0 0-1")


def test_a_token_that_is_part_of_two_words_counts_for_both() -> None:
    weights = np.array([[[[0.6], [0.2], [0.9]]]], dtype=np.float32)
    said, read = target_words(weights, Side([4, 5], [(0, 2), (1, 2)], 2))
    np.testing.assert_allclose(said[0, 0], [[0.6], [0.4]], rtol=1e-6)
    np.testing.assert_allclose(read[0, 0], [[0.2], [0.55]], rtol=1e-6)


# --- choosing --------------------------------------------------------------------------------------------------------


def test_without_anything_to_choose_by_it_is_the_layer_below_the_last() -> None:
    assert [default_choice(layers).layer for layers in (1, 2, 3, 6)] == [0, 1, 1, 4]
    assert default_choice(6) == AlignmentChoice(4, None, "output")


def test_what_is_set_by_hand_stays_and_the_default_comes_first() -> None:
    every = choices(3, 5, Wanted(), default_choice(3), "run")
    assert len(every) == len(set(every)) == 3 * 6 * 2 and every[0] == default_choice(3)
    some = choices(3, 5, Wanted(2, "mean"), default_choice(3), "run")
    assert some == [AlignmentChoice(2, None, "output"), AlignmentChoice(2, None, "input")]
    assert choices(3, 5, Wanted(0, 0, "input"), default_choice(3), "run") == [AlignmentChoice(0, 0, "input")]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"layer": 3}, r"no layer 3 in some-run: it has layers 0 to 2"),
        ({"layer": -1}, r"no layer -1 in some-run"),
        ({"head": 5}, r"no head 5 in some-run: it has heads 0 to 4"),
        ({"shift": "left"}, r"'left'; it must be output or input"),
    ],
)
def test_what_a_model_lacks_cannot_be_wanted(wanted: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        choices(3, 5, Wanted(**wanted), default_choice(3), "some-run")


def random_tables(draw: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> list[Any]:
    """[2, 2 layers, 3 heads + 1, target words], some words without a link."""
    return [draw.integers(-1, sources, (2, 2, 4, targets)) for sources, targets in sizes]


def test_agreement_is_the_overlap_of_both_directions() -> None:
    draw = np.random.default_rng(3)
    sizes = [(2, 3), (5, 1), (1, 4), (3, 3), (4, 2)]
    every = choices(2, 3, Wanted(), default_choice(2), "run")
    for _ in range(7):
        forward, backward = random_tables(draw, sizes), random_tables(draw, [(t, s) for s, t in sizes])

        def overlap(there: AlignmentChoice, back: AlignmentChoice, both: Any = (forward, backward)) -> float:
            a = {(n, link) for n, table in enumerate(both[0]) for link in links_of(table, there)}
            b = {(n, link) for n, table in enumerate(both[1]) for link in turn(links_of(table, back))}
            return 2 * len(a & b) / (len(a) + len(b))

        best = max(overlap(a, b) for a, b in itertools.product(every, every) if a.shift == b.shift)
        found = best_by_agreement(forward, backward, every, every)
        assert overlap(*found) == pytest.approx(best)
        assert found[0].shift == found[1].shift
    # Of equals the first.
    same = [np.zeros((2, 2, 4, 1), dtype=int)]
    assert best_by_agreement(same, same, every, every) == (default_choice(2), default_choice(2))


@pytest.mark.parametrize("turned", [False, True])
def test_gold_links_choose_what_has_the_lowest_error(turned: bool) -> None:
    # Output of head 0 has one link right of two, its input both, all else none; possible links are no error.
    table = np.full((2, 1, 3, 2), -1)
    table[0, 0, 1], table[1, 0, 1], table[0, 0, 2] = [0, 0], [1, 0], [1, 1]
    right = links("1-0 0-1")
    right = turn(right) if turned else right
    every = choices(1, 2, Wanted(), default_choice(1), "run")
    assert best_by_gold([table], [Gold(right, right)], every, turned) == AlignmentChoice(0, 0, "input")
    half = links("0-1")
    gold = Gold(turn(half) if turned else half, turn(links("0-0 0-1")) if turned else links("0-0 0-1"))
    assert best_by_gold([table], [gold], every, turned) == AlignmentChoice(0, 0, "output")


# --- pairs, with models that look where a dictionary says ---------------------------------------------------------


WORDS = "die Katze sitzt auf Matten the cat sits on mats"
TOKENIZER = Tokenizer.train("words", [WORDS, WORDS], 30)


class Looking:
    """A network of one layer and one head; token b looks at the token a of `partner[b]`."""

    says_which = False
    sums_alignments = False
    looks = True

    def __init__(self, partner: dict[str, str]) -> None:
        self.partner = partner


def looking(network: Looking, sources: Sequence[list[int]], said: Sequence[Any], *, align: bool) -> Iterator[Any]:
    for ids, hypothesis in zip(sources, said, strict=True):
        weights = np.zeros((1, 1, len(hypothesis.ids) + 1, len(ids) + 1), dtype=np.float32)
        words = TOKENIZER.tokens(ids)
        for row, word in enumerate(TOKENIZER.tokens(hypothesis.ids)):
            if network.partner.get(word) in words:
                weights[0, 0, row, words.index(network.partner[word])] = 1
        yield weights


def model(name: str, partner: dict[str, str], tokenizer: Tokenizer = TOKENIZER, max_length: int = 7) -> Any:
    recipe = SimpleNamespace(data=SimpleNamespace(max_length=max_length))
    return SimpleNamespace(
        name=name, network=Looking(partner), recipe=recipe, source_tokenizer=tokenizer, target_tokenizer=tokenizer
    )


@pytest.fixture
def _look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forcing, "attention_weights", looking)


PAIRS = [("die Katze sitzt", "the cat sits"), ("sitzt die Katze", "cat sits on"), ("", "the"), ("die auf", "on mats")]
# From German to English: for each English word the German one it looks at; and the other way round.
FORWARD = {"the": "die", "cat": "Katze", "sits": "Katze", "on": "auf"}
BACKWARD = {"die": "the", "Katze": "cat", "sitzt": "sits", "auf": "on"}


def aligned(there: Any, **options: Any) -> list[str]:
    found = Alignments(there, PAIRS, **options)
    return [" ".join(f"{a}-{b}" for a, b in sorted(one.links)) for one in found]


@pytest.mark.usefixtures("_look")
def test_each_target_word_has_the_source_word_it_looks_at() -> None:
    assert aligned(model("there", FORWARD)) == ["0-0 1-1 1-2", "2-0 2-1", "", "1-0"]
    # At the input it is the row after: what the next word looked at.
    assert aligned(model("there", FORWARD), wanted=Wanted(shift="input")) == ["1-0 1-1", "2-0", "", ""]


@pytest.mark.usefixtures("_look")
@pytest.mark.parametrize(
    ("heuristic", "expected"),
    [
        ("intersection", ["0-0 1-1", "2-0", "", "1-0"]),
        ("union", ["0-0 1-1 1-2 2-2", "0-1 2-0 2-1", "", "1-0"]),
        # Grown from the intersection: 0-1 has no link beside it, and its target word is no longer free.
        (None, ["0-0 1-1 1-2 2-2", "2-0 2-1", "", "1-0"]),
    ],
)
def test_the_links_of_the_other_direction_are_turned_round(heuristic: Any, expected: list[str]) -> None:
    found = aligned(model("there", FORWARD), reverse=model("back", BACKWARD), heuristic=heuristic)
    assert found == expected


@pytest.mark.usefixtures("_look")
def test_two_directions_choose_what_they_agree_on_and_say_so() -> None:
    # As if each word were looked up one step later. The other way round it is so, too.
    shifted, back = {"cat": "die", "sits": "Katze"}, {"Katze": "the", "sitzt": "cat"}
    found = Alignments(model("there", shifted), PAIRS[:1], reverse=model("back", back), heuristic="intersection")
    assert [one.links for one in found] == [links("0-0 1-1")]
    report = found.report()
    assert report.choice == report.reverse_choice == AlignmentChoice(0, None, "input")
    assert "both directions agree most on 1 pairs" in str(report) and "made one by intersection" in str(report)
    by_hand = Alignments(model("there", shifted), PAIRS, reverse=model("back", BACKWARD), wanted=Wanted(0, 0, "input"))
    assert by_hand.report().chosen == "set by hand"
    assert by_hand.choices == [AlignmentChoice(0, 0, "input")] * 2


@pytest.mark.usefixtures("_look")
def test_gold_pairs_that_chose_are_not_scored() -> None:
    shifted = {"cat": "die", "sits": "Katze"}
    right, wrong = Gold(links("0-0 1-1"), links("0-0 1-1")), Gold(links("2-2"), links("2-2"))
    pairs = [PAIRS[0], PAIRS[0], PAIRS[2]]
    found = Alignments(model("there", shifted), pairs, gold=[right, wrong, Gold(links(""), links(""))], tune=1)
    assert len(list(found)) == 3
    report = found.report()
    assert report.choice.shift == "input" and report.tuned == 1
    assert report.scores is not None and report.scores.sentences == 2 and report.scores.aer.value == 100
    every = Alignments(model("there", shifted), pairs, gold=[right, wrong, wrong], wanted=Wanted(shift="input"))
    list(every)
    scores = every.report().scores
    # Four links, four sure ones, two of them right: 1 - (2 + 2) / (4 + 4).
    assert scores is not None and scores.sentences == 3 and scores.aer.value == pytest.approx(50)


@pytest.mark.usefixtures("_look")
def test_a_pair_that_cannot_be_aligned_is_an_empty_line_and_a_note() -> None:
    pairs = [("die Katze", "the cat"), ("", "the"), ("die", " \t"), ("", ""), ("die " * 8, "the"), ("die", "the " * 9)]
    found = list(Alignments(model("there", FORWARD), [*pairs, ("die", "the")]))
    assert [one.links for one in found] == [links("0-0 1-1"), *[links("")] * 5, links("0-0")]
    assert [one.notes for one in found[:4]] == [
        [], ["no links, because the source is empty"], ["no links, because the target is empty"],
        ["no links, because both sides are empty"],
    ]  # fmt: skip
    assert found[4].notes[0].startswith("no links, because 8 source tokens are more than data.max_length = 7 of there")
    assert found[5].notes[0].startswith("no links, because 9 target tokens are more than data.max_length = 7 of there")
    # Each of the two models has its own limit, and an empty side is said once.
    short = Alignments(model("there", FORWARD), pairs[:2], reverse=model("back", BACKWARD, max_length=1))
    notes = [one.notes for one in short]
    assert len(notes[0]) == 2 and all("max_length = 1 of back" in note for note in notes[0])
    assert "2 source tokens" in notes[0][1] and "2 target tokens" in notes[0][0]
    assert notes[1] == ["no links, because the source is empty"]
    nothing = Alignments(model("there", FORWARD), pairs[1:2], reverse=model("back", BACKWARD))
    assert [one.links for one in nothing] == [links("")] and nothing.report().chosen == "by default"


@pytest.mark.usefixtures("_look")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"heuristic": "union"}, "give --reverse RUN2 with --symmetrise"),
        ({"heuristic": "onion"}, "'onion'; it must be one of intersection, union"),
        ({"tune": 2}, "give --gold FILE with it"),
        ({"tune": 4, "gold": [Gold(links(""), links(""))] * 4}, "--tune 4 leaves no gold sentence to score of 4"),
        ({"gold": [Gold(links(""), links(""))] * 3}, "gold links for 3 of 4 pairs"),
    ],
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        Alignments(model("there", FORWARD), PAIRS, **options)


@pytest.mark.usefixtures("_look")
def test_runs_must_count_the_same_words_and_have_attention() -> None:
    letters = Tokenizer.train("characters", [WORDS, WORDS], 30)
    with pytest.raises(UsageError, match="there and back count other words"):
        list(Alignments(model("there", {}), [("die", "the")], reverse=model("back", {}, letters)))
    fixed = model("fixed", {})
    fixed.network.looks = False
    with pytest.raises(UsageError, match="fixed has a fixed context and no attention"):
        Alignments(fixed, PAIRS)


def test_more_pairs_than_are_read_at_once_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forcing, "attention_weights", looking)
    monkeypatch.setattr(alignments, "READ_AHEAD", 3)
    monkeypatch.setattr(alignments, "COMPARED", 5)
    draw = random.Random(1)
    pairs = []
    for _ in range(17):
        words = draw.sample(list(BACKWARD), draw.randint(0, 4))
        pairs.append((" ".join(words), " ".join(BACKWARD[w] for w in reversed(words))))
    there = {english: german for german, english in BACKWARD.items()}
    found = Alignments(model("there", there), pairs, reverse=model("back", BACKWARD))
    counts = [len(source.split()) for source, _ in pairs]
    assert [one.links for one in found] == [frozenset((n - 1 - i, i) for i in range(n)) for n in counts]
    assert found.report().sentences == 17


# --- the command, with runs that were trained ----------------------------------------------------------------------

NUMBERS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "六": "sechs"}
SETTINGS = [
    "data.tokenizer=words", "model.dropout=0.0", "training.warmup=10", "training.batch_tokens=400",
    "training.precision=fp32", "training.device=cpu", "model.kind=recurrent",
    "model.decoder=luong", "model.hidden=48", "model.embedding=32",
    "training.learning_rate=0.01", "training.validate_every=100", "data.max_length=20",
]  # fmt: skip


def write_reversed(folder: Path, name: str, count: int, seed: int) -> None:
    """Each target says its source's words from the last to the first."""
    draw = random.Random(seed)
    lines = [[draw.choice(list(NUMBERS)) for _ in range(draw.randint(1, 5))] for _ in range(count)]
    (folder / f"{name}.src").write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    (folder / f"{name}.tgt").write_text(
        "".join(" ".join(NUMBERS[w] for w in reversed(line)) + "\n" for line in lines), encoding="utf-8"
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`there` from source to target, and `back`, both with Luong's attention."""
    folder = tmp_path_factory.mktemp("align")
    write_reversed(folder, "train", 400, 1)
    write_reversed(folder, "valid", 30, 2)
    for run, source, target in (("there", "src", "tgt"), ("back", "tgt", "src")):
        files = [
            f"--{start}{side}={folder / name}.{ending}"
            for start, name in (("", "train"), ("valid-", "valid"))
            for side, ending in (("source", source), ("target", target))
        ]
        more = [part for key in SETTINGS for part in ("--set", key)]
        assert main(["train", *files, "--out", str(folder / run), "--steps", "200", *more]) == 0
    return folder


def given(folder: Path, *more: str) -> list[str]:
    return [str(folder / "there"), "--source", str(folder / "in.src"), "--target", str(folder / "in.tgt"), *more]


@pytest.fixture
def lines(runs: Path) -> list[str]:
    """Writes the files to align, with the gold links of what is reversed, counted from 1; returns the links."""
    draw = random.Random(7)
    # Each word once, so that only one alignment is right.
    chosen = [draw.sample(list(NUMBERS), draw.randint(2, 5)) for _ in range(23)]
    sources = [" ".join(line) for line in chosen]
    targets = [" ".join(NUMBERS[w] for w in reversed(line)) for line in chosen]
    wanted = [" ".join(f"{i}-{len(line) - 1 - i}" for i in range(len(line))) for line in chosen]
    for at, (source, target) in {3: ("", ""), 5: ("one", " "), 11: ("two " * 21, "zwei"), 23: ("", "eins")}.items():
        for side_, line in ((sources, source), (targets, target), (wanted, "")):
            side_.insert(at, line)
    (runs / "in.src").write_text("\r\n".join(sources) + "\r\n", encoding="utf-8")
    (runs / "in.tgt").write_text("\n".join(targets) + "\n", encoding="utf-8")
    gold = [" ".join(f"{int(b) + 1}-{int(a) + 1}" for a, b in re.findall(r"(\d)-(\d)", line)) for line in wanted]
    (runs / "in.gold").write_text("\n".join(gold) + "\n")
    return wanted


def share_right(found: list[str], wanted: list[str]) -> float:
    right = [links(a) & links(b) for a, b in zip(found, wanted, strict=True)]
    return sum(map(len, right)) / sum(len(links(line)) for line in wanted)


def test_as_many_lines_of_links_come_out_as_pairs_went_in(
    runs: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["align", *given(runs)]) == 0
    said = capsys.readouterr()
    found = said.out.split("\n")
    assert found.pop() == "" and len(found) == len(lines) == 27
    assert [i for i, line in enumerate(found) if not line] == [3, 5, 11, 23]
    assert share_right(found, lines) > 0.9
    assert "pair 4: no links, because both sides are empty\n" in said.err
    assert "pair 12: no links, because 21 source tokens are more than data.max_length = 20 of there" in said.err
    assert "there: 27 pairs, layer 0, the mean of all heads, shift output (by default)" in said.err


def test_a_prediction_that_is_forced_is_looked_at_as_when_it_was_said(runs: Path) -> None:
    model = Model.load(runs / "there", "cpu")
    sources = ["one two three four", "六 five", "four"]
    said = model.predict(sources, beam=1, attention=True)
    pairs = [(p.source, p.text) for p in said]
    read = [side(model.source_tokenizer, source) for source, _ in pairs]
    spoken = [side(model.target_tokenizer, target) for _, target in pairs]
    found = dict(forced_attention(model.network, read, spoken))
    for number, prediction in enumerate(said):
        assert prediction.attention is not None
        words = prediction.attention.words()[:, :-1]  # what it looked at while it said the same
        np.testing.assert_allclose(found[number][0, 0], words, atol=1e-5)
        links_then = [link for link in prediction.attention.alignment() if link[1] < len(words)]
        [one] = Alignments(model, [pairs[number]])
        assert one.links == frozenset(links_then)


def test_gold_links_score_both_directions_made_one(
    runs: Path, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    gold = ["--gold", str(runs / "in.gold"), "--reversed-gold"]
    out = tmp_path / "links.txt"
    both = ["--reverse", str(runs / "back"), "--symmetrise", "intersection", "--out", str(out)]
    assert main(["align", *given(runs, *gold, *both, "--json")]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    found = out.read_text().split("\n")[:-1]
    assert share_right(found, lines) > 0.9 and len(found) == 27
    assert report["reverse"] == "back" and report["symmetrise"] == "intersection" and report["sentences"] == 27
    assert report["chosen"] == "where both directions agree most on 23 pairs"
    assert report["choice"]["shift"] == report["reverse_choice"]["shift"] == "output"
    assert report["scores"]["aer"]["low"] <= report["scores"]["aer"]["value"] < 10
    assert report["scores"]["recall"]["value"] == pytest.approx(100 * share_right(found, lines))
    # The report does not mix with links on one stream.
    assert main(["align", *given(runs, *gold, "--tune", "9", "--one-based")]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 27 and "AER" not in said.out
    assert "against 18 gold sentences, without the 9 chosen on:\n  AER " in said.err
    assert "precision" in said.err and "recall" in said.err and "measure:aer|links:sure" in said.err


def test_pairs_of_a_table_are_aligned_too(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("target\tsource\nzwei eins\tone two\n\nfünf\tfive\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["align", str(runs / "there"), "--data", str(file), "--head", "0", "--layer", "0"]) == 0
    assert capsys.readouterr().out == "0-1 1-0\n\n0-0\n"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--gold", "short.gold"], r"lines of links in .*short\.gold are 2, but the sentences are 27; give one line"),
        (["--gold", "in.gold", "--tune", "27"], "--tune 27 leaves no gold sentence to score of 27"),
        (["--tune", "3"], "give --gold FILE with it"),
        (["--symmetrise", "union"], "give --reverse RUN2 with --symmetrise"),
        (["--layer", "1"], "there is no layer 1 in there: it has layers 0 to 0"),
        (["--head", "all"], "--head all is no head: write its number, from 0, or mean"),
        (["--head", "-1"], "--head -1 is no head"),
        (["--shift", "both"], "the shift is 'both'; it must be output or input"),
        (["--target", "short.gold"], r"differ in length: line 3 has no target"),
        (["--target", "latin1.txt"], r"latin1\.txt, line 2 is not UTF-8: save it as UTF-8"),
        (["--out", "."], "is a folder: name a file to write"),
    ],
)
@pytest.mark.usefixtures("lines")
def test_wrong_use_is_one_sentence(
    runs: Path, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs)
    Path("short.gold").write_text("1-1\n1-1\n")
    Path("latin1.txt").write_bytes("eins\nfünf\n".encode("latin1"))
    capsys.readouterr()
    assert main(["align", *given(runs), *more]) == 2
    said = capsys.readouterr()
    assert re.search(sentence, said.err) and said.err.count("\n") == 1 and said.err.startswith("regard: ")
    assert said.out == ""
