"""An encoder and a decoder as one model, whatever they are made of."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.attention import Attend, attends
from regard.batch import Batch, within


class EncoderDecoder(nn.Module):
    """`memory = model.encode(source, lengths)`, then `model.decoder` speaks (see `regard.state.Decoder`).

    The decoder has `prepare(memory)`, which does once per source what it needs of the source at every step;
    `features(tokens, state, memory)`, all but the output layer; `output`, a linear layer over the vocabulary; and
    `sights`, the `Attend`s through which it looks at the source, from the lowest layer up.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, source: Int[Tensor, "B S"], lengths: Int[Tensor, " B"]) -> Any:
        return self.decoder.prepare(self.encoder(source, lengths))  # type: ignore[operator]

    def features(self, batch: Batch) -> tuple[Float[Tensor, "P F"], Int[Tensor, " P"]]:
        """What the output layer reads, and the token it has to say, at each of the P real target positions."""
        memory = self.encode(batch.source, batch.source_lengths)
        state = self.decoder.start(memory)  # type: ignore[operator]
        read, said = batch.target[:, :-1], batch.target[:, 1:]
        features, _ = self.decoder.features(read, state, memory)  # type: ignore[operator]
        real = within(batch.target_lengths - 1, said.shape[1])
        return features[real], said[real]

    def forward(self, batch: Batch) -> Float[Tensor, "B T V"]:
        """Logits for each next token of the targets, T one less than the batch's."""
        memory = self.encode(batch.source, batch.source_lengths)
        logits, _ = self.decoder(batch.target[:, :-1], self.decoder.start(memory), memory)  # type: ignore[operator]
        return logits

    @property
    def output(self) -> nn.Linear:
        return self.decoder.output  # type: ignore[return-value]

    def sights(self) -> list[str]:
        """The names of the `Attend`s that look at the source, for `capture`; empty with a fixed context."""
        looking: list[Attend] = self.decoder.sights  # type: ignore[assignment]
        names = {id(module): name for name, module in attends(self).items()}
        return [names[id(attend)] for attend in looking]
