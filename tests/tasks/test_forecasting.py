"""The quantile loss of a forecaster, by plain loops; forecasts in the order of the batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regard.data.windows import WindowBatch
from regard.errors import UsageError
from regard.evaluation.forecasting import pinball as plain_pinball
from regard.tasks import forecasting


class Says(nn.Module):
    """Says the numbers it was made with, moved by the first of the past."""

    def __init__(self, said: Tensor) -> None:
        super().__init__()
        self.said = nn.Parameter(said)

    def forward(self, batch: WindowBatch) -> Tensor:
        return self.said[: len(batch)] + batch.past[:, :1, :, None]


def batch(rows: int, first: int = 0) -> WindowBatch:
    numbers = torch.arange(first, first + rows, dtype=torch.float32)[:, None, None]
    none = torch.zeros(rows, 2, 0)
    return WindowBatch(numbers.expand(-1, 2, 3), none, none, torch.randn(rows, 2, 3), numbers[:, 0, 0].long())


def test_quantiles() -> None:
    assert forecasting.quantiles(0.8) == pytest.approx((0.1, 0.5, 0.9))
    assert forecasting.quantiles(0.5) == (0.25, 0.5, 0.75)


def test_the_loss_by_plain_loops() -> None:
    here, said = batch(5), torch.randn(5, 2, 3, 3)
    levels, units = (0.1, 0.5, 0.9), torch.tensor([1.0, 2.0, 0.25])
    found = forecasting.loss(Says(said), here, levels, units)  # type: ignore[arg-type]
    total = 0.0
    for b in range(5):
        for t in range(2):
            for c in range(3):
                for i, q in enumerate(levels):
                    missed = float(here.future[b, t, c] - said[b, t, c, i] - b)
                    total += 2 * float(units[c]) * max(q * missed, (q - 1) * missed) / 9
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-5)
    assert found.tokens == 10 and not found.likelihood.requires_grad
    # And per step it is what validation measures, in the same units.
    there = (said + here.past[:, :1, :, None]) * units[:, None]
    expected = plain_pinball(there.numpy(), (here.future * units).numpy(), levels)
    assert float(found.total.detach()) / found.tokens == pytest.approx(expected, rel=1e-5)


def test_forecasts_keep_their_order_and_the_mode() -> None:
    model = Says(torch.zeros(5, 2, 3, 3)).train()
    said, rows = forecasting.forecasts(model, [batch(3), batch(2, 3)])  # type: ignore[arg-type]
    assert said.shape == (5, 2, 3, 3) and rows.tolist() == [0, 1, 2, 3, 4] and model.training
    np.testing.assert_array_equal(said[:, 0, 0, 0], rows)
    with pytest.raises(UsageError, match="no window"):
        forecasting.forecasts(model, [])  # type: ignore[arg-type]
