"""Drawing outputs by chance (temperature; top-k, Fan et al. 2018; top-p, Holtzman et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.decoding.bounds import check_drawing
from regard.decoding.constraints import Constraints, Prefix
from regard.decoding.greedy import walk
from regard.decoding.hypothesis import Hypothesis
from regard.decoding.observing import Observer, Steps, drain
from regard.errors import UsageError
from regard.state import Decoder


def sample(
    decoder: Decoder,
    memory: Any,
    constraints: Constraints | None = None,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 1,
    count: int = 1,
    numbers: Sequence[int] | None = None,
    prefix: Prefix = None,
    observe: Observer | None = None,
) -> list[list[Hypothesis]]:
    """`count` draws per source, in the order drawn. Scores are the model's log-probabilities at temperature 1.

    `temperature` divides the logits (0 takes the likeliest), `top_k` keeps the k likeliest tokens (0: all), `top_p`
    the fewest likeliest whose probabilities reach p. Each draw of each source has a random generator of its own, made
    from `seed`, its number and the number of the source (`numbers`, else its place), so a draw does not depend on what
    else is in the batch.
    """
    steps = sample_steps(
        decoder,
        memory,
        constraints,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        count=count,
        numbers=numbers,
        prefix=prefix,
    )
    return drain(steps, observe)


@torch.inference_mode()
def sample_steps(
    decoder: Decoder,
    memory: Any,
    constraints: Constraints | None = None,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 1,
    count: int = 1,
    numbers: Sequence[int] | None = None,
    prefix: Prefix = None,
) -> Steps:
    """`sample`, step by step, one draw after the other: the next one begins where the number of the step is 0 again."""
    check_drawing(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    if count < 1:
        raise UsageError(f"count is {count}: write how many outputs to draw, at least 1")
    named = range(len(memory)) if numbers is None else numbers
    draws = []
    for number in range(count):
        generators = [torch.Generator().manual_seed(hash((seed, number, source)) & (2**63 - 1)) for source in named]

        def choose(
            logits: Float[Tensor, "N V"],
            owners: Int[Tensor, " N"],
            generators: list[torch.Generator] = generators,
        ) -> Int[Tensor, " N"]:
            if temperature == 0:
                return logits.argmax(dim=-1)
            allowed = likely(logits / temperature, top_k, top_p)
            # The largest of logits plus Gumbel noise is a draw from their softmax (Gumbel 1954).
            noise = torch.stack([torch.rand(logits.shape[1], generator=generators[owner]) for owner in owners.tolist()])
            return (allowed - (-noise.clamp_min(1e-20).log()).log().to(allowed.device)).argmax(dim=-1)

        draws.append((yield from walk(decoder, memory, constraints or Constraints(), prefix, choose)))
    return [list(each) for each in zip(*draws, strict=True)]


def likely(logits: Float[Tensor, "N V"], top_k: int, top_p: float) -> Float[Tensor, "N V"]:
    """The logits with -inf for all but the likeliest."""
    if top_k and top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1:
        ordered, places = logits.sort(dim=-1, descending=True)
        chances = ordered.softmax(dim=-1)
        # A token stays if those before it have not reached p yet, so the first always does.
        before = chances.cumsum(dim=-1) - chances
        drop = torch.zeros_like(logits, dtype=torch.bool).scatter(1, places, before >= top_p)
        logits = logits.masked_fill(drop, -torch.inf)
    return logits
