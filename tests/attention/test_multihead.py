"""Several heads against an independent implementation, with caches, folded rows, and rotary positions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from regard.attention import Alibi, Attend, MultiHead, Relative, Rotary, capture, fold, unfold
from regard.attention import attend as attend_module
from regard.attention.scopes import Causal, LocalMonotonic, LocalPredictive
from regard.attention.scores import ScaledDot

D, H, N, T, S = 12, 3, 4, 5, 7


def twin(heads: MultiHead) -> nn.MultiheadAttention:
    """PyTorch's own module with the same weights."""
    other = nn.MultiheadAttention(D, H, batch_first=True)
    with torch.no_grad():
        other.in_proj_weight.copy_(heads.projection.weight)
        other.in_proj_bias.copy_(heads.projection.bias)
        other.out_proj.weight.copy_(heads.output.weight)
        other.out_proj.bias.copy_(heads.output.bias)
    return other


def with_biases(heads: MultiHead) -> MultiHead:
    for bias in (heads.projection.bias, heads.output.bias):
        nn.init.normal_(bias)
    return heads


def test_self_attention_equals_pytorchs() -> None:
    torch.manual_seed(1)
    heads = with_biases(MultiHead(D, H))
    x = torch.randn(N, T, D)
    mask = torch.arange(T) < torch.tensor([5, 3, 1, 4])[:, None]
    with capture(heads) as seen:
        out, _ = heads(x, mask[:, None, None, :])
    theirs, weights = twin(heads)(x, x, x, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(out, theirs)
    torch.testing.assert_close(seen["attend"][0], weights)


def test_causal_attention_equals_pytorchs_and_a_cache_changes_nothing() -> None:
    torch.manual_seed(1)
    heads = with_biases(MultiHead(D, H, Attend(ScaledDot(), scope=Causal())))
    x = torch.randn(N, T, D)
    whole, _ = heads(x)
    theirs, _ = twin(heads)(x, x, x, attn_mask=torch.ones(T, T).triu(1).bool())
    torch.testing.assert_close(whole, theirs)
    past, parts = None, []
    for start, end in ((0, 2), (2, 3), (3, 5)):  # several tokens at once too, as with a forced prefix
        part, past = heads(x[:, start:end], past=past, start=start)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_looking_at_a_source_equals_pytorchs_with_one_or_more_rows_per_source() -> None:
    torch.manual_seed(1)
    heads = with_biases(MultiHead(D, H))
    memory = torch.randn(N, S, D)
    mask = torch.arange(S) < torch.tensor([7, 3, 1, 4])[:, None]
    for rows_each in (1, 3):
        x = torch.randn(N * rows_each, T, D)
        out = heads.look(x, heads.project(memory), mask[:, None, None, :])
        repeated = memory.repeat_interleave(rows_each, 0)
        theirs, _ = twin(heads)(x, repeated, repeated, key_padding_mask=~mask.repeat_interleave(rows_each, 0))
        torch.testing.assert_close(out, theirs)


def test_fold_and_unfold() -> None:
    x = torch.arange(2 * 3 * 4 * 5).view(6, 4, 5)
    folded = fold(x, 2)
    assert folded.shape == (2, 12, 5)
    assert torch.equal(folded[1, :4], x[3])  # the first hypothesis of the second source
    assert torch.equal(unfold(folded, 6), x)


def test_rotary_turns_by_the_position_and_depends_on_distance_alone() -> None:
    rotary = Rotary(6)
    x = torch.randn(1, 9, 6, dtype=torch.float64)
    turned = rotary(x)
    assert torch.equal(turned[:, 0], x[:, 0])
    # The first pair turns by one radian a position.
    pair = torch.view_as_complex(x[..., :2].contiguous()) * torch.polar(torch.ones(9), torch.arange(9.0)).to(
        torch.complex128
    )
    torch.testing.assert_close(turned[..., :2], torch.view_as_real(pair), atol=1e-6, rtol=0)
    q, k = torch.randn(1, 1, 6, dtype=torch.float64), torch.randn(1, 1, 6, dtype=torch.float64)
    products = [(rotary(q, start + 4) * rotary(k, start)).sum() for start in (0, 3, 20)]
    torch.testing.assert_close(torch.stack(products), products[0].expand(3), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="even"):
        Rotary(5)


def test_heads_that_do_not_divide_are_named() -> None:
    with pytest.raises(ValueError, match="10 features cannot be shared out evenly among 3 heads"):
        MultiHead(10, 3)


def with_all_heads(few: MultiHead, attend: Attend, rotary: Rotary | None = None) -> MultiHead:
    """The `MultiHead` whose heads of keys and values repeat those of a group."""
    full = MultiHead(D, few.heads, attend, rotary=rotary)
    size = D // few.heads
    times = few.heads // few.kv_heads
    with torch.no_grad():
        for name in ("weight", "bias"):
            q, k, v = getattr(few.projection, name).split(few.sizes)
            repeated = [
                torch.cat([part[g * size : (g + 1) * size] for g in range(few.kv_heads) for _ in range(times)])
                for part in (k, v)
            ]
            getattr(full.projection, name).copy_(torch.cat([q, *repeated]))
        full.output.load_state_dict(few.output.state_dict())
    return full


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("shared", [1, 2, 3, 6])
def test_fewer_heads_of_keys_equal_repeated_ones(shared: int, rotary: bool) -> None:
    def attend() -> Attend:
        return Attend(ScaledDot(), scope=Causal())

    turned = Rotary(2) if rotary else None
    few = with_biases(MultiHead(D, 6, attend(), rotary=turned, kv_heads=shared))
    full = with_all_heads(few, attend(), turned)
    assert few.projection.weight.shape == (D + 2 * shared * 2, D)
    x, memory = torch.randn(N, T, D), torch.randn(N, S, D)
    mask = torch.arange(T) < torch.tensor([5, 3, 1, 4])[:, None, None, None]
    out, (k, v) = few(x, mask)
    torch.testing.assert_close(out, full(x, mask)[0])
    assert k.shape == v.shape == (N, shared, T, 2)  # what a decoder keeps
    past, parts = None, []
    for start, end in ((0, 2), (2, 3), (3, 5)):
        part, past = few(x[:, start:end], mask[..., :end], past=past, start=start)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), out)
    assert past is not None
    torch.testing.assert_close(past, (k, v))
    few.attend.scope = full.attend.scope = None
    for rows in (N, 3 * N):
        y = torch.randn(rows, T, D)
        torch.testing.assert_close(few.look(y, few.project(memory)), full.look(y, full.project(memory)))


def test_heads_of_keys_that_do_not_divide_are_named() -> None:
    for shared in (0, 2, 4):
        with pytest.raises(ValueError, match=f"3 heads cannot be shared out evenly among {shared} heads of keys"):
            MultiHead(D, 3, kv_heads=shared)


def looked(
    heads: MultiHead, x: Tensor, memory: Tensor, score: Callable[..., float | None], lengths: list[int]
) -> Tensor:
    """`look` in loops. `score(h, q, t, s, length)` is what is added to `q·k/√D`, None where nothing is seen; it may
    come as a pair with what the weight is multiplied by."""
    size = D // heads.heads
    q = x @ heads.projection.weight[:D].t() + heads.projection.bias[:D]
    both = memory @ heads.projection.weight[D:].t() + heads.projection.bias[D:]
    out = torch.zeros_like(x)
    for n in range(x.shape[0]):
        b = n * memory.shape[0] // x.shape[0]
        for h in range(heads.heads):
            part = slice(h * size, (h + 1) * size)
            keys, values = both[b, :, :D][:, part], both[b, :, D:][:, part]
            for t in range(x.shape[1]):
                query = q[n, t, part]
                weights = []
                for s in range(lengths[b]):
                    added = score(h, query, t, s, lengths[b])
                    weights.append(0.0 if added is None else math.exp(float(query @ keys[s]) / size**0.5 + added))
                total = sum(weights) or 1.0
                for s, weight in enumerate(weights):
                    out[n, t, part] += weight / total * values[s]
    return heads.output(out)


@pytest.mark.parametrize("rows_each", [1, 3])
@pytest.mark.parametrize("keys", [7, 31])  # the plain formula, and near keys alone
@pytest.mark.parametrize("masked", [False, True])
def test_looking_with_a_scope_begins_at_start_for_every_hypothesis(masked: bool, keys: int, rows_each: int) -> None:
    heads = with_biases(MultiHead(D, H, Attend(ScaledDot(), scope=LocalMonotonic(2)))).double()
    memory = torch.randn(2, keys, D, dtype=torch.float64)
    lengths = [keys, 5] if masked else [keys, keys]
    mask = (torch.arange(keys) < torch.tensor(lengths)[:, None])[:, None, None] if masked else None
    for start in (0, 3, 6, keys + 4):
        x = torch.randn(2 * rows_each, T, D, dtype=torch.float64)
        with torch.no_grad():
            found = heads.look(x, heads.project(memory), mask, start=start)
            wanted = looked(
                heads, x, memory, lambda h, q, t, s, n, start=start: 0.0 if abs(start + t - s) <= 2 else None, lengths
            )
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("pays", [0, 10**9])
def test_looking_where_the_query_says_with_several_hypotheses(pays: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_module, "LOCAL_PAYS", pays)
    scope = LocalPredictive(D // H, 2)
    heads = with_biases(MultiHead(D, H, Attend(ScaledDot(), scope=scope))).double()
    memory, x = torch.randn(2, S, D, dtype=torch.float64), torch.randn(6, T, D, dtype=torch.float64)
    lengths = [S, 4]
    mask = (torch.arange(S) < torch.tensor(lengths)[:, None])[:, None, None]
    with torch.no_grad():
        found = heads.look(x, heads.project(memory), mask)
        alone = torch.cat(
            [heads.look(x[n : n + 1], heads.project(memory[n // 3, None]), mask[n // 3, None]) for n in range(6)]
        )
    torch.testing.assert_close(found, alone)


@pytest.mark.parametrize("fused", [0, 10**9])
@pytest.mark.parametrize(
    ("rows_each", "scope"),
    [
        (1, None),
        (1, LocalMonotonic(2)),
        (3, None),
        (3, LocalMonotonic(2)),
    ],
    ids=str,
)
def test_looking_with_a_bias_begins_at_start_for_every_hypothesis(
    rows_each: int, scope: LocalMonotonic | None, fused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attend_module, "FUSED_CPU_SCORES", fused)
    bias = Alibi(H).double()
    slopes = (2.0**-4, 2.0**-8, 2.0**-2)
    heads = with_biases(MultiHead(D, H, Attend(ScaledDot(), scope=scope, bias=bias))).double()
    memory = torch.randn(2, S, D, dtype=torch.float64)
    x = torch.randn(2 * rows_each, T, D, dtype=torch.float64)
    for start in (0, 3):

        def faded(h: int, q: Tensor, t: int, s: int, n: int, start: int = start) -> float | None:
            return -slopes[h] * abs(start + t - s) if scope is None or abs(start + t - s) <= 2 else None

        with torch.no_grad():
            found = heads.look(x, heads.project(memory), start=start)
            torch.testing.assert_close(found, looked(heads, x, memory, faded, [S, S]))


def test_self_attention_with_relative_positions_goes_on_from_a_cache() -> None:
    heads = with_biases(MultiHead(D, H, Attend(ScaledDot(), scope=Causal(), bias=Relative(D // H, 2)), kv_heads=1))
    x = torch.randn(N, T, D)
    whole, _ = heads(x)
    past, parts = None, []
    for t in range(T):
        part, past = heads(x[:, t : t + 1], past=past, start=t)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
