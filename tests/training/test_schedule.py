from __future__ import annotations

import math

import pytest

from regard.training.schedule import Schedule


def test_the_rise_is_linear_and_then_each_falls_in_its_way() -> None:
    cosine = Schedule("cosine", warmup=10)
    assert [cosine.factor(step, 0.0) for step in (1, 5, 10)] == pytest.approx([0.1, 0.5, 1.0])
    assert [cosine.factor(99, p) for p in (0.0, 0.5, 1.0, 7.0)] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert Schedule("cosine").factor(1, 0.25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert Schedule("linear", floor=0.2).factor(1, 0.75) == pytest.approx(0.2 + 0.8 * 0.25)
    assert Schedule("constant", warmup=2).factor(50, 0.99) == 1.0
    root = Schedule("inverse-square-root", warmup=100)
    assert [root.factor(s, 0.5) for s in (50, 100, 400)] == pytest.approx([0.5, 1.0, 0.5])
