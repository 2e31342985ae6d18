"""A tokenised corpus: ids in memory-mapped files, made once, so that a corpus larger than memory trains."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Int

from regard.batch import UNK
from regard.data.tokenizer import Tokenizer
from regard.errors import RegardError

CHUNK = 20_000  # pairs that are tokenised at once
ARRAYS = ("starts", "source_lengths", "rows", "too_long")


class Corpus:
    """Pairs of id sequences without special tokens.

    `ids` holds source and target of each pair one after the other; pair i is `ids[starts[i]:starts[i+1]]`, of which
    the first `source_lengths[i]` are the source. `rows` are the line numbers, from 0; `too_long` those left out.
    """

    def __init__(
        self,
        ids: Int[np.ndarray, " N"],
        starts: Int[np.ndarray, " P+1"],
        source_lengths: Int[np.ndarray, " P"],
        rows: Int[np.ndarray, " P"],
        too_long: Sequence[int] = (),
    ) -> None:
        self.ids, self.starts, self.source_lengths, self.rows = ids, starts, source_lengths, rows
        self.target_lengths = np.diff(starts) - source_lengths
        self.too_long = list(too_long)

    def __len__(self) -> int:
        return len(self.source_lengths)

    def source(self, i: int) -> Int[np.ndarray, " S"]:
        start = self.starts[i]
        return self.ids[start : start + self.source_lengths[i]]

    def target(self, i: int) -> Int[np.ndarray, " T"]:
        return self.ids[self.starts[i] + self.source_lengths[i] : self.starts[i + 1]]

    def unknown(self) -> tuple[float, float]:
        """The share of the source tokens, and of the target tokens, that their tokenizer does not know."""
        counts = np.zeros((2, 2), dtype=np.int64)  # unknown and all, by side
        for low in range(0, len(self), CHUNK):  # the ids may be more than fit into memory
            high = min(low + CHUNK, len(self))
            lengths = np.stack((self.source_lengths[low:high], self.target_lengths[low:high]), axis=1).ravel()
            side = np.repeat(np.tile([0, 1], high - low), lengths)
            strange = np.asarray(self.ids[self.starts[low] : self.starts[high]]) == UNK
            counts += np.stack((np.bincount(side[strange], minlength=2), np.bincount(side, minlength=2)))
        source, target = counts[0] / np.maximum(counts[1], 1)
        return float(source), float(target)

    @classmethod
    def in_memory(cls, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Corpus:
        lengths = np.array([len(s) + len(t) for s, t in pairs], dtype=np.int64)
        ids = np.fromiter((i for pair in pairs for side in pair for i in side), dtype=np.int64)
        starts = np.concatenate(([0], lengths.cumsum()))
        return cls(ids, starts, np.array([len(s) for s, _ in pairs], dtype=np.int64), np.arange(len(pairs)))


def fingerprint(paths: Sequence[Path], *facts: object) -> str:
    """A checksum of files and of what was done with them."""
    digest = hashlib.blake2b(repr(facts).encode(), digest_size=16)
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, hashlib.blake2b).digest())
    return digest.hexdigest()


def build_corpus(
    pairs: Iterable[tuple[int, str, str]],
    source: Tokenizer,
    target: Tokenizer,
    folder: Path,
    *,
    fingerprint: str,
    max_length: int,
) -> Corpus:
    """Tokenises (line, source, target) into `folder`, or opens what is there if it was made of the same.

    A pair of which a side is longer than `max_length` tokens is left out. RegardError if the disk is full.
    """
    if made_of(folder) == fingerprint:
        return open_corpus(folder)
    beside = folder.with_name(folder.name + ".part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        _write(pairs, source, target, beside, max_length)
        (beside / "corpus.json").write_text(json.dumps({"fingerprint": fingerprint}) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)
    except OSError as error:
        raise RegardError(
            f"{folder} cannot be written ({error.strerror}): make room or choose another folder"
        ) from error
    return open_corpus(folder)


def _write(
    pairs: Iterable[tuple[int, str, str]], source: Tokenizer, target: Tokenizer, folder: Path, max_length: int
) -> None:
    dtype = np.uint16 if max(source.size, target.size) <= 1 << 16 else np.uint32
    lengths: list[np.ndarray] = []
    sources: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    too_long: list[int] = []
    rest = iter(pairs)
    with open(folder / "ids.bin", "wb") as file:
        while chunk := list(islice(rest, CHUNK)):
            lines = [line for line, _, _ in chunk]
            encoded = list(
                zip(
                    lines,
                    source.encode_batch([s for _, s, _ in chunk]),
                    target.encode_batch([t for _, _, t in chunk]),
                    strict=True,
                )
            )
            fitting = [(n, s, t) for n, s, t in encoded if len(s) <= max_length and len(t) <= max_length]
            too_long += [n for n, s, t in encoded if len(s) > max_length or len(t) > max_length]
            flat = np.fromiter((i for _, s, t in fitting for side in (s, t) for i in side), dtype=dtype)
            file.write(flat.tobytes())
            lengths.append(np.array([len(s) + len(t) for _, s, t in fitting], dtype=np.int64))
            sources.append(np.array([len(s) for _, s, _ in fitting], dtype=np.int64))
            rows.append(np.array([n - 1 for n, _, _ in fitting], dtype=np.int64))
    empty = np.zeros(0, dtype=np.int64)
    np.save(folder / "starts.npy", np.concatenate(([0], np.concatenate(lengths or [empty]).cumsum())).astype(np.int64))
    np.save(folder / "source_lengths.npy", np.concatenate(sources or [empty]))
    np.save(folder / "rows.npy", np.concatenate(rows or [empty]))
    np.save(folder / "too_long.npy", np.array(too_long, dtype=np.int64))
    (folder / "dtype.json").write_text(json.dumps(np.dtype(dtype).name) + "\n", encoding="utf-8")


def made_of(folder: Path) -> str | None:
    """The fingerprint of the token files in a folder; None where there are none that are whole."""
    try:
        facts = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        starts, *others = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS)
        dtype = _dtype(folder)
        whole = (folder / "ids.bin").stat().st_size == int(starts[-1]) * dtype.itemsize
        whole = whole and all(len(other) == len(starts) - 1 for other in others[:2])
        return facts["fingerprint"] if whole else None
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None  # cut off: it is made again


def _dtype(folder: Path) -> np.dtype:
    return np.dtype(json.loads((folder / "dtype.json").read_text(encoding="utf-8")))


def open_corpus(folder: Path) -> Corpus:
    starts, sources, rows, too_long = (np.load(folder / f"{name}.npy") for name in ARRAYS)
    dtype = _dtype(folder)
    if starts[-1] == 0:
        return Corpus(np.zeros(0, dtype=dtype), starts, sources, rows, too_long.tolist())
    # As a plain array over the same mapped memory: a slice of a memmap costs ten times as much.
    ids = np.asarray(np.memmap(folder / "ids.bin", dtype=dtype, mode="r"))
    return Corpus(ids, starts, sources, rows, too_long.tolist())
