"""The weights of a run, into its network."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from regard import build
from regard.errors import UsageError
from regard.run.folder import RunFolder
from regard.training.checkpoint import load_parameters, load_tensors

N = TypeVar("N", bound=nn.Module)


def check_weights(folder: RunFolder) -> None:
    """UsageError where a training has not come to its first validation."""
    if not folder.weights.exists():
        advice = " or finish it with 'regard train --resume'" if folder.resumable else ""
        raise UsageError(f"{folder.path} has no model.safetensors yet: wait for its first validation{advice}")


def with_weights(network: N, folder: RunFolder, device: str) -> N:
    """The network of a run folder, on its device, as it predicts."""
    check_weights(folder)
    load_parameters(network, load_tensors(folder.weights), folder.weights)
    return network.to(build.device(device)).eval()
