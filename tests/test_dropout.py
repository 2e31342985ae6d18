"""Dropout by random bytes: the right rate, the right mean, the same mask backwards, and numbers that can be repeated."""

from __future__ import annotations

import pytest
import torch

from regard.dropout import Dropout, dropout


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rate_and_scale(rate: float, dtype: torch.dtype) -> None:
    x = torch.ones(400_003, dtype=dtype)
    y = dropout(x, rate)
    cut = round(rate * 256)
    assert set(y.unique().tolist()) == {0.0, float(torch.tensor(256 / (256 - cut), dtype=dtype))}
    assert float((y == 0).float().mean()) == pytest.approx(cut / 256, abs=0.004)
    if dtype == torch.float32:
        assert float(y.mean()) == pytest.approx(1.0, abs=0.02)


def test_every_byte_of_a_word_is_drawn_evenly() -> None:
    """The eighth byte holds the top bit, which a generator of non-negative numbers would never set."""
    kept = (dropout(torch.ones(80_000), 0.5) != 0).float().view(-1, 8).mean(0)
    assert float((kept - 0.5).abs().max()) < 0.02


def test_the_gradient_goes_where_the_value_went() -> None:
    x = torch.randn(7, 13, requires_grad=True)
    y = dropout(x, 0.4)
    y.backward(torch.ones_like(y))
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_repeated_by_seed_and_by_state() -> None:
    x = torch.ones(1001)
    torch.manual_seed(3)
    first, state = dropout(x, 0.3), torch.get_rng_state()
    second = dropout(x, 0.3)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(dropout(x, 0.3), second)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.3), first)


def test_only_in_training_and_only_with_a_rate() -> None:
    x = torch.randn(5)
    module = Dropout(0.5)
    assert not torch.equal(module(x), x)
    assert module.eval()(x) is x
    assert Dropout(0.0)(x) is x
    for wrong in (1.0, -0.1):
        with pytest.raises(ValueError, match=r"\[0, 1\)"):
            Dropout(wrong)
