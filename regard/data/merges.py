"""BPE-dropout (Provilkov et al. 2020): a text is cut a little differently each time it is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

Halves = Int[np.ndarray, "V 2"]


class MergeDropout:
    """Undoes merges of BPE at random.

    Each merge that a token is made of fails with probability `rate`, whereupon what contains it cannot be merged
    either: a token of n merges stays whole with probability (1 - rate)ⁿ. That is the paper's procedure, but that a part
    set free never merges with the token beside it. It works on ids, so a corpus is still tokenised once.

    `halves [V, 2]` are the two parts that each token was merged from, or -1 for what is not merged.
    """

    def __init__(self, halves: Halves, rate: float) -> None:
        self.halves, self.rate = halves, rate
        self._whole = (1.0 - rate) ** _merges(halves)  # the probability to stay in one piece

    def __call__(
        self, ids: Int[np.ndarray, " N"], owners: Int[np.ndarray, " N"], chance: np.random.Generator
    ) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
        """Ids cut anew, in their order, and to whom each piece belongs, as `owners` said of the whole."""
        doomed = chance.random(len(ids)) >= self._whole[ids]
        while doomed.any():
            ids, owners, doomed = self._cut(ids, owners, doomed, chance)
        return ids, owners

    def _cut(
        self,
        ids: Int[np.ndarray, " N"],
        owners: Int[np.ndarray, " N"],
        doomed: np.ndarray,
        chance: np.random.Generator,
    ) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"], np.ndarray]:
        """Replaces each doomed token by its halves, and says which of them are not to stay whole either."""
        left, right = self.halves[ids[doomed]].T
        keep_left, keep_right = self._whole[left], self._whole[right]
        # Either the last merge failed, and the halves are free; or it did not, and one of the halves must have.
        failed = self.rate / (1.0 - self._whole[ids[doomed]])
        free = chance.random(len(left)) < failed
        both, one = chance.random((2, len(left)))
        # Given that not both stay whole: the left is cut with probability (1 - a) / (1 - ab), and if it is whole, the
        # right must be cut; otherwise the right is cut as it would be by itself.
        rest = 1.0 - keep_left * keep_right
        share = np.divide(1.0 - keep_left, rest, out=np.zeros_like(rest), where=rest > 0)
        left_cut = np.where(free, both >= keep_left, both < share)
        right_cut = np.where(free | left_cut, one >= keep_right, True)
        places = np.repeat(np.arange(len(ids)), 1 + doomed)
        first = np.cumsum(1 + doomed)[doomed] - 2
        new_ids, new_doomed = ids[places], np.zeros(len(places), dtype=bool)
        new_ids[first], new_ids[first + 1] = left, right
        new_doomed[first], new_doomed[first + 1] = left_cut, right_cut
        return new_ids, owners[places], new_doomed


def halves_of(vocabulary: dict[str, int], merges: Sequence[Sequence[str]]) -> Halves:
    """From the tables of a BPE: of several merges with one result, the first is the one that happens."""
    found = np.full((max(vocabulary.values()) + 1, 2), -1, dtype=np.int64)
    for left, right in reversed(merges):
        found[vocabulary[left + right]] = vocabulary[left], vocabulary[right]
    return found


def _merges(halves: Halves) -> Int[np.ndarray, " V"]:
    """How many merges each token is made of. A half is made before the whole, though its id may be any."""
    count = np.zeros(len(halves), dtype=np.int64)
    merged = halves[:, 0] >= 0
    while True:
        new = np.where(merged, 1 + count[halves[:, 0]] + count[halves[:, 1]], 0)
        if (new == count).all():
            return count
        count = new
