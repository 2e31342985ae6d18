"""The recipe of classification: one class for each text, or for each picture."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from regard.config.budget import training_under
from regard.config.language import StackPart
from regard.config.recipe import Part, Rate, RecipeBase, TokenizerKind, TrainingPart, one_beginning

PoolingName = Literal["attentive", "self-attentive", "query", "mean", "max", "max+self-attentive", "hierarchical"]
Tree = dict[str, Any]

GROUPS = 8  # of the group norms in a convolutional grid
# Keys that speak of texts alone, and of pictures alone.
DATA_OF_TEXTS = ("source", "target", "valid_source", "valid_target", "tokenizer", "vocabulary", "max_length")
DATA_OF_PICTURES = ("height", "width", "channels", "fit")
CONVOLUTIONAL = ("windows", "filters")
MODEL_OF_TEXTS = (
    "cell", "hidden", "layers", *CONVOLUTIONAL, "longest_sentence", "word_dropout", "pretrained", "vectors",
    "frozen_epochs", "stack", "context",
)  # fmt: skip
MODEL_OF_PICTURES = ("widths", "blocks", "grid_layers")


def _other(part: BaseModel, names: tuple[str, ...]) -> str | None:
    """The first of some keys that is not as it is left out."""
    fields = type(part).model_fields
    return next((name for name in names if getattr(part, name) != fields[name].default), None)


class LabelledDataPart(Part):
    """Texts and their classes: two line-aligned files, or one table. Or pictures and theirs, in `data` and `valid_data`:
    lines of `{"image": …, "label": …}`, or a .npz file with `images` and `labels`; what is None of their size follows
    from the first ones. Paths are relative to the recipe."""

    source: str | None = None
    target: str | None = None
    data: str | None = None
    valid_source: str | None = None
    valid_target: str | None = None
    valid_data: str | None = None
    tokenizer: TokenizerKind = "words"
    vocabulary: Annotated[int, Field(ge=8)] = 8000
    max_length: PositiveInt = 256
    height: PositiveInt | None = None
    width: PositiveInt | None = None
    channels: Literal[1, 3] | None = None
    fit: Literal["crop", "letterbox"] | None = None

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
    `embedding` features throughout, `heads` and `feed_forward`; a convolutional one has `filters` over each size of
    `windows`, in words (Kim 2014). `hops` are the looks of the self-attentive and query poolings, which `penalty` keeps
    apart (Lin et al. 2017). The hierarchical pooling reads words and then sentences, of `longest_sentence` tokens at
    most, each with a recurrent network of its own (Yang et al. 2016).

    The encoder `"grid"` reads pictures: a convolutional network of `widths` makes a grid of places of `embedding`
    features, which `grid_layers` Transformer layers may follow.

    With `vectors`, a text file, words begin with their vectors there. With `pretrained`, a run of masked-language-model,
    the encoder and its tokenizer are that run's, and for the first `frozen_epochs` only what is new learns. `stack` is
    what its encoder is made of, `context` how many tokens that reads; training fills them in, so that the run stands
    without the other one.
    """

    encoder: Literal["recurrent", "transformer", "convolutional", "grid"] = "recurrent"
    cell: Literal["rnn", "gru", "lstm"] = "gru"
    embedding: PositiveInt = 128
    hidden: PositiveInt = 96
    layers: PositiveInt = 1
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 256
    windows: tuple[Annotated[int, Field(ge=1, le=64)], ...] = (3, 4, 5)
    filters: PositiveInt = 100
    pooling: PoolingName = "max+self-attentive"
    hops: PositiveInt = 4
    longest_sentence: PositiveInt = 64
    penalty: Annotated[float, Field(ge=0.0)] = 0.0
    dropout: Rate = 0.3
    output_dropout: Rate = 0.5
    word_dropout: Rate = 0.1
    pretrained: str | None = None
    vectors: str | None = None
    frozen_epochs: Annotated[int, Field(ge=0)] = 0
    stack: StackPart | None = None
    context: PositiveInt | None = None
    widths: tuple[PositiveInt, ...] = (32, 64)
    blocks: PositiveInt = 1
    grid_layers: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _fits(self) -> ClassifierPart:
        if self.encoder == "grid":
            self._of_pictures()
        else:
            self._of_texts()
        if self.penalty and "self-attentive" not in self.pooling:
            raise ValueError(f'penalty keeps several looks apart, and pooling = "{self.pooling}" has none: set it to 0')
        return self

    def _of_pictures(self) -> None:
        if (name := _other(self, MODEL_OF_TEXTS)) is not None:
            raise ValueError(f'{name} is of texts, and encoder = "grid" reads pictures: leave it out')
        if self.pooling == "hierarchical":
            raise ValueError('pooling = "hierarchical" reads sentences, and pictures have none: use another pooling')
        if not self.widths:
            raise ValueError("widths is empty: give one for each halving of the picture, such as [32, 64]")
        for width in self.widths:
            if width % GROUPS:
                raise ValueError(f"widths: {width} is no multiple of {GROUPS}, into which its channels are grouped")
        if self.embedding % 4:
            raise ValueError(
                f"embedding = {self.embedding} has to be a multiple of 4, which the positions of places need"
            )
        if self.grid_layers and self.embedding % self.heads:
            raise ValueError(f"embedding = {self.embedding} cannot be shared out evenly among heads = {self.heads}")

    def _of_texts(self) -> None:
        if (name := _other(self, MODEL_OF_PICTURES)) is not None:
            raise ValueError(f'{name} is of pictures: set encoder = "grid", or leave it out')
        if self.pretrained is None and self.frozen_epochs:
            raise ValueError(f"frozen_epochs = {self.frozen_epochs} is of an encoder that is pretrained: name its run")
        if self.pretrained is None and (self.stack is not None or self.context is not None):
            raise ValueError("stack and context follow from the run that pretrained names: leave them out")
        one_beginning(self.pretrained, vectors=self.vectors)
        if not self.windows:
            raise ValueError("windows is empty: say over how many words filters go, such as [3, 4, 5]")
        own = self.pretrained is None and self.encoder == "transformer"
        if own and self.embedding % self.heads:
            raise ValueError(f"embedding = {self.embedding} cannot be shared out evenly among heads = {self.heads}")
        if self.pooling == "hierarchical":
            if self.pretrained is not None or self.encoder != "recurrent":
                what = f'encoder = "{self.encoder}"' if self.pretrained is None else "pretrained"
                raise ValueError(
                    'pooling = "hierarchical" reads words and sentences with recurrent networks of its own, so '
                    f"{what} does not go with it: leave one of them out"
                )
        elif self.longest_sentence != type(self).model_fields["longest_sentence"].default:
            raise ValueError('longest_sentence is of pooling = "hierarchical": leave it out')


class ClassifierTrainingPart(TrainingPart):
    """`batch` counts pictures; texts are counted in `batch_tokens`."""

    batch: PositiveInt | None = None


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
# Tried on MNIST alone, and there with less dropout (recipes/mnist-classes.toml).
OF_PICTURES: dict[str, Any] = {
    "epochs": 10,
    "patience": 10,
    "batch": 64,
    "learning_rate": 2e-3,
    "warmup": 100,
    "label_smoothing": 0.05,
    "validate_every": 200,
    "save_every": 200,
}


class ClassificationRecipe(RecipeBase):
    task: Literal["classification"] = "classification"
    data: LabelledDataPart = LabelledDataPart()
    model: ClassifierPart = ClassifierPart()
    training: ClassifierTrainingPart = ClassifierTrainingPart.model_validate(TRAINING)  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="before")
    @classmethod
    def _schedule(cls, tree: Any) -> Any:
        """What a recipe leaves out of `training` is this task's, not translation's."""
        if not isinstance(tree, dict):
            return tree
        below = _defaults(tree.get("model"))
        return {**tree, "training": training_under(below, tree.get("training", {}))}

    @model_validator(mode="after")
    def _of_one_kind(self) -> ClassificationRecipe:
        data, training = self.data, self.training
        if self.reads_pictures:
            if (name := _other(data, DATA_OF_TEXTS)) is not None:
                raise ValueError(
                    f'data.{name} is of texts, and model.encoder = "grid" reads pictures: leave it out, and name the '
                    "pictures in data.data"
                )
            if _other(training, ("batch_tokens",)) is not None:
                raise ValueError("training.batch_tokens speaks of texts: set training.batch, in pictures")
            return self
        if (name := _other(data, DATA_OF_PICTURES)) is not None:
            raise ValueError(f'data.{name} is of pictures: set model.encoder = "grid", or leave it out')
        if training.batch is not None:
            raise ValueError("training.batch counts pictures: set training.batch_tokens, which counts tokens")
        for name in (data.data, data.valid_data):
            if name is not None and name.lower().endswith(".npz"):
                raise ValueError(f'{name} holds pictures: set model.encoder = "grid", or give texts')
        return self

    @property
    def reads_pictures(self) -> bool:
        return self.model.encoder == "grid"

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> Tree:
        """Without the keys of what the run does not read."""
        tree = handler(self)
        foreign = {"data": (*DATA_OF_PICTURES,), "model": MODEL_OF_PICTURES, "training": ("batch",)}
        if self.reads_pictures:
            foreign = {"data": DATA_OF_TEXTS, "model": MODEL_OF_TEXTS, "training": ("batch_tokens",)}
        else:
            foreign["model"] += () if self.model.pooling == "hierarchical" else ("longest_sentence",)
            foreign["model"] += () if self.model.encoder == "convolutional" else CONVOLUTIONAL
        return {
            key: {k: v for k, v in value.items() if k not in foreign[key]} if key in foreign else value
            for key, value in tree.items()
        }


def _defaults(model: Any) -> Tree:
    """What a training has that its recipe does not say."""
    if not isinstance(model, dict):
        return TRAINING
    if model.get("encoder") == "grid":
        return OF_PICTURES
    return TRAINING if model.get("pretrained") is None else FINE_TUNING
