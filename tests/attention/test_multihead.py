"""Several heads against an independent implementation, with caches, folded rows, and rotary positions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regard.attention import Attend, MultiHead, Rotary, capture, fold, unfold
from regard.attention.scopes import Causal
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
