"""Names of mechanisms, as a comparison lists them: `additive`, `dot+sparsemax`, `general+local-p:3`, `cross:entmax15`, `none`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from regard.config.reading import merge, recipe_of
from regard.config.recipe import (
    AttentionPart,
    HiddenMarkovPart,
    NormalizerName,
    Place,
    RecurrentPart,
    ScoreName,
    TransformerPart,
)
from regard.errors import UsageError

Tree = dict[str, Any]

NONE = "none"
# The keys that hold what may stand behind the colon.
COUNTS = {"top-k": "top_k", "mocha": "chunk"}
ESTIMATORS = ("reinforce", "gumbel")
# Hard attention whose positions are summed over is a decoder of its own.
EXACT = {"hard": "zeroth-order", "monotonic": "monotonic"}
OF_WEIGHTS = ("coverage", "doubly_stochastic", "guided")  # losses
PLACES: tuple[Place, ...] = get_args(Place)  # where a Transformer has attention
SCOPES = ("global", "causal", "window", "local-monotonic", "local-predictive")
ALIASES = {"local-m": "local-monotonic", "local-p": "local-predictive"}
KINDS: dict[str, str] = (
    dict.fromkeys(get_args(ScoreName), "score")
    | dict.fromkeys(get_args(NormalizerName), "normalize")
    | dict.fromkeys((*SCOPES, *ALIASES), "scope")
)
WORDS = {"score": "scores", "normalize": "normalizers", "scope": "scopes"}


def mechanism(text: str) -> Tree:
    """What a name changes in a recipe's `model` part.

    Parts are joined by `+` in any order: at most one score, one normalizer and one scope. What stands behind a colon
    is a number of positions, or of `hard` its estimator. `hard:exact` and `monotonic:exact` are the decoder that sums
    over positions. `none` is the recurrent decoder without attention. `encoder:`, `decoder:` or `cross:` before it all is
    the place of a Transformer that changes.

    Raises:
        UsageError: an empty name, an unknown part (with what is near), two parts of one kind, a number that is
            missing, below 1, or stands where none belongs.
    """
    place, colon, rest = text.partition(":")
    if colon and place.strip().lower() in PLACES:
        change = mechanism(rest)
        if "decoder" in change:
            raise UsageError(
                f"'{text}': {rest.strip()} is a decoder, and no attention of one place; leave out '{place}:'"
            )
        return {f"{place.strip().lower()}_attention": change["attention"]}
    parts = [part.strip().lower() for part in text.split("+")]
    if not all(parts):
        what = f"'{text}' has an empty part" if text.strip(" +") else "a mechanism has no name"
        raise UsageError(f"{what}: write scores, normalizers and scopes joined by +, such as additive or dot+sparsemax")
    if parts == [NONE]:
        return {"decoder": "fixed-initial"}
    if any(part.partition(":")[0] == NONE for part in parts):
        raise UsageError(f"'{text}': none is the decoder without attention and stands alone; leave out the rest")
    change: Tree = {}
    decoder: Tree = {}
    seen: dict[str, str] = {}
    for part in parts:
        name, colon, value = part.partition(":")
        kind = _kind(name, text)
        if kind in seen:
            raise UsageError(f"'{text}' has two {WORDS[kind]}, {seen[kind]} and {part}: leave one out")
        seen[kind] = part
        if value.strip() == "exact" and name in EXACT:
            decoder = {"decoder": "exact-hard", "transition": EXACT[name]}
            continue
        change |= _part(kind, ALIASES.get(name, name), value.strip() if colon else None, text)
    return decoder | ({"attention": change} if change else {})


def with_mechanism(tree: Mapping[str, Any], text: str, origin: str = "the recipe") -> Tree:
    """The recipe's tree with another mechanism. What its name does not say stays as the recipe, or its defaults, has it.

    A recurrent decoder that had no attention gets the default one with the mechanism; one that gets none loses the losses
    that are made of weights.

    Raises:
        UsageError: see `mechanism` and `recipe_of`; a mechanism that would change nothing in this recipe.
    """
    change = mechanism(text)
    part = recipe_of(tree, origin).model
    model: Tree = {"kind": part.kind, **tree.get("model", {})}
    if isinstance(part, HiddenMarkovPart):
        raise UsageError(
            f"'{text}' would change nothing, for {origin} is of a hidden Markov model: choose another kind"
        )
    place: Place | None = next((where for where in PLACES if f"{where}_attention" in change), None)
    if place is not None and not isinstance(part, TransformerPart):
        raise UsageError(
            f"'{text}': {place} is a place of a Transformer, and {origin} is {part.kind}: leave out '{place}:'"
        )
    if isinstance(part, TransformerPart):
        if "decoder" in change:
            raise UsageError(
                f"'{text}' is a recurrent decoder, and {origin} is of a Transformer, which is nothing without "
                'attention: set model.kind = "recurrent"'
            )
        own = [f"{where}_attention" for where in ("encoder", "decoder", "cross")]
        if place is None and all(getattr(part, key) is not None for key in own):
            raise UsageError(
                f"'{text}' would change nothing, for {origin} sets {', '.join(own)}: leave one of them out"
            )
    elif isinstance(part, RecurrentPart) and "attention" in change and part.decoder.startswith("fixed"):
        model.pop("decoder")
    if place is not None:
        assert isinstance(part, TransformerPart)
        key, layers = f"{place}_attention", part.heads_of(place)
        if len(set(layers)) > 1:
            raise UsageError(
                f"'{text}': {origin} lists a mechanism for each layer in model.{key}, so that none stands for all"
            )
        change = {key: _onto(layers[0], change[key])}
    if "attention" in change:
        change |= {"attention": _onto(part.attention, change["attention"])}
    if str(change.get("decoder", "")).startswith("fixed"):
        model.pop("attention", None)  # which it would not have
    changed = {**tree, "model": model | change}
    if str(change.get("decoder", "")).startswith(("fixed", "exact")):
        changed = _without_losses(changed)
    recipe_of(changed, f"{text} in {origin}")
    return changed


def _onto(before: AttentionPart, named: Tree) -> Tree:
    """The whole mechanism: a table that says only some keys would lose the family's own defaults of the others."""
    whole = before.model_dump(mode="json")
    if "scope" in named and named["scope"]["kind"] == whole["scope"]["kind"]:
        named["scope"] = whole["scope"] | named["scope"]
    return whole | named


def _without_losses(tree: Tree) -> Tree:
    """The recipe's tree without what is asked of the weights of attention, for a decoder that has none."""
    training = {key: 0 for key in OF_WEIGHTS if tree.get("training", {}).get(key)}
    data = {"alignment": None} if tree.get("data", {}).get("alignment") else {}
    return merge(tree, {"training": training, "data": data})


def _kind(name: str, text: str) -> str:
    if name in KINDS:
        return KINDS[name]
    known = [*KINDS, NONE]
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    all_of_them = [*known, *(f"{name}:exact" for name in EXACT), *(f"hard:{name}" for name in ESTIMATORS[1:])]
    advice = f"did you mean {' or '.join(near)}?" if near else f"they are {', '.join(all_of_them)}"
    where = "" if name == text else f" in '{text}'"
    raise UsageError(f"there is no mechanism '{name}'{where}; {advice}")


def _part(kind: str, name: str, value: str | None, text: str) -> Tree:
    """What one part changes in the attention's table."""
    if name == "window":
        if value is None:
            raise UsageError(f"'{text}': a window needs how many positions it sees on either side, such as window:3")
        side = _number(name, value, text)
        return {"scope": {"kind": name, "left": side, "right": side}}
    if name in ALIASES.values():
        return {"scope": {"kind": name} | ({} if value is None else {"window": _number(name, value, text)})}
    if value is not None and name in COUNTS:
        return {kind: name, COUNTS[name]: _number(name, value, text)}
    if value is not None and name == "hard":
        if value not in ESTIMATORS:
            raise UsageError(f"'{text}': hard attention is learned by {', '.join(ESTIMATORS)} or exact, not '{value}'")
        return {kind: name, "estimator": value}
    if value is not None:
        raise UsageError(f"'{text}': nothing belongs behind {name}; leave out ':{value}'")
    return {kind: {"kind": name} if kind == "scope" else name}


def _number(name: str, value: str, text: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0):
        raise UsageError(f"'{text}': behind {name} belongs a whole number from 1, such as {name}:3, not '{value}'")
    return int(value)
