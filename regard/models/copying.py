"""Copying from the source: the pointer-generator (See et al. 2017)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.attention import Attend, record
from regard.wide import wide


class CopyingDecoder(nn.Module):
    """A decoder that says `P(w) = g P_vocabulary(w) + (1 - g) Σ_{s: x_s = w} α_s`: a word of its own or one it looks at.

    α are the weights of the topmost `Attend` that looks at the source, the mean of its heads, and
    `g = sigmoid(w · features + b)`. Source and target have to share their vocabulary, for a token copied to be one that
    can be said. Its outputs are log-probabilities.
    """

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder = decoder
        self.gate = nn.Linear(decoder.output.in_features, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.ones_(self.gate.bias)  # begin with words of its own, mostly

    @property
    def sights(self) -> list[Attend]:
        return self.decoder.sights

    @property
    def output(self) -> nn.Linear:
        return self.decoder.output

    def prepare(self, memory: Any) -> Any:
        return self.decoder.prepare(memory)

    def start(self, memory: Any) -> Any:
        return self.decoder.start(memory)

    def features(self, tokens: Int[Tensor, "N T"], state: Any, memory: Any) -> tuple[Float[Tensor, "N T F"], Any]:
        return self.decoder.features(tokens, state, memory)

    def forward(self, tokens: Int[Tensor, "N T"], state: Any, memory: Any) -> tuple[Float[Tensor, "N T V"], Any]:
        """The logarithm of P for the token after each of `tokens`."""
        with record([self.sights[-1]]) as [seen]:
            features, state = self.decoder.features(tokens, state, memory)
        rows, steps, _ = features.shape
        weights = seen.weights()
        if weights.shape[:-1].numel() > rows * steps:
            weights = weights.mean(dim=-3)  # of several heads
        weights = weights.reshape(rows, steps, -1)
        # Local and sigmoid attention need not sum to 1, which a distribution has to.
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-9)
        own = torch.log_softmax(wide(self.output(features)), dim=-1)
        gate = wide(self.gate(features))
        said = memory.source.repeat_interleave(rows // memory.source.shape[0], dim=0)[:, None, :].expand_as(weights)
        copied = torch.zeros_like(own).scatter_add(-1, said, weights.to(own.dtype))
        log_g, log_rest = nn.functional.logsigmoid(gate), nn.functional.logsigmoid(-gate)
        return torch.logaddexp(log_g + own, log_rest + copied.clamp_min(1e-20).log()), state
