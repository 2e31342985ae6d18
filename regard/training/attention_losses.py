"""Losses made of the weights with which a model looked at its source.

Weights are `[B, T, S]`; `said [B, T]` and `read [B, S]` are True where a target step and a source token are real.
Every loss is a sum over the batch.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def coverage_loss(
    weights: Float[Tensor, "B T S"], said: Bool[Tensor, "B T"], before: Float[Tensor, "B S"] | None = None
) -> Float[Tensor, ""]:
    """`Σ_t Σ_s min(α_ts, Σ_{t'<t} α_t's)`: looking again at what was looked at (See et al. 2017, equation 12)."""
    covered = weights.cumsum(dim=1) - weights
    if before is not None:
        covered = covered + before[:, None]
    return (torch.minimum(weights, covered) * said[..., None]).sum()


def doubly_stochastic(
    weights: Float[Tensor, "B T S"], said: Bool[Tensor, "B T"], read: Bool[Tensor, "B S"]
) -> Float[Tensor, ""]:
    """`Σ_s (1 - Σ_t α_ts)²`: each source token wants to be looked at once in all (Xu et al. 2015, equation 14)."""
    total = (weights * said[..., None]).sum(dim=1)
    return ((1 - total).square() * read).sum()


def guided_alignment(
    weights: Float[Tensor, "B T S"], links: Float[Tensor, "B T S"], floor: float = 1e-6
) -> Float[Tensor, ""]:
    """`-Σ_t Σ_s A_ts log α_ts` where the rows of A that have links sum to 1 (Garg et al. 2019, equation 3)."""
    return -(links * weights.float().clamp_min(floor).log()).sum()


def returns(
    rewards: Float[Tensor, "*K B T"], said: Bool[Tensor, "B T"], discount: float = 1.0
) -> Float[Tensor, "*K B T"]:
    """`R_t = Σ_{t'≥t} γ^(t'-t) r_t'` over the steps that are said, γ the discount. What was earned before a choice does not
    depend on it, so leaving it out keeps the estimator's mean and lowers its variance. What is earned long after hardly
    depends on it either: a discount below 1 lowers the variance much further, for a bias (Baxter & Bartlett 2001)."""
    if discount == 1.0:
        return (rewards * said).flip(-1).cumsum(dim=-1).flip(-1)
    step = torch.arange(rewards.shape[-1], device=rewards.device)
    ahead = (step[:, None] - step).to(rewards.dtype)  # of t' from t
    return (rewards * said) @ torch.where(ahead >= 0, discount ** ahead.clamp_min(0), 0.0)


def leave_one_out(gained: Float[Tensor, "K B T"]) -> Float[Tensor, "K B T"]:
    """Of K readings of the same pairs, for each the mean of what the K - 1 others gained, which does not depend on its
    own choices (Kool et al. 2019)."""
    if gained.shape[0] < 2:
        raise ValueError("a single reading has no others to be compared with")
    return (gained.sum(dim=0) - gained) / (gained.shape[0] - 1)


def reinforce(
    log_probability: Float[Tensor, "*K B T"],
    gained: Float[Tensor, "*K B T"],
    expected: Float[Tensor, "*K B T"],
    said: Bool[Tensor, "B T"],
) -> Float[Tensor, ""]:
    """`-Σ_t (R_t - b_t) log p(s_t)`: the score-function estimator for the choices of hard attention (Xu et al. 2015,
    §4.1; Williams 1992). `gained` are the returns of the log-probabilities of the tokens, and `expected` the baseline:
    what was to be expected before the choice."""
    return -((gained - expected).detach() * log_probability * said).sum()
