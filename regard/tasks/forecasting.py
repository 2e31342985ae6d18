"""Forecasting: numbers to come, with an interval, by the quantile loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.data.windows import WindowBatch
from regard.errors import UsageError
from regard.models.forecaster import Forecaster
from regard.training.loop import Loss


def quantiles(interval: float) -> tuple[float, float, float]:
    """The lower, middle and upper quantile that hold the share `interval` between them: 0.1, 0.5, 0.9 of 0.8."""
    rest = (1 - interval) / 2
    return rest, 0.5, 1 - rest


def loss(model: Forecaster, batch: WindowBatch, levels: Sequence[float], units: Float[Tensor, " C"]) -> Loss:
    """Twice the quantile loss (Koenker & Bassett 1978), its mean over columns and `levels`, summed over the steps.

    Of the median it is the absolute error, in `units` that make it an error scaled as MASE is: what is minimised is what a
    forecast is measured by.
    """
    total = (pinball(model(batch), batch.future, levels) * units[:, None]).mean(dim=(-1, -2)).sum()
    return Loss(total, total.detach(), batch.target_tokens)


def pinball(
    said: Float[Tensor, "B T C Q"], truth: Float[Tensor, "B T C"], levels: Sequence[float]
) -> Float[Tensor, "B T C Q"]:
    """`2 max(q e, (q - 1) e)` with `e = y - ŷ_q`."""
    missed = truth.unsqueeze(-1) - said
    q = missed.new_tensor(levels)
    return 2 * torch.maximum(q * missed, (q - 1) * missed)


def forecasts(
    model: Forecaster, batches: Iterable[WindowBatch]
) -> tuple[Float[np.ndarray, "O T C 3"], Int[np.ndarray, " O"]]:
    """The lower, middle and upper number for each window, in the order of the batches, and where its future begins."""
    before, device = model.training, next(model.parameters()).device
    model.eval()
    said, rows = [], []
    try:
        with torch.inference_mode():
            for batch in batches:
                said.append(model(batch.to(device)).double().cpu().numpy())
                rows.append(batch.rows.numpy())
    finally:
        model.train(before)
    if not said:
        raise UsageError("there is no window to forecast: give a longer series")
    return np.concatenate(said), np.concatenate(rows)


def look(model: Forecaster, batch: WindowBatch) -> Float[np.ndarray, "B L H T S"]:
    """What each step of the future gave to each line of the past."""
    model.eval()
    return model.look(batch.to(next(model.parameters()).device)).cpu().numpy()
