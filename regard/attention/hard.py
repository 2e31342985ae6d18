"""Hard attention: one source position at a time (Xu et al. 2015, §4.1).

Choosing has no gradient, so a training needs an estimator of it: the score function (REINFORCE), which the loss
finishes with what `record` has written down, or straight-through Gumbel-softmax, which needs nothing else. At
prediction both choose the likeliest position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Choice:
    """What was chosen, for the loss: both [..., T]. Where the expectation stood in for a choice, `made` is False."""

    log_probability: Float[Tensor, "... T"]
    entropy: Float[Tensor, "... T"]
    made: Bool[Tensor, "... T"]


class Hard(nn.Module):
    """A normalizer that gives one position all the weight.

    `estimator="reinforce"` draws the position from `softmax(scores)` while training, and with probability
    `expectation` takes the softmax itself instead (Xu et al. 2015, end of §4.1), through which gradients flow.
    `estimator="gumbel"` draws it by Gumbel noise and passes the gradient of `softmax((scores + noise) / temperature)`
    (Jang et al. 2017).
    """

    ignores_shift = True
    sums_to_one = True

    def __init__(
        self,
        estimator: Literal["reinforce", "gumbel"] = "reinforce",
        *,
        expectation: float = 0.5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if estimator not in ("reinforce", "gumbel"):
            raise ValueError(f"hard attention is trained by 'reinforce' or 'gumbel', not {estimator!r}")
        if not 0 <= expectation <= 1:
            raise ValueError(f"expectation is the share of softmax steps, from 0 to 1, not {expectation}")
        if temperature <= 0:
            raise ValueError(f"the temperature of Gumbel-softmax is above 0, not {temperature}")
        self.estimator = estimator
        self.expectation = expectation
        self.temperature = temperature
        self.recorder: Callable[[Choice], None] | None = None
        if estimator == "reinforce":
            # The moving average of a token's log-probability, b of the paper. It belongs to the training's state.
            self.register_buffer("baseline", torch.zeros(()))

    @torch.no_grad()
    def follow(self, reward: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The baseline before this batch, which then moves: `b ← 0.9 b + 0.1 reward`."""
        baseline: Tensor = self.baseline  # type: ignore[assignment]
        before = baseline.clone()
        baseline.mul_(0.9).add_(reward.to(baseline.dtype), alpha=0.1)
        return before

    def forward(self, scores: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
        if not self.training:
            return one_hot(scores.argmax(dim=-1), scores)
        if self.estimator == "gumbel":
            return self._straight_through(scores)
        log_weights = torch.log_softmax(scores.float() if scores.dtype == torch.bfloat16 else scores, dim=-1)
        weights = log_weights.exp()
        chosen = torch.multinomial(weights.detach().reshape(-1, scores.shape[-1]), 1).view(scores.shape[:-1])
        hard = one_hot(chosen, weights)
        made = torch.rand(scores.shape[:-1], device=scores.device) >= self.expectation
        if self.recorder is not None:
            plogp = weights * log_weights.masked_fill(weights == 0, 0.0)
            log_probability = log_weights.gather(-1, chosen[..., None])[..., 0]
            self.recorder(Choice(log_probability.masked_fill(~made, 0.0), -plogp.sum(dim=-1), made))
        return torch.where(made[..., None], hard, weights).to(scores.dtype)

    def _straight_through(self, scores: Tensor) -> Tensor:
        wide = scores.float() if scores.dtype == torch.bfloat16 else scores  # noise of few bits would have ties
        uniform = torch.rand_like(wide).clamp_(1e-9, 1 - 1e-7)
        soft = torch.softmax((wide - (-uniform.log()).log()) / self.temperature, dim=-1)
        hard = one_hot(soft.argmax(dim=-1), soft)
        return (hard + (soft - soft.detach())).to(scores.dtype)

    def extra_repr(self) -> str:
        return f"{self.estimator}, expectation={self.expectation}, temperature={self.temperature}"


def one_hot(chosen: Tensor, like: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
    """1 at the chosen position of each row, 0 elsewhere."""
    return torch.zeros_like(like).scatter(-1, chosen[..., None], 1.0)
