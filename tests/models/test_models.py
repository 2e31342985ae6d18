"""Every model speaks the one decoder call: all at once, step by step, several hypotheses a source, padded or not."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import nn

from regard import build
from regard.attention import capture
from regard.batch import BOS, EOS, Batch, rectangle
from regard.config import recipe_of
from regard.models import BahdanauDecoder, EncoderDecoder, FixedDecoder, LuongDecoder

SOURCE_SIZE, TARGET_SIZE = 13, 17
RECURRENT: dict[str, Any] = {"kind": "recurrent", "embedding": 6, "hidden": 8, "dropout": 0.0}
TRANSFORMER: dict[str, Any] = {
    "kind": "transformer",
    "dim": 12,
    "heads": 3,
    "feed_forward": 20,
    "encoder_layers": 2,
    "decoder_layers": 2,
}
MODELS: dict[str, dict[str, Any]] = {
    **{f"{cell}-bahdanau": RECURRENT | {"cell": cell} for cell in ("rnn", "gru", "lstm")},
    "luong-fed": RECURRENT | {"decoder": "luong", "attention": {"score": "general"}},
    "luong": RECURRENT | {"decoder": "luong", "input_feeding": False, "cell": "lstm"},
    "luong-dot": RECURRENT | {"decoder": "luong", "bidirectional": False, "attention": {"score": "dot"}},
    "luong-window": RECURRENT
    | {"decoder": "luong", "attention": {"score": "general", "scope": {"kind": "window", "left": 1, "right": 2}}},
    "bahdanau-window-sparsemax": RECURRENT
    | {"attention": {"normalize": "sparsemax", "scope": {"kind": "window", "left": 2, "right": 1}}},
    "deep": RECURRENT | {"encoder_layers": 2, "decoder_layers": 3, "cell": "lstm"},
    **{
        f"bahdanau-{name}": RECURRENT | {"attention": part}
        for name, part in {
            "cosine": {"score": "cosine"},
            "distance": {"score": "distance"},
            "location": {"score": "location"},
            "location-sensitive": {"score": "location-sensitive", "filters": 3, "width": 3},
            "coverage": {"score": "coverage"},
            "monotonic": {"normalize": "monotonic"},
            "mocha": {"normalize": "mocha", "chunk": 2},
            "entmax15": {"normalize": "entmax15"},
            "top-k": {"normalize": "top-k", "top_k": 2},
            "hard": {"normalize": "hard"},
            "local-m": {"scope": {"kind": "local-monotonic", "window": 1}},
            "local-p": {"scope": {"kind": "local-predictive", "window": 1}},
        }.items()
    },
    "luong-fed-coverage": RECURRENT | {"decoder": "luong", "attention": {"score": "coverage"}},
    "luong-location-sensitive": RECURRENT
    | {"decoder": "luong", "input_feeding": False, "attention": {"score": "location-sensitive"}},
    "luong-local-p": RECURRENT
    | {"decoder": "luong", "attention": {"score": "general", "scope": {"kind": "local-predictive", "window": 1}}},
    "fixed-initial": RECURRENT | {"decoder": "fixed-initial"},
    "fixed-background": RECURRENT | {"decoder": "fixed-background", "cell": "lstm", "decoder_layers": 2},
    "pre": TRANSFORMER,
    "post": TRANSFORMER | {"norm": "post"},
    "rotary": TRANSFORMER | {"positions": "rotary"},
    "learned": TRANSFORMER | {"positions": "learned"},
    "relative": TRANSFORMER | {"positions": "relative", "reach": 2},
    "alibi": TRANSFORMER | {"positions": "alibi"},
    "grouped": TRANSFORMER | {"heads": 6, "kv_heads": 2},
    "multi-query": TRANSFORMER | {"kv_heads": 1, "positions": "rotary"},
    "mixed-heads": TRANSFORMER
    | {
        "encoder_attention": [{"score": "dot"}, {"score": "general", "scope": {"kind": "local-predictive"}}],
        "decoder_attention": {"score": "cosine", "normalize": "entmax15"},
        "cross_attention": [
            {"score": "scaled-dot", "scope": {"kind": "local-predictive", "window": 2}},
            {"score": "additive", "scope": {"kind": "local-monotonic", "window": 2}},
        ],
    },
    "additive-heads": TRANSFORMER | {"attention": {"score": "additive"}},
    "window-heads": TRANSFORMER
    | {"attention": {"score": "scaled-dot", "scope": {"kind": "window", "left": 2, "right": 1}}},
}
models = pytest.mark.parametrize("name", MODELS)


def made(name: str, **changes: object) -> EncoderDecoder:
    torch.manual_seed(4)
    part = recipe_of({"model": MODELS[name] | changes}).model
    model = build.encoder_decoder(part, SOURCE_SIZE, TARGET_SIZE, shared=False, max_length=30).double().eval()
    for parameter in model.parameters():  # zero biases would hide a bias that is left out
        if parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.3)
    return model


def batch_of(sources: list[list[int]], targets: list[list[int]]) -> Batch:
    source, source_lengths = rectangle([[*s, EOS] for s in sources])
    target, target_lengths = rectangle([[BOS, *t, EOS] for t in targets])
    return Batch(source, source_lengths, target, target_lengths, torch.arange(len(sources)))


SOURCES = [[4, 5, 6, 7, 8], [9, 10], [11, 12, 4, 4]]
TARGETS = [[4, 5, 6], [7, 8, 9, 10, 11, 12], [13]]


@models
def test_step_by_step_equals_all_at_once(name: str) -> None:
    model, batch = made(name), batch_of(SOURCES, TARGETS)
    whole = model(batch)
    memory = model.encode(batch.source, batch.source_lengths)
    decoder = model.decoder
    state, logits = decoder.start(memory), []  # type: ignore[operator]
    for token in batch.target[:, :-1].split(1, dim=1):
        step, state = decoder(token, state, memory)
        logits.append(step)
    torch.testing.assert_close(torch.cat(logits, dim=1), whole)


@models
def test_a_pair_in_a_padded_batch_equals_the_pair_alone(name: str) -> None:
    model = made(name)
    whole = model(batch_of(SOURCES, TARGETS))
    for i, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        alone = model(batch_of([source], [target]))[0]
        torch.testing.assert_close(whole[i, : len(target) + 1], alone)


@models
def test_what_fills_the_rectangle_has_no_meaning(name: str) -> None:
    model, batch = made(name), batch_of(SOURCES, TARGETS)
    source, target = batch.source.clone(), batch.target.clone()
    for i in range(len(SOURCES)):
        source[i, batch.source_lengths[i] :] = 7
        target[i, batch.target_lengths[i] :] = 7
    other = Batch(source, batch.source_lengths, target, batch.target_lengths, batch.rows)
    first, second = model.features(batch), model.features(other)
    torch.testing.assert_close(first[0], second[0])
    assert torch.equal(first[1], second[1])


@models
def test_hypotheses_of_one_source_go_their_own_ways_over_one_memory(name: str) -> None:
    """Three rows a source, chosen and reordered between steps, equal each of them forced alone."""
    model, batch = made(name), batch_of(SOURCES, TARGETS)
    decoder = model.decoder
    memory = model.encode(batch.source, batch.source_lengths)
    state = decoder.start(memory)  # type: ignore[operator]
    tokens = torch.full((3, 1), BOS)
    _, state = decoder(tokens, state, memory)
    rows = torch.arange(3).repeat_interleave(3)
    state = state.select(rows)
    said = [torch.arange(4, 13)[:, None]]
    _, state = decoder(said[0], state, memory)
    order = torch.tensor([2, 0, 0, 4, 5, 3, 8, 8, 7])  # within each source
    said = [said[0][order], torch.arange(5, 14)[:, None]]
    logits, _ = decoder(said[1], state.select(order), memory)
    prefix = torch.cat([torch.full((9, 1), BOS), *said], dim=1)
    for row in range(9):
        alone = memory.select(torch.tensor([row // 3]))
        forced, _ = decoder(prefix[row : row + 1], decoder.start(alone), alone)  # type: ignore[operator]
        torch.testing.assert_close(logits[row, -1], forced[0, -1])


@models
def test_the_observer_changes_nothing_and_sees_each_step(name: str) -> None:
    model, batch = made(name), batch_of(SOURCES, TARGETS)
    sights = model.sights()
    assert bool(sights) != name.startswith("fixed")
    if not sights:
        return
    before = model(batch)
    with capture(model, sights) as seen:
        during = model(batch)
    assert torch.equal(before, during)
    for sight in sights:
        weights = seen.steps(sight)
        assert weights.shape[-2:] == (batch.target.shape[1] - 1, batch.source.shape[1])
        for i, length in enumerate(batch.source_lengths):
            assert (weights[i, ..., length:] == 0).all()
            if name == "luong-window":  # step t sees [t - 1, t + 2]
                for t in range(weights.shape[-2]):
                    near = [s for s in range(int(length)) if t - 1 <= s <= t + 2]
                    assert weights[i, t].nonzero().flatten().tolist() == near
        if not any(word in name for word in ("window", "local", "monotonic", "mocha", "mixed")):
            torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))


@models
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model, batch = made(name).train(), batch_of(SOURCES, TARGETS)
    model(batch).square().sum().backward()
    for parameter, value in model.named_parameters():
        # An Elman cell under an LSTM bridge has none to spare; every weight takes part.
        assert value.grad is not None and bool(value.grad.abs().sum() > 0), parameter


def test_bahdanaus_step_by_hand() -> None:
    """One GRU step from the equations of the paper's appendix A.2.2 with the context inside all gates."""
    model, batch = made("gru-bahdanau"), batch_of([SOURCES[0]], [[5]])
    decoder = model.decoder
    assert isinstance(decoder, BahdanauDecoder)
    memory = model.encode(batch.source, batch.source_lengths)
    s = decoder.start(memory).hidden[0][:, 0]
    score = decoder.attend.score
    e = torch.tanh(s @ score.query.weight.T + memory.values[0] @ score.key.weight.T) @ score.v  # type: ignore[union-attr, operator]
    c = torch.softmax(e, -1) @ memory.values[0]
    y = decoder.embedding.weight[BOS][None]
    cell = decoder.layers.layers[0]
    w, u = cell.weight_ih_l0.chunk(3), cell.weight_hh_l0.chunk(3)  # type: ignore[union-attr, operator]
    bw, bu = cell.bias_ih_l0.chunk(3), cell.bias_hh_l0.chunk(3)  # type: ignore[union-attr, operator]
    x = torch.cat((y, c[None]), -1)
    r = torch.sigmoid(x @ w[0].T + bw[0] + s @ u[0].T + bu[0])
    z = torch.sigmoid(x @ w[1].T + bw[1] + s @ u[1].T + bu[1])
    n = torch.tanh(x @ w[2].T + bw[2] + r * (s @ u[2].T + bu[2]))
    s = z * s + (1 - z) * n
    t = torch.tanh(torch.cat((s, y, c[None]), -1) @ decoder.readout.weight.T + decoder.readout.bias)
    torch.testing.assert_close(model(batch)[0, :1], t @ decoder.output.weight.T + decoder.output.bias)


def test_luongs_query_is_the_current_state() -> None:
    model, batch = made("luong"), batch_of([SOURCES[0]], [[5, 6]])
    decoder = model.decoder
    assert isinstance(decoder, LuongDecoder)
    memory = model.encode(batch.source, batch.source_lengths)
    states, _ = decoder.layers(decoder.embedding(batch.target[:, :-1]), decoder.start(memory).hidden)
    weights = decoder.attend.weights(states, memory.values)
    h = torch.tanh(decoder.readout(torch.cat((weights @ memory.values, states), -1)))
    torch.testing.assert_close(model(batch), decoder.output(h))


def test_a_fixed_context_passes_through_the_final_state_alone() -> None:
    for name in ("fixed-initial", "fixed-background"):
        model, batch = made(name), batch_of([SOURCES[0]], [[5, 6]])
        assert isinstance(model.decoder, FixedDecoder)
        memory = model.encode(batch.source, batch.source_lengths)
        values = {f.name: getattr(memory, f.name) for f in fields(memory)}
        blind = type(memory)(**(values | {"values": torch.full_like(memory.values, torch.nan)}))
        logits, _ = model.decoder(batch.target[:, :-1], model.decoder.start(blind), blind)
        torch.testing.assert_close(logits, model(batch))


def test_shared_and_tied_embeddings_are_one_matrix() -> None:
    part = recipe_of({"model": TRANSFORMER}).model
    model = build.encoder_decoder(part, 17, 17, shared=True, max_length=30)
    assert model.encoder.embedding.weight is model.decoder.embedding.weight is model.output.weight  # type: ignore[union-attr]
    untied = build.encoder_decoder(
        recipe_of({"model": TRANSFORMER | {"tie_embeddings": False}}).model, 17, 17, shared=True, max_length=30
    )
    assert untied.output.weight is not untied.decoder.embedding.weight  # type: ignore[union-attr]


def test_the_transformer_layer_equals_pytorchs() -> None:
    """An encoder of one layer with our weights poured into PyTorch's own."""
    for norm in ("pre", "post"):
        model = made("pre", norm=norm, encoder_layers=1)
        layer: Any = model.encoder.layers[0]  # type: ignore[index]
        theirs = nn.TransformerEncoderLayer(12, 3, 20, 0.0, batch_first=True, norm_first=norm == "pre").double().eval()
        theirs.load_state_dict(
            {
                "self_attn.in_proj_weight": layer.attention.projection.weight,
                "self_attn.in_proj_bias": layer.attention.projection.bias,
                "self_attn.out_proj.weight": layer.attention.output.weight,
                "self_attn.out_proj.bias": layer.attention.output.bias,
                "linear1.weight": layer.feed_forward.rise.weight,
                "linear1.bias": layer.feed_forward.rise.bias,
                "linear2.weight": layer.feed_forward.fall.weight,
                "linear2.bias": layer.feed_forward.fall.bias,
                "norm1.weight": layer.around_attention.norm.weight,
                "norm1.bias": layer.around_attention.norm.bias,
                "norm2.weight": layer.around_feed_forward.norm.weight,
                "norm2.bias": layer.around_feed_forward.norm.bias,
            }
        )
        x = torch.randn(3, 5, 12, dtype=torch.float64)
        hidden = torch.arange(5) >= torch.tensor([5, 2, 3])[:, None]
        ours = layer(x, ~hidden[:, None, None, :])
        torch.testing.assert_close(ours[~hidden], theirs(x, src_key_padding_mask=hidden)[~hidden])
