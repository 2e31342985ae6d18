"""Recipes of language models: of what comes next, and of what is hidden.

What is None follows from the size of the text and is filled in by `text_preset` before training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from regard.config.recipe import AttentionPart, LocalPredictiveScope, Part, Rate, RecipeBase, TokenizerKind

Tree = dict[str, Any]
Files = str | tuple[str, ...] | None
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
TRANSLATION_ONLY = (
    "r_drop", "coverage", "doubly_stochastic", "reward", "entropy", "samples", "discount", "guided", "guided_layer",
    "guided_row",
)  # fmt: skip


class TextDataPart(Part):
    """Where the text is and how it becomes tokens. Paths are relative to the recipe."""

    data: Files = None
    valid_data: Files = None
    held_out: Share = 0.05
    unit: Literal["lines", "paragraphs", "files"] = "lines"
    tokenizer: TokenizerKind | None = None
    vocabulary: Annotated[int, Field(ge=8)] | None = None
    context: Annotated[int, Field(ge=2)] | None = None


class StackPart(Part):
    """Layers of self-attention and feed-forward."""

    kind: Literal["transformer"] = "transformer"
    dim: PositiveInt = 128
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 512
    layers: PositiveInt = 4
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned", "rotary", "relative", "alibi"] = "rotary"
    reach: PositiveInt = 16
    attention: AttentionPart = AttentionPart(score="scaled-dot")
    kv_heads: PositiveInt | None = None
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.0
    feed_forward_dropout: Rate = 0.0

    @model_validator(mode="before")
    @classmethod
    def _scaled(cls, tree: Any) -> Any:
        """A mechanism that says no score has the Transformer's own."""
        if isinstance(tree, Mapping) and isinstance(tree.get("attention"), Mapping):
            return {**tree, "attention": {"score": "scaled-dot", **tree["attention"]}}
        return tree

    @model_validator(mode="after")
    def _fits(self) -> StackPart:
        _without_steps(self.attention)
        if self.dim % self.heads:
            raise ValueError(f"dim = {self.dim} cannot be shared out evenly among heads = {self.heads}")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"heads = {self.heads} cannot be shared out evenly among kv_heads = {self.kv_heads}")
        if self.positions == "rotary" and (self.dim // self.heads) % 2:
            raise ValueError(f"rotary positions need an even head size, not {self.dim} / {self.heads}")
        return self


class CausalStackPart(StackPart):
    """A Transformer that reads forwards."""

    tie_embeddings: bool = True

    @model_validator(mode="after")
    def _looks_back(self) -> CausalStackPart:
        _without_foresight(self.attention)
        return self


class TextRecurrentPart(Part):
    """A recurrent network; with `attention` it looks back at its own states."""

    kind: Literal["recurrent"]
    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    attention: AttentionPart | None = None
    embedding: PositiveInt = 256
    hidden: PositiveInt = 512
    layers: PositiveInt = 1
    dropout: Rate = 0.2
    tie_embeddings: bool = True

    @model_validator(mode="after")
    def _looks_back(self) -> TextRecurrentPart:
        if self.attention is not None:
            _without_steps(self.attention)
            _without_foresight(self.attention)
        return self


def _without_steps(part: AttentionPart) -> None:
    if part.stepwise is not None:
        raise ValueError(
            f'"{part.stepwise}" goes from step to step and belongs in a decoder that reads a source: use another'
        )


def _without_foresight(part: AttentionPart) -> None:
    if isinstance(part.scope, LocalPredictiveScope):
        raise ValueError(
            'scope = "local-predictive" asks for the length of a text that is not at its end yet: use kind = "window"'
        )


class SayingPart(Part):
    """How a text goes on: the likeliest token at each step, or with `sample` one that is drawn."""

    sample: bool = False
    temperature: PositiveFloat = 0.8
    top_k: Annotated[int, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 0
    max_tokens: PositiveInt = 64


class MaskingPart(Part):
    """How much is hidden while training, and whether words are hidden whole."""

    rate: Share = 0.15
    whole_words: bool = True


class TextRecipe(RecipeBase):
    """What recipes of both kinds of language model have."""

    data: TextDataPart = TextDataPart()

    @model_validator(mode="after")
    def _of_text(self) -> TextRecipe:
        for name in TRANSLATION_ONLY:
            if getattr(self.training, name) != type(self.training).model_fields[name].default:
                raise ValueError(f"training.{name} is of models that read a source: leave it out")
        return self


class LanguageModelRecipe(TextRecipe):
    """A run that learns what comes next."""

    task: Literal["language-model"] = "language-model"
    model: Annotated[CausalStackPart | TextRecurrentPart, Field(discriminator="kind")] = CausalStackPart()
    decoding: SayingPart = SayingPart()

    @model_validator(mode="before")
    @classmethod
    def _with_kind(cls, tree: Any) -> Any:
        """A recipe that names what only a recurrent network has need not say that it is one."""
        model = tree.get("model") if isinstance(tree, Mapping) else None
        if not isinstance(model, Mapping) or "kind" in model:
            return tree
        recurrent = {"cell", "embedding", "hidden"} & model.keys()
        return {**tree, "model": {"kind": "recurrent" if recurrent else "transformer", **model}}


class MaskedLanguageModelRecipe(TextRecipe):
    """A run that learns what is hidden."""

    task: Literal["masked-language-model"] = "masked-language-model"
    model: StackPart = StackPart()
    masking: MaskingPart = MaskingPart()


# --- what follows from the text -------------------------------------------------------------------------------------


def text_preset(
    characters: int, *, masked: bool = False, recurrent: bool = False, tokenizer: str | None = None
) -> Tree:
    """A recipe's tree for a text of so many characters. A tokenizer that was chosen decides how much a context is."""
    kind = tokenizer or ("characters" if characters < 1_000_000 and not masked else "bpe")
    sizes = ((1_000_000, 1_000), (5_000_000, 4_000), (50_000_000, 8_000), (500_000_000, 16_000))
    pieces = next((size for limit, size in sizes if characters < limit), 32_000)
    vocabulary = {"characters": 1_000, "words": 4 * pieces}.get(kind, pieces)
    data = {"tokenizer": kind, "vocabulary": vocabulary, "context": 256 if kind == "characters" else 128}
    size = "small" if characters < 300_000 else "middle" if characters < 20_000_000 else "large"
    model = _recurrent(size) if recurrent else _stack(size)
    rate = {"small": 2e-3, "middle": 2e-3, "large": 1e-3}[size]
    training = {
        "learning_rate": 2e-3 if recurrent else rate,
        "warmup": 200 if size != "large" else 1000,
        "batch_tokens": {"small": 2048, "middle": 4096, "large": 8192}[size],
        "label_smoothing": 0.0,
        "weight_decay": 0.01,
        "epochs": {"small": 40, "middle": 20, "large": 5}[size],
        "patience": 10,
        "validate_every": {"small": 100, "middle": 250, "large": 1000}[size],
        "save_every": {"small": 100, "middle": 250, "large": 1000}[size],
    }
    return {"data": data, "model": model, "training": training}


def _stack(size: str) -> Tree:
    widths = {"small": (128, 4, 512, 3, 0.2), "middle": (192, 6, 768, 4, 0.1), "large": (384, 6, 1536, 6, 0.1)}
    names = ("dim", "heads", "feed_forward", "layers", "dropout")
    return {"kind": "transformer", **dict(zip(names, widths[size], strict=True))}


def _recurrent(size: str) -> Tree:
    widths = {"small": (64, 192, 0.3), "middle": (128, 384, 0.2), "large": (256, 768, 0.1)}
    return {"kind": "recurrent", **dict(zip(("embedding", "hidden", "dropout"), widths[size], strict=True))}
