"""Recurrent layers as the operators that ONNX has for them, since a graph cannot walk along a source of any length."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.layers import Hidden, Recurrent

# Gates in the order in which ONNX wants them, of those in PyTorch's: update before reset; output before forget.
GATES = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}
VERSION = 14  # of the operators: the opset that brought the layout used here


class OnnxRecurrent(nn.Module):
    """`Recurrent`, by the operators RNN, GRU and LSTM. It can be written and not be computed with."""

    def __init__(self, recurrent: Recurrent) -> None:
        super().__init__()
        self.cell, self.hidden = recurrent.cell, recurrent.hidden
        self.output_dim = recurrent.output_dim
        self.directions = recurrent.output_dim // recurrent.hidden
        for index, layer in enumerate(recurrent.layers):
            for kind in ("weight_ih", "weight_hh"):
                self.register_buffer(f"{kind}_{index}", self._stacked(layer, kind))
            bias = torch.cat([self._stacked(layer, kind) for kind in ("bias_ih", "bias_hh")], dim=-1)
            self.register_buffer(f"bias_{index}", bias)
        self.count = len(recurrent.layers)

    def _stacked(self, layer: nn.Module, kind: str) -> Tensor:
        """[directions, gates · H, …]"""
        ways = ("", "_reverse")[: self.directions]
        found = [getattr(layer, f"{kind}_l0{way}").detach() for way in ways]
        return torch.stack([self._ordered(each) for each in found])

    def _ordered(self, parameter: Tensor) -> Tensor:
        gates = parameter.split(self.hidden)
        return torch.cat([gates[number] for number in GATES[self.cell]])

    def forward(
        self,
        x: Float[Tensor, "N T D"],
        state: Hidden | None = None,
        lengths: Int[Tensor, " N"] | None = None,
    ) -> tuple[Float[Tensor, "N T H"], Hidden]:
        ends: list[Hidden] = []
        rows, steps = x.shape[0], x.shape[1]
        for index in range(self.count):
            start: list[Tensor | None] = []
            if state is not None:
                start = [part[:, index].unflatten(-1, (self.directions, self.hidden)).transpose(0, 1) for part in state]
            names = ("weight_ih", "weight_hh", "bias")
            inputs = [x.transpose(0, 1), *(getattr(self, f"{name}_{index}") for name in names)]
            inputs += [None if lengths is None else lengths.to(torch.int32), *start]
            while inputs[-1] is None:
                inputs.pop()
            end = [self.directions, rows, self.hidden]
            shapes = [[steps, self.directions, rows, self.hidden], *[end] * (2 if self.cell == "lstm" else 1)]
            found = torch.onnx.ops.symbolic_multi_out(
                self.cell.upper(),
                inputs,
                attrs=self._attributes(),
                dtypes=[torch.float32] * len(shapes),
                shapes=shapes,
                version=VERSION,
            )
            outputs, *last = found
            x = outputs.permute(2, 0, 1, 3).flatten(2)
            ends.append(tuple(part.transpose(0, 1).flatten(1) for part in last))
        return x, tuple(torch.stack(parts, dim=1) for parts in zip(*ends, strict=True))

    def _attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = {"hidden_size": self.hidden}
        if self.directions == 2:
            attributes["direction"] = "bidirectional"
        if self.cell == "gru":
            attributes["linear_before_reset"] = 1  # the reset gate is applied to W h + b, as PyTorch does
        return attributes
