"""The recipe of classification: one class for each text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from regard.config.language import StackPart
from regard.config.recipe import Part, Rate, RecipeBase, TokenizerKind, TrainingPart

PoolingName = Literal["attentive", "self-attentive", "query", "mean", "max", "max+self-attentive"]


class LabelledDataPart(Part):
    """Texts and their classes: two line-aligned files, or one table. Paths are relative to the recipe."""

    source: str | None = None
    target: str | None = None
    data: str | None = None
    valid_source: str | None = None
    valid_target: str | None = None
    valid_data: str | None = None
    tokenizer: TokenizerKind = "words"
    vocabulary: Annotated[int, Field(ge=8)] = 8000
    max_length: PositiveInt = 256

    @model_validator(mode="after")
    def _one_place(self) -> LabelledDataPart:
        for pair, table, what in (
            ((self.source, self.target), self.data, "source and target, or data"),
            ((self.valid_source, self.valid_target), self.valid_data, "valid_source and valid_target, or valid_data"),
        ):
            if (pair[0] is None) != (pair[1] is None):
                raise ValueError(f"give both of {what}; one of the two files is missing")
            if pair[0] is not None and table is not None:
                raise ValueError(f"give {what}, not all of them")
        return self


class ClassifierPart(Part):
    """An encoder, a pooling, an output layer. `hidden` is one direction of a recurrent encoder; a Transformer has
    `embedding` features throughout, `heads` and `feed_forward`. `hops` are the looks of the self-attentive and query
    poolings, which `penalty` keeps apart (Lin et al. 2017).

    With `pretrained`, a run of masked-language-model, the encoder and its tokenizer are that run's, and for the first
    `frozen_epochs` only what is new learns. `stack` is what its encoder is made of, `context` how many tokens that
    reads; training fills them in, so that the run stands without the other one.
    """

    encoder: Literal["recurrent", "transformer"] = "recurrent"
    cell: Literal["rnn", "gru", "lstm"] = "gru"
    embedding: PositiveInt = 128
    hidden: PositiveInt = 96
    layers: PositiveInt = 1
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 256
    pooling: PoolingName = "max+self-attentive"
    hops: PositiveInt = 4
    penalty: Annotated[float, Field(ge=0.0)] = 0.0
    dropout: Rate = 0.3
    output_dropout: Rate = 0.5
    word_dropout: Rate = 0.1
    pretrained: str | None = None
    frozen_epochs: Annotated[int, Field(ge=0)] = 0
    stack: StackPart | None = None
    context: PositiveInt | None = None

    @model_validator(mode="after")
    def _fits(self) -> ClassifierPart:
        if self.pretrained is None and self.frozen_epochs:
            raise ValueError(f"frozen_epochs = {self.frozen_epochs} is of an encoder that is pretrained: name its run")
        if self.pretrained is None and (self.stack is not None or self.context is not None):
            raise ValueError("stack and context follow from the run that pretrained names: leave them out")
        own = self.pretrained is None and self.encoder == "transformer"
        if own and self.embedding % self.heads:
            raise ValueError(f"embedding = {self.embedding} cannot be shared out evenly among heads = {self.heads}")
        if self.penalty and "self-attentive" not in self.pooling:
            raise ValueError(f'penalty keeps several looks apart, and pooling = "{self.pooling}" has none: set it to 0')
        return self


# Found on CLINC150 and TREC (docs/classification.md); whatever the recipe says counts more.
TRAINING: dict[str, Any] = {
    "epochs": 14,
    "batch_tokens": 2000,
    "learning_rate": 3e-3,
    "warmup": 100,
    "label_smoothing": 0.1,
    "validate_every": 100,
    "save_every": 100,
}
# An encoder that has learned from other text is moved with care, and by what is new with it.
FINE_TUNING: dict[str, Any] = {**TRAINING, "learning_rate": 1e-3}


class ClassificationRecipe(RecipeBase):
    task: Literal["classification"] = "classification"
    data: LabelledDataPart = LabelledDataPart()
    model: ClassifierPart = ClassifierPart()
    training: TrainingPart = TrainingPart.model_validate(TRAINING)

    @model_validator(mode="before")
    @classmethod
    def _schedule(cls, tree: Any) -> Any:
        """What a recipe leaves out of `training` is this task's, not translation's."""
        if not isinstance(tree, dict):
            return tree
        given, model = tree.get("training", {}), tree.get("model")
        if not isinstance(given, dict):
            return tree
        budget = any(given.get(name) is not None for name in ("steps", "minutes", "epochs"))
        defaults = FINE_TUNING if isinstance(model, dict) and model.get("pretrained") is not None else TRAINING
        below = {k: v for k, v in defaults.items() if not (budget and k == "epochs")}
        return {**tree, "training": {**below, **given}}
