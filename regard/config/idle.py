"""Keys of a recipe that were written and do nothing: they belong to a mechanism that it does not have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from regard.config.recipe import ATTENTIONS, HiddenMarkovPart, Recipe, RecurrentPart

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


def idle_keys(tree: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """Sentences about keys that stand in `tree`, what somebody wrote, and change nothing in the recipe made of it."""
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
