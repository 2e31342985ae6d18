"""The recipe of captioning: where pictures and captions are, what looks at a picture, what speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SerializerFunctionWrapHandler, model_serializer, model_validator

from regard.config.budget import rise_of, training_under
from regard.config.recipe import (
    SAME_SIZE,
    AttentionPart,
    LengthPenalty,
    Part,
    Rate,
    RecipeBase,
    TokenizerKind,
    TrainingPart,
)

Tree = dict[str, Any]

GROUPS = 8  # of the group norms in a convolutional grid
# Keys of a training that speak of word alignments, which pictures have none of.
FOREIGN = ("guided", "guided_layer", "guided_row")


class CaptionDataPart(Part):
    """Where the captions are: JSONL files of `{"image": …, "captions": […]}`, or one whose lines say their `"split"`.
    With `plain`, captions are learned as they are judged: lower-cased and without punctuation."""

    data: str | None = None
    valid_data: str | None = None
    split: str = "train"
    valid_split: str = "dev"
    tokenizer: TokenizerKind = "words"
    vocabulary: Annotated[int, Field(ge=8)] = 5000
    plain: bool = True
    max_length: PositiveInt = 50
    height: PositiveInt = 96
    width: PositiveInt = 96
    channels: Literal[1, 3] = 3
    fit: Literal["crop", "letterbox"] = "crop"
    mirror: bool = False

    @model_validator(mode="after")
    def _apart(self) -> CaptionDataPart:
        if self.split == self.valid_split and self.valid_data is None:
            raise ValueError(
                f'split and valid_split are both "{self.split}": what is trained on cannot be validated on'
            )
        return self


class CaptionerPart(Part):
    """What looks: a convolutional network of `widths`, or a `backbone` by its name in timm or torchvision, then
    `grid_layers` Transformer layers over places of `dim` features. What speaks: a recurrent `decoder` with `hidden`
    states, or a Transformer of `decoder_layers`."""

    widths: tuple[PositiveInt, ...] = (64, 128, 256)
    blocks: PositiveInt = 1
    backbone: str | None = None
    weights: str | None = None
    train_backbone: bool = False
    dim: PositiveInt = 256
    positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal"
    grid_layers: Annotated[int, Field(ge=0)] = 0
    decoder: Literal["rnn", "gru", "lstm", "transformer"] = "lstm"
    attention: AttentionPart = AttentionPart()
    gate: bool = True
    embedding: PositiveInt = 256
    hidden: PositiveInt = 512
    decoder_layers: PositiveInt = 1
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 512
    dropout: Rate = 0.3
    tie_embeddings: bool = True

    @model_validator(mode="before")
    @classmethod
    def _scaled(cls, tree: Any) -> Any:
        """A mechanism in heads that says no score has the Transformer's own."""
        if not isinstance(tree, Mapping) or tree.get("decoder") != "transformer":
            return tree
        given = tree.get("attention", {})
        return {**tree, "attention": {"score": "scaled-dot", **given}} if isinstance(given, Mapping) else tree

    @model_validator(mode="after")
    def _fits(self) -> CaptionerPart:
        if self.backbone is None:
            self._from_scratch()
        if self.positions == "sinusoidal" and self.dim % 4:
            raise ValueError(f'dim = {self.dim}: positions = "sinusoidal" needs a multiple of 4')
        if (self.grid_layers or self.decoder == "transformer") and self.dim % self.heads:
            raise ValueError(f"dim = {self.dim} cannot be shared out evenly among heads = {self.heads}")
        chosen = self.attention
        if self.decoder != "transformer":
            if chosen.score in SAME_SIZE and self.dim != self.hidden:
                raise ValueError(
                    f"the {chosen.score} score compares vectors of one size, but places have dim = {self.dim} and the "
                    f'decoder asks with hidden = {self.hidden}: make them equal, or use score = "general" or "additive"'
                )
        elif chosen.stepwise is not None:
            raise ValueError(
                f'attention: "{chosen.stepwise}" goes from step to step and belongs in a recurrent decoder: set decoder = "lstm", or '
                "another mechanism"
            )
        return self

    def _from_scratch(self) -> None:
        if self.weights is not None or self.train_backbone:
            what = "weights" if self.weights is not None else "train_backbone"
            raise ValueError(f'{what} is about a backbone: set backbone to its name, such as "resnet18"')
        if not self.widths:
            raise ValueError("widths is empty: give one for each halving of the picture, such as [64, 128, 256]")
        for width in self.widths:
            if width % GROUPS:
                raise ValueError(f"widths: {width} is no multiple of {GROUPS}, into which its channels are grouped")


class CaptionTrainingPart(TrainingPart):
    """`batch_pictures` is how many captions a batch holds at most, of which up to `per_picture` are of one picture, which is
    then looked at once. `doubly_stochastic` wants each place to be looked at once in all (Xu et al. 2015, equation 14)."""

    batch_pictures: PositiveInt = 160
    per_picture: PositiveInt = 5
    learning_rate: PositiveFloat = 1e-3
    warmup: Annotated[int, Field(ge=0)] = 200
    doubly_stochastic: Annotated[float, Field(ge=0.0)] = 1.0

    @model_validator(mode="after")
    def _known(self) -> CaptionTrainingPart:
        for name in FOREIGN:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} needs word alignments, and pictures have none: leave it out")
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> Tree:
        return {name: value for name, value in handler(self).items() if name not in FOREIGN}


class CaptionDecodingPart(Part):
    beam: PositiveInt = 5
    length_penalty: LengthPenalty = 1.0
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 0
    min_length: PositiveInt = 1
    max_length: PositiveInt = 30
    batch_pictures: PositiveInt = 64

    @model_validator(mode="after")
    def _ordered(self) -> CaptionDecodingPart:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length = {self.min_length} is above max_length = {self.max_length}")
        return self


class CaptioningRecipe(RecipeBase):
    """A run that says what a picture shows."""

    task: Literal["captioning"] = "captioning"
    data: CaptionDataPart = CaptionDataPart()
    model: CaptionerPart = CaptionerPart()
    training: CaptionTrainingPart = CaptionTrainingPart()  # pyright: ignore[reportIncompatibleVariableOverride]
    decoding: CaptionDecodingPart = CaptionDecodingPart()


def caption_preset(tree: Mapping[str, Any]) -> Tree:
    """The recipe's tree with a budget, if it has none: it is given up early when nothing improves."""
    below = {"epochs": 30, "patience": 10, **rise_of(CaptionTrainingPart)}
    return {**tree, "training": training_under(below, tree.get("training", {}))}
