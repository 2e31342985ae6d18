"""Reading captured weights: over layers, over heads, over the tokens of words. Arrays in, arrays out.

Letters: L layers, H heads, T targets, S sources, N positions of self-attention, which are both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

NOTHING = 1e-12  # what is left of a capacity where rounding alone left it


def entropy(weights: Float[np.ndarray, "... S"]) -> Float[np.ndarray, "..."]:
    """-Σ w ln w of each row, in nats: 0 where one position has it all, ln S where all have the same. A row that sums to
    something else than 1 is taken as the shares of its sum, and one without weight has 0."""
    rows = np.clip(np.asarray(weights), 0, None)
    total = rows.sum(-1, keepdims=True)
    rows = rows / np.where(total > 0, total, 1)
    return -(rows * np.log(np.where(rows > 0, rows, 1))).sum(-1)


def divergence(weights: Float[np.ndarray, "... H T S"]) -> Float[np.ndarray, "... H H"]:
    """How far apart each two heads look: the Jensen–Shannon divergence of their rows, the mean over steps, in nats.
    0 where two heads look alike at every step, ln 2 where they never look at the same position.

    Each row is a distribution; one without weight is left out of the mean of each pair it is in.
    """
    rows = np.clip(np.asarray(weights, dtype=np.float64), 0, None)
    total = rows.sum(-1, keepdims=True)
    rows = rows / np.where(total > 0, total, 1)
    one, other = rows[..., :, None, :, :], rows[..., None, :, :, :]
    apart = entropy((one + other) / 2) - (entropy(one) + entropy(other)) / 2
    there = (total[..., :, None, :, 0] > 0) & (total[..., None, :, :, 0] > 0)
    steps = there.sum(-1)
    mean = (apart * there).sum(-1) / np.maximum(steps, 1)
    return np.clip(np.where(steps > 0, mean, np.nan), 0, np.log(2))


def words(
    weights: Float[np.ndarray, "... T S"],
    target_word_of: Sequence[int],
    target_words: int,
    source_word_of: Sequence[int],
    source_words: int,
) -> Float[np.ndarray, "... Wt Ws"]:
    """Weights of words: the sum over the tokens of a source word, the mean over those of a target word.

    So rows keep their sum. `source_word_of[s]` is the number, from 0, of the word that token s belongs to. A word that
    has no token has a row or column of zeros.
    """
    weights = np.asarray(weights)
    if (len(target_word_of), len(source_word_of)) != weights.shape[-2:]:
        raise ValueError(
            f"weights of {weights.shape[-2]} and {weights.shape[-1]} tokens need as many word numbers, not "
            f"{len(target_word_of)} and {len(source_word_of)}"
        )
    columns = np.zeros((len(source_word_of), source_words), dtype=np.float32)
    columns[np.arange(len(source_word_of)), source_word_of] = 1
    rows = np.zeros((target_words, len(target_word_of)), dtype=np.float32)
    rows[target_word_of, np.arange(len(target_word_of))] = 1
    rows /= np.maximum(rows.sum(1, keepdims=True), 1)
    return rows @ weights @ columns


def rollout(weights: Float[np.ndarray, "L H N N"], residual: float = 0.5) -> Float[np.ndarray, "L N N"]:
    """Attention rollout (Abnar & Zuidema 2020, arXiv 2005.00928): after each layer, how much of each position comes
    from which input, if each layer mixes by its weights and passes on a share `residual` unmixed.

    `Â_l = (1 - residual) mean_h A_lh + residual I`, rows normalised, and `rollout_l = Â_l rollout_{l-1}`.
    What a decoder sees of the inputs through an encoder is its cross-attention times the last of these.
    """
    found = []
    before: Any = None
    for layer in _mixing(weights, residual):
        before = layer if before is None else layer @ before
        found.append(before)
    return np.stack(found)


def flow(weights: Float[np.ndarray, "L H N N"], residual: float = 0.5) -> Float[np.ndarray, "N N"]:
    """Attention flow (Abnar & Zuidema 2020): the greatest flow from each position after the last layer to each input,
    where an edge from a position to one a layer below lets pass what `Â_l` of `rollout` has there.

    Exact, by Edmonds and Karp's shortest paths. Each pair is a problem of its own: sentences, not documents.
    """
    layers = _mixing(weights, residual)
    count, size = len(layers), layers[0].shape[0]
    capacity = np.zeros(((count + 1) * size,) * 2)
    for number, layer in enumerate(layers):  # the inputs are the first nodes
        above, below = (number + 1) * size, number * size
        capacity[above : above + size, below : below + size] = layer
    top = count * size
    return np.array([[max_flow(capacity, top + i, j) for j in range(size)] for i in range(size)])


def max_flow(capacity: Float[np.ndarray, "V V"], start: int, end: int) -> float:
    """The greatest flow from one node to another, `capacity[a, b]` being what may pass from a to b."""
    left = np.array(capacity, dtype=np.float64)
    total = 0.0
    while (path := _shortest(left > NOTHING, start, end)) is not None:
        one, other = np.array(path[:-1]), np.array(path[1:])
        passed = float(left[one, other].min())
        left[one, other] -= passed
        left[other, one] += passed
        total += passed
    return total


def _shortest(open_: np.ndarray, start: int, end: int) -> list[int] | None:
    """A path of the fewest edges, breadth first; None where there is none."""
    came_from = np.full(len(open_), -1)
    came_from[start] = start
    frontier = np.array([start])
    while len(frontier) and came_from[end] < 0:
        reached = open_[frontier] & (came_from < 0)
        new = np.flatnonzero(reached.any(axis=0))
        came_from[new] = frontier[reached[:, new].argmax(axis=0)]
        frontier = new
    if came_from[end] < 0:
        return None
    path = [end]
    while path[-1] != start:
        path.append(int(came_from[path[-1]]))
    return path[::-1]


def _mixing(weights: Float[np.ndarray, "L H N N"], residual: float) -> list[np.ndarray]:
    """Â of each layer."""
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 4 or weights.shape[-1] != weights.shape[-2] or not len(weights):
        raise ValueError(
            f"self-attention over layers has weights [layers, heads, N, N], not {list(weights.shape)}: choose one "
            "sentence, without its padding"
        )
    if not 0 <= residual < 1:
        raise ValueError(f"residual is the share that passes a layer unmixed, from 0 to below 1, not {residual}")
    mixed = (1 - residual) * weights.mean(axis=1) + residual * np.eye(weights.shape[-1])
    total = mixed.sum(axis=-1, keepdims=True)
    return list(mixed / np.where(total > 0, total, 1))
