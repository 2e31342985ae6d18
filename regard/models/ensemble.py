"""Several models that speak as one (Hansen & Salamon 1990): the mean of what each holds probable next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.attention import Attend
from regard.models.encoder_decoder import EncoderDecoder, Targets
from regard.state import Rows, State
from regard.wide import wide


@dataclass(frozen=True)
class EnsembleMemory(Rows):
    """What each encoder made of the same sources."""

    each: tuple[Any, ...]

    @property
    def lengths(self) -> Int[Tensor, " B"]:
        return self.each[0].lengths

    def __len__(self) -> int:
        return len(self.each[0])


@dataclass(frozen=True)
class EnsembleState(State):
    each: tuple[Any, ...]


class EnsembleEncoder(nn.ModuleList):
    """One encoder a model."""


class EnsembleDecoder(nn.ModuleList):
    """`P(y_t | y_{<t}, x) = (1/n) Σ_i P_i(y_t | y_{<t}, x)` of n decoders. Outputs are log-probabilities."""

    @property
    def sights(self) -> list[Attend]:
        return [attend for decoder in self for attend in decoder.sights]  # type: ignore[union-attr]

    def start(self, memory: EnsembleMemory) -> EnsembleState:
        return EnsembleState(tuple(decoder.start(m) for decoder, m in zip(self, memory.each, strict=True)))  # type: ignore[operator]

    def forward(
        self, tokens: Int[Tensor, "N T"], state: EnsembleState, memory: EnsembleMemory
    ) -> tuple[Float[Tensor, "N T V"], EnsembleState]:
        """The logarithm of P for the token after each of `tokens`."""
        found = [decoder(tokens, s, m) for decoder, s, m in zip(self, state.each, memory.each, strict=True)]
        each = torch.stack([torch.log_softmax(wide(logits), dim=-1) for logits, _ in found])
        return torch.logsumexp(each, dim=0) - log(len(found)), EnsembleState(tuple(after for _, after in found))


class Ensemble(EncoderDecoder):
    """Models over the same tokens, asked together. They may be of any kinds: each reads the source in its own way, and
    all are told the token that was chosen. `look` has the layers of the first, then of the second, and so on."""

    def __init__(self, networks: Sequence[EncoderDecoder]) -> None:
        if not networks:
            raise ValueError("an ensemble is made of one model at least")
        super().__init__(EnsembleEncoder(n.encoder for n in networks), EnsembleDecoder(n.decoder for n in networks))
        self.networks = tuple(networks)  # in a tuple, so that their parameters are counted once

    def encode(self, source: Int[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> EnsembleMemory:
        return EnsembleMemory(tuple(network.encode(source, lengths) for network in self.networks))

    def look(self, batch: Targets) -> Float[Tensor, "B L H T S"]:
        return joined([network.look(batch) for network in self.networks if network.looks], dim=1)

    def aligned(self, batch: Targets) -> Float[Tensor, "B L H T S"]:
        return joined([network.aligned(batch) for network in self.networks if network.looks], dim=1)

    @property
    def copies(self) -> bool:
        return True  # its logits are no linear layer's, whatever it is made of

    @property
    def lexical(self) -> bool:
        return all(network.lexical for network in self.networks)

    @property
    def says_which(self) -> bool:
        return all(network.says_which for network in self.networks)

    @property
    def looks(self) -> bool:
        return any(network.looks for network in self.networks)


def joined(layers: Sequence[Float[Tensor, "... H T S"]], dim: int) -> Float[Tensor, "... H T S"]:
    """Weights of several models one after the other: all heads where each has as many, or else the mean of each's."""
    if len({weights.shape[-3] for weights in layers}) > 1:
        layers = [weights.mean(dim=-3, keepdim=True) for weights in layers]
    return torch.cat(list(layers), dim=dim)
