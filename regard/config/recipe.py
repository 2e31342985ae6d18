"""The recipe: everything that decides what a run does, as frozen values. The type annotation is the registry.

What is None follows from the corpus and is filled in by `presets` before training; a run's own `recipe.toml` has
no such gaps.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

TokenizerKind = Literal["characters", "words", "bpe", "unigram"]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataPart(Part):
    """Where the pairs are and how they become tokens. Paths are relative to the recipe."""

    source: str | None = None
    target: str | None = None
    data: str | None = None
    valid_source: str | None = None
    valid_target: str | None = None
    valid_data: str | None = None
    tokenizer: TokenizerKind | None = None
    source_tokenizer: TokenizerKind | None = None
    target_tokenizer: TokenizerKind | None = None
    vocabulary: Annotated[int, Field(ge=8)] | None = None
    shared_vocabulary: bool | None = None
    max_length: PositiveInt = 256

    @model_validator(mode="after")
    def _one_place(self) -> DataPart:
        for pair, table, what in (
            ((self.source, self.target), self.data, "source and target, or data"),
            ((self.valid_source, self.valid_target), self.valid_data, "valid_source and valid_target, or valid_data"),
        ):
            if (pair[0] is None) != (pair[1] is None):
                raise ValueError(f"give both of {what}; one of the two files is missing")
            if pair[0] is not None and table is not None:
                raise ValueError(f"give {what}, not all of them")
        return self


class GlobalScope(Part):
    kind: Literal["global"] = "global"


class CausalScope(Part):
    kind: Literal["causal"]


class WindowScope(Part):
    kind: Literal["window"]
    left: Annotated[int, Field(ge=0)]
    right: Annotated[int, Field(ge=0)]


ScopePart = Annotated[GlobalScope | CausalScope | WindowScope, Field(discriminator="kind")]


class AttentionPart(Part):
    """A mechanism, composed. `hidden` is the size inside the additive score; None takes the decoder's."""

    score: Literal["dot", "scaled-dot", "general", "additive"] = "additive"
    normalize: Literal["softmax", "sparsemax"] = "softmax"
    scope: ScopePart = GlobalScope()
    hidden: PositiveInt | None = None


class RecurrentPart(Part):
    """`hidden` is the size of the decoder's states and of the encoder's, whose two directions share it out.
    `encoder_hidden` sets the size of one direction."""

    kind: Literal["recurrent"]
    cell: Literal["rnn", "gru", "lstm"] = "gru"
    decoder: Literal["bahdanau", "luong", "fixed-initial", "fixed-background"] = "bahdanau"
    attention: AttentionPart = AttentionPart()
    input_feeding: bool = True
    embedding: PositiveInt = 256
    hidden: PositiveInt = 512
    encoder_hidden: PositiveInt | None = None
    encoder_layers: PositiveInt = 1
    decoder_layers: PositiveInt = 1
    bidirectional: bool = True
    dropout: Rate = 0.3
    tie_embeddings: bool = True

    @property
    def direction(self) -> int:
        """The size of one direction of the encoder."""
        return self.encoder_hidden or -(-self.hidden // (2 if self.bidirectional else 1))

    @model_validator(mode="after")
    def _fits(self) -> RecurrentPart:
        values = self.direction * (2 if self.bidirectional else 1)
        looks = self.decoder in ("bahdanau", "luong")
        if looks and self.attention.score in ("dot", "scaled-dot") and values != self.hidden:
            raise ValueError(
                f"the {self.attention.score} score compares states of one size, but the encoder gives {values} "
                f"features and the decoder asks with {self.hidden}; leave out encoder_hidden, or use "
                'score = "general" or "additive"'
            )
        return self


class TransformerPart(Part):
    kind: Literal["transformer"] = "transformer"
    dim: PositiveInt = 256
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 1024
    encoder_layers: PositiveInt = 3
    decoder_layers: PositiveInt = 3
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned", "rotary"] = "sinusoidal"
    attention: AttentionPart = AttentionPart(score="scaled-dot")
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.0
    feed_forward_dropout: Rate = 0.0
    tie_embeddings: bool = True

    @model_validator(mode="after")
    def _fits(self) -> TransformerPart:
        if self.dim % self.heads:
            raise ValueError(f"dim = {self.dim} cannot be shared out evenly among heads = {self.heads}")
        if self.positions == "rotary" and (self.dim // self.heads) % 2:
            raise ValueError(f"rotary positions need an even head size, not {self.dim} / {self.heads}")
        return self


ModelPart = Annotated[RecurrentPart | TransformerPart, Field(discriminator="kind")]


class TrainingPart(Part):
    """How it is learned. `minutes`, `steps`, `epochs` and `patience` (validations without a gain) are budgets:
    whichever is spent first ends the training."""

    steps: PositiveInt | None = None
    minutes: PositiveFloat | None = None
    epochs: PositiveInt | None = None
    patience: PositiveInt | None = None
    batch_tokens: Annotated[int, Field(ge=16)] = 4096
    accumulate: PositiveInt = 1
    learning_rate: PositiveFloat = 5e-4
    schedule: Literal["inverse-square-root", "cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[int, Field(ge=0)] = 400
    label_smoothing: Rate = 0.1
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    adam_beta2: Rate = 0.98
    clip: Annotated[float, Field(ge=0.0)] = 1.0
    r_drop: Annotated[float, Field(ge=0.0)] = 0.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: str = "auto"
    save_every: PositiveInt = 500
    validate_every: PositiveInt = 500
    average: PositiveInt = 5


class DecodingPart(Part):
    beam: PositiveInt = 5
    length_penalty: Annotated[float, Field(ge=0.0)] = 1.0
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 0
    min_length_ratio: Annotated[float, Field(ge=0.0)] = 0.0
    max_length_ratio: PositiveFloat | None = None
    max_length_extra: Annotated[int, Field(ge=1)] = 10
    batch_tokens: Annotated[int, Field(ge=16)] = 4096


class Recipe(Part):
    """One run. `format` is the version of this file format."""

    format: Literal[1] = 1
    task: Literal["translation"] = "translation"
    seed: Annotated[int, Field(ge=0)] = 1
    data: DataPart = DataPart()
    model: ModelPart = TransformerPart()
    training: TrainingPart = TrainingPart()
    decoding: DecodingPart = DecodingPart()
