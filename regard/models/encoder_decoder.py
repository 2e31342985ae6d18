"""An encoder and a decoder as one model, whatever they are made of."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from regard.attention import Attend, attends, capture
from regard.batch import within
from regard.models.copying import CopyingDecoder
from regard.models.exact_hard import ExactHardDecoder
from regard.models.hidden_markov import HiddenMarkovDecoder
from regard.models.lexical import LexicalDecoder

MARGINAL = (HiddenMarkovDecoder, ExactHardDecoder)  # they sum over every alignment


class Targets(Protocol):
    """What every batch has for a decoder to say, whatever is looked at: a `regard.batch.Batch`, or captions."""

    @property
    def target(self) -> Int[Tensor, "B T"]: ...

    @property
    def target_lengths(self) -> Int[Tensor, " B"]: ...

    @property
    def rows(self) -> Int[Tensor, " B"]: ...


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

    def remember(self, batch: Any) -> Any:
        """The memory of what a batch has to look at. What looks at something else has its own, and its own `read`."""
        return self.encode(batch.source, batch.source_lengths)

    def read(self, batch: Any) -> Bool[Tensor, "B S"]:
        """Which positions of the memory are real, for losses of the weights."""
        return within(batch.source_lengths, batch.source.shape[1])

    def features(self, batch: Targets) -> tuple[Float[Tensor, "P F"], Int[Tensor, " P"]]:
        """What the output layer reads, and the token it has to say, at each of the P real target positions."""
        features = self._teach(batch)
        said, real = self._said(batch)
        return features[real], said[real]

    def forward(self, batch: Targets) -> Float[Tensor, "B T V"]:
        """Logits for each next token of the targets, T one less than the batch's."""
        memory = self.remember(batch)
        logits, _ = self.decoder(batch.target[:, :-1], self.decoder.start(memory), memory)  # type: ignore[operator]
        return logits

    def log_probabilities(self, batch: Targets) -> tuple[Float[Tensor, "P V"], Int[Tensor, " P"]]:
        """Of every token, and the one that has to be said, at each of the P real target positions."""
        logits = self(batch)
        said, real = self._said(batch)
        logits = logits[real] if logits.dtype == torch.float64 else logits[real].float()
        return torch.log_softmax(logits, dim=-1), said[real]

    def likelihood(self, batch: Targets) -> Float[Tensor, " P"]:
        """The log-probability of the token that has to be said, at each of the P real target positions."""
        said, real = self._said(batch)
        if isinstance(self.decoder, LexicalDecoder):
            memory = self.remember(batch)
            joint = self.decoder.joint(batch.target[:, :-1], said, self.decoder.start(memory), memory)
            return joint.logsumexp(dim=-1)[real]
        if isinstance(self.decoder, MARGINAL):
            decoder: Any = self.decoder
            memory = self.remember(batch)
            return decoder.likelihood(batch.target[:, :-1], said, decoder.start(memory), memory)[real]
        log_p, labels = self.log_probabilities(batch)
        return log_p.gather(1, labels[:, None])[:, 0]

    def aligned(self, batch: Targets) -> Float[Tensor, "B L H T S"]:
        """`look`, and above it, for a model that translates by a lexicon, which source token said each token: rows of
        zeros where it was none but the end, or more likely no word at all."""
        seen = self.look(batch)
        if isinstance(self.decoder, HiddenMarkovDecoder):
            return seen * (seen.amax(dim=-1) > 1 - seen.sum(dim=-1))[..., None]
        if not isinstance(self.decoder, LexicalDecoder):
            return seen
        with torch.inference_mode():
            found = self._posterior(batch, self.decoder)
            ends = (self.read(batch).sum(dim=1) - 1)[:, None].expand(-1, found.shape[1])
            found = found * (found.argmax(dim=-1) != ends)[..., None]
        top = found[:, None, None].expand(-1, 1, seen.shape[2], -1, -1)
        return torch.cat((seen, top), dim=1)

    def look(self, batch: Targets) -> Float[Tensor, "B L H T S"]:
        """The weights of the L `sights` while the targets are said, in one pass, without gradient. A model that sums over
        alignments has one layer, of which source token said each token in the light of the whole target."""
        if isinstance(self.decoder, MARGINAL):
            with torch.inference_mode():
                return self._posterior(batch, self.decoder)[:, None, None]
        names = self.sights()
        with torch.inference_mode(), capture(self, names) as seen:
            self._teach(batch)
            layers = [seen.steps(name).float() for name in names]
        # A recurrent decoder has one head, and says nothing of it.
        return torch.stack([w if w.ndim == 4 else w[:, None] for w in layers], dim=1)

    @torch.inference_mode()
    def posterior(self, batch: Targets) -> Float[Tensor, "B T S"]:
        """The probability that each source token said each token, in the light of the whole target, of a model that
        `says_which`. A row lacks what no source token said."""
        return self._posterior(batch, self.decoder)

    def _posterior(self, batch: Targets, decoder: Any) -> Float[Tensor, "B T S"]:
        memory = self.remember(batch)
        said, _ = self._said(batch)
        return decoder.posterior(batch.target[:, :-1], said, decoder.start(memory), memory).float()

    def _teach(self, batch: Targets) -> Float[Tensor, "B T F"]:
        memory = self.remember(batch)
        state = self.decoder.start(memory)  # type: ignore[operator]
        features, _ = self.decoder.features(batch.target[:, :-1], state, memory)  # type: ignore[operator]
        return features

    @staticmethod
    def _said(batch: Targets) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
        said = batch.target[:, 1:]
        return said, within(batch.target_lengths - 1, said.shape[1])

    @property
    def copies(self) -> bool:
        """Whether what it says is a mixture of what source tokens say, so that its logits are no linear layer's."""
        return isinstance(self.decoder, (CopyingDecoder, LexicalDecoder, *MARGINAL))

    @property
    def lexical(self) -> bool:
        """Whether each token is said by one source token alone, by a lexicon: to align, and hardly to translate."""
        return isinstance(self.decoder, LexicalDecoder | HiddenMarkovDecoder)

    @property
    def sums_alignments(self) -> bool:
        """Whether it sums over every alignment, so that its `posterior` knows where the neighbours were said."""
        return isinstance(self.decoder, MARGINAL)

    @property
    def says_which(self) -> bool:
        """Whether each token is said by one source token, so that the topmost layer of `aligned` says which."""
        return isinstance(self.decoder, (LexicalDecoder, *MARGINAL))

    @property
    def looks(self) -> bool:
        """Whether there is anything to see of what it attends to; not so with a fixed context."""
        return bool(self.looking) or self.says_which

    @property
    def output(self) -> nn.Linear:
        return self.decoder.output  # type: ignore[return-value]

    @property
    def looking(self) -> list[Attend]:
        """The `Attend`s that look at the source, from the lowest layer up; none with a fixed context."""
        return self.decoder.sights  # type: ignore[return-value]

    def sights(self) -> list[str]:
        """Their names, for `capture`."""
        names = {id(module): name for name, module in attends(self).items()}
        return [names[id(attend)] for attend in self.looking]
