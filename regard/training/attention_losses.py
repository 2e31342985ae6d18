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


def reinforce(
    log_probability: Float[Tensor, "B T"],
    rewards: Float[Tensor, "B T"],
    said: Bool[Tensor, "B T"],
    baseline: Float[Tensor, ""] | float,
) -> Float[Tensor, ""]:
    """`-Σ_t (R_t - b n_t) log p(s_t)`: the score-function estimator for the choices of hard attention (Xu et al. 2015,
    §4.1; Williams 1992).

    `rewards` are the log-probabilities of the tokens. What is said before a choice does not depend on it, so
    `R_t = Σ_{t'≥t} log p(y_t')`, over n_t tokens, leaves the mean of the paper's estimator and lowers its variance.
    `baseline` is the moving average of the reward of one token.
    """
    real = said.to(rewards.dtype)
    ahead = (rewards * real).flip(1).cumsum(dim=1).flip(1)
    left = real.flip(1).cumsum(dim=1).flip(1)
    advantage = (ahead - baseline * left).detach()
    return -(advantage * log_probability * real).sum()
