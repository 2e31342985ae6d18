"""What the picture of a moving word shows: its paths, and the words that pull it most."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from regard.run.embedding.word import WordInSentence
from regard.view.plane import Move

PULLING = 4  # words drawn of each sentence


def moves(words: Sequence[WordInSentence]) -> list[Move]:
    """One for each sentence; the marks of its ends and the word itself pull nothing that could be drawn."""
    return [_move(word) for word in words]


def _move(word: WordInSentence) -> Move:
    pulls = word.pulls()
    names = [name for name, _ in word.layers[0].weights]
    inside = [i for i, there in enumerate(word.inside) if there and i != word.place]
    chosen = sorted(sorted(inside, key=lambda i: -pulls[i])[:PULLING])
    path = torch.stack([layer.vector for layer in (word.static, *word.layers)])
    return Move(
        word.sentence,
        path.numpy(),
        [names[i] for i in chosen],
        word.others[chosen].numpy(),
        [pulls[i] for i in chosen],
    )
