"""The recipe of questions about pictures: where they are, what reads them, how both look at each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SerializerFunctionWrapHandler, model_serializer, model_validator

from regard.config.budget import rise_of, training_under
from regard.config.recipe import Part, Rate, RecipeBase, TokenizerKind, TrainingPart

Tree = dict[str, Any]

GROUPS = 8  # of the group norms in a convolutional grid
SMALLEST = 26  # pixels that six drawn shapes need
# Keys of a training that speak of sentences, which answers are not.
FOREIGN = (
    "batch_tokens", "r_drop", "coverage", "doubly_stochastic", "reward", "entropy", "samples", "discount", "guided",
    "guided_layer", "guided_row",
)  # fmt: skip

FusionName = Literal[
    "parallel", "alternating", "hierarchical", "dense", "modular", "none", "question-only", "image-only"
]


class QuestionDataPart(Part):
    """Where the questions are: lines of `{"image": …, "question": …, "answer": …}`, or a folder as easy-VQA has it; or
    `drawn`, the number of pictures of coloured shapes that are drawn, with their questions, by the seed. With `plain`,
    questions are read lower-cased and without punctuation."""

    data: str | None = None
    valid_data: str | None = None
    drawn: PositiveInt | None = None
    tokenizer: TokenizerKind = "words"
    vocabulary: Annotated[int, Field(ge=8)] = 5000
    plain: bool = True
    max_length: PositiveInt = 50
    height: PositiveInt = 64
    width: PositiveInt = 64
    channels: Literal[1, 3] = 3
    fit: Literal["crop", "letterbox"] = "crop"

    @model_validator(mode="after")
    def _one_place(self) -> QuestionDataPart:
        if self.drawn is None:
            return self
        if self.data is not None or self.valid_data is not None:
            raise ValueError("give data, or drawn, not both")
        if self.height != self.width or self.channels != 3 or self.height < SMALLEST:
            raise ValueError(
                f"drawn pictures are square, of 3 channels and at least {SMALLEST}×{SMALLEST} pixels, not "
                f"{self.width}×{self.height} of {self.channels}"
            )
        return self


class VisualQuestionPart(Part):
    """A convolutional network of `widths` makes a grid of places of `dim` features, which `grid_layers` Transformer
    layers may follow; a bidirectional GRU of `question_layers` reads the question. `fusion` is how both look at each
    other: `hidden` is the size in which they are compared; `fusion_layers`, `heads` (or as many maps) and `slots` are
    those of the dense and modular ones. `output` is the hidden size of the network that answers."""

    widths: tuple[PositiveInt, ...] = (32, 64, 128)
    blocks: PositiveInt = 1
    grid_layers: Annotated[int, Field(ge=0)] = 0
    embedding: PositiveInt = 64
    question_layers: PositiveInt = 1
    dim: PositiveInt = 128
    fusion: FusionName = "parallel"
    hidden: PositiveInt = 128
    fusion_layers: PositiveInt = 2
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 256
    slots: Annotated[int, Field(ge=0)] = 3
    output: PositiveInt = 256
    dropout: Rate = 0.1

    @model_validator(mode="after")
    def _fits(self) -> VisualQuestionPart:
        if not self.widths:
            raise ValueError("widths is empty: give one for each halving of the picture, such as [32, 64, 128]")
        for width in self.widths:
            if width % GROUPS:
                raise ValueError(f"widths: {width} is no multiple of {GROUPS}, into which its channels are grouped")
        if self.dim % 4:
            raise ValueError(f"dim = {self.dim} has to be a multiple of 4, which the positions of places need")
        if (self.grid_layers or self.fusion in ("dense", "modular")) and self.dim % self.heads:
            raise ValueError(f"dim = {self.dim} cannot be shared out evenly among heads = {self.heads}")
        return self


class QuestionTrainingPart(TrainingPart):
    """`batch` counts questions, of which up to `per_picture` are about one picture, which is then looked at once."""

    batch: PositiveInt = 64
    per_picture: PositiveInt = 4
    learning_rate: PositiveFloat = 1e-3
    warmup: Annotated[int, Field(ge=0)] = 200
    label_smoothing: Rate = 0.0

    @model_validator(mode="after")
    def _known(self) -> QuestionTrainingPart:
        for name in FOREIGN:
            if getattr(self, name) != type(self).model_fields[name].default:
                advice = "set batch, in questions" if name == "batch_tokens" else "leave it out"
                raise ValueError(f"{name} speaks of sentences that are said, and an answer is a class: {advice}")
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> Tree:
        return {name: value for name, value in handler(self).items() if name not in FOREIGN}


class VisualQuestionRecipe(RecipeBase):
    """A run that answers questions about pictures."""

    task: Literal["visual-question"] = "visual-question"
    data: QuestionDataPart = QuestionDataPart()
    model: VisualQuestionPart = VisualQuestionPart()
    training: QuestionTrainingPart = QuestionTrainingPart()  # pyright: ignore[reportIncompatibleVariableOverride]


def question_preset(tree: Mapping[str, Any]) -> Tree:
    """The recipe's tree with a budget, if it has none: it is given up early when nothing improves."""
    below = {"epochs": 20, "patience": 10, **rise_of(QuestionTrainingPart)}
    return {**tree, "training": training_under(below, tree.get("training", {}))}
