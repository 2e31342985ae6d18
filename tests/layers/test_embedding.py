"""Tokens to vectors, and tokens that are read as nothing."""

from __future__ import annotations

import pytest
import torch

from regard import build
from regard.config import RecurrentPart, TransformerPart
from regard.layers import Embedding


def test_a_share_of_the_tokens_is_read_as_nothing_while_it_trains() -> None:
    torch.manual_seed(1)
    embedding = Embedding(50, 8, scale=2.0, word_dropout=0.25)
    ids = torch.randint(0, 50, (200, 50))
    read = embedding(ids)
    lost = (read == 0).all(-1)
    # Of 10,000 draws with p = 1/4 the share has a standard deviation of 0.0043.
    assert abs(float(lost.float().mean()) - 0.25) < 0.02
    assert torch.equal(read[~lost], 2.0 * embedding.weight[ids[~lost]]), "the others stay as they are"
    assert float(lost.float().mean(0).std()) < 0.1, "each place for itself, and not whole columns"
    again = embedding(ids)
    assert not torch.equal((again == 0).all(-1), lost), "anew each time"


def test_all_are_read_where_it_speaks() -> None:
    embedding = Embedding(50, 8, word_dropout=0.9).eval()
    ids = torch.arange(50)[None]
    assert torch.equal(embedding(ids)[0], embedding.weight)


def test_what_is_not_read_learns_nothing() -> None:
    torch.manual_seed(2)
    embedding = Embedding(40, 4, word_dropout=0.5)
    read = embedding(torch.arange(40)[None])
    read.sum().backward()
    assert embedding.weight.grad is not None
    assert torch.equal(embedding.weight.grad, (read[0] != 0).any(-1, keepdim=True).float().expand(40, 4))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    "part",
    [
        RecurrentPart(kind="recurrent", embedding=4, hidden=8, word_dropout=0.2),
        TransformerPart(kind="transformer", dim=8, heads=2, feed_forward=8, word_dropout=0.2),
    ],
)
def test_a_recipe_says_how_many_of_both_sides(part: RecurrentPart | TransformerPart, shared: bool) -> None:
    model = build.encoder_decoder(part, 11, 11, shared=shared, max_length=9)
    found = [module for module in model.modules() if isinstance(module, Embedding)]
    assert [each.word_dropout for each in found] == [0.2] * (1 if shared else 2)
