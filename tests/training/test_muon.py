"""Muon moves as PyTorch's own does, matrix by matrix, and what is stacked moves apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regard.training.muon import Muon, Stacked, orthogonal


def parameter(*shape: int, seed: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def follow(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], steps: int = 3) -> None:
    """Steps along gradients that the number of the step decides."""
    for step in range(steps):
        for index, weight in enumerate(weights):
            draw = torch.Generator().manual_seed(100 * step + index)
            weight.grad = torch.randn(weight.shape, generator=draw)
        optimizer.step()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_equals_pytorchs_muon(weight_decay: float) -> None:
    shapes = [(7, 13), (13, 7), (7, 13), (5, 5)]
    ours = [parameter(*shape, seed=i) for i, shape in enumerate(shapes)]
    theirs = [parameter(*shape, seed=i) for i, shape in enumerate(shapes)]
    follow(Muon([Stacked(w, [len(w)]) for w in ours], 0.02, weight_decay=weight_decay), ours)
    oracle = torch.optim.Muon(theirs, lr=0.02, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    follow(oracle, theirs)
    for a, b, shape in zip(ours, theirs, shapes, strict=True):
        moved = (b - parameter(*shape, seed=shapes.index(shape))).abs().max()
        assert moved > 0.01
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)  # both multiply in bf16, in another order


def test_stacked_matrices_move_as_if_each_stood_alone() -> None:
    whole = parameter(11, 6, seed=1)
    parts = [nn.Parameter(part.detach().clone()) for part in whole.split([6, 2, 3])]
    gradient = torch.randn(11, 6, generator=torch.Generator().manual_seed(2))
    stacked = Muon([Stacked(whole, [6, 2, 3])], 0.1, bf16=False)
    apart = Muon([Stacked(part, [len(part)]) for part in parts], 0.1, bf16=False)
    whole.grad = gradient
    for part, own in zip(parts, gradient.split([6, 2, 3]), strict=True):
        part.grad = own
    stacked.step()
    apart.step()
    torch.testing.assert_close(whole, torch.cat(list(parts)), atol=1e-5, rtol=0)
    together = nn.Parameter(parameter(11, 6, seed=1).detach())
    together.grad = gradient
    Muon([Stacked(together, [11])], 0.1, bf16=False).step()
    assert not torch.allclose(together, whole, atol=1e-3)


def test_singular_values_come_close_to_one_and_directions_stay() -> None:
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(3, 7, 19, generator=draw) * torch.tensor([1e-4, 1.0, 1e4])[:, None, None]
    y = orthogonal(x)
    values = torch.linalg.svdvals(y)
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    torch.testing.assert_close(
        u.mT @ y @ v.mT, torch.diag_embed((u.mT @ y @ v.mT).diagonal(dim1=1, dim2=2)), atol=1e-3, rtol=0
    )


def test_a_gradient_of_zeros_moves_nothing_and_none_is_passed_over() -> None:
    still, absent = parameter(3, 5, seed=4), parameter(3, 5, seed=5)
    before = still.detach().clone(), absent.detach().clone()
    still.grad = torch.zeros(3, 5)
    optimizer = Muon([Stacked(still, [3]), Stacked(absent, [3])], 0.1)
    optimizer.step()
    assert torch.equal(still, before[0]) and torch.equal(absent, before[1])
    assert absent not in optimizer.state
