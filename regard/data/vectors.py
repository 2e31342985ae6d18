"""Vectors of words that somebody else has learned, from a text file: word2vec's, GloVe's and fastText's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from regard.batch import SPECIAL_TOKENS
from regard.data.reader import raw_lines
from regard.data.tokenizer import SPACE, Tokenizer
from regard.errors import UsageError


@dataclass(frozen=True)
class WordVectors:
    """`rows [n, D]` are for the tokens `ids [n]` of a vocabulary; `lowered` of them are those of the word in small letters."""

    ids: list[int]
    rows: Float[np.ndarray, "n D"]
    lowered: int

    @property
    def dim(self) -> int:
        return self.rows.shape[1]


def read_vectors(path: Path, tokenizer: Tokenizer) -> WordVectors:
    """The vectors of the tokens that are words, of a file that need not fit into memory.

    A line is a word and its D numbers with a space between any two (Mikolov et al. 2013; Pennington et al. 2014); a first
    line of two numbers, how many words there are and D, is passed over, and of a word that comes twice the first line
    counts. A token that the file lacks takes the vector of the same word in small letters. Of a vocabulary of pieces those
    that begin a word count as that word.

    Raises:
        UsageError: the file is missing, empty, binary or packed; a line, which is named, has another number of numbers or
            something else; no token is in it.
    """
    words = words_of(tokenizer)
    wanted = {word.encode(): word for word in (*words, *(word.lower() for word in words))}
    found: dict[str, Float[np.ndarray, " D"]] = {}
    size = 0
    for number, line in enumerate(raw_lines(path), start=1):
        if not size:
            parts = line.split()
            if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
                size = int(parts[1])
                continue
            size = len(parts) - 1
            if size < 1:
                raise _no_vector(path, number, size)
        word = wanted.get(line.split(maxsplit=1)[0] if line.strip() else b"")
        if word is None or word in found:
            continue
        parts = line.split()[1:]
        if len(parts) < size:
            raise _no_vector(path, number, len(parts), size)
        if len(parts) == size:  # with more the word has several parts, as '. . .' of GloVe
            found[word] = _numbers(parts, path, number, word)
    ids, rows, lowered = [], [], 0
    for word, id in words.items():
        row = found.get(word)
        if row is None:
            row = found.get(word.lower())
            lowered += row is not None
        if row is not None:
            ids.append(id)
            rows.append(row)
    if not rows:
        raise UsageError(
            f"{path} has none of the {len(words):,} words of the vocabulary: give vectors of that language, and a tokenizer "
            "that keeps words together"
        )
    return WordVectors(ids, np.stack(rows), lowered)


def words_of(tokenizer: Tokenizer) -> dict[str, int]:
    """The tokens of a vocabulary that are a whole word or begin one, as words with their ids."""
    ids = range(len(SPECIAL_TOKENS), tokenizer.size)
    tokens = dict(zip(tokenizer.tokens(ids), ids, strict=True))
    if tokenizer.kind not in ("bpe", "unigram"):
        return tokens
    return {token.removeprefix(SPACE): id for token, id in tokens.items() if token.startswith(SPACE) and token != SPACE}


def _no_vector(path: Path, number: int, count: int, size: int | None = None) -> UsageError:
    others = "" if size is None else f", and the lines before it have {size}"
    return UsageError(
        f"{path}, line {number} has {max(0, count)} numbers behind its word{others}: give vectors as text, a word and its "
        "numbers in each line"
    )


def _numbers(parts: list[bytes], path: Path, number: int, word: str) -> Float[np.ndarray, " D"]:
    try:
        with np.errstate(over="ignore"):  # what is too large for 32 bits becomes infinite, and is said below
            row = np.array([float(part) for part in parts]).astype(np.float32)
    except ValueError as error:
        raise UsageError(
            f"{path}, line {number}: not all that stands behind '{word}' are numbers: give vectors as text, a word and its "
            "numbers in each line"
        ) from error
    if not np.isfinite(row).all():
        raise UsageError(f"{path}, line {number}: a number of '{word}' is infinite or none: leave the line out")
    return row
