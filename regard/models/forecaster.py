"""Forecasters: an encoder reads the past, and a decoder asks it about each step of the future, through attention.

All steps are said directly, from what is known of the past and of the calendar, never from steps said before (Wen et
al. 2017; Lim et al. 2021). So a forecast is trained as it is used, and no mistake is fed back.

Letters: B batch, S history, T horizon, C columns, K features of a time, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from regard.attention import Attend, attends, capture
from regard.dropout import Dropout
from regard.layers import Bridge, DecoderLayer, EncoderLayer, Hidden, Recurrent, Sinusoidal

FLOOR = 1e-2  # the least spread of a window, in deviations of the series: a flat past does not make a sure future


class Past(Protocol):
    """What a forecaster reads: a `regard.data.windows.WindowBatch`."""

    @property
    def past(self) -> Float[Tensor, "B S C"]: ...

    @property
    def past_when(self) -> Float[Tensor, "B S K"]: ...

    @property
    def when(self) -> Float[Tensor, "B T K"]: ...


class RecurrentForecastDecoder(nn.Module):
    """Bahdanau's decoder (2014) over steps of time: `c_t = attend(s_{t-1})`, `s_t = RNN(s_{t-1}, [x_t; c_t])`, where x_t is
    what is known of step t beforehand. What it looks at has the past's numbers beside the encoder's states, so that
    `c_t` holds their mean by the weights as it is."""

    def __init__(
        self, layers: Recurrent, bridge: Bridge, attend: Attend, *, known: int, seen: int, dropout: float
    ) -> None:
        super().__init__()
        self.layers = layers
        self.bridge = bridge
        self.attend = attend
        self.dropout = Dropout(dropout)
        self.readout = nn.Linear(layers.output_dim + known + seen, layers.output_dim)

    @property
    def sights(self) -> list[Attend]:
        return [self.attend]

    def forward(
        self, known: Float[Tensor, "B T X"], values: Float[Tensor, "B S V"], final: Hidden
    ) -> Float[Tensor, "B T D"]:
        hidden = self.bridge(final)
        keys = self.attend.project(values)
        states, contexts = [], []
        for step in known.split(1, dim=1):
            c = self.attend(hidden[0][:, -1:], keys, values, projected=True)
            s, hidden = self.layers(torch.cat((step, c), dim=-1), hidden)
            states.append(s)
            contexts.append(c)
        seen = torch.cat((torch.cat(states, dim=1), known, torch.cat(contexts, dim=1)), dim=-1)
        return self.dropout(torch.tanh(self.readout(seen)))


class RecurrentReader(nn.Module):
    """A bidirectional encoder and Bahdanau's decoder."""

    def __init__(self, encoder: Recurrent, decoder: RecurrentForecastDecoder, *, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.dropout = Dropout(dropout)

    @property
    def sights(self) -> list[Attend]:
        return self.decoder.sights

    def forward(self, past: Float[Tensor, "B S P"], known: Float[Tensor, "B T X"]) -> Float[Tensor, "B T D"]:
        values, final = self.encoder(past)
        return self.decoder(known, torch.cat((self.dropout(values), past), dim=-1), final)


class TransformerReader(nn.Module):
    """A Transformer whose decoder is asked about all steps at once, each of which sees the others (pre-norm)."""

    def __init__(
        self,
        rise: nn.Linear,
        ask: nn.Linear,
        encoder: Sequence[EncoderLayer],
        decoder: Sequence[DecoderLayer],
        *,
        dropout: float,
    ) -> None:
        super().__init__()
        size = rise.out_features
        self.rise, self.ask = rise, ask
        self.positions = Sinusoidal(size)
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.norm_memory, self.norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.dropout = Dropout(dropout)

    @property
    def sights(self) -> list[Attend]:
        return [layer.cross.attend for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def forward(self, past: Float[Tensor, "B S P"], known: Float[Tensor, "B T X"]) -> Float[Tensor, "B T D"]:
        memory = self.dropout(self.positions(self.rise(past)))
        for layer in self.encoder:
            memory = layer(memory)
        memory = self.norm_memory(memory)
        x = self.dropout(self.positions(self.ask(known), past.shape[1]))
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            x, _ = layer(x, layer.cross.project(memory), None, None, 0)
        return self.norm(x)


class Forecaster(nn.Module):
    """`reader(past, known) → [B, T, D]`, and of it a lower, a middle and an upper number for each step and column.

    Each window is read with its own mean and spread taken out, which are put back into the forecast (reversible instance
    normalisation, Kim et al. 2022): a level that was never seen in training is no surprise. `known` of a step of the future
    is when it is and the last number of the past.
    """

    def __init__(self, reader: RecurrentReader | TransformerReader, features: int, columns: int) -> None:
        super().__init__()
        self.reader = reader
        self.columns = columns
        self.output = nn.Linear(features, 3 * columns)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, batch: Past) -> Float[Tensor, "B T C 3"]:
        """The lower, middle and upper forecast, in this order and never crossing."""
        past = batch.past
        centre = past.mean(dim=1, keepdim=True)
        spread = past.std(dim=1, keepdim=True, correction=0).clamp_min(FLOOR)
        seen = (past - centre) / spread
        last = seen[:, -1:].expand(-1, batch.when.shape[1], -1)
        features = self.reader(torch.cat((seen, batch.past_when), -1), torch.cat((batch.when, last), -1))
        below, middle, above = self.output(features).unflatten(-1, (self.columns, 3)).unbind(-1)
        said = torch.stack((middle - softplus(below), middle, middle + softplus(above)), dim=-1)
        return said * spread.unsqueeze(-1) + centre.unsqueeze(-1)

    def look(self, batch: Past) -> Float[Tensor, "B L H T S"]:
        """What each step of the future gave to each line of the past, in the L layers that look at it."""
        names = {id(module): name for name, module in attends(self).items()}
        chosen = [names[id(attend)] for attend in self.reader.sights]
        with torch.inference_mode(), capture(self, chosen) as seen:
            self(batch)
            layers = [seen.steps(name).float() for name in chosen]
        return torch.stack([w if w.ndim == 4 else w[:, None] for w in layers], dim=1)
