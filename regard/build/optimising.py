"""How a recipe is learned, and which weights of a network are maps from features to features."""

from __future__ import annotations

from torch import nn

from regard.attention import MultiHead
from regard.config import TrainingPart
from regard.layers import Output
from regard.training.loop import Optimisation
from regard.training.muon import Stacked
from regard.training.precision import Precision
from regard.training.schedule import Schedule


def optimisation(part: TrainingPart, network: nn.Module, precision: Precision) -> Optimisation:
    return Optimisation(
        learning_rate=part.learning_rate,
        schedule=Schedule(part.schedule, part.warmup),
        betas=(0.9, part.adam_beta2),
        weight_decay=part.weight_decay,
        clip=part.clip,
        accumulate=part.accumulate,
        precision=precision,
        matrices=maps(network) if part.optimizer == "muon" else (),
    )


def maps(network: nn.Module) -> tuple[Stacked, ...]:
    """The matrices that Muon moves: linear layers and the gates of recurrent ones, without embeddings, output layers
    and maps to a single number."""
    found: dict[int, Stacked] = {}
    tables = {id(module.weight) for module in network.modules() if isinstance(module, Output)}
    for module in network.modules():
        match module:
            case MultiHead():
                found[id(module.projection.weight)] = Stacked(module.projection.weight, module.sizes)
            case nn.RNNBase():
                for name, weight in module.named_parameters():
                    if "weight" in name:
                        found[id(weight)] = Stacked(weight, [module.hidden_size] * (len(weight) // module.hidden_size))
            case nn.Linear() if min(module.weight.shape) > 1:
                found.setdefault(id(module.weight), Stacked(module.weight, [len(module.weight)]))
            case _:
                pass
    return tuple(each for key, each in found.items() if key not in tables and each.weight.requires_grad)
