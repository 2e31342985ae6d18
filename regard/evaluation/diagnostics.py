"""What in one output deserves a second look, as far as the model's own numbers show it.

Letters: L layers, H heads, T output steps, S source tokens. Nothing here knows a right translation: each finding is a
reason to look, and none a proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from regard.batch import EOS, SPECIAL_TOKENS

END = SPECIAL_TOKENS[EOS]
# A source word is unattended below this part of the attention that its tokens would have if all had the same.
SHARE = 0.2
UNSURE = 0.3  # a word with a lower probability is named
COPIED = 0.5  # and an output that shares more of its words with the source
LONGEST_LOOP = 8  # words of a unit that is said again and again
# Lengths in tokens are out of the ordinary where one side is more than RATIO times the other and SLACK.
RATIO, SLACK = 2.0, 4


@dataclass(frozen=True, slots=True)
class Loop:
    """Words from `start` on that are said `times` times in a row."""

    start: int
    words: list[str]
    times: int


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Findings about one output. Positions count words from 0, on the side that is named.

    `confidence` is the probability of each token given what stands before it, `word_confidence` that of each word: the
    product over its tokens. `attended` is how much attention each source word got from all steps, in parts of its
    even share: 1 is as much as if attention were spread evenly; None without attention. `unattended` are those
    below `SHARE` that hold a letter or digit: what was perhaps left out (coverage; Tu et al. 2016). `loops` are
    repetitions that the source does not have, `copied` the share of the output's words that stand in the source too,
    `length_ratio` tokens of the output for each of the source. `notes` says in sentences what stands out.
    """

    confidence: list[float]
    word_confidence: list[float]
    attended: list[float] | None
    unattended: list[int]
    loops: list[Loop]
    copied: float
    length_ratio: float
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def diagnose(
    weights: Float[np.ndarray, "L H T S"] | None,
    log_probabilities: Sequence[float],
    source_words: Sequence[str],
    target_words: Sequence[str],
    source_word_of: Sequence[int],
    target_word_of: Sequence[int],
) -> Diagnostics:
    """Looks at one prediction; the arguments are those of an `AttentionMap`.

    `source_word_of[s]` is the number of the word that token s belongs to; likewise for the target. A last word `</s>`
    of either side is left out of what is found, though its attention counts; its log-probability may be missing.

    Raises:
        ValueError: counts that do not fit together.
    """
    source, target = _without_end(source_words), _without_end(target_words)
    tokens = sum(word < len(target) for word in target_word_of)
    read = sum(word < len(source) for word in source_word_of)
    if weights is not None and weights.shape[2:] != (len(target_word_of), len(source_word_of)):
        raise ValueError(
            f"weights have shape {list(weights.shape)}; [L, H, {len(target_word_of)}, {len(source_word_of)}] fits"
        )
    if len(log_probabilities) not in (tokens, len(target_word_of)):
        raise ValueError(f"there are {len(log_probabilities)} log-probabilities for {tokens} tokens")
    confidence = np.exp(np.asarray(log_probabilities[:tokens], dtype=np.float64))
    words = np.ones(len(target))
    np.multiply.at(words, np.asarray(target_word_of[:tokens], dtype=np.int64), confidence)
    attended = (
        None if weights is None else attention_received(weights, source_word_of, len(source_words))[: len(source)]
    )
    missed = [] if attended is None else [int(n) for n in np.flatnonzero(attended < SHARE) if _says(source[n])]
    # Only what was read can be missed: a word beyond the model's limit has no token.
    missed = [n for n in missed if n in set(source_word_of)]
    loops = _new_loops(source, target)
    copied = _copied(source, target)
    notes = _notes(source, target, words, missed, loops, copied)
    if max(read, tokens) > RATIO * min(read, tokens) + SLACK:
        kind = "long" if tokens > read else "short"
        notes.append(f"the output is {kind}: {tokens} tokens for {read}")
    return Diagnostics(
        confidence=confidence.tolist(),
        word_confidence=words.tolist(),
        attended=None if attended is None else attended.tolist(),
        unattended=missed,
        loops=loops,
        copied=copied,
        length_ratio=tokens / read if read else 0.0,
        notes=notes,
    )


def attention_received(
    weights: Float[np.ndarray, "L H T S"], source_word_of: Sequence[int], count: int
) -> Float[np.ndarray, " count"]:
    """How much attention each of `count` source words got, in parts of its even share.

    The weights are averaged over layers and heads and summed over steps: Σ_t w̄[t, s]. A word has the sum of its
    tokens, over the sum Σ_t Σ_s w̄ / S that each of its tokens would have. A word without a token, and every word
    where there is no attention at all, has 0.
    """
    columns = weights.mean(axis=(0, 1), dtype=np.float64).sum(axis=0) if weights.size else np.zeros(weights.shape[3])
    received, tokens = np.zeros(count), np.zeros(count)
    np.add.at(received, np.asarray(source_word_of, dtype=np.int64), columns)
    np.add.at(tokens, np.asarray(source_word_of, dtype=np.int64), 1.0)
    even = tokens * (columns.sum() / max(1, len(columns)))
    return np.divide(received, even, out=np.zeros(count), where=even > 0)


def repeated(words: Sequence[str]) -> list[Loop]:
    """Where the same words are said in a row: three times, or twice if they are three or more.

    Of several ways to see a repetition the one with the shortest unit counts; loops do not overlap.
    """
    found: list[Loop] = []
    at = 0
    while at < len(words):
        for length in range(1, min(LONGEST_LOOP, (len(words) - at) // 2) + 1):
            unit = list(words[at : at + length])
            times = 1
            while list(words[at + times * length : at + (times + 1) * length]) == unit:
                times += 1
            if times >= (2 if length > 2 else 3) and any(map(_says, unit)):
                found.append(Loop(at, unit, times))
                at += times * length - 1
                break
        at += 1
    return found


def _new_loops(source: Sequence[str], target: Sequence[str]) -> list[Loop]:
    """Those for which the source has none of as many words as often ("no, no, no" is translated so)."""
    own = Counter((len(loop.words), loop.times) for loop in repeated(source))
    found = []
    for loop in repeated(target):
        if own[len(loop.words), loop.times] > 0:
            own[len(loop.words), loop.times] -= 1
        else:
            found.append(loop)
    return found


def _copied(source: Sequence[str], target: Sequence[str]) -> float:
    """The share of the output's words with a letter that the source has too, whatever their case."""
    there = Counter(word.casefold() for word in source)
    words = [word.casefold() for word in target if any(c.isalpha() for c in word)]
    both = sum(min(count, there[word]) for word, count in Counter(words).items())
    return both / len(words) if words else 0.0


def _notes(
    source: Sequence[str],
    target: Sequence[str],
    confidence: Float[np.ndarray, " W"],
    missed: list[int],
    loops: list[Loop],
    copied: float,
) -> list[str]:
    notes = []
    unsure = [word for word, sure in zip(target, confidence.tolist(), strict=True) if sure < UNSURE and _says(word)]
    if unsure:
        notes.append(f"the model was unsure of: {', '.join(unsure)}")
    if missed:
        notes.append(f"hardly looked at: {', '.join(source[n] for n in missed)}")
    notes += [f"said {loop.times} times in a row: {' '.join(loop.words)}" for loop in loops]
    if copied > COPIED and len(target) > 2:
        notes.append(f"{copied:.0%} of the words are those of the source")
    return notes


def _without_end(words: Sequence[str]) -> list[str]:
    return list(words[:-1]) if words and words[-1] == END else list(words)


def _says(word: str) -> bool:
    return any(c.isalnum() for c in word)


__all__ = ["Diagnostics", "Loop", "attention_received", "diagnose", "repeated"]
