"""Keys that do nothing are said."""

from __future__ import annotations

from typing import Any

import pytest

from regard.config import recipe_of
from regard.config.idle import idle_keys

RECURRENT = {"kind": "recurrent"}


def said(**tree: Any) -> list[str]:
    return idle_keys(tree, recipe_of(tree, "a test"))


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        (
            {"model": {**RECURRENT, "attention": {"normalize": "softmax", "top_k": 9}}},
            'model.attention.top_k does nothing with normalize = "softmax": it belongs to "top-k"',
        ),
        (
            {"model": {**RECURRENT, "attention": {"top_k": 9}}},
            'model.attention.top_k does nothing with normalize = "softmax": it belongs to "top-k"',
        ),
        (
            {"model": {**RECURRENT, "attention": {"score": "general", "hidden": 9}}},
            'model.attention.hidden does nothing with score = "general": it belongs to "additive" or',
        ),
        (
            {"model": {"cross_attention": [{"normalize": "sparsemax", "chunk": 2}] * 3}},
            'model.cross_attention.chunk does nothing with normalize = "sparsemax": it belongs to "mocha"',
        ),
        (
            {"model": {**RECURRENT, "decoder": "fixed-initial", "attention": {"score": "general"}}},
            'model.attention does nothing: decoder = "fixed-initial" has no attention',
        ),
        (
            {"model": {**RECURRENT, "decoder": "fixed-initial"}, "decoding": {"coverage_penalty": 1.0}},
            'decoding.coverage_penalty does nothing: decoder = "fixed-initial" has no attention',
        ),
        ({"training": {"samples": 3}}, "training.samples does nothing without hard attention by REINFORCE"),
        (
            {"model": {"kind": "hidden-markov"}, "training": {"r_drop": 1.0}},
            "training.r_drop does nothing: it compares draws of dropout",
        ),
        (
            {
                "model": {**RECURRENT, "attention": {"normalize": "hard", "estimator": "gumbel"}},
                "training": {"discount": 0.5},
            },
            "training.discount does nothing",
        ),
    ],
)
def test_a_key_that_does_nothing_is_said(tree: dict[str, Any], sentence: str) -> None:
    assert any(each.startswith(sentence) for each in said(**tree)), said(**tree)


def test_what_does_something_is_not() -> None:
    hard = {"normalize": "hard", "estimator": "reinforce"}
    assert said(model={**RECURRENT, "attention": hard}, training={"samples": 2, "discount": 0.5, "reward": 2}) == []
    assert said(model={**RECURRENT, "attention": {"score": "additive", "hidden": 9}}) == []
    assert said(model={**RECURRENT, "attention": {"hidden": 9}}) == [], "the additive score is the default"
    assert said(model={"attention": {"normalize": "top-k", "top_k": 2}}, decoding={"coverage_penalty": 1.0}) == []
    assert said() == []
