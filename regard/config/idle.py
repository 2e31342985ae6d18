"""Keys of a recipe that were written and do nothing: they belong to a mechanism, or to a kind of model, that it does not
have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regard.config.captioning import CaptionerPart
from regard.config.classification import ClassifierPart
from regard.config.forecasting import ForecasterPart
from regard.config.recipe import ATTENTIONS, HiddenMarkovPart, Part, Recipe, RecipeBase, RecurrentPart
from regard.config.visual_question import VisualQuestionPart

# Of a mechanism: the key, and what it belongs to.
OF_MECHANISM = {
    "top_k": ("normalize", ("top-k",)),
    "estimator": ("normalize", ("hard",)),
    "temperature": ("normalize", ("hard",)),
    "chunk": ("normalize", ("mocha",)),
    "filters": ("score", ("location-sensitive",)),
    "width": ("score", ("location-sensitive",)),
    "hidden": ("score", ("additive", "location-sensitive", "coverage")),
}
OF_REINFORCE = ("samples", "discount", "reward", "entropy")


@dataclass(frozen=True)
class Hanging:
    """Keys of `[model]` that do something where `works`, and `otherwise` says with what they do nothing."""

    keys: tuple[str, ...]
    works: Callable[[Any], bool]
    otherwise: Callable[[Any], str]


BLOCKS = ("heads", "feed_forward")  # of a Transformer's layers
HANGING: dict[type[Part], tuple[Hanging, ...]] = {
    ForecasterPart: (Hanging(BLOCKS, lambda p: p.kind == "transformer", lambda p: f'kind = "{p.kind}"'),),
    ClassifierPart: (
        Hanging(
            ("encoder", "cell", "embedding", "hidden", "layers", *BLOCKS, "windows", "filters", "dropout"),
            lambda p: p.pretrained is None,
            lambda p: "pretrained, whose encoder it is",
        ),
        Hanging(
            ("cell", "hidden"),
            lambda p: p.encoder == "recurrent" or p.pretrained is not None,
            lambda p: f'encoder = "{p.encoder}"',
        ),
        Hanging(
            BLOCKS,
            lambda p: p.encoder == "transformer" or p.grid_layers or p.pretrained is not None,
            lambda p: f'encoder = "{p.encoder}"' + (" and grid_layers = 0" if p.encoder == "grid" else ""),
        ),
        Hanging(
            ("windows", "filters"),
            lambda p: p.encoder == "convolutional" or p.pretrained is not None,
            lambda p: f'encoder = "{p.encoder}"',
        ),
        Hanging(
            ("layers",),
            lambda p: p.encoder != "convolutional" or p.pretrained is not None,
            lambda p: f'encoder = "{p.encoder}"',
        ),
        Hanging(
            ("hops",),
            lambda p: "self-attentive" in p.pooling or p.pooling == "query",
            lambda p: f'pooling = "{p.pooling}"',
        ),
    ),
    CaptionerPart: (
        Hanging(("widths", "blocks"), lambda p: p.backbone is None, lambda p: f'backbone = "{p.backbone}"'),
        Hanging(
            ("embedding", "hidden", "gate"),
            lambda p: p.decoder != "transformer",
            lambda p: 'decoder = "transformer"',
        ),
        Hanging(
            BLOCKS,
            lambda p: p.decoder == "transformer" or p.grid_layers,
            lambda p: f'decoder = "{p.decoder}" and grid_layers = 0',
        ),
    ),
    VisualQuestionPart: (
        Hanging(
            ("embedding", "question_layers"),
            lambda p: p.fusion != "hierarchical",
            lambda p: 'fusion = "hierarchical"',
        ),
        Hanging(("fusion_layers",), lambda p: p.fusion in ("dense", "modular"), lambda p: f'fusion = "{p.fusion}"'),
        Hanging(("slots",), lambda p: p.fusion == "dense", lambda p: f'fusion = "{p.fusion}"'),
        Hanging(("hidden",), lambda p: p.fusion != "none", lambda p: 'fusion = "none"'),
        Hanging(
            ("heads",),
            lambda p: p.grid_layers or p.fusion in ("dense", "modular"),
            lambda p: f'fusion = "{p.fusion}" and grid_layers = 0',
        ),
        Hanging(("feed_forward",), lambda p: p.grid_layers, lambda p: "grid_layers = 0"),
    ),
}


def idle_keys(tree: Mapping[str, Any], recipe: RecipeBase) -> list[str]:
    """Sentences about keys that stand in `tree`, what somebody wrote, and change nothing in the recipe made of it."""
    if isinstance(recipe, Recipe):
        return _of_translation(tree, recipe)
    part: Any = vars(recipe)["model"]  # each task has its own
    model = _table(tree.get("model"))
    found = [
        f"model.{key} does nothing with {hanging.otherwise(part)}"
        for hanging in HANGING.get(type(part), ())
        if not hanging.works(part)
        for key in hanging.keys
        if key in model
    ]
    return [*found, *_of_mechanism("attention", model.get("attention"))]


def _of_translation(tree: Mapping[str, Any], recipe: Recipe) -> list[str]:
    model, training, decoding = (_table(tree.get(name)) for name in ("model", "training", "decoding"))
    found = [sentence for place in ATTENTIONS for sentence in _of_mechanism(place, model.get(place))]
    mechanisms = [part for parts in recipe.model.mechanisms.values() for part in parts]
    if not mechanisms:
        what = f'decoder = "{recipe.model.decoder}"' if isinstance(recipe.model, RecurrentPart) else recipe.model.kind
        found += [f"model.{place} does nothing: {what} has no attention" for place in ATTENTIONS if model.get(place)]
        if decoding.get("coverage_penalty"):
            found.append(f"decoding.coverage_penalty does nothing: {what} has no attention")
    if training.get("r_drop") and isinstance(recipe.model, HiddenMarkovPart):
        found.append("training.r_drop does nothing: it compares draws of dropout, which hidden-markov has none of")
    if all(part.stepwise != "reinforce" for part in mechanisms):
        found += [
            f'training.{key} does nothing without hard attention by REINFORCE (normalize = "hard")'
            for key in OF_REINFORCE
            if key in training
        ]
    return found


def _of_mechanism(place: str, written: Any) -> Iterator[str]:
    for part in written if isinstance(written, list | tuple) else [written]:
        table = _table(part)
        for key, (of, names) in OF_MECHANISM.items():
            # What was not written is the default, which is neither of these but for the additive score.
            chosen = table.get(of, "additive" if of == "score" else "softmax")
            if key in table and chosen not in names and (of in table or of == "normalize"):
                wanted = " or ".join(f'"{name}"' for name in names)
                yield f'model.{place}.{key} does nothing with {of} = "{chosen}": it belongs to {wanted}'


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
