"""Captioners: every decoder over a picture, all at once and step by step; the gate; weights that unfold to places."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
import torch
from torch import nn

from regard.attention import Attend, Hard, MultiHead, capture, record
from regard.attention.normalizers import softmax
from regard.attention.scopes import Causal
from regard.attention.scores import Additive, ScaledDot
from regard.batch import BOS, EOS, rectangle
from regard.data.captions import CaptionBatch
from regard.decoding import Constraints, beam_search, greedy
from regard.layers import Bridge, DecoderLayer, Embedding, EncoderLayer, FeedForward, Recurrent, Sinusoidal
from regard.layers.vision import ConvGrid, SinusoidalGrid
from regard.models import BahdanauDecoder, FixedDecoder, LuongDecoder, TransformerDecoder
from regard.models.captioning import GatedDecoder, GridEncoder, ImageCaptioner
from regard.tasks.translation import Looking, loss
from regard.training.attention_losses import doubly_stochastic

VOCABULARY, DIM, HIDDEN = 17, 12, 10
KINDS = (
    "gated",
    "gated-gru",
    "gated-hard",
    "gated-gumbel",
    "bahdanau",
    "luong",
    "luong-fed",
    "fixed",
    "transformer",
    "transformer-grid",
)


_NORMALIZE = {"gated-hard": Hard, "gated-gumbel": lambda: Hard("gumbel")}


def multihead(dim: int, heads: int = 3) -> MultiHead:
    return MultiHead(dim, heads, Attend(ScaledDot()))


def captioner(
    kind: str, vocabulary: int = VOCABULARY, dim: int = DIM, hidden: int = HIDDEN, widths: tuple[int, ...] = (4, 6)
) -> ImageCaptioner:
    torch.manual_seed(4)
    grid = ConvGrid(3, widths, dim, groups=2, positions=SinusoidalGrid(dim))
    embedding = Embedding(vocabulary, 7)
    if kind.startswith("transformer"):
        inner = [
            EncoderLayer(dim, multihead(dim), FeedForward(dim, 20), dropout=0.0, pre_norm=True)
            for _ in range(kind == "transformer-grid")
        ]
        layers = [
            DecoderLayer(
                dim, MultiHead(dim, 3, Attend(ScaledDot(), scope=Causal())), multihead(dim), FeedForward(dim, 20),
                dropout=0.0, pre_norm=True,
            )
            for _ in range(2)
        ]  # fmt: skip
        decoder: nn.Module = TransformerDecoder(
            Embedding(vocabulary, dim, dim**0.5),
            Sinusoidal(dim),
            layers,
            nn.Linear(dim, vocabulary),
            dropout=0.0,
            pre_norm=True,
        )
        return ImageCaptioner(GridEncoder(grid, dim, inner), decoder)
    cell: Any = "gru" if kind.endswith("gru") else "lstm"
    parts = 1 if cell == "gru" else 2
    encoder = GridEncoder(grid, dim, parts=parts)
    bridge, output = Bridge(dim, hidden, 1, parts), nn.Linear(9, vocabulary)
    if kind == "fixed":
        layers = Recurrent(cell, 7, hidden)
        return ImageCaptioner(
            encoder, FixedDecoder(embedding, layers, bridge, output, context="initial", context_dim=dim, dropout=0.0)
        )
    attend = Attend(Additive(hidden, dim, 8), _NORMALIZE.get(kind, lambda: softmax)())
    if kind.startswith("luong"):
        fed = kind == "luong-fed"
        layers = Recurrent(cell, 7 + (9 if fed else 0), hidden)
        return ImageCaptioner(
            encoder,
            LuongDecoder(embedding, layers, bridge, output, attend, context_dim=dim, input_feeding=fed, dropout=0.0),
        )
    make = GatedDecoder if kind.startswith("gated") else BahdanauDecoder
    layers = Recurrent(cell, 7 + dim, hidden)
    return ImageCaptioner(encoder, make(embedding, layers, bridge, output, attend, context_dim=dim, dropout=0.0))


def batch_of(count: int = 5, height: int = 11, width: int = 13) -> Any:
    draw = random.Random(1)
    captions = [[BOS, *(draw.randrange(4, VOCABULARY) for _ in range(n)), EOS] for n in (3, 1, 6, 0, 4)[:count]]
    target, lengths = rectangle(captions)
    images = torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8)
    return CaptionBatch(images, torch.arange(count), target, lengths, torch.arange(count))


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_is_looked_at_once_for_two_captions_equals_one_that_comes_twice(kind: str) -> None:
    model, shared = captioner(kind).double().eval(), batch_of()
    shared = dataclasses.replace(shared, images=shared.images[:3], picture=torch.tensor([0, 1, 1, 2, 0]))
    apart = dataclasses.replace(shared, images=shared.images[shared.picture], picture=torch.arange(5))
    found, gradients = [], []
    for batch in (shared, apart):
        model.zero_grad()
        found.append(model(batch))
        found[-1].square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("kind", KINDS)
def test_teaching_equals_speaking_step_by_step(kind: str) -> None:
    model, batch = captioner(kind).double().eval(), batch_of()
    expected = model(batch)
    memory = model.encode(batch.images)
    decoder: Any = model.decoder
    state, found = decoder.start(memory), []
    for step in batch.target[:, :-1].split(1, dim=1):
        logits, state = decoder(step, state, memory)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, dim=1), expected, rtol=0, atol=1e-12)
    features, said = model.features(batch)
    assert len(said) == batch.target_tokens
    log_p, labels = model.log_probabilities(batch)
    assert torch.equal(labels, said)
    torch.testing.assert_close(torch.log_softmax(model.output(features), dim=-1), log_p)


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_with_several_hypotheses_finds_what_each_picture_alone_finds(kind: str) -> None:
    model, batch = captioner(kind).double().eval(), batch_of(3)
    decoder: Any = model.decoder
    with torch.inference_mode():
        together = beam_search(decoder, model.encode(batch.images), Constraints(max_length=6), beam=3, nbest=2)
        for image, expected in zip(batch.images, together, strict=True):
            [alone] = beam_search(decoder, model.encode(image[None]), Constraints(max_length=6), beam=3, nbest=2)
            assert [h.ids for h in alone] == [h.ids for h in expected]


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "fixed"])
def test_weights_unfold_to_the_places_of_the_picture(kind: str) -> None:
    model, batch = captioner(kind).eval(), batch_of()
    rows, columns = model.grid(batch.images)
    assert (rows, columns) == (3, 4)
    weights = model.look(batch)
    layers, heads = (2, 3) if kind.startswith("transformer") else (1, 1)
    assert weights.shape == (5, layers, heads, batch.target.shape[1] - 1, rows * columns)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
    assert model.read(batch).shape == (5, rows * columns) and bool(model.read(batch).all())


def test_the_decoder_starts_from_two_networks_of_the_mean_place() -> None:
    model, batch = captioner("gated").double().eval(), batch_of()
    memory, decoder = model.encode(batch.images), model.decoder
    assert isinstance(decoder, GatedDecoder)
    mean = memory.values.mean(dim=1)
    hidden, cell = decoder.start(memory).hidden
    first, second = decoder.bridge.maps
    torch.testing.assert_close(hidden[:, 0], torch.tanh(first(mean)))
    torch.testing.assert_close(cell[:, 0], second(mean))


def test_the_gate_weighs_the_context() -> None:
    model, batch = captioner("gated").double().eval(), batch_of()
    decoder = model.decoder
    assert isinstance(decoder, GatedDecoder)
    memory = model.encode(batch.images)
    query = torch.randn(5, 1, HIDDEN, dtype=torch.float64)
    with capture(model) as seen:
        context, _ = decoder.look(query, memory, None, 0)
    [weights] = next(iter(seen.values()))
    beta = 1 / (1 + torch.exp(-(query @ decoder.gate.weight[0] + decoder.gate.bias)))
    torch.testing.assert_close(context, beta[..., None] * (weights @ memory.values))
    with torch.no_grad():
        decoder.gate.bias.fill_(-1e9)
    other = dataclasses.replace(memory, values=torch.randn_like(memory.values))
    state = decoder.start(memory)
    closed, opened = (decoder(batch.target[:, :-1], state, m)[0] for m in (memory, other))
    torch.testing.assert_close(closed, opened)


def test_a_wrong_number_of_parts() -> None:
    with pytest.raises(ValueError, match="1 part, or 2 in an LSTM, not 3"):
        GridEncoder(nn.Identity(), 4, parts=3)


def corners(count: int, seed: int) -> Any:
    """Four corners, each red, green or blue, under noise; the caption names them row by row."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 90, (count, 8, 8, 3), generator=draw, dtype=torch.uint8)
    colours = torch.randint(0, 3, (count, 4), generator=draw)
    for image, row in zip(images, colours.tolist(), strict=True):
        for corner, colour in enumerate(row):
            top, left = 4 * (corner // 2), 4 * (corner % 2)
            image[top : top + 4, left : left + 4, colour] += 150
    target, lengths = rectangle([[BOS, *(4 + colour for colour in row), EOS] for row in colours.tolist()])
    return CaptionBatch(images, torch.arange(count), target, lengths, torch.arange(count))


@pytest.mark.parametrize(
    ("kind", "rate", "steps", "least"),
    [
        ("gated", 0.01, 150, 90),
        ("gated-gumbel", 0.02, 200, 90),
        ("luong-fed", 0.01, 150, 90),
        ("transformer", 0.01, 150, 90),
    ],
)
def test_it_learns_to_look_at_one_corner_after_the_other(kind: str, rate: float, steps: int, least: int) -> None:
    model = captioner(kind, 7, 24, 32, widths=(16,))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 15) * (1 - step / steps)
        found = loss(model.train(), corners(48, step), smoothing=0.0)
        optimizer.zero_grad()
        (found.total / found.tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    unseen, decoder = corners(100, 10_000), model.eval().decoder
    assert isinstance(decoder, nn.Module)
    with torch.inference_mode():
        said = greedy(decoder, model.encode(unseen.images), Constraints(max_length=6))  # type: ignore[arg-type]
    right = sum(h.ids == row[1:5] for [h], row in zip(said, unseen.target.tolist(), strict=True))
    assert right >= least


def test_losses_of_the_weights_ask_for_every_place() -> None:
    model, batch = captioner("gated").double().train(), batch_of()
    with record(model.looking) as [seen]:
        model.features(batch)
    said = torch.arange(batch.target.shape[1] - 1) < batch.target_lengths[:, None] - 1
    found = doubly_stochastic(seen.weights(), said, model.read(batch))
    weights = seen.weights().detach()
    expected = sum(
        (1 - float(weights[b, : int(batch.target_lengths[b]) - 1, place].sum())) ** 2
        for b in range(5)
        for place in range(12)
    )
    assert float(found.detach()) == pytest.approx(expected)
    found.backward()


def test_a_loss_of_the_weights_is_added_to_that_of_the_words() -> None:
    model, batch = captioner("transformer").double().train(), batch_of()
    weights = model.look(batch).mean(dim=2)  # of heads: [B, L, T, S]
    said = torch.arange(weights.shape[2]) < batch.target_lengths[:, None] - 1
    seen = (weights * said[:, None, :, None]).sum(dim=2)
    expected = 0.7 * float((1 - seen).square().sum())
    with_weights = loss(model, batch, smoothing=0.0, looking=Looking(doubly_stochastic=0.7))
    alone = loss(model, batch, smoothing=0.0)
    assert float((with_weights.total - alone.total).detach()) == pytest.approx(expected)
    assert with_weights.tokens == batch.target_tokens


def test_hard_attention_learns_from_what_its_choices_bring() -> None:
    model, batch = captioner("gated-hard").train(), batch_of()
    found = loss(model, batch, smoothing=0.0)
    assert found.tokens == batch.target_tokens
    found.total.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    [attend] = model.looking
    assert any(bool(p.grad.abs().sum() > 0) for p in attend.parameters() if p.grad is not None)
