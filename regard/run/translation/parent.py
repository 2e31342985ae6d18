"""A finished run as the beginning of another one: fine-tuning to other pairs, or to other pairs of languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from regard.config import AttentionPart, Recipe, TransformerPart, merge, recipe_of
from regard.config.budget import within_steps
from regard.config.recipe import ATTENTIONS, VECTORS
from regard.data import Corpus, Tokenizer
from regard.errors import UsageError
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.weights import check_weights
from regard.training.checkpoint import load_parameters, load_tensors, parameters_of

# What may change without changing which parameters there are; all else of a model is its weights' shape or meaning.
# Of a mechanism of attention that is what learns nothing: soft attention may go on as hard attention, for example.
FREE = ("pretrained", *VECTORS, "dropout", "word_dropout", "attention_dropout", "feed_forward_dropout")
TOKENS = ("source_tokenizer", "target_tokenizer", "vocabulary", "shared_vocabulary")
# What a training passes on, so that the weights go on in the same way; how long it lasts follows from the new pairs.
PASSED_ON = (
    "optimizer", "batch_tokens", "learning_rate", "label_smoothing", "weight_decay", "adam_beta2", "clip", "average",
)  # fmt: skip
WARMUP = 100
STRANGE = 0.001  # the share of unknown tokens above which somebody should know


class Parent:
    """A run that translates, of which another one takes weights, tokenizers and sizes."""

    def __init__(self, run: str) -> None:
        self.folder = RunFolder(Path(run).resolve())
        self.recipe = self.folder.read_recipe_of(Recipe)
        check_weights(self.folder)

    @classmethod
    def of(cls, tree: Tree) -> Parent | None:
        """Of the run that a recipe's tree names, if it names one."""
        model = tree.get("model")
        named = model.get("pretrained") if isinstance(model, dict) else None
        return cls(named) if isinstance(named, str) else None

    def fill(self, tree: Tree, origin: str) -> Tree:
        """The tree of a recipe with all that follows from this run. UsageError where it asks for something else."""
        own = {name: getattr(self.recipe, name).model_dump(mode="json") for name in ("model", "data", "training")}
        if not all(isinstance(tree.get(name, {}), dict) for name in own):
            recipe_of(tree, origin)  # which says so
        asked = {name: dict(tree.get(name, {})) for name in own}
        kind = asked["model"].get("kind", self.recipe.model.kind)
        if kind != self.recipe.model.kind:
            raise self._disagreement("model.kind", kind, self.recipe.model.kind)
        pieces = {key: own["data"][key] for key in (*TOKENS, "tokenizer", "max_length")}
        if asked["data"].get("tokenizer") is not None:  # one word for both sides
            both = asked["data"]["tokenizer"]
            asked["data"] = {"source_tokenizer": both, "target_tokenizer": both, **asked["data"]}
        model = {key: value for key, value in own["model"].items() if value is not None and key not in VECTORS}
        passed = {key: own["training"][key] for key in PASSED_ON}
        passed = within_steps(passed | {"warmup": WARMUP}, asked["training"].get("steps"))
        filled = {
            **tree,
            "model": merge(model, asked["model"]) | {"pretrained": str(self.folder.path)},
            "data": merge(pieces, asked["data"]),
            "training": merge(passed, asked["training"]),
        }
        self._agrees(recipe_of(filled, origin))
        return filled

    def _agrees(self, asked: Recipe) -> None:
        keys = [("model", key) for key in type(self.recipe.model).model_fields if key not in FREE]
        for section, key in [*keys, *(("data", key) for key in TOKENS)]:
            wanted = _setting(getattr(self.recipe, section), key)
            given = _setting(getattr(asked, section), key)
            if _weights(given) != _weights(wanted):
                raise self._disagreement(f"{section}.{key}", given, wanted)
        longest, own = asked.data.max_length, self.recipe.data.max_length
        if longest > own and getattr(self.recipe.model, "positions", None) == "learned":
            raise UsageError(
                f"data.max_length is {longest}, and {self.folder.path} has learned {own} positions: write {own} at most"
            )
        attention = getattr(self.recipe.model, "attention", None)
        if longest != own and isinstance(attention, AttentionPart) and attention.score == "location":
            raise UsageError(
                f"data.max_length is {longest}, and the score location of {self.folder.path} has weights for {own} "
                "positions: leave max_length out"
            )

    def _disagreement(self, key: str, given: Any, wanted: Any) -> UsageError:
        return UsageError(
            f"{key} is {_shown(given)}, and that of {self.folder.path}, with which this training begins, is "
            f"{_shown(wanted)}: leave it out, or begin with another run"
        )

    def tokenizers(self, folder: RunFolder) -> tuple[Tokenizer, Tokenizer]:
        """The run's, saved into the new one; the same object twice where they are shared."""
        source, target = self.folder.read_tokenizers(self.recipe)
        source.save(folder.tokenizer("source", source is target))
        if source is not target:
            target.save(folder.tokenizer("target", False))
        return source, target

    def load_into(self, network: nn.Module) -> None:
        """Copies the weights, bit by bit. What an estimator of hard attention has kept is taken where both have one."""
        tensors, own = load_tensors(self.folder.weights), parameters_of(network)
        kept = {name for name in own.keys() | tensors.keys() if name.endswith(".normalize.baseline")}
        tensors = {name: tensor for name, tensor in tensors.items() if name not in kept or name in own}
        tensors = {name: own[name] for name in kept & own.keys()} | tensors
        load_parameters(network, tensors, self.folder.weights)


def strangeness(corpus: Corpus, parent: Path) -> list[str]:
    """Sentences that say of each side how many of its tokens the tokenizers do not know, if that is more than hardly
    any: what was learned from English has no letters for Greek."""
    return [
        f"{share:.1%} of the {side} tokens are unknown to the tokenizer of {parent}: it was made from other text, and "
        "what it does not know is lost"
        for side, share in zip(("source", "target"), corpus.unknown(), strict=True)
        if share > STRANGE
    ]


def _setting(part: Any, key: str) -> Any:
    """What a recipe says under a key; of the heads of a Transformer, what happens in each layer, however it is written."""
    if not isinstance(part, TransformerPart) or key not in ATTENTIONS:
        return getattr(part, key)
    return tuple(part.mechanisms.get(key.removesuffix("_attention"), ()))  # what is for all is in the three


def _weights(value: Any) -> Any:
    """What of a setting says which weights there are."""
    if isinstance(value, tuple):
        return tuple(_weights(each) for each in value)
    return value.weights if isinstance(value, AttentionPart) else value


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "; ".join(dict.fromkeys(_shown(each) for each in value))
    if isinstance(value, AttentionPart):
        return value.summary
    return "not there" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
