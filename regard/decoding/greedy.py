"""One token at a time, chosen by a rule that looks at one row alone: the likeliest, or one drawn by chance."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.batch import BOS, EOS
from regard.decoding.constraints import Constraints, Prefix, Rules
from regard.decoding.hypothesis import Hypothesis
from regard.decoding.observing import Observer, Step, Steps, drain
from regard.state import Decoder

Choose = Callable[[Float[Tensor, "N V"], Int[Tensor, " N"]], Int[Tensor, " N"]]


def greedy(
    decoder: Decoder,
    memory: Any,
    constraints: Constraints | None = None,
    *,
    prefix: Prefix = None,
    observe: Observer | None = None,
) -> list[list[Hypothesis]]:
    """The likeliest token at each step; one hypothesis per source."""
    return drain(greedy_steps(decoder, memory, constraints, prefix=prefix), observe)


@torch.inference_mode()
def greedy_steps(
    decoder: Decoder, memory: Any, constraints: Constraints | None = None, *, prefix: Prefix = None
) -> Steps:
    """`greedy`, step by step."""
    likeliest = walk(decoder, memory, constraints or Constraints(), prefix, lambda v, _: v.argmax(dim=-1))
    return [[h] for h in (yield from likeliest)]


def walk(
    decoder: Decoder, memory: Any, constraints: Constraints, prefix: Prefix, choose: Choose
) -> Generator[Step, None, list[Hypothesis]]:
    """Says tokens until each source has ended; an ended one leaves the batch.

    `choose` gets logits with -inf for what may not be said, and the number of the source of each row.
    """
    device = memory.lengths.device
    sources = len(memory)
    rules = Rules(constraints, sources, prefix, device)
    owners = torch.arange(sources, device=device)
    state = decoder.start(memory)
    tokens = torch.full((sources, 1), BOS, device=device)
    said = torch.empty((sources, 0), dtype=torch.long, device=device)
    gained = torch.empty((sources, 0), device=device)
    found: list[Hypothesis | None] = [None] * sources
    only = torch.zeros_like(tokens)  # the parent and the place of the one candidate of each source
    while len(owners):
        logits, state = decoder(tokens, state, memory)
        values, total = rules.apply(logits[:, -1], said, owners)
        chosen = choose(values, owners)[:, None]
        gained = torch.cat((gained, values.gather(1, chosen) - total), dim=1)
        ended = chosen[:, 0] == EOS
        alone = only[: len(owners)]
        step = Step(said.shape[1], owners, 1, alone, chosen, gained[:, -1:], ended[:, None], alone, ended)
        if bool(ended.any()):
            rows = ended.nonzero()[:, 0]
            for owner, ids, each in zip(owners[rows].tolist(), said[rows].tolist(), gained[rows].tolist(), strict=True):
                found[owner] = Hypothesis(ids, sum(each), each, True)
            stay = (~ended).nonzero()[:, 0]
            owners, chosen, said, gained = owners[stay], chosen[stay], said[stay], gained[stay]
            state, memory = state.select(stay), memory.select(stay)
        said = torch.cat((said, chosen), dim=1)
        tokens = chosen
        yield step
    return [h for h in found if h is not None]
