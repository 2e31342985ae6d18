"""Given pairs under a model's eyes: how much each target token looks at each source word.

Letters: L layers, H heads, T target tokens, S source words, W target words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from regard.batch import Batch, of_like_length
from regard.data import Tokenizer
from regard.decoding import Hypothesis
from regard.models import EncoderDecoder
from regard.run.translation.prediction import attention_weights

ROWS = 32
AREA = 1 << 18  # target tokens times source tokens of a batch, in each layer and head


@dataclass(frozen=True, slots=True)
class Side:
    """One line as a model reads it: its tokens, the words [from, to) that each is part of, and how many there are.

    Nearly every token is part of one word, but white space that a tokenizer does not know may lie within one.
    """

    ids: list[int]
    parts: list[tuple[int, int]]
    words: int


def spelled(tokenizer: Tokenizer, lines: Sequence[str]) -> bool:
    """Whether the units of a file are characters: they are the tokens, and no line has more than one word.

    The file decides, not the line: a sentence of one word among others is one word.
    """
    return tokenizer.kind == "characters" and all(len(line.split(maxsplit=1)) < 2 for line in lines)


def side(tokenizer: Tokenizer, text: str, letters: bool = False) -> Side:
    """A line whose words lie between white space, whatever the tokenizer cuts them into. With `letters` each
    character, as a reader counts them, is a word of its own."""
    encoding = tokenizer.encode(text)
    if letters:
        count = len(encoding.ids)
        return Side(encoding.ids, [(number, number + 1) for number in range(count)], count)
    word_at: list[int] = []  # of each character that is not white space
    for number, match in enumerate(re.finditer(r"\s*(\S+)", text.strip())):
        word_at += [-1] * (match.start(1) - match.start()) + [number] * len(match[1])
    parts = []
    for (start, end), word in zip(encoding.offsets, encoding.words, strict=True):
        touched = [number for number in word_at[start:end] if number >= 0] or [word]
        parts.append((touched[0], touched[-1] + 1))
    return Side(encoding.ids, parts, len(text.split()))


def forced_attention(
    network: EncoderDecoder, sources: Sequence[Side], targets: Sequence[Side]
) -> Iterator[tuple[int, Float[np.ndarray, "L H T+1 S"]]]:
    """(number of the pair, what it looks at while it says the target), in batches of like length, so in any order.

    A row for each target token, in which it is said, and one for the end; a column for each source word, the sum
    over its tokens. The column of the source's `</s>` is left out, so that a row lacks what that has.
    """
    for now in _batches(sources, targets):
        said = [Hypothesis(targets[i].ids, 0.0, [], finished=True) for i in now]
        for i, weights in zip(
            now, attention_weights(network, [sources[i].ids for i in now], said, align=True), strict=True
        ):
            yield i, weights[..., :-1] @ _columns(sources[i])


def forced_posteriors(
    network: EncoderDecoder, sources: Sequence[Side], targets: Sequence[Side]
) -> Iterator[tuple[int, Float[np.ndarray, "W S"]]]:
    """(number of the pair, the probability that each source word said each target word), of a network that says which:
    the sum over the source word's tokens, the mean over the target word's. In any order."""
    device = next(network.parameters()).device
    network.eval()
    for now in _batches(sources, targets):
        batch = Batch.of([sources[i].ids for i in now], [targets[i].ids for i in now]).to(device)
        for i, found in zip(now, network.posterior(batch).float().cpu().numpy(), strict=True):
            tokens = found[: len(targets[i].ids), : len(sources[i].ids)] @ _columns(sources[i])
            yield i, _mean_over_tokens(targets[i]) @ tokens


def target_words(
    weights: Float[np.ndarray, "L H T+1 S"], target: Side
) -> tuple[Float[np.ndarray, "L H W S"], Float[np.ndarray, "L H W S"]]:
    """The rows of each target word, averaged over its tokens: those in which they are said, and those in which
    they are read, one further down. A word without a token has zeros."""
    rows = _mean_over_tokens(target)
    return rows @ weights[..., :-1, :], rows @ weights[..., 1:, :]


def _mean_over_tokens(words: Side) -> Float[np.ndarray, "words tokens"]:
    rows = _columns(words).T
    return rows / np.maximum(rows.sum(1, keepdims=True), 1)


def _batches(sources: Sequence[Side], targets: Sequence[Side]) -> Iterator[list[int]]:
    sizes = [(len(target.ids), len(source.ids)) for source, target in zip(sources, targets, strict=True)]
    return of_like_length(sizes, area=AREA, rows=ROWS)


def _columns(words: Side) -> Float[np.ndarray, "tokens words"]:
    columns = np.zeros((len(words.ids), words.words), dtype=np.float32)
    for token, (start, end) in enumerate(words.parts):
        columns[token, start:end] = 1
    return columns
