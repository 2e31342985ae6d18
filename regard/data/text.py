"""Unlabelled text: one stream of ids in a memory-mapped file, and the batches that language models learn from.

A stream is `EOS d_1 EOS d_2 EOS … d_n EOS`. Between two documents stands one mark: said, it is the end of the one,
EOS; read, it is the beginning of the next, BOS. So a search, which starts from BOS, starts as the text did.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from regard.batch import BOS, EOS, PAD
from regard.data.reader import read_lines
from regard.data.tokenizer import Tokenizer
from regard.errors import RegardError, UsageError

Unit = Literal["lines", "paragraphs", "files"]
CHUNK = 1 << 22  # characters that are tokenised at once


class TextCorpus:
    """The stream of some documents.

    Document d is `ids[starts[d] : starts[d+1] - 1]`, without its marks. `characters[d]` is how many characters its text
    has without white space at its ends, and one for its end: what bits per character are counted in.
    """

    def __init__(
        self, ids: Int[np.ndarray, " N"], starts: Int[np.ndarray, " D+1"], characters: Int[np.ndarray, " D"]
    ) -> None:
        self.ids, self.starts, self.characters = ids, starts, characters

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.characters)

    @property
    def said(self) -> int:
        """How many tokens a language model has to say: all but the first mark."""
        return len(self.ids) - 1

    def document(self, d: int) -> Int[np.ndarray, " n"]:
        return self.ids[self.starts[d] : self.starts[d + 1] - 1]

    @classmethod
    def in_memory(cls, documents: Sequence[Sequence[int]], characters: Sequence[int] | None = None) -> TextCorpus:
        """Documents of ids without marks; where their characters are not known, each token counts as one."""
        flat = [EOS, *(i for document in documents for i in (*document, EOS))]
        sizes = np.array([len(document) + 1 for document in documents], dtype=np.int64)
        counts = sizes if characters is None else np.array(characters, dtype=np.int64)
        return cls(np.array(flat, dtype=np.int64), np.concatenate(([1], 1 + sizes.cumsum())), counts)

    @classmethod
    def of(cls, texts: Iterable[str], tokenizer: Tokenizer) -> TextCorpus:
        """A few texts, tokenised in memory. UsageError if there is nothing in them."""
        kept = [(ids, text) for text in texts if (ids := tokenizer.encode_batch([text])[0])]
        if not kept:
            raise UsageError("there is no text: give at least one line that is not blank")
        return cls.in_memory([ids for ids, _ in kept], [_characters(text) for _, text in kept])


def _characters(text: str) -> int:
    return len(text.strip()) + 1


def documents(paths: Sequence[Path], unit: Unit = "lines") -> Iterator[str]:
    """The documents of UTF-8 files: each line, each paragraph (blank lines stand between two), or each whole file.
    Blank ones are left out. UsageError names what is not UTF-8."""
    if unit not in get_args(Unit):
        raise UsageError(f"a document cannot be one of the {unit!r}: write {', '.join(get_args(Unit))}")
    for path in paths:
        held: list[str] = []
        for line in read_lines(path):
            if line.strip() or unit == "files":
                held.append(line)
            if held and (unit == "lines" or (unit == "paragraphs" and not line.strip())):
                yield "\n".join(held)
                held = []
        if "".join(held).strip():
            yield "\n".join(held)


# --- files --------------------------------------------------------------------------------------------------------


def build_text(texts: Iterable[str], tokenizer: Tokenizer, folder: Path, *, fingerprint: str) -> TextCorpus:
    """Tokenises documents into `folder`, or opens what is there if it was made of the same.

    RegardError if the disk is full; UsageError if no document has a token.
    """
    if text_made_of(folder) == fingerprint:
        return _open(folder)
    beside = folder.with_name(folder.name + ".part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        dtype = np.dtype(np.uint16 if tokenizer.size <= 1 << 16 else np.uint32)
        if not _write(texts, tokenizer, beside, dtype):
            shutil.rmtree(beside, ignore_errors=True)
            raise UsageError("there is no text to learn from: every line is blank")
        facts = {"fingerprint": fingerprint, "dtype": dtype.name}
        (beside / "text.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)
    except OSError as error:
        raise RegardError(
            f"{folder} cannot be written ({error.strerror}): make room or choose another folder"
        ) from error
    return _open(folder)


def _write(texts: Iterable[str], tokenizer: Tokenizer, folder: Path, dtype: np.dtype) -> int:
    """Writes the arrays; returns how many documents there are."""
    sizes: list[np.ndarray] = []
    characters: list[np.ndarray] = []
    with open(folder / "ids.bin", "wb") as file:
        file.write(np.array([EOS], dtype=dtype).tobytes())
        for chunk in _chunks(texts):
            kept = [(ids, text) for ids, text in zip(tokenizer.encode_batch(chunk), chunk, strict=True) if ids]
            file.write(np.fromiter((i for ids, _ in kept for i in (*ids, EOS)), dtype=dtype).tobytes())
            sizes.append(np.array([len(ids) + 1 for ids, _ in kept], dtype=np.int64))
            characters.append(np.array([_characters(text) for _, text in kept], dtype=np.int64))
    empty = np.zeros(0, dtype=np.int64)
    ends = np.concatenate(sizes or [empty]).cumsum()
    np.save(folder / "starts.npy", np.concatenate(([1], 1 + ends)).astype(np.int64))
    np.save(folder / "characters.npy", np.concatenate(characters or [empty]))
    return len(ends)


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= CHUNK:
            yield held
            held, size = [], 0
    if held:
        yield held


def text_made_of(folder: Path) -> str | None:
    """The fingerprint of the token files in a folder; None where there are none that are whole."""
    try:
        facts = json.loads((folder / "text.json").read_text(encoding="utf-8"))
        starts, characters = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("starts", "characters"))
        whole = (folder / "ids.bin").stat().st_size == int(starts[-1]) * np.dtype(facts["dtype"]).itemsize
        return facts["fingerprint"] if whole and len(characters) == len(starts) - 1 else None
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None  # cut off: it is made again


def _open(folder: Path) -> TextCorpus:
    dtype = json.loads((folder / "text.json").read_text(encoding="utf-8"))["dtype"]
    # As a plain array over the same mapped memory: a slice of a memmap costs ten times as much.
    ids = np.asarray(np.memmap(folder / "ids.bin", dtype=dtype, mode="r"))
    return TextCorpus(ids, np.load(folder / "starts.npy"), np.load(folder / "characters.npy"))


# --- batches ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Pieces of a stream. Lengths count tokens, of which the first is only read and the last only said."""

    tokens: Int[Tensor, "B T+1"]
    lengths: Int[Tensor, " B"]
    rows: Int[Tensor, " B"]  # where in the stream each one begins

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def to(self, device: torch.device | str) -> TextBatch:
        return TextBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def target_tokens(self) -> int:
        return int(self.lengths.sum()) - len(self)

    @property
    def read(self) -> Int[Tensor, "B T"]:
        """What a model reads: a mark is the beginning of what follows it."""
        tokens = self.tokens[:, :-1]
        return tokens.masked_fill(tokens == EOS, BOS)

    @property
    def said(self) -> Int[Tensor, "B T"]:
        return self.tokens[:, 1:]


def text_batch(corpus: TextCorpus, begins: Int[np.ndarray, " B"], ends: Int[np.ndarray, " B"]) -> TextBatch:
    """The pieces `ids[begin : end]` of a stream, each with the token after it: that is said last, and never read."""
    lengths = ends - begins + 1
    tokens = np.full((len(begins), int(lengths.max())), PAD, dtype=np.int64)
    for row, begin, end in zip(tokens, begins.tolist(), ends.tolist(), strict=True):
        row[: end - begin + 1] = corpus.ids[begin : end + 1]
    return TextBatch(torch.from_numpy(tokens), torch.from_numpy(lengths), torch.from_numpy(begins))


class TextBatches:
    """Cuts a stream into blocks of `context` tokens, for a causal model; each token is said once an epoch.

    With `shuffle`, the blocks come in an order, and are cut at places, that (seed, number) decide alone: each epoch
    cuts elsewhere, so that a token is not always the first of its block. A batch reads at most `batch_tokens`.
    """

    def __init__(self, corpus: TextCorpus, context: int, batch_tokens: int, seed: int, *, shuffle: bool = True) -> None:
        if context < 1:
            raise ValueError(f"a language model reads a context of at least 1 token, not {context}")
        self.corpus, self.context, self.seed, self.shuffle = corpus, context, seed, shuffle
        self.rows = max(1, batch_tokens // context)

    def epoch(self, number: int, start: int = 0) -> Iterator[TextBatch]:
        """The batches of an epoch, from the batch `start` on."""
        chance = np.random.default_rng([self.seed, number])
        cuts = self._cuts(chance)
        blocks = chance.permutation(len(cuts) - 1) if self.shuffle else np.arange(len(cuts) - 1)
        for first in range(start * self.rows, len(blocks), self.rows):
            chosen = blocks[first : first + self.rows]
            yield text_batch(self.corpus, cuts[chosen], cuts[chosen + 1])

    def count(self, number: int) -> int:
        blocks = len(self._cuts(np.random.default_rng([self.seed, number]))) - 1
        return -(-blocks // self.rows)

    def _cuts(self, chance: np.random.Generator) -> Int[np.ndarray, " C"]:
        """Where blocks begin, and where the last one ends."""
        said = self.corpus.said
        first = int(chance.integers(self.context)) if self.shuffle else 0
        inner = np.arange(first or self.context, said, self.context)
        return np.concatenate(([0], inner, [said])).astype(np.int64) if said else np.zeros(1, dtype=np.int64)
