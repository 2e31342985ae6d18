"""A finished forecaster: what it says of how a series goes on, what it looked at, and how good it is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from regard.build.forecaster import forecaster
from regard.config.forecasting import ForecastingRecipe
from regard.data.reader import read_lines
from regard.data.series import Series, read_series
from regard.data.windows import Scaling, Windows
from regard.errors import UsageError
from regard.evaluation import PairedResult, Score
from regard.evaluation.forecasting import Errors, coverage, drift, naive, seasonal_naive
from regard.models.forecaster import Forecaster
from regard.run.folder import RunFolder
from regard.run.weights import with_weights
from regard.tasks import forecasting
from regard.training.checkpoint import write_text
from regard.view.forecast import ForecastView, draw_forecast, forecast_page, save_forecast

AT_ONCE = 256  # windows that are forecast together


@dataclass(frozen=True)
class Forecast:
    """How `series` goes on at `times`: `low`, `middle` and `high [T, C]`, in its own unit. `weights [L, H, T, S]` is what
    each step looked at of the last S lines. The share `interval` of what comes should lie between `low` and `high`."""

    series: Series
    times: list[str]
    low: Float[np.ndarray, "T C"]
    middle: Float[np.ndarray, "T C"]
    high: Float[np.ndarray, "T C"]
    weights: Float[np.ndarray, "L H T S"]
    interval: float | None = None

    def views(self) -> list[ForecastView]:
        """A picture for each column."""
        lines = self.weights.shape[-1]
        past = [self.series.written(time) for time in self.series.times[-lines:]]
        return [
            ForecastView(
                column,
                past,
                self.series.values[-lines:, place],
                self.times,
                self.low[:, place],
                self.middle[:, place],
                self.high[:, place],
                self.weights,
                self.interval,
            )
            for place, column in enumerate(self.series.columns)
        ]


@dataclass(frozen=True)
class Evaluation:
    """Forecasts from many lines of a series, and what simple ways say from the same."""

    columns: list[str]
    season: int
    horizon: int
    count: int
    ways: dict[str, Errors]
    scores: list[Score]
    paired: list[PairedResult] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        rows = {
            name: {"mase": _json(each.mase()), "mae": each.mae().tolist(), "rmse": each.rmse().tolist()}
            for name, each in self.ways.items()
        }
        scores = [score.to_json() for score in self.scores]
        return {
            "forecasts": self.count,
            "horizon": self.horizon,
            "season": self.season,
            "columns": self.columns,
            "scores": scores,
            "paired": [each.to_json() for each in self.paired],
            "beside": rows,
        }

    def __str__(self) -> str:
        lines = [f"{self.count:,} forecasts of {self.horizon} steps each, season {self.season}"]
        lines += [f"  {each}    {each.signature}" for each in self.scores]
        for place, column in enumerate(self.columns):
            of = "" if len(self.columns) == 1 else f"  {column}"
            lines += ["", f"  {'':16}{'MAE':>12}{'RMSE':>12}{'MASE':>12}{of}"]
            for name, each in self.ways.items():
                mae, rmse = each.mae()[place], each.rmse()[place]
                mase = f"{mae / each.naive[place]:12.4g}" if each.scaled[place] else f"{'–':>12}"
                lines.append(f"  {name:16}{mae:12.4g}{rmse:12.4g}{mase}")
        lines += [f"\n{each}    {each.signature}" for each in self.paired]
        return "\n".join(lines)


class ForecastModel:
    """A trained forecaster: `predict(path)` says how the series in a CSV file goes on."""

    def __init__(self, network: Forecaster, scaling: Scaling, recipe: ForecastingRecipe, name: str) -> None:
        self.network, self.scaling, self.recipe, self.name = network, scaling, recipe, name

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> ForecastModel:
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe_of(ForecastingRecipe)
        scaling = Scaling.load(scaling_of(folder))
        network = new_network(recipe, scaling)
        return cls(with_weights(network, folder, device), scaling, recipe, folder.path.name)

    def read(self, path: str | Path) -> Series:
        """The series of a CSV file, with the columns that the run was trained on."""
        return self._series(str(path), read_lines(Path(path)))

    def predict(self, path: str | Path) -> Forecast:
        """How the series in a CSV file goes on after its last line."""
        return self.forecast(self.read(path))

    def forecast(self, series: Series) -> Forecast:
        history, horizon = self.sizes
        if len(series) < history:
            raise UsageError(
                f"{series.name} has {len(series):,} lines of numbers, and a forecast of this run reads the last {history:,}: "
                "give a longer series"
            )
        end = len(series)
        windows = Windows(series, self.scaling, history, horizon, first=end, last=end, size=1, shuffle=False)
        batch = windows.batch(np.array([end]))
        said, _ = forecasting.forecasts(self.network, [batch])
        low, middle, high = np.moveaxis(self.scaling.unscaled(said[0]), -1, 0)
        times = [series.written(time) for time in series.going_on(horizon)]
        looked = forecasting.look(self.network, batch)[0]
        return Forecast(series, times, low, middle, high, looked, self.recipe.model.interval)

    def evaluate(self, series: Series, first: int = 0, against: ForecastModel | None = None) -> Evaluation:
        """Forecasts from every line that has a history and a season before it, a horizon after it, and a number of `first`
        or more, from 0. `against` is tested from the same lines, so both have to have their history before them."""
        models = [self] if against is None else [self, against]
        horizon = self.sizes[1]
        for model in models:
            if (model.sizes[1], model.scaling.columns) != (horizon, self.scaling.columns):
                raise UsageError(
                    f"{model.name} says {model.sizes[1]:,} steps of {', '.join(model.scaling.columns)}, and {self.name} "
                    f"{horizon:,} of {', '.join(self.scaling.columns)}: a test needs two runs that say the same"
                )
            model.scaling.check(series)
            first = max(first, model.sizes[0], model.scaling.season)
        if first + horizon > len(series):
            raise UsageError(
                f"{series.name} has {len(series):,} lines of numbers, and {first:,} known ones with {horizon:,} to forecast need "
                f"{first + horizon:,}: give a longer series"
            )
        found = self._evaluation(series, *self._forecasts(series, first))
        if against is None:
            return found
        said, origins = against._forecasts(series, first)
        misses = said[..., 1] - _truth(series, origins, horizon)
        facts = f"horizon:{horizon}|forecasts:{len(origins)}|history:{self.sizes[0]},{against.sizes[0]}"
        return replace(found, paired=[found.ways["regard"].against(misses, facts)])

    def _forecasts(self, series: Series, first: int) -> tuple[Float[np.ndarray, "O T C 3"], Int[np.ndarray, " O"]]:
        """What is said from every line of `first` or more that has a horizon after it, and these lines."""
        history, horizon = self.sizes
        last = len(series) - horizon
        windows = Windows(series, self.scaling, history, horizon, first=first, last=last, size=AT_ONCE, shuffle=False)
        said, origins = forecasting.forecasts(self.network, windows.epoch(0))
        return self.scaling.unscaled(said), origins

    def _evaluation(
        self, series: Series, said: Float[np.ndarray, "O T C 3"], origins: Int[np.ndarray, " O"]
    ) -> Evaluation:
        horizon, season = self.sizes[1], self.scaling.season
        truth = _truth(series, origins, horizon)
        block = max(horizon, season)
        scale = np.array(self.scaling.naive)
        made = {
            "regard": said[..., 1],
            "seasonal naive": seasonal_naive(series.values, origins, horizon, season),
            "naive": naive(series.values, origins, horizon),
            "drift": drift(series.values, origins, horizon),
        }
        ways = {name: Errors(each - truth, scale, block) for name, each in made.items()}
        facts = f"horizon:{horizon}|season:{season}|forecasts:{len(origins)}"
        interval = self.recipe.model.interval
        scores = ways["regard"].scores(series.columns, facts)
        scores.append(coverage(said[..., 0], said[..., 2], truth, block, f"of:{100 * interval:g} %|{facts}"))
        return Evaluation(series.columns, season, horizon, len(origins), ways, scores)

    @property
    def sizes(self) -> tuple[int, int]:
        """History and horizon."""
        data = self.recipe.data
        assert data.history is not None and data.horizon is not None
        return data.history, data.horizon

    def said(self, lines: Iterator[str], *, jsonl: bool, name: str = "the input") -> Iterator[str]:
        """What `regard predict` prints for the lines of a CSV file, called `name`: its next `horizon` lines, as CSV with the lower and upper
        number of each column beside it, or an object a line with `jsonl`."""
        made = self.forecast(self._series(name, lines))
        low, _, high = forecasting.quantiles(self.recipe.model.interval)
        names = [f"{column}{end}" for column in made.series.columns for end in ("", f"_{low:.3g}", f"_{high:.3g}")]
        if not jsonl:
            yield _row([made.series.time, *names])
        for step, time in enumerate(made.times):
            numbers = np.stack([made.middle[step], made.low[step], made.high[step]], axis=1).flatten().tolist()
            if jsonl:
                yield json.dumps({made.series.time: time, **dict(zip(names, numbers, strict=True))}, ensure_ascii=False)
            else:
                yield _row([time, *(f"{number:.6g}" for number in numbers)])

    def shown(self, text: str, width: int, color: bool, *, layer: int | None = None, head: int | None = None) -> str:
        """What `regard show` prints of a CSV file: how each column goes on, and what was looked at."""
        views = self.predict(text).views()
        pictures = [draw_forecast(view, width=width, color=color, layer=layer, head=head) for view in views]
        return "\n\n".join(pictures)

    def save_page(self, text: str, path: Path, layer: int | None = None, head: int | None = None) -> None:
        """Writes a page of what `shown` prints, which opens offline."""
        write_text(path, forecast_page(self.predict(text).views(), self.name, layer=layer, head=head))

    def save_picture(self, text: str, path: Path, layer: int | None = None, head: int | None = None) -> None:
        """Writes it as PNG."""
        save_forecast(self.predict(text).views(), path, layer=layer, head=head)

    def evaluated(
        self,
        source: Path | None,
        target: Path | None,
        data: Path | None,
        as_json: bool,
        against: ForecastModel | None = None,
    ) -> str:
        """What `regard evaluate` prints."""
        if data is None or source is not None or target is not None:
            raise UsageError("give --data FILE.csv, with a header, a column of times and the columns of numbers")
        found = self.evaluate(self.read(data), against=against)
        if as_json:
            return json.dumps({"run": self.name} | found.to_json(), ensure_ascii=False, indent=1)
        return f"{self.name}: {found}"

    def _series(self, name: str, lines: Iterable[str]) -> Series:
        series = read_series(name, lines, self.scaling.time, self.scaling.columns)
        self.scaling.check(series)
        return series


def _truth(series: Series, origins: Int[np.ndarray, " O"], horizon: int) -> Float[np.ndarray, "O T C"]:
    return series.values[origins[:, None] + np.arange(horizon)]


def scaling_of(folder: RunFolder) -> Path:
    return folder.path / "series.json"


def new_network(recipe: ForecastingRecipe, scaling: Scaling) -> Forecaster:
    return forecaster(recipe.model, len(scaling.columns), 2 * len(scaling.cycles) + 2)


def _row(cells: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(cells)
    return stream.getvalue()


def _json(number: float) -> float | None:
    return None if np.isnan(number) else number
