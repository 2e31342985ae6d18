"""Beam search over many sources at once."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.batch import BOS, EOS
from regard.decoding.bounds import check_length_penalty
from regard.decoding.constraints import Constraints, Prefix, Rules
from regard.decoding.hypothesis import Hypothesis
from regard.decoding.observing import Observer, Step, Steps, drain
from regard.errors import UsageError
from regard.state import Decoder


@dataclass
class _Ended:
    """What has ended of one source: the best `room`, as a heap by rank."""

    room: int
    heap: list[tuple[float, int, Hypothesis]] = field(default_factory=list)
    count: int = 0

    def add(self, rank: float, hypothesis: Hypothesis) -> None:
        self.count += 1
        entry = (rank, -self.count, hypothesis)  # of equals, the one that ended first
        if len(self.heap) < self.room:
            heapq.heappush(self.heap, entry)
        else:
            heapq.heappushpop(self.heap, entry)

    def best(self, number: int) -> list[Hypothesis]:
        return [h for _, _, h in sorted(self.heap, reverse=True)[:number]]


def beam_search(
    decoder: Decoder,
    memory: Any,
    constraints: Constraints | None = None,
    *,
    beam: int = 5,
    nbest: int = 1,
    length_penalty: float = 1.0,
    exact: bool = False,
    prefix: Prefix = None,
    observe: Observer | None = None,
) -> list[list[Hypothesis]]:
    """The `nbest` best hypotheses found for each source while `beam` are kept alive, best first.

    Hypotheses are ranked by `score / n^length_penalty`, where n counts the tokens and EOS: 0 ranks by probability,
    1 by probability per token (Wu et al. 2016 divide by `((5 + n) / 6)^α` instead). A source is done when `beam`
    hypotheses have ended and no living one would, if it ended at the next step at no cost, overtake the worst of the
    `nbest`; with `exact`, if it ended at any step. fairseq and OpenNMT stop at `beam` that have ended, and lose the best
    one where worse ones that are shorter end before it.
    """
    steps = beam_steps(
        decoder,
        memory,
        constraints,
        beam=beam,
        nbest=nbest,
        length_penalty=length_penalty,
        exact=exact,
        prefix=prefix,
    )
    return drain(steps, observe)


@torch.inference_mode()
def beam_steps(
    decoder: Decoder,
    memory: Any,
    constraints: Constraints | None = None,
    *,
    beam: int = 5,
    nbest: int = 1,
    length_penalty: float = 1.0,
    exact: bool = False,
    prefix: Prefix = None,
) -> Steps:
    """`beam_search`, step by step. At each, the 2·`beam` best continuations of a source are its candidates."""
    if beam < 1 or nbest < 1:
        raise UsageError(f"beam is {beam} and nbest {nbest}: write numbers of at least 1")
    if nbest > beam:
        raise UsageError(f"nbest is {nbest}, but a beam of {beam} keeps no more than {beam}: raise beam or lower nbest")
    check_length_penalty(length_penalty)
    device = memory.lengths.device
    sources = len(memory)
    rules = Rules(constraints or Constraints(), sources, prefix, device)
    ended = [_Ended(beam) for _ in range(sources)]
    alive = torch.arange(sources, device=device)  # the sources still searched
    state = decoder.start(memory)
    tokens = torch.full((sources, 1), BOS, device=device)
    said = torch.empty((sources, 0), dtype=torch.long, device=device)
    gained = torch.empty((sources, 0), device=device)
    scores = torch.zeros((sources, 1), device=device)  # [alive, width]; the width is 1 before the first token
    while len(alive):
        width = scores.shape[1]
        logits, state = decoder(tokens, state, memory)
        values, total = rules.apply(logits[:, -1], said, alive.repeat_interleave(width))
        best, parents, chosen, gains = _candidates(values, total, scores, 2 * beam)
        step = said.shape[1] + 1
        rows = parents + torch.arange(len(alive), device=device)[:, None] * width  # into said, gained and state
        # An end counts if it is among the `beam` best; of the rest, the living ones are what is kept in its place.
        ending = (chosen == EOS) & best.isfinite() & (torch.arange(best.shape[1], device=device) < beam)
        if bool(ending.any()):
            _collect(ended, ending, best, gains, rows, said, gained, alive, step**length_penalty)
        best = best.masked_fill(chosen == EOS, -torch.inf)
        kept = best.topk(min(beam, best.shape[1]), dim=1)
        scores = kept.values
        ahead = rules.longest + 1 if exact else torch.full_like(rules.longest, step + 1)
        done = _done(ended, alive, scores, ahead, beam, nbest, length_penalty)
        shown = Step(said.shape[1], alive, width, parents, chosen, gains, ending, kept.indices, done)
        stay = (~done).nonzero()[:, 0]
        if len(stay) < len(alive):
            alive, scores, memory = alive[stay], scores[stay], memory.select(stay)
        pick = kept.indices[stay]
        rows = rows[stay].gather(1, pick).flatten()
        tokens = chosen[stay].gather(1, pick).view(-1, 1)
        said = torch.cat((said[rows], tokens), dim=1)
        gained = torch.cat((gained[rows], gains[stay].gather(1, pick).view(-1, 1)), dim=1)
        state = state.select(rows)
        yield shown
    return [source.best(nbest) for source in ended]


def _candidates(
    values: Float[Tensor, "N V"], total: Float[Tensor, "N 1"], scores: Float[Tensor, "A K"], count: int
) -> tuple[Float[Tensor, "A C"], Int[Tensor, "A C"], Int[Tensor, "A C"], Float[Tensor, "A C"]]:
    """The best continuations of each source: their scores, parents, tokens and gains.

    None that is among the best of its source is outside the best of its parent, so each parent's are found first.
    """
    sources, width = scores.shape
    near = values.topk(min(count, values.shape[1]), dim=-1)
    gains = (near.values - total).view(sources, -1)
    each = gains.shape[1] // width
    sums = gains + scores.repeat_interleave(each, dim=1)
    best = sums.topk(min(count, sums.shape[1]), dim=1)
    chosen = near.indices.view(sources, -1).gather(1, best.indices)
    return best.values, best.indices // each, chosen, gains.gather(1, best.indices)


def _collect(
    ended: list[_Ended],
    ending: Tensor,
    best: Tensor,
    gains: Tensor,
    rows: Tensor,
    said: Tensor,
    gained: Tensor,
    alive: Tensor,
    normaliser: float,
) -> None:
    """Takes down what has just ended."""
    where = ending.nonzero()[:, 0]
    from_rows = rows[ending]
    for source, score, gain, ids, before in zip(
        alive[where].tolist(),
        best[ending].tolist(),
        gains[ending].tolist(),
        said[from_rows].tolist(),
        gained[from_rows].tolist(),
        strict=True,
    ):
        each = [*before, gain]
        ended[source].add(score / normaliser, Hypothesis(ids, sum(each), each, True))


def _done(
    ended: list[_Ended],
    alive: Tensor,
    scores: Tensor,
    ahead: Tensor,
    beam: int,
    nbest: int,
    length_penalty: float,
) -> Tensor:
    """Which of the living sources need no more search, as `ahead` says for each source how long a living hypothesis may
    be when it ends. A sum of log-probabilities only falls, and its normaliser is largest at the largest length."""
    top = scores[:, 0].tolist()
    done = []
    for source, score in zip(alive.tolist(), top, strict=True):
        hopeless = score == float("-inf")
        enough = ended[source].count >= beam
        if enough and not hopeless:
            reach = score / int(ahead[source]) ** length_penalty
            enough = sorted(ended[source].heap, reverse=True)[nbest - 1][0] >= reach
        done.append(hopeless or enough)
    return torch.tensor(done, device=alive.device)
