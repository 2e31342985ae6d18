"""A training that begins with vectors of words that were learned elsewhere."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from regard.data import Tokenizer
from regard.data.vectors import read_vectors, words_of
from regard.errors import UsageError
from regard.layers import Embedding


def begin_with_vectors(
    embedding: Embedding, tokenizer: Tokenizer, file: Path, key: str, size: str, console: Console
) -> None:
    """Gives the words of a vocabulary their vectors of the file that `key` names, and says how many have one; the others
    stay as they were drawn. UsageError, too, where the vectors are of another size than the recipe's key `size`."""
    found = read_vectors(file, tokenizer)
    if found.dim != embedding.dim:
        raise UsageError(
            f"{key}: {file} has vectors of {found.dim} numbers, and {size} is {embedding.dim}: set it to {found.dim}"
        )
    embedding.begin_with(torch.tensor(found.ids), torch.from_numpy(found.rows))
    console.print(
        f"{key}: {len(found.ids):,} of {len(words_of(tokenizer)):,} words of the vocabulary begin with their vector"
        + (f", {found.lowered:,} of them with that of small letters" if found.lowered else ""),
        highlight=False,
    )


def embedding_of(network: nn.Module) -> Embedding:
    """The embedding of what a network reads, which has one."""
    return next(module for module in network.modules() if isinstance(module, Embedding))
