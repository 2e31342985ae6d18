from __future__ import annotations

import base64
import html
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.errors import UsageError
from regard.view import AttentionMap


def example(weights: np.ndarray | None = None) -> AttentionMap:
    """`cook ing </s>` → `ko cht </s>`: two words and an end on either side."""
    if weights is None:
        weights = np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]], dtype=np.float32)[None, None]
    return AttentionMap(
        weights,
        source=["cook", "ing", "</s>"],
        target=["ko", "cht", "</s>"],
        source_words=["cooking", "</s>"],
        target_words=["kocht", "</s>"],
        source_word_of=[0, 0, 1],
        target_word_of=[0, 0, 1],
    )


def test_words_by_hand() -> None:
    """Sum over the source tokens: .8 | .2, .8 | .2, .2 | .8. Mean over the target tokens: .8 | .2 and .2 | .8."""
    assert np.allclose(example().words(), [[0.8, 0.2], [0.2, 0.8]])


@st.composite
def maps(draw: st.DrawFn) -> AttentionMap:
    layers, heads, rows, columns = (draw(st.integers(1, 4)) for _ in range(4))
    weights = np.random.default_rng(draw(st.integers(0, 99))).dirichlet(np.ones(columns), size=(layers, heads, rows))
    source_of = sorted(draw(st.lists(st.integers(0, 2), min_size=columns, max_size=columns)))
    target_of = sorted(draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)))
    return AttentionMap(
        weights, [f"s{i}" for i in range(columns)], [f"t{i}" for i in range(rows)],
        ["a", "b", "c"], ["x", "y", "z"], source_of, target_of,
    )  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(maps())
def test_rows_of_words_keep_their_sum(made: AttentionMap) -> None:
    sums = made.words().sum(1)
    for word in range(3):
        assert sums[word] == pytest.approx(1 if word in made.target_word_of else 0, abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(maps())
def test_words_equal_the_definition(made: AttentionMap) -> None:
    for x in range(3):
        for y in range(3):
            rows = [t for t, word in enumerate(made.target_word_of) if word == x]
            columns = [s for s, word in enumerate(made.source_word_of) if word == y]
            cells = [made.mean()[t, s] for t in rows for s in columns]
            assert made.words()[x, y] == pytest.approx(sum(cells) / max(1, len(rows)), abs=1e-5)


def test_layers_and_heads_are_chosen_or_averaged() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 5, 3)).astype(np.float32)
    made = example(weights)
    assert np.allclose(made.mean(), weights.reshape(10, 3, 3).mean(0))
    assert np.allclose(made.mean(layer=1), weights[1].mean(0))
    assert np.allclose(made.mean(head=4), weights[:, 4].mean(0))
    assert np.allclose(made.mean(1, 4), weights[1, 4])
    assert np.allclose(made.words(1, 4)[1], [weights[1, 4, 2, :2].sum(), weights[1, 4, 2, 2]])
    wrong = (((2, None), "no layer 2.*0 to 1"), ((None, 5), "no head 5.*0 to 4"), ((-1, None), "no layer -1"))
    for arguments, said in wrong:
        with pytest.raises(UsageError, match=said):
            made.mean(*arguments)


def test_alignment_leaves_out_the_end() -> None:
    """The only target word looks at </s> most; of the real source words at b."""
    weights = np.array([[0.1, 0.3, 0.6], [0.9, 0.05, 0.05]])[None, None]
    made = AttentionMap.of_words(weights, ["a", "b", "</s>"], ["x", "</s>"])
    assert made.alignment() == [(1, 0)]


def test_alignment_without_an_end_and_with_a_word_that_looks_nowhere() -> None:
    weights = np.array([[0.2, 0.8], [0.0, 0.0], [0.7, 0.3]])[None, None]
    made = AttentionMap.of_words(weights, ["a", "b"], ["x", "y", "z"])
    assert made.alignment() == [(1, 0), (0, 2)]
    assert all(type(number) is int for pair in made.alignment() for number in pair)


def test_an_end_inside_the_sentence_is_a_word_like_others() -> None:
    made = AttentionMap.of_words(np.eye(2)[None, None], ["</s>", "b"], ["</s>", "b"])
    assert made.alignment() == [(0, 0), (1, 1)]


def test_entropy_of_uniform_and_of_certain_rows() -> None:
    made = AttentionMap.of_words(np.array([[0.25] * 4, [1, 0, 0, 0]])[None, None], list("abcd"), ["x", "y"])
    assert np.allclose(made.entropy(), [[[np.log(4), 0]]])


def test_nothing_said_or_nothing_read() -> None:
    made = AttentionMap.of_words(np.zeros((2, 3, 0, 1)), ["</s>"], [])
    assert made.words().shape == (0, 1)
    assert made.alignment() == []
    assert made.entropy().shape == (2, 3, 0)
    assert made.to_json(packed=True)["weights"]["uint16"] == ""


def test_json_holds_everything_and_packed_weights_come_back() -> None:
    made = example(np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 2, 3)))
    plain = json.loads(json.dumps(made.to_json()))
    assert np.allclose(plain["weights"], made.weights)
    assert plain["source_words"] == ["cooking", "</s>"]
    assert plain["target_word_of"] == [0, 0, 1]
    packed = json.loads(json.dumps(made.to_json(packed=True)))["weights"]
    numbers = np.frombuffer(base64.b64decode(packed["uint16"]), dtype="<u2").reshape(plain["shape"])
    assert np.abs(numbers / 65535 * packed["scale"] - made.weights).max() < 1e-5


def test_weights_above_one_keep_their_size_when_packed() -> None:
    packed = AttentionMap.of_words(np.array([[[[3.0, 1.5]]]]), ["a", "b"], ["x"]).to_json(packed=True)["weights"]
    assert packed["scale"] == 3
    assert np.frombuffer(base64.b64decode(packed["uint16"]), dtype="<u2").tolist() == [65535, 32768]


def test_layers_have_names() -> None:
    made = AttentionMap(np.ones((2, 1, 1, 1)), ["a"], ["x"], ["a"], ["x"], [0], [0], ["encoder", "decoder"])
    assert made.layers == made.to_json()["layers"] == ["encoder", "decoder"]
    assert AttentionMap.of_words(np.ones((2, 1, 1, 1)), ["a"], ["x"]).layers == ["1", "2"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": np.ones((1, 2, 2))}, r"shape \[1, 2, 2\].*\[layers, heads, T, S\]"),
        ({"weights": "picture"}, "not an array of numbers"),
        ({"weights": np.ones((0, 1, 2, 2))}, "0 layers and 1 heads"),
        ({"weights": np.ones((1, 1, 3, 2))}, "for 3 target tokens, but target has 2"),
        ({"weights": np.full((1, 1, 2, 2), np.nan)}, "not finite"),
        ({"weights": -np.ones((1, 1, 2, 2))}, "negative"),
        ({"source": ["a"]}, "for 2 source tokens, but source has 1"),
        ({"source_word_of": [0]}, "source_word_of has 1 numbers for 2 tokens"),
        ({"source_word_of": [0, 2]}, r"source_word_of\[1\] is 2; it must be one of the words 0 to 1"),
        ({"target_word_of": [0, -1]}, r"target_word_of\[1\] is -1"),
        ({"target_word_of": [0, 0.5]}, r"target_word_of\[1\] is 0.5"),
        ({"layer_names": ["a", "b"]}, "2 names for 1 layers"),
        ({"target": ["x", "</s>"], "target_word_of": [0, 0]}, "final </s> of target must be a word of its own"),
    ],
)
def test_parts_that_do_not_fit_are_named(changes: dict, said: str) -> None:
    good: dict = {
        "weights": np.full((1, 1, 2, 2), 0.5), "source": ["a", "b"], "target": ["x", "y"],
        "source_words": ["a", "b"], "target_words": ["x", "y"], "source_word_of": [0, 1], "target_word_of": [0, 1],
    }  # fmt: skip
    AttentionMap(**good)
    with pytest.raises(UsageError, match=said):
        AttentionMap(**{**good, **changes})


def test_two_maps_in_a_notebook_share_no_names() -> None:
    shown = example()._repr_html_() + example()._repr_html_()
    assert shown.count("<iframe srcdoc=") == 2
    assert "<script" not in shown, "the whole document stands inside the attribute"
    assert not re.search(r"\bid=", shown.split("srcdoc=")[0])
    inner = html.unescape(re.findall(r'srcdoc="([^"]*)"', shown)[0])
    assert inner.startswith("<!doctype html>")
    assert "cooking" in inner
    assert 'sandbox="allow-scripts allow-downloads"' in shown


def test_a_map_says_its_size() -> None:
    assert repr(example()) == "AttentionMap(1 layers, 1 heads, 3 target tokens, 3 source tokens)"
