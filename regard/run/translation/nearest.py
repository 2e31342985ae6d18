"""The training examples that are most like a text, where a run still keeps its tokenised corpus."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from regard.batch import UNK
from regard.config import Recipe
from regard.data import Corpus, Tokenizer, made_of
from regard.data.corpus import open_corpus
from regard.data.tokenizer import SPACE
from regard.run.folder import RunFolder

FORMAT = 1
HEADER = 1024  # bytes before the arrays
SLICE = 4_000_000  # tokens whose terms are sorted at once
WORTH_KEEPING = 1_000_000  # postings; fewer are made again within a second


@dataclass(frozen=True, slots=True)
class Example:
    """A pair of the training corpus. Its similarity to what was asked is from 0 to 1, which is the same tokens."""

    source: str
    target: str
    similarity: float


class Nearest:
    """Finds training pairs by their sources: the cosine of tf-idf vectors over tokens and pairs of adjacent tokens.

    A term that stands f times in a source, and in n of N different ones, weighs (1 + ln f) ln(1 + N/n): "ltc" of
    Salton & Buckley 1988 (Manning, Raghavan & Schütze 2008, 6.4), but for the 1 under the logarithm, without which
    a term of every source would weigh nothing. What no source of the corpus holds weighs as if one did. White space
    counts only beside something else, and an unknown token is like no other, for nobody knows what it was.
    """

    def __init__(self, corpus: Corpus, source: Tokenizer, target: Tokenizer, limit: int, mark: str, keep: Path) -> None:
        """`limit` is how many tokens of a text are read, `mark` says what the corpus is, `keep` is the index' file."""
        self._corpus, self._source, self._target, self._limit = corpus, source, target, limit
        self._mark = f"{FORMAT} {mark} {len(corpus)} {len(corpus.ids)}"
        self._keep = keep
        tokens = source.tokens(range(max(source.size, target.size)))
        self._solid = np.array([token.strip().strip(SPACE) != "" for token in tokens])
        self._making = threading.Lock()

    @classmethod
    def open(cls, run: RunFolder | Path | str) -> Self | None:
        """Of a run that translates; None if it keeps no corpus, or one that its recipe and tokenizers cannot have made.

        Nothing is made or read of the index before the first question. UsageError if the folder is no such run.
        """
        folder = run if isinstance(run, RunFolder) else RunFolder(Path(run))
        recipe = folder.read_recipe_of(Recipe)
        mark = made_of(folder.corpus)
        if mark is None:
            return None
        source, target = folder.read_tokenizers(recipe)
        try:
            corpus = open_corpus(folder.corpus)
        except (OSError, ValueError, EOFError):  # taken away in between
            return None
        if not _fits(corpus, max(source.size, target.size), recipe.data.max_length):
            return None
        return cls(corpus, source, target, recipe.data.max_length, mark, folder.corpus / "nearest.bin")

    def examples(self, text: str, count: int = 5) -> list[Example]:
        """The `count` most similar pairs, the most similar first, and of equals the one that comes first in the corpus.

        A source that occurs several times is one, with its most frequent target. Fewer come back where fewer have
        anything in common with the text. What lies beyond the recipe's max_length tokens is not looked at.
        """
        [ids] = self._source.encode_batch([text])
        if not ids or count < 1 or len(self._corpus) == 0:
            return []
        numbers, similarities = self._index.search(np.array(ids[: self._limit]), self._solid, count)
        found = zip(numbers.tolist(), similarities.tolist(), strict=True)
        return [Example(*self._texts(number), similarity) for number, similarity in found]

    def _texts(self, number: int) -> tuple[str, str]:
        pair = int(self._index.pairs[number])
        source, target = self._corpus.source(pair), self._corpus.target(pair)
        return self._source.decode(source.tolist()), self._target.decode(target.tolist())

    @property
    def _index(self) -> Index:
        with self._making:  # two who ask at once shall not both make it
            return self._made

    @cached_property
    def _made(self) -> Index:
        index = _read(self._keep, self._mark)
        if index is None:
            index = Index.of(self._corpus, self._solid)
            if len(index.documents) >= WORTH_KEEPING and _write(index, self._keep, self._mark):
                index = _read(self._keep, self._mark) or index
        return index


def _fits(corpus: Corpus, size: int, max_length: int) -> bool:
    """Whether the corpus may be made of `size` tokens and sides of at most `max_length`."""
    sides = (corpus.source_lengths, corpus.target_lengths)
    if any(len(side) and (side.min() < 0 or side.max() > max_length) for side in sides):
        return False
    return len(corpus.ids) == 0 or int(corpus.ids.max()) < size


# --- the index --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Index:
    """For each term the documents that hold it: D different sources, T terms, M of them in documents.

    `pairs` is each document's pair in the corpus and `norms` its length as a vector. `terms` are ascending; term t
    is in `documents[starts[t]:starts[t+1]]`, ascending as well, and `counts` says how often.
    """

    pairs: Int[np.ndarray, " D"]
    norms: Float[np.ndarray, " D"]
    terms: Int[np.ndarray, " T"]
    starts: Int[np.ndarray, " T+1"]
    documents: Int[np.ndarray, " M"]
    counts: Int[np.ndarray, " M"]

    @classmethod
    def of(cls, corpus: Corpus, solid: Bool[np.ndarray, " V"]) -> Index:
        """`solid` says of each token whether it is more than white space.

        Beside the index this needs memory for the terms of SLICE tokens.
        """
        pairs = _representatives(corpus)
        lengths = corpus.source_lengths[pairs]
        tokens = _gather(corpus.ids, corpus.starts[pairs], lengths)
        owners = np.repeat(np.arange(len(pairs), dtype=np.uint32), lengths)
        squares = _unknown(tokens, owners, len(pairs)) * np.log1p(len(pairs)) ** 2
        parts: list[tuple[np.ndarray, ...]] = []
        for low, high in _slices(tokens, len(solid), len(pairs)):
            terms, held, documents, counts = _postings(tokens, owners, low, high, solid, len(pairs))
            weights = (1 + np.log(counts)) * np.repeat(np.log1p(len(pairs) / held), held)
            squares += np.bincount(documents, weights**2, minlength=len(pairs))
            parts.append(
                (terms, held, documents.astype(np.uint32), counts.astype(np.min_scalar_type(counts.max(initial=1))))
            )
        terms, held, documents, counts = (np.concatenate(each) for each in zip(*parts, strict=True))
        starts = np.concatenate(([0], held.cumsum()))
        return cls(pairs, np.sqrt(squares), terms, starts, documents, counts)

    def search(
        self, ids: Int[np.ndarray, " S"], solid: Bool[np.ndarray, " V"], count: int
    ) -> tuple[Int[np.ndarray, " K"], Float[np.ndarray, " K"]]:
        """The K <= `count` nearest documents and how near they are, to nine digits, so that rounding orders nothing."""
        number = len(self.pairs)
        tokens = ids.astype(np.int64)
        owners = np.zeros(len(ids), dtype=np.uint32)
        terms, _, _, times = _postings(tokens, owners, 0, len(solid), solid, 1)
        square = float(_unknown(tokens, owners, 1)[0]) * np.log1p(number) ** 2
        scores = np.zeros(number)
        places = np.searchsorted(self.terms, terms)
        for term, place, f in zip(terms.tolist(), places.tolist(), times.tolist(), strict=True):
            known = place < len(self.terms) and self.terms[place] == term
            start, end = (int(self.starts[place]), int(self.starts[place + 1])) if known else (0, 1)
            rarity = np.log1p(number / (end - start))
            weight = (1 + np.log(f)) * rarity
            square += weight**2
            if known:  # a document stands once in a term's list, so that += loses nothing
                scores[self.documents[start:end]] += self._damped[self.counts[start:end]] * (weight * rarity)
        found = np.flatnonzero(scores)
        near = np.round(scores[found] / (self.norms[found] * np.sqrt(square)), 9)
        if len(found) > count:
            enough = near >= np.partition(near, -count)[-count]
            found, near = found[enough], near[enough]
        order = np.lexsort((found, -near))[:count]
        return found[order], near[order]

    @cached_property
    def _damped(self) -> Float[np.ndarray, " F"]:
        """1 + ln f for each count f; nothing occurs 0 times."""
        most = int(self.counts.max(initial=1))
        return 1 + np.log(np.maximum(np.arange(most + 1), 1))


def _postings(
    tokens: Int[np.ndarray, " S"],
    owners: Int[np.ndarray, " S"],
    low: int,
    high: int,
    solid: Bool[np.ndarray, " V"],
    documents: int,
) -> tuple[Int[np.ndarray, " T"], Int[np.ndarray, " T"], Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """The terms whose first token is in [low, high), ascending; how many documents hold each; which, and how often.

    Token a is the term a(V+1), and a before b is a(V+1) + b + 1. `owners` is the document of each token.
    """
    size = len(solid)
    one = np.flatnonzero((tokens >= low) & (tokens < high) & (tokens != UNK))
    two = one[one + 1 < len(tokens)]
    two = two[(owners[two + 1] == owners[two]) & (tokens[two + 1] != UNK)]
    one = one[solid[tokens[one]]]
    singles = (tokens[one].astype(np.int64) - low) * (size + 1)
    doubles = (tokens[two].astype(np.int64) - low) * (size + 1) + tokens[two + 1] + 1
    # Term and document in one number, so that one sort brings both in order.
    codes = np.concatenate((singles * documents + owners[one], doubles * documents + owners[two]))
    codes, counts = np.unique(codes, return_counts=True)
    numbers, holders = np.divmod(codes, documents)
    begins = np.flatnonzero(np.diff(numbers, prepend=-1))
    held = np.diff(begins, append=len(numbers))
    return numbers[begins] + low * (size + 1), held, holders, counts


def _unknown(tokens: Int[np.ndarray, " S"], owners: Int[np.ndarray, " S"], documents: int) -> Int[np.ndarray, " D"]:
    """How many terms of each document hold a token that is unknown."""
    odd = tokens == UNK
    pairs = (odd[:-1] | odd[1:]) & (owners[:-1] == owners[1:])
    return np.bincount(owners[odd], minlength=documents) + np.bincount(owners[:-1][pairs], minlength=documents)


def _slices(tokens: Int[np.ndarray, " S"], size: int, documents: int) -> Iterator[tuple[int, int]]:
    """Ranges of tokens that stand about SLICE times in all, and few enough that a term and a document are 63 bits."""
    widest = max(1, 2**62 // ((size + 1) * max(documents, 1)))
    until = np.bincount(tokens, minlength=size).cumsum()
    low = 0
    while low < size:
        before = int(until[low - 1]) if low else 0
        high = int(np.searchsorted(until, before + SLICE, side="right"))
        high = min(max(high, low + 1), low + widest, size)
        yield low, high
        low = high


# --- which pairs ------------------------------------------------------------------------------------------------------


def _representatives(corpus: Corpus) -> Int[np.ndarray, " D"]:
    """A pair for each different source, in the order of their first occurrence: the first with the commonest target."""
    starts = corpus.starts[:-1]
    sources = _first_equal(corpus.ids, starts, corpus.source_lengths)
    targets = _first_equal(corpus.ids, starts + corpus.source_lengths, corpus.target_lengths)
    both, first, times = np.unique(sources * max(1, len(corpus)) + targets, return_index=True, return_counts=True)
    order = np.lexsort((first, -times, both // max(1, len(corpus))))
    _, best = np.unique(sources[first[order]], return_index=True)
    return first[order[best]]


def _first_equal(
    ids: Int[np.ndarray, " N"], starts: Int[np.ndarray, " P"], lengths: Int[np.ndarray, " P"]
) -> Int[np.ndarray, " P"]:
    """For each sequence the number of the first one that is equal to it."""
    found = np.zeros(len(starts), dtype=np.int64)
    by_length = np.argsort(lengths, kind="stable")
    sizes, begins = np.unique(lengths[by_length], return_index=True)
    for length, numbers in zip(sizes.tolist(), np.split(by_length, begins[1:]), strict=True):
        if length == 0:
            found[numbers] = numbers[0]
            continue
        rows = np.ascontiguousarray(ids[starts[numbers][:, None] + np.arange(length)])
        whole = rows.view(np.dtype((np.void, rows.itemsize * length))).reshape(-1)
        _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
        found[numbers] = numbers[first[inverse]]
    return found


def _gather(
    ids: Int[np.ndarray, " N"], starts: Int[np.ndarray, " D"], lengths: Int[np.ndarray, " D"]
) -> Int[np.ndarray, " S"]:
    """The sequences one after the other."""
    ends = lengths.cumsum()
    return ids[np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)]


# --- its file ---------------------------------------------------------------------------------------------------------


def _write(index: Index, path: Path, mark: str) -> bool:
    """A line of JSON, then the arrays, which appear whole or not at all. False where nothing can be written."""
    arrays = {field.name: np.ascontiguousarray(getattr(index, field.name)) for field in fields(index)}
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays.values():
        digest.update(array.data)
    facts: dict[str, Any] = {"mark": mark, "checksum": digest.hexdigest()}
    facts["arrays"] = {name: [array.dtype.name, len(array)] for name, array in arrays.items()}
    beside = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(json.dumps(facts).encode().ljust(HEADER - 1) + b"\n")
            for array in arrays.values():
                file.write(array.data)
        os.replace(beside, path)
    except OSError:  # read-only, or full: it lives in memory
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        return False
    return True


def _read(path: Path, mark: str) -> Index | None:
    """The index of this corpus, mapped into memory; None if there is none that is whole, and it has to be made."""
    try:
        with open(path, "rb") as file:
            facts = json.loads(file.read(HEADER))
        body = np.asarray(np.memmap(path, np.uint8, mode="r", offset=HEADER))
        if facts["mark"] != mark or hashlib.blake2b(body.data, digest_size=16).hexdigest() != facts["checksum"]:
            return None
        arrays: dict[str, np.ndarray] = {}
        start = 0
        for field in fields(Index):
            name, length = facts["arrays"][field.name]
            end = start + np.dtype(name).itemsize * int(length)
            arrays[field.name] = body[start:end].view(name)
            start = end
        return Index(**arrays)
    except (OSError, ValueError, KeyError, TypeError):
        return None


__all__ = ["Example", "Nearest"]
