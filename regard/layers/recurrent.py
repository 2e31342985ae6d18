"""Recurrent layers behind one interface: RNN, GRU and LSTM, batch first, with lengths."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from regard.dropout import Dropout

Cell = Literal["rnn", "gru", "lstm"]
Hidden = tuple[Tensor, ...]
"""(h,) or, for an LSTM, (h, c): each [N, layers, H], or [N, layers, 2·H] from both directions."""

_CELLS: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Recurrent(nn.Module):
    """A stack of one-layer networks with dropout between them (Zaremba et al. 2014).

    `[N, T, input_dim]` to `[N, T, output_dim]`, where output_dim is `hidden`, or twice that in both directions.
    """

    def __init__(
        self,
        cell: Cell,
        input_dim: int,
        hidden: int,
        layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell: Cell = cell
        self.hidden = hidden
        self.output_dim = hidden * (2 if bidirectional else 1)
        make = _CELLS[cell]
        self.layers = nn.ModuleList(
            make(input_dim if i == 0 else self.output_dim, hidden, batch_first=True, bidirectional=bidirectional)
            for i in range(layers)
        )
        self.between = Dropout(dropout)
        for name, parameter in self.named_parameters():
            if "weight_hh" in name:  # one orthogonal matrix per gate keeps long products from vanishing
                for gate in parameter.data.chunk(parameter.shape[0] // hidden):
                    nn.init.orthogonal_(gate)
            elif "weight_ih" in name:
                for gate in parameter.data.chunk(parameter.shape[0] // hidden):
                    nn.init.xavier_uniform_(gate)
            else:
                nn.init.zeros_(parameter)

    def forward(
        self,
        x: Float[Tensor, "N T D"],
        state: Hidden | None = None,
        lengths: Int[Tensor, " N"] | None = None,
    ) -> tuple[Float[Tensor, "N T H"], Hidden]:
        """Outputs at every step and the state after the last one; `lengths` say which step of a row is its last.

        Outputs beyond a length are zeros.
        """
        steps = x.shape[1]
        ends: list[Hidden] = []
        for index, layer in enumerate(self.layers):
            if index:
                x = self.between(x)
            start = None if state is None else self._directions(tuple(part[:, index] for part in state))
            if lengths is None:
                x, end = layer(x, start)
            else:
                packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
                packed, end = layer(packed, start)
                x, _ = pad_packed_sequence(packed, batch_first=True, total_length=steps)
            ends.append(tuple(part.transpose(0, 1).flatten(1) for part in (end if self.cell == "lstm" else (end,))))
        return x, tuple(torch.stack(parts, dim=1) for parts in zip(*ends, strict=True))

    def _directions(self, parts: Hidden) -> Tensor | tuple[Tensor, ...]:
        """[N, H·directions] as the library wants it: [directions, N, H], a bare tensor unless it is an LSTM."""
        shaped = tuple(
            part.unflatten(-1, (part.shape[-1] // self.hidden, self.hidden)).transpose(0, 1).contiguous()
            for part in parts
        )
        return shaped if self.cell == "lstm" else shaped[0]

    def extra_repr(self) -> str:
        return f"cell={self.cell}"


class Bridge(nn.Module):
    """From the states in which an encoder ends to those in which a decoder starts: `tanh(W h + b)`, layer by layer.

    A decoder deeper than its encoder starts its upper layers from the encoder's top (Bahdanau et al. 2014, A.2.2).
    An LSTM's cell is mapped linearly, as it has no bound.
    """

    def __init__(self, encoder_dim: int, decoder_dim: int, layers: int, parts: int) -> None:
        super().__init__()
        self.layers = layers
        self.maps = nn.ModuleList(nn.Linear(encoder_dim, decoder_dim) for _ in range(parts))

    def forward(self, final: Hidden) -> Hidden:
        available = final[0].shape[1]
        chosen = [min(layer, available - 1) for layer in range(self.layers)]
        mapped = [make(part[:, chosen]) for make, part in zip(self.maps, final, strict=True)]
        return (torch.tanh(mapped[0]), *mapped[1:])
