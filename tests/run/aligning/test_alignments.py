"""Alignments of pairs, by models that look where a dictionary says."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from regard.config.recipe import TrainingPart
from regard.data import Tokenizer
from regard.errors import UsageError
from regard.evaluation import Gold
from regard.run import AlignmentChoice, Alignments, Wanted
from regard.run.aligning import alignments, forcing
from tests.run.aligning.links import links

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


def model(
    name: str,
    partner: dict[str, str],
    tokenizer: Tokenizer = TOKENIZER,
    max_length: int = 7,
    way: tuple[Any, Any] = (None, None),
) -> Any:
    data = SimpleNamespace(max_length=max_length, source_language=way[0], target_language=way[1])
    recipe = SimpleNamespace(data=data, training=TrainingPart())
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
    de_en = model("there", {}, way=("de", "en"))
    with pytest.raises(
        UsageError, match="again goes from de to en as there does: --reverse takes a run that goes back"
    ):
        Alignments(de_en, PAIRS, reverse=model("again", {}, way=("de", "en")))
    Alignments(de_en, PAIRS, reverse=model("back", {}, way=("en", "de")))
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
