"""The recipe of an autoencoder: where pictures are, how small their codes get, and the noise to be taken off them.

What is None in it follows from the pictures; a run's own `recipe.toml` has no such gaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from regard.config.budget import rise_of, training_under
from regard.config.recipe import Part, RecipeBase, TrainingPart

Tree = dict[str, Any]

# Keys of a training that speak of tokens and of attention, which pictures have none of.
FOREIGN = (
    "batch_tokens", "label_smoothing", "r_drop", "coverage", "doubly_stochastic", "reward", "entropy", "samples", "discount",
    "guided", "guided_layer", "guided_row",
)  # fmt: skip


class PictureDataPart(Part):
    """Where the pictures are: a .npz file with an array `images`, or a folder of picture files, which all become
    `height`×`width`. `noise` is the standard deviation, where white is 1, of what is added to them and to be taken
    off, or the least and the greatest of which each picture gets its own."""

    data: str | None = None
    valid_data: str | None = None
    height: PositiveInt | None = None
    width: PositiveInt | None = None
    channels: Literal[1, 3] | None = None
    noise: tuple[float, float] | None = None

    @field_validator("noise", mode="before")
    @classmethod
    def _range(cls, noise: Any) -> Any:
        if noise is None:
            return None
        ends = tuple(noise) if isinstance(noise, list | tuple) else (noise, noise)
        if (
            len(ends) != 2
            or any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends)
            or not (0 <= ends[0] <= ends[1] and 0 < ends[1] < math.inf)
        ):
            raise ValueError("noise is a number above 0, such as 0.3, or two, the smaller first, such as [0.1, 0.5]")
        return ends


class AutoencoderPart(Part):
    """`code_channels` numbers, each one of `levels`, for every 4×4 pixels; `width` channels at half the size and twice
    as many at a quarter, where `blocks` residual blocks follow, on the way there and on the way back."""

    code_channels: Annotated[int, Field(ge=1, le=255)] = 4
    width: PositiveInt = 32
    blocks: Annotated[int, Field(ge=0)] = 1
    levels: Annotated[int, Field(ge=2, le=256)] = 256


class PictureTrainingPart(TrainingPart):
    """`batch` counts pictures. Numbers are float32 unless asked otherwise: half as many bits show in the picture."""

    batch: PositiveInt = 64
    learning_rate: PositiveFloat = 8e-3
    schedule: Literal["inverse-square-root", "cosine", "linear", "constant"] = "linear"
    warmup: Annotated[int, Field(ge=0)] = 50
    precision: Literal["auto", "bf16", "fp32"] = "fp32"

    @model_validator(mode="after")
    def _known(self) -> PictureTrainingPart:
        for name in FOREIGN:
            if getattr(self, name) != type(self).model_fields[name].default:
                advice = "set batch, in pictures" if name == "batch_tokens" else "leave it out"
                raise ValueError(f"{name} speaks of text and not of pictures: {advice}")
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> Tree:
        return {name: value for name, value in handler(self).items() if name not in FOREIGN}


class AutoencoderRecipe(RecipeBase):
    """A run that makes pictures small, or clean."""

    task: Literal["autoencoder"] = "autoencoder"
    data: PictureDataPart = PictureDataPart()
    model: AutoencoderPart = AutoencoderPart()
    training: PictureTrainingPart = PictureTrainingPart()  # pyright: ignore[reportIncompatibleVariableOverride]


def picture_preset(tree: Mapping[str, Any]) -> Tree:
    """The recipe's tree with what follows from it. What it says itself counts more."""
    data = tree.get("data")
    noisy = isinstance(data, Mapping) and data.get("noise") is not None
    below = {"learning_rate": 5e-3 if noisy else 8e-3, "steps": 6000, **rise_of(PictureTrainingPart)}
    return {**tree, "training": training_under(below, tree.get("training", {}))}
