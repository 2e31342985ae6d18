"""What a model reports of being steered, on a corpus of words that stand for words."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from regard.attention import Edit, attends
from regard.config import recipe_of
from regard.data import Tokenizer
from regard.errors import UsageError
from regard.run import Model
from regard.run.translation.model import new_network
from regard.run.translation.steering import changed

LINE = "abba cab  猫 e\u0301cole 👩‍👩‍👧"


def model_of(kind: str, tokenizer: Any = "bpe") -> Model:
    torch.manual_seed(3)
    part: dict[str, Any] = {"kind": "recurrent", "embedding": 6, "hidden": 8}
    if kind == "transformer":
        part = {"kind": kind, "dim": 12, "heads": 3, "feed_forward": 20, "encoder_layers": 1, "decoder_layers": 2}
    elif kind != "recurrent":
        part["decoder"] = kind
    both = {"source_tokenizer": tokenizer, "target_tokenizer": tokenizer, "vocabulary": 40}
    recipe = recipe_of({"model": part, "data": both, "decoding": {"beam": 3}})
    made = Tokenizer.train(tokenizer, [LINE, "cab abba"] * 3, 40)
    network = new_network(recipe, made, made).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return Model(network, made, made, recipe, "small")


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_no_edits_change_nothing(kind: str) -> None:
    model = model_of(kind)
    [plain], [found] = model.predict([LINE]), model.predict([LINE], steer=[])
    steering = found.steering
    assert steering is not None and plain.steering is None
    assert (found.text, found.score, found.tokens) == (plain.text, plain.score, plain.tokens)
    assert steering.before == steering.after and steering.changed == []
    assert steering.score_of_before == pytest.approx(plain.score, abs=1e-4) == steering.score_of_after
    assert all(step.log_probability_before == step.log_probability_after for step in steering.steps)


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_the_report_adds_up(kind: str) -> None:
    model = model_of(kind)
    edits = [{"action": "force", "source_words": [2], "steps": [0, 1, 2]}, {"action": "flatten", "steps": [3]}]
    [found] = model.predict([LINE], steer=edits, attention=True, beam=3, nbest=2)
    steering = found.steering
    assert steering is not None and len(found.alternatives) == 2
    assert steering.after.score == found.score != steering.before.score
    assert found.score == pytest.approx(sum(step.log_probability_after for step in steering.steps), abs=1e-4)
    assert steering.score_of_after == pytest.approx(sum(step.log_probability_before for step in steering.steps))
    assert [step.token for step in steering.steps] == [*found.tokens, "</s>"]
    assert [step.log_probability_after for step in steering.steps] == pytest.approx(found.log_probabilities, abs=1e-4)
    # The picture shows what was forced: all the weight of the third word.
    assert found.attention is not None
    for layer in range(found.attention.weights.shape[0]):
        for head in range(found.attention.weights.shape[1]):
            rows = found.attention.weights[layer, head, :3]
            of_word = [number for number, word in enumerate(found.attention.source_word_of) if word == 2]
            assert rows[:, of_word].sum(axis=1).tolist() == pytest.approx([1] * len(rows))
    assert json.loads(json.dumps(found.to_json()))["steering"] == steering.to_json()
    assert set(steering.to_json()) == {"before", "after", "score_of_before", "score_of_after", "changed", "steps"}
    assert all(attend.editor is None for attend in attends(model.network).values())


def test_a_stream_is_steered_as_a_prediction_is() -> None:
    model = model_of("transformer")
    for edit in (Edit("forbid", source_words=[0, 1]), Edit("freeze", layers=[1])):
        [whole] = model.predict([LINE], steer=[edit])
        last = list(model.stream(LINE, steer=[edit]))[-1]
        assert (last.text, last.finished) == (whole.text, True) and last.score == pytest.approx(whole.score, abs=1e-5)


def test_each_line_is_steered_by_its_own_words() -> None:
    model = model_of("recurrent")
    edit = Edit("force", source_words=[1])
    both = model.predict(["abba cab", "cab abba abba", " "], steer=[edit], attention=True, prefix=["cab", "", ""])
    for line, begin, found in zip(["abba cab", "cab abba abba"], ["cab", ""], both, strict=False):
        [alone] = model.predict([line], steer=[edit], prefix=[begin])
        assert (alone.text, alone.score) == (found.text, found.score) and found.text.startswith(begin)
        assert found.attention is not None
        assert (found.attention.words()[:, 1] > 0.999).all()
    assert both[2].text == "" and both[2].steering is not None and both[2].steering.steps == []


@pytest.mark.parametrize(
    ("steer", "sentence"),
    [
        (
            [{"action": "forbid", "source_words": [6]}],
            "no source word 6 to forbid: the model reads words 0 to 4, and 5",
        ),
        ([{"action": "forbid", "source": [99]}], r"no source token 99 to forbid: the source has tokens 0 to \d+, and"),
        ({"action": "drop"}, "steer takes a list of edits"),
        ("drop", "steer takes a list of edits"),
        ([["drop"]], "an edit is an object"),
        ([{"action": "drop", "layers": [7]}], "no layer 7 of cross"),
    ],
)
def test_edits_that_do_not_fit_are_one_sentence(steer: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        model_of("transformer").predict([LINE], steer=steer)


def test_a_fixed_context_cannot_be_steered() -> None:
    with pytest.raises(UsageError, match="nothing can be steered"):
        model_of("fixed-initial").predict([LINE], steer=[Edit("drop")])


@pytest.mark.parametrize(
    ("before", "after", "places"),
    [
        ("a b c", "a b c", []),
        ("a b c", "a x c", [1]),
        ("a b c", "a x b c", [1]),
        ("a b c", "a c", [1]),
        ("a b c", "a b", [1]),
        ("a b c", "", []),
        ("", "x y", [0, 1]),
        ("a b a b", "b a b c", [0, 3]),
    ],
)
def test_what_changed_is_told_by_the_fewest_places(before: str, after: str, places: list[int]) -> None:
    assert changed(before.split(), after.split()) == places
