"""Attention whose next look depends on the last ones: scores that read a trail, and alignments that only go forward.

`StatefulAttend` is an `Attend` that takes a `Trail` and returns the next one beside the context. Its steps go one by one.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from regard.attention.attend import Attend, check_mask
from regard.attention.normalizers import Normalizer, masked, softmax
from regard.attention.scopes import LocalPredictive, Scope
from regard.attention.scores import RememberingScore, Score
from regard.attention.trail import Trail


@runtime_checkable
class Forward(Protocol):
    """A normalizer that goes on from where the step before stood."""

    def begin(self, like: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
        """Where it stands before the first step."""
        ...

    def follow(
        self, scores: Float[Tensor, "... 1 S"], seen: Bool[Tensor, "... 1 S"] | None, last: Float[Tensor, "... S"]
    ) -> Float[Tensor, "... 1 S"]:
        """Where it stands after a step."""
        ...


class Monotonic(nn.Module):
    """Hard monotonic attention (Raffel et al. 2017): go right from where the last step stopped, and stop at position s
    with probability `p_s = sigmoid(e_s + offset)`.

    In training the expected alignment over all ways to go, `α_ts = p_ts Σ_{k≤s} α_{t-1,k} Π_{l=k}^{s-1} (1 - p_tl)`,
    with noise of standard deviation `noise` on the energies, which makes the p settle at 0 or 1. At prediction the
    first position not before the last one with p > ½. Where none stops, the weights are zeros from then on.
    """

    ignores_shift = False
    sums_to_one = False  # what runs past the end is lost

    def __init__(self, offset: float = -1.0, noise: float = 1.0) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(float(offset)))
        self.noise = noise

    def begin(self, like: Float[Tensor, "... S"]) -> Float[Tensor, "... S"]:
        first = torch.arange(like.shape[-1], device=like.device) == 0
        return first.to(like.dtype).expand(like.shape)

    def follow(
        self, scores: Float[Tensor, "... 1 S"], seen: Bool[Tensor, "... 1 S"] | None, last: Float[Tensor, "... S"]
    ) -> Float[Tensor, "... 1 S"]:
        energy = (scores.float() if scores.dtype == torch.bfloat16 else scores)[..., 0, :] + self.offset
        if self.training and self.noise:
            energy = energy + self.noise * torch.randn_like(energy)
        if not self.training:
            stops = energy > 0
            if seen is not None:
                stops = stops & seen[..., 0, :]
            reached = last.cumsum(dim=-1) > 0.5
            stops = stops & reached
            first = stops & (stops.cumsum(dim=-1) == 1)
            return first.to(energy.dtype)[..., None, :]
        with torch.autocast(energy.device.type, enabled=False):  # sums of many logarithms
            last = last.to(energy.dtype)
            return expected_alignment(energy, None if seen is None else seen[..., 0, :], last)[..., None, :]

    def extra_repr(self) -> str:
        return f"noise={self.noise}"


def expected_alignment(
    energy: Float[Tensor, "... S"], seen: Bool[Tensor, "... S"] | None, last: Float[Tensor, "... S"]
) -> Float[Tensor, "... S"]:
    """`p_s Σ_{k≤s} last_k Π_{l=k}^{s-1} (1 - p_l)` with `p = sigmoid(energy)`, 0 where nothing may be seen.

    The sum is the recurrence `q_s = last_s + (1 - p_{s-1}) q_{s-1}`, which goes through all positions in log₂ S rounds: in
    each, what stretches of twice the length pass on (Hillis & Steele 1986). Only numbers that are not negative are
    added and multiplied, where the paper's cumulative products underflow.
    """
    stop, go = torch.sigmoid(energy), torch.sigmoid(-energy)
    if seen is not None:
        stop, go = stop.masked_fill(~seen, 0.0), go.masked_fill(~seen, 1.0)
    size = energy.shape[-1]
    ways, passed = last, pad(go[..., :-1], (1, 0)) if size else go  # nothing comes from before the first
    reach = 1
    while reach < size:
        ways = ways + passed * pad(ways[..., :-reach], (reach, 0))
        passed = passed * pad(passed[..., :-reach], (reach, 0))
        reach *= 2
    return stop * ways


class StatefulAttend(Attend):
    """An `Attend` with a score that remembers (`LocationSensitive`, `Coverage`) or a normalizer that goes forward
    (`Monotonic`), or both. Called with `trail=`, which `begin` makes, it returns the context and the next trail."""

    stepwise = True

    def __init__(
        self,
        score: Score,
        normalize: Normalizer | Monotonic = softmax,
        scope: Scope | LocalPredictive | None = None,
        dropout: float = 0.0,
    ) -> None:
        if isinstance(normalize, Forward) and isinstance(scope, LocalPredictive):
            raise ValueError("monotonic attention finds its own way: it goes with no LocalPredictive scope")
        super().__init__(score, softmax, scope, None, dropout)
        self.normalize = normalize  # type: ignore[assignment]

    def begin(self, sources: Float[Tensor, "B S D"]) -> Trail:
        """Before the first step of one hypothesis a source."""
        nothing = torch.zeros(sources.shape[:-1], dtype=sources.dtype, device=sources.device)
        return Trail(self.normalize.begin(nothing) if isinstance(self.normalize, Forward) else nothing, nothing)

    def forward(  # type: ignore[override]
        self,
        q: Float[Tensor, "... T Dq"],
        k: Float[Tensor, "... S Dk"],
        v: Float[Tensor, "... S Dv"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        trail: Trail,
        start: int = 0,
        projected: bool = False,
    ) -> tuple[Float[Tensor, "... T Dv"], Trail]:
        """The context of each query, and the trail after the last."""
        weights, trail = self.walk(q, k, mask, trail=trail, start=start, projected=projected)
        if self.recorder is not None:
            self.recorder(weights)
        return self._drop(weights).to(v.dtype) @ v, trail

    def reference(self, *arguments, **options):  # type: ignore[no-untyped-def, override]
        """The plain formula, which is all there is."""
        return self.forward(*arguments, **options)

    def weights(  # type: ignore[override]
        self,
        q: Float[Tensor, "... T Dq"],
        k: Float[Tensor, "... S Dk"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        trail: Trail,
        start: int = 0,
        projected: bool = False,
    ) -> Float[Tensor, "... T S"]:
        """The weights, before dropout."""
        return self.walk(q, k, mask, trail=trail, start=start, projected=projected)[0]

    def walk(
        self,
        q: Float[Tensor, "... T Dq"],
        k: Float[Tensor, "... S Dk"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        trail: Trail,
        start: int = 0,
        projected: bool = False,
    ) -> tuple[Float[Tensor, "... T S"], Trail]:
        """The weights of step after step, and the trail behind the last."""
        check_mask(mask)
        if k.shape[-2] == 0:  # nothing to look at, and nothing to remember
            lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2])
            return q.new_zeros(*lead, q.shape[-2], 0), trail
        keys = k if projected else self.project(k)
        mask = mask[None] if mask is not None and mask.ndim == 1 else mask
        found = []
        for index, query in enumerate(q.split(1, dim=-2)):
            rows = mask if mask is None or mask.shape[-2] == 1 else mask[..., index : index + 1, :]
            weights, trail = self._step(query, keys, rows, trail, start + index)
            found.append(weights)
        return torch.cat(found, dim=-2), trail

    def _step(
        self, q: Float[Tensor, "... 1 Dq"], keys: Tensor, mask: Tensor | None, trail: Trail, position: int
    ) -> tuple[Float[Tensor, "... 1 S"], Trail]:
        scores = self._scores(self.score, q, keys, trail)
        if isinstance(self.normalize, Forward):
            seen = self._seen(1, scores.shape[-1], mask, position, scores.device)
            way, left = (scores, seen) if self.editor is None else self.editor.scores(scores, seen, position)
            found = self.normalize.follow(way, left, trail.last)
            weights = self._edited(found, mask, position)
            if self.editor is not None:  # where it is made to look nowhere, it does not lose its way
                found = torch.where(weights.sum(dim=-1, keepdim=True) > 0, weights, found)
            return weights, trail.after(found[..., 0, :], weights[..., 0, :])
        weights = self._normalised(scores, q, mask, position)
        return weights, trail.after(weights[..., 0, :], weights[..., 0, :])

    def _edited(self, weights: Float[Tensor, "... 1 S"], mask: Tensor | None, position: int) -> Tensor:
        return weights if self.editor is None else self.editor.weights(weights, mask, position)

    @staticmethod
    def _scores(score: Score, q: Tensor, keys: Tensor, trail: Trail) -> Tensor:
        return score.compare(q, keys, trail) if isinstance(score, RememberingScore) else score.compare(q, keys)


class MoChA(StatefulAttend):
    """Monotonic chunkwise attention (Chiu & Raffel 2018): where the monotonic part stops, softmax over the `width`
    positions that end there, by a score of its own.

    `score` and `chunk` project keys to one size. `β_ts = Σ_{k=s}^{s+w-1} α_tk exp(u_s) / Σ_{l=k-w+1}^{k} exp(u_l)`, where α is the monotonic alignment, expected in
    training and one position at prediction, and u the chunk score.
    """

    def __init__(
        self,
        score: Score,
        chunk: Score,
        width: int = 3,
        monotonic: Monotonic | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(score, monotonic if monotonic is not None else Monotonic(), None, dropout)
        if width < 1:
            raise ValueError(f"a chunk holds at least 1 position, not {width}")
        self.chunk = chunk
        self.width = width

    def project(self, k: Float[Tensor, "... S Dk"]) -> Float[Tensor, "... S Dp"]:
        """What both scores make of the keys, side by side and of one size."""
        stopping, inside = self.score.project(k), self.chunk.project(k)
        if stopping.shape[-1] != inside.shape[-1]:
            raise ValueError(
                f"the two scores of MoChA project keys to one size, not to {stopping.shape[-1]} and {inside.shape[-1]}"
            )
        return torch.cat((stopping, inside), dim=-1)

    def _step(
        self, q: Float[Tensor, "... 1 Dq"], keys: Tensor, mask: Tensor | None, trail: Trail, position: int
    ) -> tuple[Float[Tensor, "... 1 S"], Trail]:
        stopping, inside = keys.chunk(2, dim=-1)
        assert isinstance(self.normalize, Monotonic)
        stops, energy = self._scores(self.score, q, stopping, trail), self._scores(self.chunk, q, inside, trail)
        seen = mask
        if self.editor is not None:
            stops, _ = self.editor.scores(stops, mask, position)
            energy, seen = self.editor.scores(energy, mask, position)
        alignment = self.normalize.follow(stops, seen, trail.last)
        weights = self._edited(chunkwise(alignment, energy, seen, self.width), mask, position)
        return weights, trail.after(alignment[..., 0, :], weights[..., 0, :])

    def extra_repr(self) -> str:
        return f"width={self.width}, " + super().extra_repr()


def chunkwise(
    alignment: Float[Tensor, "... 1 S"], energy: Float[Tensor, "... 1 S"], mask: Tensor | None, width: int
) -> Float[Tensor, "... 1 S"]:
    """Each stop's weight, shared out by softmax over the `width` positions that end at it. Each stop sees those alone, so
    that the cost is that of the source times the width."""
    seen = torch.ones_like(energy, dtype=torch.bool) if mask is None else mask.expand(energy.shape)
    before = (width - 1, 0)
    near = pad(energy, before).unfold(-1, width, 1)  # [..., 1, S, width]: of stop k, positions k - width + 1 to k
    inside = masked(softmax, near, pad(seen, before).unfold(-1, width, 1))
    shared = pad(alignment.to(inside.dtype)[..., None] * inside, (0, 0, 0, width - 1))
    keys = energy.shape[-1]
    found = shared[..., :keys, width - 1]
    for back in range(1, width):  # the stop is so far behind the position
        found = found + shared[..., back : back + keys, width - 1 - back]
    return found
