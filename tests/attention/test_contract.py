"""The contract every mechanism keeps. A new one joins by standing in MECHANISMS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest
import torch
from torch import Tensor

from regard.attention import Attend
from regard.attention import attend as attend_module
from regard.attention.normalizers import sparsemax
from regard.attention.scopes import Causal, Global, Window
from regard.attention.scores import Additive, Dot, General, ScaledDot, Score

# Odd and prime sizes: a transposed or broadcast dimension shows itself.
B, T, S, DQ, DK, DV = 3, 5, 7, 11, 11, 13

SCORES: dict[str, Callable[[], Score]] = {
    "dot": Dot,
    "scaled-dot": ScaledDot,
    "general": lambda: General(DQ, DK),
    "additive": lambda: Additive(DQ, DK, 17),
}
MECHANISMS: dict[str, Callable[[], Attend]] = {
    **{f"{name}-softmax": (lambda make=make: Attend(make())) for name, make in SCORES.items()},
    **{f"{name}-sparsemax": (lambda make=make: Attend(make(), sparsemax)) for name, make in SCORES.items()},
    "scaled-dot-global": lambda: Attend(ScaledDot(), scope=Global()),
    "scaled-dot-causal": lambda: Attend(ScaledDot(), scope=Causal()),
    "scaled-dot-window": lambda: Attend(ScaledDot(), scope=Window(1, 2)),
    "additive-window": lambda: Attend(Additive(DQ, DK, 17), scope=Window(2, 0)),
    "general-bias": lambda: Attend(General(DQ, DK), bias=lambda query, key: -0.3 * (query - key).abs().double()),
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}

mechanisms = pytest.mark.parametrize("name", MECHANISMS)


class Context(Protocol):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor: ...


def made(name: str, dtype: torch.dtype = torch.float64) -> tuple[Attend, Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    attend = MECHANISMS[name]().to(dtype)
    q, k, v = (torch.randn(B, n, d, dtype=dtype) for n, d in ((T, DQ), (S, DK), (S, DV)))
    return attend, q, k, v


def key_mask() -> Tensor:
    return (torch.arange(S) < torch.tensor([S, 4, 1])[:, None])[:, None, :]


@mechanisms
def test_rows_sum_to_one_and_are_not_negative(name: str) -> None:
    attend, q, k, _ = made(name)
    weights = attend.weights(q, k)
    assert weights.shape == (B, T, S)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, T, dtype=q.dtype))


@mechanisms
def test_masked_keys_get_exactly_zero_and_do_not_matter(name: str) -> None:
    attend, q, k, v = made(name)
    mask = key_mask()
    weights = attend.weights(q, k, mask)
    assert (weights.masked_select(~mask.expand_as(weights)) == 0).all()
    hidden = ~mask[:, 0, :, None]
    poisoned = attend(q, k.masked_fill(hidden, 1e6), v.masked_fill(hidden, -1e6), mask)
    torch.testing.assert_close(poisoned, attend(q, k, v, mask))


@mechanisms
def test_a_row_with_nothing_to_see_gives_zeros_and_finite_gradients(name: str) -> None:
    attend, q, k, v = made(name)
    q.requires_grad_()
    mask = key_mask().repeat(1, T, 1)
    mask[1] = False
    context = attend(q, k, v, mask)
    assert (context[1] == 0).all()
    assert (attend.weights(q, k, mask)[1] == 0).all()
    context.sum().backward()
    assert q.grad is not None and torch.isfinite(q.grad).all()


@pytest.mark.parametrize("name", [n for n in MECHANISMS if "causal" not in n and "window" not in n and "bias" not in n])
def test_permuting_keys_permutes_weights_and_keeps_the_context(name: str) -> None:
    attend, q, k, v = made(name)
    order = torch.randperm(S)
    torch.testing.assert_close(attend.weights(q, k[:, order]), attend.weights(q, k)[:, :, order])
    torch.testing.assert_close(attend(q, k[:, order], v[:, order]), attend(q, k, v))


@mechanisms
def test_gradients_match_finite_differences(name: str) -> None:
    attend, q, k, v = made(name)
    mask = key_mask()
    inputs = tuple(t.requires_grad_() for t in (q, k, v))
    assert torch.autograd.gradcheck(lambda *a: attend(*a, mask), inputs, fast_mode=True)
    for parameter in attend.parameters():
        assert torch.autograd.gradcheck(lambda _: attend(q, k, v, mask), (parameter,), fast_mode=True)


@mechanisms
def test_one_step_at_a_time_equals_all_at_once(name: str) -> None:
    attend, q, k, v = made(name)
    whole = attend(q, k, v, key_mask())
    steps = [attend(q[:, t : t + 1], k, v, key_mask(), start=t) for t in range(T)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)


@mechanisms
def test_projected_keys_give_the_same(name: str) -> None:
    attend, q, k, v = made(name)
    projected = attend.score.project(k)
    torch.testing.assert_close(attend(q, projected, v, key_mask(), projected=True), attend(q, k, v, key_mask()))


@mechanisms
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_fast_path_equals_the_reference_in_output_and_gradients(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attend_module, "FUSED_CPU_SCORES", 0)
    attend, q, k, v = made(name, dtype)
    mask = key_mask().repeat(1, T, 1)
    mask[2, 1] = False
    results = []
    ways: list[Context] = [attend, attend.reference]
    for run in ways:
        inputs = [t.detach().clone().requires_grad_() for t in (q, k, v)]
        attend.zero_grad()
        context = run(inputs[0], inputs[1], inputs[2], mask)
        context.square().sum().backward()
        results.append([context, *(t.grad for t in inputs), *(p.grad for p in attend.parameters())])
    for fast, plain in zip(*results, strict=True):
        scale = max(1.0, float(plain.detach().abs().max()))
        torch.testing.assert_close(fast, plain, rtol=0, atol=TOLERANCE[dtype] * scale)


@mechanisms
def test_a_score_factors_up_to_a_constant_along_keys(name: str) -> None:
    attend, q, k, _ = made(name)
    factors = attend.score.factor(q, k)
    if factors is None:
        assert "additive" in name
        return
    difference = factors[0] @ factors[1].transpose(-1, -2) - attend.score(q, k)
    torch.testing.assert_close(difference, difference[..., :1].expand_as(difference))


def test_the_fused_kernel_is_taken_where_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(attend_module, "FUSED_CPU_SCORES", 0)
    monkeypatch.setattr(Attend, "_fused", lambda self, q, k, v, mask, start: calls.append("fused") or v)
    for name in MECHANISMS:
        attend, q, k, v = made(name)
        calls.clear()
        attend(q, k, v)
        fuses = "softmax" in name or "global" in name or "causal" in name or name == "scaled-dot-window"
        assert bool(calls) == (fuses and "additive" not in name), name


def test_dropout_keeps_the_mean_and_only_in_training() -> None:
    torch.manual_seed(0)
    attend = Attend(ScaledDot(), dropout=0.5)
    q, k, v = torch.randn(1, 1, 4), torch.randn(1, 9, 4), torch.randn(1, 9, 6)
    attend.eval()
    exact = attend(q, k, v)
    assert torch.equal(exact, attend.reference(q, k, v))
    attend.train()
    mean = torch.stack([attend(q, k, v) for _ in range(4000)]).mean(0)
    assert not torch.equal(attend(q, k, v), exact)
    torch.testing.assert_close(mean, exact, rtol=0, atol=0.05)
