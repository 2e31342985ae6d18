"""The job of forecasting: a series is cut by time, what was first is learned from and what came last is forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rich.console import Console

from regard import build
from regard.config import write_toml
from regard.config.forecasting import ForecastingRecipe, SeriesDataPart, forecasting_preset
from regard.config.reading import recipe_of
from regard.data.reader import read_lines
from regard.data.series import Series, read_series
from regard.data.windows import Scaling, WindowBatch, Windows
from regard.errors import RegardError, UsageError
from regard.evaluation import Score
from regard.evaluation.forecasting import pinball
from regard.models.forecaster import Forecaster
from regard.run.beginning import make, refuse_overwriting, with_precision
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.forecasting.model import AT_ONCE, Evaluation, ForecastModel, new_network, scaling_of
from regard.run.resuming import resumed
from regard.tasks import forecasting
from regard.training.checkpoint import write_text
from regard.training.loop import Loss

VALIDATED = 512  # windows at most, while training
LONGEST = 336  # lines of history at most, and 48 of horizon, where the recipe says nothing


@dataclass
class ForecastingJob:
    recipe: ForecastingRecipe
    network: Forecaster
    batches: Windows
    finished: ForecastModel
    valid: Series
    first: int
    apart: bool
    items: int
    what: str = "windows"
    criterion: str = "valid_loss"
    larger_is_better: bool = False

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        recipe = _recipe(tree, folder, origin, resume)
        if recipe.data.data is None:
            raise UsageError(f"{origin} names no series: give --data FILE.csv")
        series = _read(recipe.data.data, recipe.data)
        valid = None if recipe.data.valid_data is None else _read(recipe.data.valid_data, recipe.data, series)
        lines = len(series) if valid is not None else len(series) - max(1, round(recipe.data.valid_share * len(series)))
        recipe = recipe.model_copy(update={"data": _settled(recipe.data, series, lines)})
        data = recipe.data
        assert data.history is not None and data.horizon is not None and data.season is not None
        first = _checked(data, series, lines, valid)
        scaling = Scaling.load(scaling_of(folder)) if resume else Scaling.of(series, lines, data.season)
        if scaling.columns != series.columns:
            raise UsageError(f"{series.name} has other columns than when the run began: put the old file back")
        scaling.check(series if valid is None else valid)
        make(folder)
        if not resume:
            recipe = with_precision(recipe, console)
            scaling.save(scaling_of(folder))
            write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        shown = ", ".join(series.columns[:5]) + (", …" if len(series.columns) > 5 else "")
        console.print(
            f"{len(series):,} lines, one each {series.step}, season {data.season}: {data.history} lines of {shown} say the "
            f"next {data.horizon}",
            highlight=False,
        )
        if valid is None:
            console.print(
                f"no validation file was given: the last {len(series) - lines:,} lines are kept from training for it",
                highlight=False,
            )
        torch.manual_seed(recipe.seed)
        network = new_network(recipe, scaling).to(build.device(recipe.training.device))
        batches = Windows(
            series,
            scaling,
            data.history,
            data.horizon,
            first=data.history,
            last=lines - data.horizon,
            size=recipe.training.batch,
            seed=recipe.seed,
        )
        finished = ForecastModel(network, scaling, recipe, folder.path.name)
        scored = series if valid is None else valid
        return cls(recipe, network, batches, finished, scored, first, valid is None, len(batches))

    def loss(self, batch: WindowBatch) -> Loss:
        units = torch.from_numpy(self.finished.scaling.units().astype(np.float32)).to(batch.past.device)
        return forecasting.loss(self.network, batch, self._levels(), units)

    def validate(self) -> dict[str, float]:
        """The loss and MASE of windows spread over the validation lines."""
        history, horizon = self.finished.sizes
        last = len(self.valid) - horizon
        scaling = self.finished.scaling
        windows = Windows(
            self.valid, scaling, history, horizon, first=self.first, last=last, size=AT_ONCE, shuffle=False
        )
        windows.origins = windows.origins[:: -(-len(windows) // VALIDATED)]
        said, origins = forecasting.forecasts(self.network, windows.epoch(0))
        units = scaling.units()
        truth = scaling.scaled(self.valid.values)[origins[:, None] + np.arange(horizon)] * units
        said = said * units[:, None]
        return {
            "valid_loss": pinball(said, truth, self._levels()),
            "valid_mase": float(np.abs(said[..., 1] - truth).mean()),
        }

    def scores(self) -> list[Score]:
        return self._evaluation().scores

    def facts(self) -> Mapping[str, Any]:
        found = self._evaluation().to_json()
        return {
            "scored_on": "the last lines of the training file" if self.apart else "validation file",
            **{name: found[name] for name in ("forecasts", "horizon", "season", "columns", "beside")},
        }

    def model(self) -> ForecastModel:
        return self.finished

    def _levels(self) -> tuple[float, float, float]:
        return forecasting.quantiles(self.recipe.model.interval)

    def _evaluation(self) -> Evaluation:
        return self.finished.evaluate(self.valid, self.first)


def _recipe(tree: Tree, folder: RunFolder, origin: str, resume: bool) -> ForecastingRecipe:
    if not resume:
        refuse_overwriting(folder)
        return recipe_of(forecasting_preset(tree), origin, ForecastingRecipe)
    recipe = folder.read_recipe()
    assert isinstance(recipe, ForecastingRecipe), "the dispatch went by this recipe"
    return resumed(tree, folder, recipe, origin)


def _read(path: str, data: SeriesDataPart, like: Series | None = None) -> Series:
    time, columns = (data.time, data.columns) if like is None else (like.time, like.columns)
    return read_series(path, read_lines(Path(path)), time, columns)


def _settled(data: SeriesDataPart, series: Series, lines: int) -> SeriesDataPart:
    """The recipe's part with what follows from the series, of which `lines` are trained on."""
    season = data.season or series.step.season
    if data.season is None and 2 * season > lines:
        season = 1  # a season that has not come round twice cannot be seen to come back
    horizon = data.horizon or min(48, max(season if season >= 12 else 2 * season, 6), max(1, lines // 4))
    history = data.history or max(2, min(max(3 * season, 3 * horizon, 24), LONGEST, (lines - horizon) // 2))
    return data.model_copy(
        update={
            "time": series.time,
            "columns": tuple(series.columns),
            "season": season,
            "horizon": horizon,
            "history": history,
        }
    )


def _checked(data: SeriesDataPart, series: Series, lines: int, valid: Series | None) -> int:
    """The first line, from 0, of which validation asks. RegardError where a series is too short."""
    history, horizon, season = data.history or 0, data.horizon or 0, data.season or 0
    if lines <= season:
        raise RegardError(
            f"{series.name} has {lines:,} lines to train on, and a season of {season:,} needs more: set data.season"
        )
    if lines < history + horizon:
        raise RegardError(
            f"{series.name} has {lines:,} lines to train on, too few for a window of {history:,} and {horizon:,}: give a longer "
            "series, or set data.history and data.horizon"
        )
    if valid is None:
        if len(series) - lines < horizon or lines < season:
            raise RegardError(
                f"{series.name} keeps its last {len(series) - lines:,} lines for validation, and a horizon of {horizon:,} needs as "
                "many: set data.valid_share or data.horizon, or give --valid-data"
            )
        return lines
    if len(valid) < max(history, season) + horizon:
        raise RegardError(
            f"{valid.name} has {len(valid):,} lines, too few for {max(history, season):,} known ones and {horizon:,} to forecast: "
            "give a longer file"
        )
    return 0
