"""Names of mechanisms: what each changes in a recipe, and one sentence for each that is none."""

from __future__ import annotations

from itertools import permutations
from typing import Any, get_args

import pytest

from regard.config import mechanism, recipe_of, with_mechanism
from regard.config.idle import idle_keys
from regard.config.recipe import AttentionPart, NormalizerName, RecurrentPart, ScoreName, TransformerPart
from regard.errors import UsageError

RECURRENT = {"kind": "recurrent", "hidden": 22}


def attention_of(tree: dict[str, Any]) -> AttentionPart:
    model = recipe_of(tree).model
    assert isinstance(model, RecurrentPart | TransformerPart)
    return model.attention


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("dot", {"score": "dot"}),
        ("Location-Sensitive", {"score": "location-sensitive"}),
        ("entmax15", {"normalize": "entmax15"}),
        ("top-k", {"normalize": "top-k"}),
        ("top-k:5", {"normalize": "top-k", "top_k": 5}),
        ("hard", {"normalize": "hard"}),
        ("hard:gumbel", {"normalize": "hard", "estimator": "gumbel"}),
        ("monotonic", {"normalize": "monotonic"}),
        ("mocha:7", {"normalize": "mocha", "chunk": 7}),
        ("causal", {"scope": {"kind": "causal"}}),
        ("window:3", {"scope": {"kind": "window", "left": 3, "right": 3}}),
        ("local-monotonic", {"scope": {"kind": "local-monotonic"}}),
        ("local-m:5", {"scope": {"kind": "local-monotonic", "window": 5}}),
        ("local-predictive:2", {"scope": {"kind": "local-predictive", "window": 2}}),
        ("local-p:11", {"scope": {"kind": "local-predictive", "window": 11}}),
        (" general + sparsemax ", {"score": "general", "normalize": "sparsemax"}),
    ],
)
def test_a_name_says_what_changes(text: str, change: dict[str, Any]) -> None:
    assert mechanism(text) == {"attention": change}


def test_exact_hard_attention_is_a_decoder_of_its_own() -> None:
    assert mechanism("hard:exact") == {"decoder": "exact-hard", "transition": "zeroth-order"}
    found = recipe_of(with_mechanism({"model": {"kind": "recurrent", "hidden": 64}}, "general+monotonic:exact")).model
    assert isinstance(found, RecurrentPart)
    assert (found.decoder, found.transition, found.attention.score) == ("exact-hard", "monotonic", "general")
    assert found.hidden == 64 and found.attention.normalize == "softmax"
    with pytest.raises(UsageError, match="is a recurrent decoder"):
        with_mechanism({}, "hard:exact")


def test_none_is_a_decoder_without_attention() -> None:
    assert mechanism("none") == {"decoder": "fixed-initial"}


def test_every_score_and_normalizer_of_a_recipe_has_its_name() -> None:
    for kind, names in (("score", get_args(ScoreName)), ("normalize", get_args(NormalizerName))):
        for name in names:
            assert mechanism(name) == {"attention": {kind: name}}


def test_the_order_of_the_parts_does_not_matter() -> None:
    wanted = {"score": "general", "normalize": "top-k", "top_k": 5, "scope": {"kind": "local-predictive", "window": 3}}
    for parts in permutations(("general", "top-k:5", "local-p:3")):
        assert mechanism("+".join(parts)) == {"attention": wanted}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("addtive", "there is no mechanism 'addtive'; did you mean additive?"),
        ("dot+sparsmax", "there is no mechanism 'sparsmax' in 'dot+sparsmax'; did you mean sparsemax?"),
        ("xyz", "they are dot, scaled-dot"),
        ("", "a mechanism has no name"),
        (" + ", "a mechanism has no name"),
        ("dot+", "'dot+' has an empty part"),
        ("dot+additive", "has two scores, dot and additive"),
        ("softmax+hard:gumbel", "has two normalizers, softmax and hard:gumbel"),
        ("window:2+local-m:2", "has two scopes"),
        ("dot+dot", "has two scores"),
        ("none+dot", "stands alone"),
        ("none:3", "stands alone"),
        ("dot:3", "nothing belongs behind dot; leave out ':3'"),
        ("causal:2", "nothing belongs behind causal"),
        ("sparsemax:", "nothing belongs behind sparsemax"),
        ("hard:3", "is learned by reinforce, gumbel or exact, not '3'"),
        ("foo", "they are dot, scaled-dot, "),
        ("foo", "local-m, local-p, none, hard:exact, monotonic:exact, hard:gumbel"),
        ("window", "a window needs how many positions"),
        ("window:0", "a whole number from 1, such as window:3, not '0'"),
        ("local-p:0", "a whole number from 1"),
        ("local-m:x", "not 'x'"),
        ("top-k:", "not ''"),
        ("top-k:-1", "not '-1'"),
        ("mocha:2.5", "not '2.5'"),
        ("mocha:²", "not '²'"),
        ("mocha:" + "9" * 5000, "a whole number from 1"),
    ],
)
def test_what_is_no_mechanism_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        mechanism(text)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_not_named_stays() -> None:
    attention = {
        "score": "general",
        "normalize": "top-k",
        "top_k": 7,
        "scope": {"kind": "window", "left": 5, "right": 1},
    }
    tree = {"seed": 3, "model": {**RECURRENT, "attention": attention}}
    part = attention_of(with_mechanism(tree, "additive"))
    assert (part.score, part.normalize, part.top_k) == ("additive", "top-k", 7)
    assert part.scope.model_dump() == {"kind": "window", "left": 5, "right": 1}
    part = attention_of(with_mechanism(tree, "local-p:2+softmax"))
    assert (part.score, part.normalize) == ("general", "softmax")
    assert part.scope.model_dump() == {"kind": "local-predictive", "window": 2, "renormalise": False}
    assert tree["model"]["attention"] is attention and attention["score"] == "general", "the tree given is left alone"
    local = {**RECURRENT, "attention": {"scope": {"kind": "local-predictive", "window": 9, "renormalise": True}}}
    part = attention_of(with_mechanism({"model": local}, "local-p:2"))
    assert part.scope.model_dump() == {"kind": "local-predictive", "window": 2, "renormalise": True}


def test_a_family_keeps_its_own_defaults() -> None:
    """A table [model.attention] that names a normalizer alone would turn a Transformer's score into another one."""
    assert attention_of(with_mechanism({}, "sparsemax")).score == "scaled-dot"
    assert attention_of(with_mechanism({"model": RECURRENT}, "sparsemax")).score == "additive"


def test_a_decoder_without_attention_gets_one_with_the_mechanism_and_none_takes_it_away() -> None:
    fixed = {"model": {**RECURRENT, "decoder": "fixed-background"}}
    changed = recipe_of(with_mechanism(fixed, "dot")).model
    assert changed.kind == "recurrent" and (changed.decoder, changed.attention.score) == ("bahdanau", "dot")
    luong = {"model": {**RECURRENT, "decoder": "luong"}}
    kept, without = (recipe_of(with_mechanism(luong, name)).model for name in ("dot", "none"))
    assert kept.kind == "recurrent" and without.kind == "recurrent"
    assert (kept.decoder, without.decoder) == ("luong", "fixed-initial")
    dotted = {"model": {**RECURRENT, "attention": {"score": "dot"}}}
    taken = with_mechanism(dotted, "none")
    assert idle_keys(taken, recipe_of(taken)) == [], "nobody is told of a mechanism that was not asked for"
    assert with_mechanism(dotted, "monotonic:exact")["model"]["attention"]["score"] == "dot", "which scores there too"


@pytest.mark.parametrize(
    ("model", "text", "sentence"),
    [
        ({}, "none", "is a recurrent decoder"),
        ({}, "location-sensitive", '"location-sensitive" goes from step to step and belongs in a recurrent decoder'),
        ({}, "cross:coverage+entmax15", '"coverage" goes from step to step'),
        ({}, "additive+mocha", '"mocha" goes from step to step'),
        (RECURRENT, "cross:dot", "cross is a place of a Transformer, and my.toml is recurrent: leave out 'cross:'"),
        ({}, "cross:none", "none is a decoder, and no attention of one place"),
        (
            {"cross_attention": [{"score": "dot"}, *[{"score": "cosine"}] * 2]},
            "cross:additive",
            "lists a mechanism for each layer in model.cross_attention",
        ),
        (RECURRENT, "mocha+window:2", "leave out scope"),
        ({**RECURRENT, "encoder_hidden": 3}, "dot", "leave out encoder_hidden"),
        (
            {f"{where}_attention": {"score": "dot"} for where in ("encoder", "decoder", "cross")},
            "additive",
            "would change nothing",
        ),
    ],
)
def test_what_does_not_fit_the_recipe_is_one_sentence(model: dict[str, Any], text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        with_mechanism({"model": model}, text, "my.toml")


def test_a_place_of_a_transformer_changes_alone() -> None:
    assert mechanism("cross:general+local-p:2") == {
        "cross_attention": {"score": "general", "scope": {"kind": "local-predictive", "window": 2}}
    }
    model = recipe_of(with_mechanism({"model": {"attention": {"normalize": "sparsemax"}}}, "Cross: local-p:2")).model
    assert isinstance(model, TransformerPart)
    assert [part.scope.kind for part in model.heads_of("cross")] == ["local-predictive"] * model.decoder_layers
    assert {part.summary for where in ("encoder", "decoder") for part in model.heads_of(where)} == {
        "scaled-dot with sparsemax, global"
    }
    assert model.heads_of("cross")[0].summary == "scaled-dot with sparsemax, local-predictive 2"


def test_what_has_no_weights_is_asked_nothing_of_them() -> None:
    tree = {
        "data": {"alignment": "links"},
        "training": {"coverage": 0.5, "guided": 1.0, "steps": 3},
        "model": RECURRENT,
    }
    for name in ("none", "hard:exact", "monotonic:exact"):
        found = recipe_of(with_mechanism(tree, name))
        assert (found.training.coverage, found.training.guided, found.data.alignment) == (0, 0, None), name
        assert found.training.steps == 3
    kept = recipe_of(with_mechanism(tree, "dot"))
    assert (kept.training.coverage, kept.training.guided, kept.data.alignment) == (0.5, 1.0, "links")


def test_a_hidden_markov_model_has_no_attention_to_exchange() -> None:
    with pytest.raises(UsageError, match="'dot' would change nothing, for here is of a hidden Markov model"):
        with_mechanism({"model": {"kind": "hidden-markov"}}, "dot", "here")
