"""Positions inside attention: ALiBi by its paper's numbers, relative positions by loops over every pair."""

from __future__ import annotations

import math

import pytest
import torch

from regard.attention import Alibi, Attend, Relative
from regard.attention import attend as attend_module
from regard.attention.positions import LOPSIDED
from regard.attention.scopes import Causal, Scope, Window
from regard.attention.scores import ScaledDot

B, T, S, D = 2, 3, 7, 5


def places(queries: int, keys: int, start: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(start, start + queries)[:, None], torch.arange(keys)[None]


@pytest.mark.parametrize(
    ("heads", "exponents"),
    [
        (1, [8]),
        (2, [4, 8]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (16, [h / 2 for h in range(1, 17)]),
        # The paper's code: those of 8 heads, then the 1st, 3rd, 5th and 7th of 16.
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
        (3, [4, 8, 2]),
        (5, [2, 4, 6, 8, 1]),
    ],
)
def test_alibi_slopes_are_those_of_the_paper(heads: int, exponents: list[float]) -> None:
    alibi = Alibi(heads)
    found = alibi(torch.tensor([[7]]), torch.tensor([[6, 9]]))
    assert found[:, 0].tolist() == [pytest.approx([-(2.0**-e), -2 * 2.0**-e]) for e in exponents]
    assert not list(alibi.parameters()) and not alibi.state_dict()


def test_alibi_fades_with_the_distance_to_both_sides() -> None:
    found = Alibi(2)(*places(T, S, 3))
    for h, slope in enumerate((2**-4, 2**-8)):
        assert found[h].tolist() == [[-slope * abs(t - s) for s in range(S)] for t in range(3, 3 + T)]
    with pytest.raises(ValueError, match="at least 1 head, not 0"):
        Alibi(0)


def test_lopsided_alibi_tells_left_from_right_by_turns() -> None:
    found = Alibi(4, lopsided=True)(*places(T, S, 3))
    for h, slope in enumerate((2**-2, 2**-4, 2**-6, 2**-8)):
        right, left = (LOPSIDED, 1) if h % 2 == 0 else (1, LOPSIDED)
        for t in range(T):
            row = [-slope * (right * (s - t - 3) if s > t + 3 else left * (t + 3 - s)) for s in range(S)]
            assert found[h, t].tolist() == row


@pytest.mark.parametrize("fused", [0, 10**9])
@pytest.mark.parametrize("start", [0, 4])
def test_alibi_within_a_scope_and_mask_by_loops(start: int, fused: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_module, "FUSED_CPU_SCORES", fused)
    heads = 3
    q, k, v = (torch.randn(B, heads, n, d, dtype=torch.float64) for n, d in ((T, D), (S, D), (S, 2)))
    attend = Attend(ScaledDot(), scope=Causal(), bias=Alibi(heads).double())
    lengths = [S, 2]
    mask = (torch.arange(S) < torch.tensor(lengths)[:, None])[:, None, None]
    found = attend(q, k, v, mask, start=start)
    slopes = [2.0**-4, 2.0**-8, 2.0**-2]
    for b in range(B):
        for h in range(heads):
            for t in range(T):
                seen = [s for s in range(lengths[b]) if s <= start + t]
                parts = [
                    math.exp(float(q[b, h, t] @ k[b, h, s]) / math.sqrt(D) - slopes[h] * (start + t - s)) for s in seen
                ]
                wanted = sum(p / sum(parts) * v[b, h, s] for p, s in zip(parts, seen, strict=True))
                torch.testing.assert_close(found[b, h, t], wanted)


@pytest.mark.parametrize("reach", [1, 2, 19])
@pytest.mark.parametrize("start", [0, 4, 11])
@pytest.mark.parametrize("scope", [None, Causal(), Window(1, 2)], ids=str)
def test_relative_by_loops_over_every_pair(scope: Scope | None, start: int, reach: int) -> None:
    bias = Relative(D, reach).double()
    for table in (bias.keys, bias.values):
        torch.nn.init.normal_(table.weight)
    attend = Attend(ScaledDot(), scope=scope, bias=bias)
    q, k, v = (torch.randn(B, n, D, dtype=torch.float64) for n in (T, S, S))
    lengths = [S, 5]
    mask = torch.arange(S) < torch.tensor(lengths)[:, None, None]
    with torch.no_grad():
        found, weights = attend(q, k, v, mask, start=start), attend.weights(q, k, mask, start=start)
    to_keys, to_values = bias.keys.weight.detach(), bias.values.weight.detach()
    for b in range(B):
        for t in range(T):
            place = start + t
            seen = [
                s
                for s in range(lengths[b])
                if scope is None
                or (isinstance(scope, Causal) and s <= place)
                or (isinstance(scope, Window) and place - 1 <= s <= place + 2)
            ]
            row = {s: max(-reach, min(reach, s - place)) + reach for s in seen}
            parts = {s: math.exp(float(q[b, t] @ (k[b, s] + to_keys[row[s]])) / math.sqrt(D)) for s in seen}
            total = sum(parts.values())
            alpha = [parts[s] / total if s in parts else 0.0 for s in range(S)]
            assert weights[b, t].tolist() == pytest.approx(alpha, abs=1e-12)
            wanted = torch.zeros(D, dtype=torch.float64)
            for s in seen:
                wanted = wanted + alpha[s] * (v[b, s] + to_values[row[s]])
            torch.testing.assert_close(found[b, t], wanted)


def test_relative_gradients_match_finite_differences() -> None:
    bias = Relative(D, 2).double()
    attend = Attend(ScaledDot(), bias=bias)
    inputs = tuple(torch.randn(B, n, D, dtype=torch.float64, requires_grad=True) for n in (T, S, S))
    for table in (bias.keys.weight, bias.values.weight):
        assert torch.autograd.gradcheck(lambda *_: attend(*inputs, start=2), (*inputs, table))
    assert bias.keys.weight.shape == bias.values.weight.shape == (5, D)
    with pytest.raises(ValueError, match="at least 1 position to each side, not 0"):
        Relative(D, 0)
