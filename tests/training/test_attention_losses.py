"""Losses of the weights, by loops from their papers' formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from regard.training.attention_losses import (
    coverage_loss,
    doubly_stochastic,
    guided_alignment,
    leave_one_out,
    reinforce,
    returns,
)

B, T, S = 3, 5, 7
SAID, READ = [5, 3, 1], [7, 2, 4]


def weights() -> Tensor:
    """Rows that are distributions over what is read, also at steps where nothing is said."""
    scores = 2 * torch.randn(B, T, S, dtype=torch.float64)
    return torch.softmax(scores.masked_fill(~read()[:, None], -torch.inf), dim=-1).requires_grad_()


def said() -> Tensor:
    return torch.arange(T) < torch.tensor(SAID)[:, None]


def read() -> Tensor:
    return torch.arange(S) < torch.tensor(READ)[:, None]


@pytest.mark.parametrize("begun", [False, True])
def test_coverage_loss_is_the_overlap_with_what_was_looked_at(begun: bool) -> None:
    alpha = weights()
    before = torch.rand(B, S, dtype=torch.float64) if begun else None
    total = 0.0
    for b in range(B):
        covered = [0.0] * S if before is None else before[b].tolist()
        for t in range(SAID[b]):
            for s in range(S):
                total += min(alpha[b, t, s].item(), covered[s])
                covered[s] += alpha[b, t, s].item()
    found = coverage_loss(alpha, said(), before)
    assert found.item() == pytest.approx(total)
    found.backward()
    assert alpha.grad is not None and alpha.grad.abs().sum() > 0
    assert all((alpha.grad[b, SAID[b] :] == 0).all() for b in range(B))


def test_coverage_loss_by_hand() -> None:
    alpha = torch.tensor([[[0.5, 0.5, 0.0], [0.25, 0.0, 0.75], [0.5, 0.25, 0.25]]])
    # Nothing at first; then min(.25, .5); then covered = [.75, .5, .75]: min(.5, .75) + min(.25, .5) + min(.25, .75).
    assert coverage_loss(alpha, torch.ones(1, 3, dtype=torch.bool)).item() == pytest.approx(0.25 + 1.0)
    assert coverage_loss(torch.eye(3)[None], torch.ones(1, 3, dtype=torch.bool)).item() == 0.0


def test_doubly_stochastic_wants_each_source_token_once() -> None:
    alpha = weights()
    total = sum((1 - sum(alpha[b, t, s].item() for t in range(SAID[b]))) ** 2 for b in range(B) for s in range(READ[b]))
    found = doubly_stochastic(alpha, said(), read())
    assert found.item() == pytest.approx(total)
    found.backward()
    assert alpha.grad is not None
    for b in range(B):
        column = [sum(alpha[b, t, s].item() for t in range(SAID[b])) for s in range(S)]
        for t in range(T):
            wanted = [-2 * (1 - column[s]) if t < SAID[b] and s < READ[b] else 0.0 for s in range(S)]
            assert alpha.grad[b, t].tolist() == pytest.approx(wanted)
    assert doubly_stochastic(torch.eye(5)[None], torch.ones(1, 5).bool(), torch.ones(1, 5).bool()).item() == 0.0


def test_guided_alignment_is_the_cross_entropy_of_the_links() -> None:
    alpha = weights()
    links = torch.zeros(B, T, S, dtype=torch.float64)
    links[0, 0, 3] = 1.0
    links[0, 2, [0, 1]] = 0.5
    links[1, 1, 1] = 1.0  # rows without links have no say
    wanted = -(
        math.log(alpha[0, 0, 3].item())
        + 0.5 * math.log(alpha[0, 2, 0].item())
        + 0.5 * math.log(alpha[0, 2, 1].item())
        + math.log(alpha[1, 1, 1].item())
    )
    found = guided_alignment(alpha, links)
    assert found.item() == pytest.approx(wanted, rel=1e-5)  # computed in single precision
    found.backward()
    assert alpha.grad is not None
    slopes = torch.where(links > 0, -links / alpha.detach(), 0.0)
    torch.testing.assert_close(alpha.grad, slopes, rtol=1e-5, atol=1e-12)


def test_guided_alignment_of_nothing_is_finite() -> None:
    alpha = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
    found = guided_alignment(alpha, torch.tensor([[[0.0, 1.0]]]), floor=1e-4)
    assert found.item() == pytest.approx(4 * math.log(10))
    found.backward()
    assert alpha.grad is not None and torch.isfinite(alpha.grad).all()
    low = torch.tensor([[[0.75, 0.25]]], dtype=torch.bfloat16)
    assert guided_alignment(low, torch.tensor([[[0.5, 0.5]]])).dtype == torch.float32


def test_reinforce_weighs_each_choice_by_what_came_of_it() -> None:
    log_probability = -torch.rand(B, T, dtype=torch.float64)
    log_probability.requires_grad_()
    rewards, expected = -torch.rand(B, T, dtype=torch.float64), -torch.rand(B, T, dtype=torch.float64)
    rewards.requires_grad_()
    total, slopes = 0.0, torch.zeros(B, T, dtype=torch.float64)
    for b in range(B):
        for t in range(SAID[b]):
            ahead = sum(rewards[b, u].item() for u in range(t, SAID[b]))  # from this step to the sentence's end
            gain = ahead - expected[b, t].item()
            total -= gain * log_probability[b, t].item()
            slopes[b, t] = -gain
    found = reinforce(log_probability, returns(rewards, said()), expected, said())
    assert found.item() == pytest.approx(total)
    found.backward()
    assert log_probability.grad is not None
    torch.testing.assert_close(log_probability.grad, slopes)
    assert rewards.grad is None  # how rewards come about is the likelihood's business


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.9, 1.0])
def test_what_is_earned_later_counts_less_by_the_discount(discount: float) -> None:
    rewards = -torch.rand(2, B, T, dtype=torch.float64)
    wanted = torch.zeros_like(rewards)
    for b in range(B):
        for t in range(SAID[b]):
            wanted[:, b, t] = sum(discount ** (u - t) * rewards[:, b, u] for u in range(t, SAID[b]))
    found = returns(rewards, said(), discount)
    torch.testing.assert_close(found * said(), wanted)


def test_a_reading_is_compared_with_the_others() -> None:
    # Four, seven and one point: the others have (7 + 1) / 2, (4 + 1) / 2 and (4 + 7) / 2.
    gained = torch.tensor([4.0, 7.0, 1.0])[:, None, None].expand(3, B, T)
    assert leave_one_out(gained)[:, 1, 2].tolist() == [4.0, 2.5, 5.5]
    with pytest.raises(ValueError, match="no others"):
        leave_one_out(gained[:1])


def test_steps_that_are_not_said_do_not_count_whatever_stands_there() -> None:
    log_probability, rewards = -torch.rand(2, B, T), -torch.rand(2, B, T)
    gained = returns(rewards, said())
    found = reinforce(log_probability, gained, leave_one_out(gained), said())
    gained = returns(rewards.masked_fill(~said(), 1e4), said())
    other = reinforce(log_probability.masked_fill(~said(), -77.0), gained, leave_one_out(gained), said())
    torch.testing.assert_close(other, found)
    alpha = weights().detach()
    strange = alpha.masked_fill(~said()[..., None], 9.0)
    for loss in (lambda w: coverage_loss(w, said()), lambda w: doubly_stochastic(w, said(), read())):
        torch.testing.assert_close(loss(strange), loss(alpha))
