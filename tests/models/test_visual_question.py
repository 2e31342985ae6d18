"""Every co-attention learns what neither picture nor question tells alone; weights are shares; padding never matters."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from regard.attention import capture
from regard.attention.pooling import AttentivePooling
from regard.data.questions import QuestionBatch, QuestionBatches
from regard.layers import Embedding, Recurrent
from regard.layers.vision import ConvGrid, SinusoidalGrid
from regard.models import RecurrentEncoder
from regard.models.captioning import GridEncoder
from regard.models.visual_question import Fusing, PooledFusion, VisualQuestion, WordEncoder, fusion, joined

D, CLASSES, LEFT, RIGHT, FILLER = 8, 3, 4, 5, 6
ATTENDING: list[Fusing] = ["parallel", "alternating", "hierarchical", "dense", "modular"]
EVERY: list[Fusing] = list(get_args(Fusing))


def sides() -> QuestionBatch:
    """Pictures whose two sides have different colours, of three, and for each "which is on the left?" and "… right?".

    A guess from the question is right once in three times, one from the picture once in two.
    """
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=np.uint8)
    pairs = list(itertools.permutations(range(CLASSES), 2))
    pictures = np.stack([np.repeat(colours[list(pair)], 4, axis=0)[None].repeat(4, axis=0) for pair in pairs])
    asked, answers = [], []
    for number, pair in enumerate(pairs):
        asked += [(number, [LEFT]), (number, [FILLER, RIGHT, FILLER])]
        answers += pair
    return next(QuestionBatches(pictures, asked, answers, 99, 0, shuffle=False).epoch(0))


def model(kind: Fusing) -> VisualQuestion:
    regions = GridEncoder(ConvGrid(3, [8], D, groups=2, positions=SinusoidalGrid(D)), D)
    embedding = Embedding(7, D)
    words: nn.Module = RecurrentEncoder(embedding, Recurrent("gru", D, D // 2, bidirectional=True), dropout=0.0)
    if kind == "hierarchical":
        words = WordEncoder(embedding, dropout=0.0)
    join = fusion(kind, D, 6, layers=2, heads=2)
    output = nn.Sequential(nn.Linear(join.vectors * D, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    return VisualQuestion(regions, words, join, output)


def trained_accuracy(kind: Fusing, steps: int) -> float:
    batch, network = sides(), model(kind)
    steps_of = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(steps):
        steps_of.zero_grad()
        nn.functional.cross_entropy(network(batch), batch.labels).backward()
        steps_of.step()
    return (network(batch).argmax(dim=-1) == batch.labels).double().mean().item()


@pytest.mark.parametrize("kind", [*ATTENDING, "none"])
def test_both_sides_together_tell_everything(kind: Fusing) -> None:
    assert trained_accuracy(kind, 120) == 1.0


@pytest.mark.parametrize(("kind", "best"), [("question-only", 1 / 3), ("image-only", 1 / 2)])
def test_one_side_alone_reaches_no_more_than_it_tells(kind: Fusing, best: float) -> None:
    assert trained_accuracy(kind, 60) <= best + 1e-9


@pytest.mark.parametrize("kind", EVERY)
def test_weights_are_shares_and_padding_never_matters(kind: Fusing) -> None:
    network, batch = model(kind).double().eval(), sides()
    together, (over_regions, over_words) = network(batch), network.weights(batch)
    looks = 3 if kind == "hierarchical" else 1
    assert over_regions.shape == (12, looks, 8) and over_words.shape == (12, looks, 4)
    assert network.grid(batch.images) == (2, 4)
    for weights, unseen in ((over_regions, "question-only"), (over_words, "image-only")):
        torch.testing.assert_close(weights.sum(-1), torch.full((12, looks), float(kind != unseen)))
        assert (weights >= 0).all()
    for row in range(12):
        length = int(batch.source_lengths[row])
        assert (over_words[row, :, length:] == 0).all()
        alone = QuestionBatch(
            batch.images[batch.picture[row] :][:1],
            torch.tensor([0]),
            batch.source[row : row + 1, :length],
            batch.source_lengths[row : row + 1],
            batch.labels[row : row + 1],
            batch.rows[row : row + 1],
        )
        torch.testing.assert_close(together[row], network(alone)[0])
        torch.testing.assert_close(over_words[row, :, :length], network.weights(alone)[1][0])
        torch.testing.assert_close(over_regions[row], network.weights(alone)[0][0])
    batch.source[batch.source == 0] = FILLER  # whatever stands in the padding
    torch.testing.assert_close(network(batch), together, rtol=0, atol=0)


@pytest.mark.parametrize("kind", EVERY)
def test_every_parameter_learns(kind: Fusing) -> None:
    network, batch = model(kind).train(), sides()
    nn.functional.cross_entropy(network(batch), batch.labels).backward()
    blind = {"question-only": "regions.", "image-only": "words."}.get(kind, "nothing")
    for name, parameter in network.named_parameters():
        if not name.startswith(blind):
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_the_modular_units_are_seen_by_capture() -> None:
    network = model("modular").eval()
    with capture(network) as seen:
        network(sides())
    assert {"fusion.coattention.words.1.attention.attend", "fusion.coattention.regions.1.guided.attend"} <= set(seen)
    assert seen["fusion.coattention.regions.1.guided.attend"][0].shape == (12, 2, 8, 4)


def test_the_joined_vector_by_hand() -> None:
    v, q = torch.tensor([[2.0, -1.0]]), torch.tensor([[3.0, 5.0]])
    assert joined(v, q).tolist() == [[2.0, -1.0, 3.0, 5.0, 6.0, -5.0]]


def test_the_vector_is_the_weighted_mean_of_what_was_read() -> None:
    network, batch = model("parallel").double().eval(), sides()
    V, Q, mask = network.read(batch)
    a_v, a_q = network.fusion.weights(V, Q, mask)
    v, q = (a_v @ V).squeeze(1), (a_q @ Q.masked_fill(~mask[..., None], 0)).squeeze(1)
    torch.testing.assert_close(network.fusion(V, Q, mask), torch.cat((v, q, v * q), dim=-1))


def test_misuse_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="give at least one pooling"):
        PooledFusion(None, None, None)
    with pytest.raises(ValueError, match="no way 'paralel' to join a picture and a question: parallel, alternating"):
        fusion("paralel", D, 6)  # type: ignore[arg-type]
    assert PooledFusion(None, None, AttentivePooling(D, 3)).vectors == 1
