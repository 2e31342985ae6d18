"""Recipes: each mistake is one sentence, what is written is read again, presets are recipes."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.config import Corpus, merge, preset, read_toml, recipe_of, setting, write_toml
from regard.config.recipe import RecurrentPart, TransformerPart
from regard.errors import UsageError


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"trainin": {}}, "there is no key 'trainin'; did you mean 'training'?"),
        ({"model": {"kind": "recurrent", "cel": "gru"}}, "there is no key 'model.cel'; did you mean 'model.cell'?"),
        ({"model": {"cell": "gru", "heads": 2}}, "there is no key 'model.heads'"),
        ({"training": {"steps": "x"}}, "'training.steps' is \"x\", but it should be a valid integer"),
        ({"training": {"steps": -1}}, "'training.steps' is -1, but it should be greater than 0"),
        ({"training": {"label_smoothing": 1.0}}, "should be less than 1"),
        ({"model": {"kind": "cnn"}}, "'model' has kind \"cnn\"; write 'recurrent', 'transformer'"),
        ({"model": {"attention": {"score": "mul"}}}, "write 'dot', 'scaled-dot', 'general', 'additive',"),
        ({"model": {"attention": {"scope": {"left": 3}}}}, "has to say its kind"),
        ({"model": {"attention": {"scope": {"kind": "window", "left": -1, "right": 0}}}}, "greater than or equal to 0"),
        ({"model": {"dim": 10, "heads": 3}}, "dim = 10 cannot be shared out evenly among heads = 3"),
        ({"model": {"dim": 6, "heads": 2, "positions": "rotary"}}, "rotary positions need an even head size"),
        (
            {"model": {"encoder_hidden": 512, "decoder": "luong", "attention": {"score": "dot"}}},
            "leave out encoder_hidden",
        ),
        ({"model": {"attention": {"scope": {"kind": "local-predictive", "window": 0}}}}, "should be greater than 0"),
        ({"model": {"attention": {"scope": {"kind": "local", "window": 2}}}}, "'local-monotonic', 'local-predictive'"),
        ({"model": {"attention": {"normalize": "monotonic", "scope": {"kind": "causal"}}}}, "leave out scope"),
        ({"model": {"cell": "gru", "attention": {"normalize": "mocha", "score": "dot"}}}, 'use score = "additive"'),
        ({"model": {"attention": {"score": "location-sensitive", "width": 4}}}, "odd width"),
        (
            {"model": {"attention": {"normalize": "hard", "scope": {"kind": "local-predictive"}}}},
            "chooses one position",
        ),
        ({"model": {"attention": {"score": "coverage"}, "dim": 8, "heads": 2}}, 'set kind = "recurrent"'),
        (
            {"model": {"kind": "transformer", "cross_attention": {"normalize": "hard"}}},
            "belongs in a recurrent decoder",
        ),
        ({"model": {"encoder_layers": 3, "encoder_attention": [{"score": "dot"}]}}, "lists 1 mechanisms for 3 layers"),
        ({"model": {"encoder_attention": {"skore": "dot"}}}, "did you mean 'model.encoder_attention.score'?"),
        ({"model": {"heads": 4, "kv_heads": 3}}, "among kv_heads = 3"),
        ({"model": {"decoder": "fixed-initial", "copy_source": True}}, "has no attention"),
        ({"data": {"source": "x"}}, "one of the two files is missing"),
        ({"data": {"source": "x", "target": "y", "data": "z"}}, "not all of them"),
        ({"dim": 64}, "there is no key 'dim'; did you mean 'model.dim'?"),
        ({"model": {"dims": 64}}, "there is no key 'model.dims'; did you mean 'model.dim'?"),
        ({"training": {"seed": 2}}, "there is no key 'training.seed'; did you mean 'seed'?"),
        ({"model": {"learning_rate": 1.0}}, "did you mean 'training.learning_rate'?"),
        ({"model": {"scope": "x"}}, "did you mean 'model.attention.scope'?"),
        ({"stepz": 3}, "did you mean 'training.steps'?"),
        ({"batch_tokens": 99}, "did you mean 'training.batch_tokens' or 'decoding.batch_tokens'?"),
        ({"decoding": {"beams": 3}}, "did you mean 'decoding.beam'?"),
        ({"zzz": 3}, "there is no key 'zzz'; it knows data, decoding, format, model, seed, task, training"),
        ({"model": {"kind": "hidden-markov", "zz": 3}}, "model knows dim, kind, null, pretrained, reach, transitions"),
        (
            {"model": {"cell": "gru", "heads": 2}},
            'there is no key \'model.heads\' with model.kind = "recurrent"; it is of "transformer"',
        ),
        (
            {"model": {"attention": {"scope": "local-p"}}},
            "'model.attention.scope' is \"local-p\", but it is a table: write model.attention.scope.kind=local-predictive",
        ),
        (
            {"model": {"attention": {"scope": 3}}},
            "write model.attention.scope.kind=global, causal, window, local-monotonic or local-predictive",
        ),
        ({"model": {"attention": "sparsemax"}}, "but it is a table: write model.attention.normalize=sparsemax"),
        ({"model": {"cross_attention": "dot"}}, "but it is a table: write model.cross_attention.score=dot"),
        ({"model": "gru"}, "but it is a table: write model.cell=gru"),
        ({"training": 3}, "'training' is 3, but it is a table: set its keys, such as training.steps"),
        ({"model": {"attention": {"scope": {"kind": "window", "right": 1}}}}, "scope.left' is missing: set it"),
        ({"model": {"attention": {"scope": {"kind": "window", "windw": 1, "left": 1, "right": 1}}}}, "scope.windw';"),
        ({"task": "cooking"}, "write 'translation'"),
        ({"format": 2}, "has format 2"),
        ({"model": 3}, "'model' is 3"),
        ({"seed": -1, "model": {"dim": 0}}, "(and 1 more)"),
        (
            {"seed": 99999999999999999999999},
            "'seed' is 99999999999999999999999, but it should be less than or equal to",
        ),
        ({"training": {"learning_rate": math.inf}}, "'training.learning_rate' is Infinity, but it should be a finite"),
        ({"training": {"minutes": math.nan}}, "'training.minutes' is NaN, but it should be a finite number"),
        ({"model": {"dropout": math.nan}}, "'model.dropout' is NaN, but it should be a finite number"),
        (
            {"model": {"cell": "gru", "attention": {"temperature": math.inf}}},
            "'model.attention.temperature' is Infinity",
        ),
        (
            {"decoding": {"length_penalty": math.nan}},
            "'decoding.length_penalty' is NaN, but it should be a finite number",
        ),
        ({"decoding": {"length_penalty": 1e6}}, "it should be less than or equal to 50"),
        (
            {"decoding": {"max_length_ratio": math.inf}},
            "'decoding.max_length_ratio' is Infinity, but it should be a fin",
        ),
    ],
)
def test_each_mistake_is_one_sentence_that_names_it(tree: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        recipe_of(tree, "my.toml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("my.toml") and "\n" not in str(caught.value)


def test_files_that_are_no_recipe_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    for content, sentence in (
        (b"seed = 1\n[model\n", r"r\.toml is not TOML: .*line 2"),
        (b"seed = 1\nx = '\xff'\n", r"r\.toml, line 2, is not UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=sentence):
            read_toml(path)
    with pytest.raises(UsageError, match="does not exist"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="is a folder"):
        read_toml(tmp_path)
    path.write_bytes(b"\xef\xbb\xbfseed = 7\n")
    assert read_toml(path) == {"seed": 7}


def test_settings_are_toml_or_else_strings_and_the_later_counts() -> None:
    assert setting("a.b=3") == {"a": {"b": 3}}
    assert setting("a = [1, 2]") == {"a": [1, 2]}
    assert setting("a.b=no") == {"a": {"b": "no"}}  # which YAML would take for False
    assert setting("model.attention={score='dot'}") == {"model": {"attention": {"score": "dot"}}}
    for wrong in ("a", "=3", "a..b=1"):
        with pytest.raises(UsageError, match=r"write it as path\.to\.key=value"):
            setting(wrong)
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}, "d": {"e": 1}}) == {
        "a": {"b": 5, "c": 2},
        "d": {"e": 1},
    }


VALUES = st.recursive(
    st.text() | st.integers(-(2**62), 2**62) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=4))
def test_what_is_written_is_read_again(tree: dict[str, Any]) -> None:
    surrogates = any(0xD800 <= ord(c) <= 0xDFFF for c in repr(tree))
    assert surrogates or tomllib.loads(write_toml(tree)) == tree


TEXTS = [Corpus(pairs, 12.0, 12.0, pairs, pairs) for pairs in (1_000, 10_000, 30_000, 150_000, 1_000_000)]
LEXICON = Corpus(100_000, 1.0, 6.5, 90_000, 39)
INFLECTION = Corpus(10_000, 3.0, 1.0, 9_000, 10_000)


@pytest.mark.parametrize("kind", [None, "transformer", "recurrent"])
@pytest.mark.parametrize("corpus", [*TEXTS, LEXICON, INFLECTION, Corpus(10, 1.0, 1.0, 3, 3)])
def test_presets_are_recipes_without_gaps_and_survive_a_file(corpus: Corpus, kind: Any) -> None:
    recipe = recipe_of(preset(corpus, kind))
    assert recipe.model.kind == (kind or "transformer")
    assert None not in (recipe.data.vocabulary, recipe.data.source_tokenizer, recipe.data.target_tokenizer)
    assert recipe.training.epochs is not None
    assert recipe_of(tomllib.loads(write_toml(recipe.model_dump(mode="json")))) == recipe


def test_more_text_means_a_larger_model_and_less_regularisation() -> None:
    for kind in ("transformer", "recurrent"):
        recipes = [recipe_of(preset(corpus, kind)) for corpus in TEXTS]  # type: ignore[arg-type]
        sizes = [getattr(r.model, "dim", getattr(r.model, "hidden", 0)) for r in recipes]
        dropouts = [getattr(r.model, "dropout", -1.0) for r in recipes]
        vocabularies = [r.data.vocabulary or 0 for r in recipes]
        assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
        assert dropouts == sorted(dropouts, reverse=True) and dropouts[0] > dropouts[-1]
        assert vocabularies == sorted(set(vocabularies))


@pytest.mark.parametrize("budget", [{"minutes": 5.0}, {"steps": 300}])
def test_a_short_budget_makes_small_steps(budget: dict[str, Any]) -> None:
    short, long = (recipe_of(preset(TEXTS[2], None, **given)) for given in (budget, {"minutes": 60.0, "steps": 9000}))
    assert short.training.batch_tokens < long.training.batch_tokens
    assert recipe_of(preset(TEXTS[2])) == recipe_of(preset(TEXTS[2], None, minutes=60.0))


@pytest.mark.parametrize(
    ("budget", "rate"),
    [({}, 0.1), ({"minutes": 60.0}, 0.1), ({"steps": 4000}, 0.1), ({"minutes": 59.0}, 0), ({"steps": 3999}, 0)],
)
def test_words_are_read_as_nothing_where_there_is_time_to_make_up_for_it(budget: dict[str, Any], rate: float) -> None:
    assert recipe_of(preset(TEXTS[2], None, **budget)).model.word_dropout == rate  # type: ignore[union-attr]


def test_spelling_is_cut_into_characters_and_phonemes_into_words() -> None:
    lexicon = recipe_of(preset(LEXICON)).data
    assert (lexicon.source_tokenizer, lexicon.target_tokenizer, lexicon.shared_vocabulary) == (
        "characters",
        "words",
        False,
    )
    text = recipe_of(preset(TEXTS[2])).data
    assert (text.source_tokenizer, text.target_tokenizer, text.shared_vocabulary) == ("bpe", "bpe", True)


def test_text_without_spaces_is_no_spelling() -> None:
    facts = (30_000, 1.0, 9.0, 29_000, 12_000)
    text, words = Corpus(*facts, source_unspaced=True), Corpus(*facts)
    family = recipe_of(preset(text)).data
    assert (family.source_tokenizer, family.target_tokenizer, family.spelling) == ("bpe", "bpe", False)
    assert preset(text)["model"] == preset(Corpus(30_000, 9.0, 9.0, 29_000, 12_000))["model"] != preset(words)["model"]
    assert recipe_of(preset(words)).data.source_tokenizer == "characters"
    # Sentences that are said again and again are no symbols.
    few = Corpus(30_000, 1.0, 9.0, 250, 12_000, source_unspaced=True)
    assert recipe_of(preset(few)).data.source_tokenizer == "bpe"


@pytest.mark.parametrize(
    ("corpus", "spelling"),
    [
        (LEXICON, True),
        (INFLECTION, True),
        (TEXTS[0], False),
        (Corpus(9_000, 9.0, 1.0, 9_000, 9_000, target_unspaced=True), False),
        (Corpus(9_000, 1.0, 1.0, 9_000, 9_000, True, True), False),
        (Corpus(9_000, 1.0, 1.0, 9_000, 9_000, True, False), True),
    ],
)
def test_a_recipe_says_whether_lines_are_single_words(corpus: Corpus, spelling: bool) -> None:
    assert recipe_of(preset(corpus)).data.spelling is spelling


def test_heads_that_name_no_score_keep_the_transformers_own() -> None:
    model = recipe_of({"model": {"heads": 4, "attention": {"normalize": "sparsemax"}, "cross_attention": {}}}).model
    assert isinstance(model, TransformerPart)
    assert {part.score for where in ("encoder", "decoder") for part in model.heads_of(where)} == {"scaled-dot"}  # type: ignore[arg-type]
    assert [part.normalize for part in model.heads_of("cross")] == ["softmax"] * model.decoder_layers
    recurrent = recipe_of({"model": {"cell": "gru", "attention": {"normalize": "sparsemax"}}}).model
    assert isinstance(recurrent, RecurrentPart) and recurrent.attention.score == "additive"
