"""What a search may say: how long, how it begins, what it may not repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.batch import BOS, EOS, PAD, UNK
from regard.errors import RegardError, UsageError

Prefix = Sequence[Sequence[int]] | None


@dataclass(frozen=True)
class Constraints:
    """`max_length` and `min_length` count tokens without EOS: one number, or one per source [B]. A hypothesis of
    the largest length can only end. `no_repeat_ngram = n` forbids that n tokens in a row occur twice (0: off); what
    cannot go on without a repetition ends, be it below its least length."""

    max_length: int | Int[Tensor, " B"] = 256
    min_length: int | Int[Tensor, " B"] = 0
    no_repeat_ngram: int = 0
    allow_unknown: bool = True

    def __post_init__(self) -> None:
        longest, shortest = torch.as_tensor(self.max_length), torch.as_tensor(self.min_length)
        if self.no_repeat_ngram < 0:
            raise UsageError(
                f"no_repeat_ngram is {self.no_repeat_ngram}: write 0 (off) or the length that may not recur"
            )
        if bool((longest < 1).any()):
            raise UsageError(f"max_length is {int(longest.min())}: an output needs room for at least 1 token")
        if bool((shortest > longest).any()):
            raise UsageError("min_length is above max_length: lower the one or raise the other")


class Rules:
    """The constraints of one search over B sources on one device. Owners say which source a row belongs to."""

    def __init__(self, constraints: Constraints, sources: int, prefix: Prefix, device: torch.device) -> None:
        if prefix is not None and len(prefix) != sources:
            raise UsageError(f"there are {len(prefix)} prefixes for {sources} sources: give one for each, [] for none")
        self.longest = torch.as_tensor(constraints.max_length, device=device).expand(sources)
        self.shortest = torch.as_tensor(constraints.min_length, device=device).expand(sources)
        self.ngram = constraints.no_repeat_ngram
        self.banned = [PAD, BOS] if constraints.allow_unknown else [PAD, BOS, UNK]
        self.prefix = prefix if prefix is not None and any(prefix) else None
        self._latest_start = int(self.shortest.max())
        self._first_end = int(self.longest.min())

    def apply(
        self, logits: Float[Tensor, "N V"], said: Int[Tensor, "N t"], owners: Int[Tensor, " N"]
    ) -> tuple[Float[Tensor, "N V"], Float[Tensor, "N 1"]]:
        """Logits in float32 with -inf for what may not be said, and the logarithm of the sum over *all* of the
        vocabulary: their difference is the model's own log-probability, whatever is forbidden beside it.

        `said` are the tokens so far. The logits may be changed in place.
        """
        logits = logits.float()
        total = logits.logsumexp(dim=-1, keepdim=True)
        if bool(total.isnan().any()):
            raise RegardError(
                'the model gives NaN instead of probabilities: its weights are broken; train with precision = "fp32"'
            )
        step = said.shape[1]
        forced = self._forced(step, owners)
        kept = None if forced is None else logits.gather(1, forced.clamp_min(0)[:, None])
        logits[:, self.banned] = -torch.inf
        end = logits[:, EOS].clone()
        if step < self._latest_start:
            logits[:, EOS] = end.masked_fill(step < self.shortest[owners], -torch.inf)
        if self.ngram:
            self._forbid_repeats(logits, said)
            if step < self._latest_start:
                stuck = (logits == -torch.inf).all(dim=-1)
                logits[:, EOS] = torch.where(stuck, end, logits[:, EOS])
        if step >= self._first_end:
            full = step >= self.longest[owners]
            end = logits[:, EOS].clone()
            logits.masked_fill_(full[:, None], -torch.inf)
            logits[:, EOS] = end
        if forced is not None and kept is not None:  # what must be said counts more than what may not
            must = (forced >= 0)[:, None]
            logits.masked_fill_(must, -torch.inf)
            place = forced.clamp_min(0)[:, None]
            logits.scatter_(1, place, torch.where(must, kept, logits.gather(1, place)))
        return logits, total

    def _forced(self, step: int, owners: Tensor) -> Int[Tensor, " N"] | None:
        """The token that each row has to say now, -1 where it is free."""
        if self.prefix is None or all(step >= len(p) for p in self.prefix):
            return None
        return torch.tensor([p[step] if step < len(p) else -1 for p in self.prefix], device=owners.device)[owners]

    def _forbid_repeats(self, logits: Tensor, said: Tensor) -> None:
        n = self.ngram
        for row, tokens in enumerate(said.tolist()):
            tail = tokens[len(tokens) - n + 1 :] if n > 1 else []
            for start in range(len(tokens) - n + 1):
                if tokens[start : start + n - 1] == tail:
                    logits[row, tokens[start + n - 1]] = -torch.inf
