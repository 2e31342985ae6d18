"""What a model looked at: the weights of one prediction, with the tokens and words that they join.

Letters: L layers, H heads, T target tokens, S source tokens.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from regard.attention import reading
from regard.errors import UsageError
from regard.view.page import framed

END = "</s>"


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """Attention of T target tokens over S source tokens, in every layer and head.

    `weights` is `[L, H, T, S]` in float32; a row sums to 1 (to less with local or sigmoid attention). The last token
    of either side may be `</s>`, and is then a word of its own. `source_word_of[s]` is the number, from 0, of the
    word in `source_words` that token s belongs to; likewise for the target. `layer_names` has one name a layer;
    without it they count from 1.

    Raises:
        UsageError: shapes, counts or word numbers that do not fit together; weights that are negative or not finite.
    """

    weights: Float[np.ndarray, "L H T S"]
    source: list[str]
    target: list[str]
    source_words: list[str]
    target_words: list[str]
    source_word_of: list[int]
    target_word_of: list[int]
    layer_names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            weights = np.asarray(self.weights, dtype=np.float32)
        except (TypeError, ValueError) as problem:
            raise UsageError(f"The weights are not an array of numbers: {problem}") from problem
        if weights.ndim != 4:
            raise UsageError(
                f"The weights have shape {list(weights.shape)}; they must have four sides, [layers, heads, T, S]."
            )
        object.__setattr__(self, "weights", weights)
        for name in ("source", "target", "source_words", "target_words", "layer_names"):
            object.__setattr__(self, name, [str(part) for part in getattr(self, name)])
        layers, heads, rows, columns = weights.shape
        if not layers or not heads:
            raise UsageError(f"The weights have {layers} layers and {heads} heads; there must be at least one of each.")
        if self.layer_names and len(self.layer_names) != layers:
            raise UsageError(f"There are {len(self.layer_names)} names for {layers} layers; give one each, or none.")
        _check_side("source", columns, self.source, self.source_words, self.source_word_of)
        _check_side("target", rows, self.target, self.target_words, self.target_word_of)
        object.__setattr__(self, "source_word_of", [int(word) for word in self.source_word_of])
        object.__setattr__(self, "target_word_of", [int(word) for word in self.target_word_of])
        if not np.isfinite(weights).all() or (weights.size and weights.min() < -1e-6):
            raise UsageError("The weights hold negative numbers or numbers that are not finite; attention has neither.")

    @classmethod
    def of_words(
        cls, weights: Float[np.ndarray, "L H T S"], source: Sequence[str], target: Sequence[str]
    ) -> AttentionMap:
        """A map whose tokens are its words, each on its own."""
        each = list(range(len(source))), list(range(len(target)))
        return cls(weights, list(source), list(target), list(source), list(target), *each)

    @property
    def layers(self) -> list[str]:
        return self.layer_names or [str(number + 1) for number in range(self.weights.shape[0])]

    def mean(self, layer: int | None = None, head: int | None = None) -> Float[np.ndarray, "T S"]:
        """Weights of tokens, averaged over all layers and heads but for the one chosen (from 0)."""
        chosen = self.weights
        for axis, (number, what) in enumerate(((layer, "layer"), (head, "head"))):
            if number is not None:
                size = self.weights.shape[axis]
                if not 0 <= number < size:
                    raise UsageError(f"There is no {what} {number}; this map has {what}s 0 to {size - 1}.")
                chosen = chosen.take([number], axis=axis)
        return chosen.mean(axis=(0, 1))

    def words(self, layer: int | None = None, head: int | None = None) -> Float[np.ndarray, "T_words S_words"]:
        """Weights of words: the sum over the tokens of a source word, the mean over those of a target word.

        So rows keep their sum. A word that has no token has a row or column of zeros.
        """
        target, source = self.target_word_of, self.source_word_of
        return reading.words(self.mean(layer, head), target, len(self.target_words), source, len(self.source_words))

    def alignment(self, layer: int | None = None, head: int | None = None) -> list[tuple[int, int]]:
        """(source word, target word) pairs from 0: for each target word the source word it looks at most.

        `</s>` is left out on both sides, and so is a target word that looks at nothing.
        """
        weights = self.words(layer, head)
        weights = weights[: len(weights) - _ends(self.target), : weights.shape[1] - _ends(self.source)]
        if not weights.size:
            return []
        return [(int(row.argmax()), number) for number, row in enumerate(weights) if row.max() > 0]

    def entropy(self) -> Float[np.ndarray, "L H T"]:
        """-Σ w ln w of each row, in nats: 0 where one token has it all, ln S where all have the same."""
        return reading.entropy(self.weights)

    def to_json(self, *, packed: bool = False) -> dict[str, Any]:
        """All fields as JSON values; what the picture engine reads.

        `packed` writes the weights as base64 of little-endian 16-bit numbers, where 65535 stands for `scale`: a
        sixth of the size at an error below 1e-5 of the largest weight.
        """
        if packed:
            scale = max(1.0, float(self.weights.max(initial=0)))
            numbers = np.rint(np.clip(self.weights, 0, None) / scale * 65535).astype("<u2")
            weights: Any = {"scale": scale, "uint16": base64.b64encode(numbers.tobytes()).decode("ascii")}
        else:
            weights = self.weights.tolist()
        return {
            "weights": weights,
            "shape": list(self.weights.shape),
            "source": self.source,
            "target": self.target,
            "source_words": self.source_words,
            "target_words": self.target_words,
            "source_word_of": self.source_word_of,
            "target_word_of": self.target_word_of,
            "layers": self.layers,
        }

    def __repr__(self) -> str:
        layers, heads, rows, columns = self.weights.shape
        return f"AttentionMap({layers} layers, {heads} heads, {rows} target tokens, {columns} source tokens)"

    def _repr_html_(self) -> str:
        """The map in a notebook: a frame of its own, so that any number of them stand on one page."""
        return framed(self)


def _ends(tokens: Sequence[str]) -> int:
    return int(bool(tokens) and tokens[-1] == END)


def _check_side(side: str, size: int, tokens: Sequence[str], words: Sequence[str], word_of: Sequence[int]) -> None:
    if len(tokens) != size:
        raise UsageError(f"The weights are for {size} {side} tokens, but {side} has {len(tokens)}.")
    if len(word_of) != size:
        raise UsageError(f"{side}_word_of has {len(word_of)} numbers for {size} tokens; give one word number a token.")
    for number, word in enumerate(word_of):
        if isinstance(word, bool) or not isinstance(word, int | np.integer) or not 0 <= word < len(words):
            raise UsageError(f"{side}_word_of[{number}] is {word}; it must be one of the words 0 to {len(words) - 1}.")
    if _ends(tokens) and (list(word_of).count(word_of[-1]) > 1 or word_of[-1] != len(words) - 1):
        raise UsageError(f"The final {END} of {side} must be a word of its own, the last of {side}_words.")
