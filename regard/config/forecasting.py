"""The recipe of forecasting: several steps of one or more columns of numbers, from those before.

What is None in it follows from the series; a run's own `recipe.toml` has no such gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from regard.config.autoencoder import FOREIGN
from regard.config.budget import rise_of, training_under
from regard.config.recipe import Part, Rate, RecipeBase, TrainingPart

Tree = dict[str, Any]


class SeriesDataPart(Part):
    """A CSV file with a header, a column of times at a regular step, and columns of numbers. `history` lines are read to
    say the next `horizon`; `season` is after how many lines things come back."""

    data: str | None = None
    valid_data: str | None = None
    time: str | None = None
    columns: tuple[str, ...] | None = None
    history: Annotated[int, Field(ge=2)] | None = None
    horizon: PositiveInt | None = None
    season: PositiveInt | None = None
    valid_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15

    @model_validator(mode="after")
    def _distinct(self) -> SeriesDataPart:
        if self.columns is not None and (not self.columns or len(set(self.columns)) < len(self.columns)):
            raise ValueError('columns names each column to forecast once, such as ["load"]')
        return self


class ForecasterPart(Part):
    """An encoder of the past and a decoder of the future that looks at it. `hidden` features throughout (of both
    directions of a recurrent encoder together); `heads` and `feed_forward` belong to a Transformer. `interval` is the share of the
    future that is to lie between the lower and the upper forecast."""

    kind: Literal["recurrent", "transformer"] = "transformer"
    hidden: Annotated[int, Field(ge=2)] = 64
    layers: PositiveInt = 2
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 128
    dropout: Rate = 0.1
    interval: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.8

    @model_validator(mode="after")
    def _fits(self) -> ForecasterPart:
        if self.kind == "transformer" and self.hidden % self.heads:
            raise ValueError(f"hidden = {self.hidden} cannot be shared out evenly among heads = {self.heads}")
        if self.hidden % 2:
            raise ValueError(f"hidden = {self.hidden} is shared out among two directions: give an even number")
        return self


class ForecastTrainingPart(TrainingPart):
    """`batch` counts windows. Numbers are float32 unless asked otherwise."""

    batch: PositiveInt = 64
    learning_rate: PositiveFloat = 2e-3
    schedule: Literal["inverse-square-root", "cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[int, Field(ge=0)] = 100
    validate_every: PositiveInt = 200
    save_every: PositiveInt = 200
    precision: Literal["auto", "bf16", "fp32"] = "fp32"

    @model_validator(mode="after")
    def _known(self) -> ForecastTrainingPart:
        for name in FOREIGN:
            if getattr(self, name) != type(self).model_fields[name].default:
                advice = "set batch, in windows" if name == "batch_tokens" else "leave it out"
                raise ValueError(f"{name} speaks of text and not of numbers: {advice}")
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> Tree:
        return {name: value for name, value in handler(self).items() if name not in FOREIGN}


class ForecastingRecipe(RecipeBase):
    """A run that says how columns of numbers go on."""

    task: Literal["forecasting"] = "forecasting"
    data: SeriesDataPart = SeriesDataPart()
    model: ForecasterPart = ForecasterPart()
    training: ForecastTrainingPart = ForecastTrainingPart()  # pyright: ignore[reportIncompatibleVariableOverride]


def forecasting_preset(tree: Mapping[str, Any]) -> Tree:
    """The recipe's tree with a budget, where it has none of its own."""
    below = {"steps": 2000, **rise_of(ForecastTrainingPart)}
    return {**tree, "training": training_under(below, tree.get("training", {}))}
