"""Word alignments of a training corpus, as what a decoder should look at while it says each token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from regard.batch import Batch
from regard.data.corpus import Corpus
from regard.data.reader import read_lines
from regard.data.tokenizer import Tokenizer
from regard.errors import UsageError

Row = Literal["output", "input"]


class Guide:
    """Links between words, line by line, as targets of attention between tokens.

    `row="output"` speaks to the step that says a token (Garg et al. 2019); `row="input"` to the step after it, which
    has read it and so knows what it has to find (Chen et al. 2020). A target token's links share its row evenly; a
    token without links has a row of zeros.
    """

    def __init__(
        self, links: Sequence[np.ndarray], tokenizers: tuple[Tokenizer, Tokenizer], row: Row, name: str = "the links"
    ) -> None:
        self.links, self.tokenizers, self.row, self.name = links, tokenizers, row, name

    @classmethod
    def read(
        cls, path: Path, lines: int, tokenizers: tuple[Tokenizer, Tokenizer], row: Row, *, exactly: bool = False
    ) -> Guide:
        """Pharaoh format, `0-0 1-2`, one line per pair of the corpus; UsageError names the line that is not. `lines` is how
        many there have to be, at least or `exactly`."""
        found = []
        number = 0
        for number, line in enumerate(read_lines(path), start=1):
            try:
                pairs = [tuple(int(part) for part in link.split("-")) for link in line.split()]
                if any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
                    raise ValueError(line)
            except ValueError as error:
                raise UsageError(
                    f"{path}, line {number}, is no alignment: write links as source-target word numbers from 0, "
                    "such as '0-0 1-2'"
                ) from error
            found.append(np.array(pairs, dtype=np.int32).reshape(-1, 2))
        if number < lines or (exactly and number > lines):
            least = "" if exactly else "at least "
            raise UsageError(f"{path} has {number:,} lines and the corpus {least}{lines:,}: give one line per pair")
        return cls(found, tokenizers, row, str(path))

    def check(self, corpus: Corpus) -> None:
        """UsageError where a link is of a word that its sentence does not have."""
        source, target = self.tokenizers
        for i, row in enumerate(corpus.rows.tolist()):
            links = self.links[row]
            if not len(links):
                continue
            words = [
                len(side.words(ids.tolist())[0])
                for side, ids in ((source, corpus.source(i)), (target, corpus.target(i)))
            ]
            past = links[(links >= words).any(axis=1)]
            if len(past):
                counts = "" if any((each == 0).any() for each in self.links) else "; no link of it is of a word 0"
                raise UsageError(
                    f"{self.name}, line {row + 1}: '{past[0][0]}-{past[0][1]}' is past the end of a source of {words[0]} "
                    f"and a target of {words[1]} words: count words from 0{counts}"
                )

    def __call__(self, batch: Batch) -> Float[Tensor, "B T S"]:
        """Targets for the T steps of the decoder and the S source tokens, the end among them."""
        size = (len(batch), batch.target.shape[1] - 1, batch.source.shape[1])
        found = np.zeros(size, dtype=np.float32)
        shift = int(self.row == "input")
        for i, (line, source, read, target, said) in enumerate(
            zip(
                batch.rows.tolist(),
                batch.source.tolist(),
                batch.source_lengths.tolist(),
                batch.target.tolist(),
                batch.target_lengths.tolist(),
                strict=True,
            )
        ):
            _, source_words = self.tokenizers[0].words(source[: read - 1])
            _, target_words = self.tokenizers[1].words(target[1 : said - 1])
            s, t = np.array(source_words, dtype=np.int64), np.array(target_words, dtype=np.int64)
            links = self.links[line]
            if not len(links) or not len(s) or not len(t):
                continue
            words = np.zeros((t.max() + 1, s.max() + 1), dtype=np.float32)
            inside = links[(links[:, 0] < words.shape[1]) & (links[:, 1] < words.shape[0])]
            words[inside[:, 1], inside[:, 0]] = 1
            found[i, shift : shift + len(t), : len(s)] = words[t][:, s]
        sums = found.sum(axis=-1, keepdims=True)
        return torch.from_numpy(found / np.maximum(sums, 1)).to(batch.source.device)
