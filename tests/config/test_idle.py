"""Keys that do nothing are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regard.build.captioning import captioner
from regard.build.classifier import classifier, picture_classifier
from regard.build.forecaster import forecaster
from regard.build.visual_question import visual_question
from regard.cli import main
from regard.config import recipe_of
from regard.config.captioning import CaptioningRecipe
from regard.config.classification import CONVOLUTIONAL, MODEL_OF_TEXTS, ClassificationRecipe, ClassifierPart
from regard.config.forecasting import ForecastingRecipe
from regard.config.idle import idle_keys
from regard.config.recipe import RecipeBase
from regard.config.visual_question import VisualQuestionRecipe
from regard.data.images import Shape

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


KINDS: dict[str, tuple[type[RecipeBase], Any]] = {
    "forecasting": (ForecastingRecipe, lambda part: forecaster(part, 2, 4)),
    "classification": (ClassificationRecipe, lambda part: classified(part)),
    "captioning": (CaptioningRecipe, lambda part: captioner(part, Shape(16, 16), 20)),
    "visual-question": (VisualQuestionRecipe, lambda part: visual_question(part, 3, 20, 5)),
}
SMALL = {
    "forecasting": {"hidden": 8, "feed_forward": 8},
    "classification": {"embedding": 8, "feed_forward": 8},
    "captioning": {"widths": [8, 8], "dim": 8, "feed_forward": 8},
    "visual-question": {"widths": [8, 8], "dim": 8, "feed_forward": 8, "output": 8},
}
OTHER = {
    "heads": 2, "feed_forward": 24, "cell": "lstm", "hidden": 28, "embedding": 24, "gate": False, "hops": 3,
    "question_layers": 2, "fusion_layers": 3, "slots": 1, "layers": 3, "windows": [2], "filters": 7,
}  # fmt: skip


def classified(part: ClassifierPart) -> Any:
    return picture_classifier(part, 3, 5) if part.encoder == "grid" else classifier(part, 20, 5)


def parts_of(network: Any) -> list[Any]:
    """What a network is made of, without its numbers."""
    plain = int | float | str | bool
    return [
        (
            name,
            type(part),
            {k: v for k, v in vars(part).items() if isinstance(v, plain)},
            [p.shape for p in part.parameters()],
        )
        for name, part in network.named_modules()
    ]


@pytest.mark.parametrize(
    ("task", "model", "idle"),
    [
        ("forecasting", {"kind": "recurrent"}, {"heads", "feed_forward"}),
        ("forecasting", {}, set()),
        ("classification", {}, {"heads", "feed_forward", *CONVOLUTIONAL}),
        ("classification", {"encoder": "transformer"}, {"cell", "hidden", *CONVOLUTIONAL}),
        ("classification", {"encoder": "convolutional"}, {"cell", "hidden", "layers", "heads", "feed_forward"}),
        ("classification", {"pooling": "max"}, {"heads", "feed_forward", "hops", *CONVOLUTIONAL}),
        ("classification", {"pooling": "query"}, {"heads", "feed_forward", *CONVOLUTIONAL}),
        ("classification", {"pooling": "hierarchical"}, {"heads", "feed_forward", "hops", *CONVOLUTIONAL}),
        ("classification", {"encoder": "grid"}, {"heads", "feed_forward"}),
        ("classification", {"encoder": "grid", "grid_layers": 1}, set()),
        ("captioning", {}, {"heads", "feed_forward"}),
        ("captioning", {"grid_layers": 1}, set()),
        ("captioning", {"decoder": "transformer"}, {"embedding", "hidden", "gate"}),
        ("visual-question", {}, {"heads", "feed_forward", "fusion_layers", "slots"}),
        ("visual-question", {"grid_layers": 1}, {"fusion_layers", "slots"}),
        ("visual-question", {"fusion": "dense"}, {"feed_forward"}),
        ("visual-question", {"fusion": "modular"}, {"feed_forward", "slots"}),
        (
            "visual-question",
            {"fusion": "hierarchical"},
            {"heads", "feed_forward", "fusion_layers", "slots", "embedding", "question_layers"},
        ),
        ("visual-question", {"fusion": "none"}, {"heads", "feed_forward", "fusion_layers", "slots", "hidden"}),
    ],
)
def test_a_key_is_idle_where_the_network_is_the_same_without_it(
    task: str, model: dict[str, Any], idle: set[str]
) -> None:
    kind, build = KINDS[task]
    model = SMALL[task] | model
    plain = parts_of(build(recipe_of({"model": model}, "a test", kind).model))  # type: ignore[attr-defined]
    for key, value in OTHER.items():
        if key not in type(kind.model_fields["model"].default).model_fields:
            continue
        if model.get("encoder") == "grid" and key in MODEL_OF_TEXTS:
            continue  # which are refused
        tree = {"model": model | {key: value}}
        recipe = recipe_of(tree, "a test", kind)
        same = parts_of(build(recipe.model)) == plain  # type: ignore[attr-defined]
        said = [
            sentence for sentence in idle_keys(tree, recipe) if sentence.startswith(f"model.{key} does nothing with ")
        ]
        assert (len(said) == 1) == (key in idle) == same, (key, said)


def test_what_comes_with_an_encoder_is_idle() -> None:
    tree = {"model": {"pretrained": "runs/masked", "heads": 8, "output_dropout": 0.1}}
    recipe = recipe_of(tree, "a test", ClassificationRecipe)
    assert idle_keys(tree, recipe) == ["model.heads does nothing with pretrained, whose encoder it is"]


def test_training_says_it_once_for_any_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"2024-01-{day:02},{day % 7}\n" for day in range(1, 31))
    (tmp_path / "days.csv").write_text(f"date,sold\n{rows}")
    keys = [
        "task=forecasting",
        "model.kind=recurrent",
        "model.heads=2",
        "model.hidden=4",
        "data.history=3",
        "data.horizon=1",
    ]
    command = ["train", "--data", str(tmp_path / "days.csv"), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main([*command, *(word for key in keys for word in ("--set", key))]) == 0
    assert capsys.readouterr().out.count('model.heads does nothing with kind = "recurrent"') == 1
