"""Forecasters: shapes, an order that never crosses, levels and units that do not matter, and attention that is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from regard.build.forecaster import forecaster
from regard.config.forecasting import ForecasterPart
from regard.data.windows import WindowBatch
from regard.models.forecaster import Forecaster

KINDS = ["recurrent", "transformer"]
B, S, T, C, K = 3, 13, 5, 2, 4


def made(kind: Any, **more: Any) -> Forecaster:
    torch.manual_seed(3)
    part = ForecasterPart(kind=kind, hidden=12, heads=3, feed_forward=17, layers=2, dropout=0.0, **more)
    return forecaster(part, C, K).double().eval()


def batch() -> WindowBatch:
    draw = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    return WindowBatch(normal(B, S, C), normal(B, S, K), normal(B, T, K), normal(B, T, C), torch.arange(B))


@pytest.mark.parametrize("kind", KINDS)
def test_lower_middle_and_upper_never_cross(kind: str) -> None:
    said = made(kind)(batch())
    assert said.shape == (B, T, C, 3)
    assert bool((said.diff(dim=-1) > 0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_another_level_and_another_unit_move_the_forecast_along(kind: str) -> None:
    model, here = made(kind), batch()
    unit, level = torch.tensor([3.0, 0.5], dtype=torch.float64), torch.tensor([100.0, -7.0], dtype=torch.float64)
    moved = model(replace(here, past=here.past * unit + level))
    torch.testing.assert_close(moved, model(here) * unit[:, None] + level[:, None])


@pytest.mark.parametrize("kind", KINDS)
def test_the_future_is_not_read_and_windows_do_not_meet(kind: str) -> None:
    model, here = made(kind), batch()
    said = model(here)
    torch.testing.assert_close(model(replace(here, future=here.future + 1e6)), said, rtol=0, atol=0)
    other = here.past.clone()
    other[1:] += torch.randn(B - 1, S, C, dtype=torch.float64)
    torch.testing.assert_close(model(replace(here, past=other))[0], said[0])
    assert not torch.allclose(model(replace(here, past=other))[1], said[1])


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_and_every_time_counts(kind: str) -> None:
    model, here = made(kind), batch()
    inputs = [x.clone().requires_grad_() for x in (here.past, here.past_when, here.when)]
    said = model(replace(here, past=inputs[0], past_when=inputs[1], when=inputs[2]))
    for found in torch.autograd.grad(said.square().sum(), inputs):
        assert bool((found.abs().sum(dim=(0, 2)) > 0).all())


@pytest.mark.parametrize(("kind", "layers", "heads"), [("recurrent", 1, 1), ("transformer", 2, 3)])
def test_what_was_looked_at_is_what_was_used(kind: str, layers: int, heads: int) -> None:
    model, here = made(kind), batch()
    before = model(here)
    weights = model.look(here)
    assert weights.shape == (B, layers, heads, T, S)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, layers, heads, T))
    torch.testing.assert_close(model(here), before, rtol=0, atol=0)


def test_a_flat_past_is_said_with_finite_numbers() -> None:
    here = replace(batch(), past=torch.full((B, S, C), 4.0, dtype=torch.float64))
    for kind in KINDS:
        said = made(kind)(here)
        assert bool(said.isfinite().all()) and float((said.detach() - 4).abs().max()) < 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_without_unused_parameters(kind: str) -> None:
    model, here = made(kind).train(), batch()
    model(here).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
