"""Co-attention in layers: the dense one against its formula in plain loops, the modular one against PyTorch's layers.

The contract that all co-attention keeps is in test_coattention.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regard.attention import capture
from regard.attention.dense_coattention import DenseLayer, DenseSymmetricCoAttention, ModularCoAttention

B, N, T, D = 3, 7, 5, 6
REGIONS, WORDS = (7, 4, 1), (2, 5, 3)  # of each row


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`V, Q, v_mask, q_mask`."""
    v_mask = torch.arange(N) < torch.tensor(REGIONS)[:, None]
    q_mask = torch.arange(T) < torch.tensor(WORDS)[:, None]
    return torch.randn(B, N, D, dtype=torch.float64), torch.randn(B, T, D, dtype=torch.float64), v_mask, q_mask


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def softmaxed(scores: Sequence[float]) -> list[float]:
    exponentials = [math.exp(score) for score in scores]
    return [e / sum(exponentials) for e in exponentials]


def product(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """W x, term by term."""
    return np.array([sum(float(w) * float(x_d) for w, x_d in zip(row, x, strict=True)) for row in matrix])


@pytest.mark.parametrize("slots", [0, 3])
def test_dense_symmetric_by_its_formula(slots: int) -> None:
    maps, d = 2, D // 2
    module = DenseSymmetricCoAttention(D, maps, slots, layers=1).double()
    V, Q, v_mask, q_mask = batch()
    layer = module.layers[0]
    assert isinstance(layer, DenseLayer)
    map_v, map_q = array(layer.map_v), array(layer.map_q)
    over_regions, over_words = module.weights(V, Q, v_mask, q_mask)
    assert over_regions.shape == (B, T, N + slots) and over_words.shape == (B, N, T + slots)
    new_v, new_q = module(V, Q, v_mask, q_mask)
    for row, (regions, words) in enumerate(zip(REGIONS, WORDS, strict=True)):
        v = [*array(V[row, :regions]), *array(layer.slots_v)]
        q = [*array(Q[row, :words]), *array(layer.slots_q)]
        A_q, A_v = np.zeros((words, len(v))), np.zeros((regions, len(q)))
        for i in range(maps):
            part = slice(i * d, (i + 1) * d)
            C = [[float(product(map_q[part], y) @ product(map_v[part], x)) / math.sqrt(d) for x in v] for y in q]
            A_q += [softmaxed(C[t]) for t in range(words)]
            A_v += [softmaxed([C[t][n] for t in range(len(q))]) for n in range(regions)]
        kept = [*range(regions), *range(N, N + slots)]
        np.testing.assert_allclose(array(over_regions[row, :words, kept]), A_q / maps, atol=1e-12)
        kept = [*range(words), *range(T, T + slots)]
        np.testing.assert_allclose(array(over_words[row, :regions, kept]), A_v / maps, atol=1e-12)
        for mine, seen, fuse, out in (
            (v[:regions], A_v / maps @ np.array(q), layer.fuse_v, new_v[row]),
            (q[:words], A_q / maps @ np.array(v), layer.fuse_q, new_q[row]),
        ):
            for x, s, ours in zip(mine, seen, out, strict=False):
                fused = product(array(fuse.weight), np.concatenate((x, s))) + array(fuse.bias)
                np.testing.assert_allclose(array(ours), x + np.maximum(fused, 0.0), atol=1e-12)


def test_the_maps_of_stacked_layers_are_the_last_ones() -> None:
    module = DenseSymmetricCoAttention(D, maps=2, slots=3, layers=2).double()
    V, Q, v_mask, q_mask = batch()
    middle: tuple[Tensor, Tensor] = module.layers[0](V * v_mask[..., None], Q * q_mask[..., None], v_mask, q_mask)
    last = module.layers[1]
    assert isinstance(last, DenseLayer)
    for ours, theirs in zip(module.weights(V, Q, v_mask, q_mask), last.weights(*middle, v_mask, q_mask), strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(module(V, Q, v_mask, q_mask), last(*middle, v_mask, q_mask), strict=True):
        torch.testing.assert_close(ours, theirs)


def modular() -> ModularCoAttention:
    module = ModularCoAttention(D, heads=2, layers=2).double()
    for parameter in module.parameters():  # biases too
        nn.init.normal_(parameter, std=0.5)
    return module


def loaded(other: nn.Module, unit: nn.Module) -> Any:
    """One of PyTorch's own layers with the weights of a unit."""
    names = {
        "attention.projection.": "self_attn.in_proj_",
        "attention.output.": "self_attn.out_proj.",
        "guided.projection.": "multihead_attn.in_proj_",
        "guided.output.": "multihead_attn.out_proj.",
        "feed_forward.0.": "linear1.",
        "feed_forward.3.": "linear2.",
        **{f"norms.{i}.": f"norm{i + 1}." for i in range(3)},
    }
    renamed = {}
    for name, parameter in unit.named_parameters():
        [ours] = [prefix for prefix in names if name.startswith(prefix)]
        renamed[names[ours] + name.removeprefix(ours)] = parameter
    other.load_state_dict(renamed)
    return other


def test_modular_equals_pytorchs_layers_in_cascade() -> None:
    module = modular()
    V, Q, v_mask, q_mask = batch()
    words, regions = Q, V
    for unit in module.words:
        other = loaded(nn.TransformerEncoderLayer(D, 2, 4 * D, 0.0, batch_first=True).double(), unit)
        words = other(words, src_key_padding_mask=~q_mask)
    maps: list[Tensor] = []
    for unit in module.regions:
        other = loaded(nn.TransformerDecoderLayer(D, 2, 4 * D, 0.0, batch_first=True).double(), unit)
        attended, over_regions = other.self_attn(
            regions, regions, regions, key_padding_mask=~v_mask, average_attn_weights=False
        )
        between = other.norm1(regions + attended)
        _, over_words = other.multihead_attn(
            between, words, words, key_padding_mask=~q_mask, average_attn_weights=False
        )
        maps = [over_regions, over_words]
        regions = other(regions, words, tgt_key_padding_mask=~v_mask, memory_key_padding_mask=~q_mask)
    ours = module(V, Q, v_mask, q_mask)
    torch.testing.assert_close(ours[0], regions * v_mask[..., None])
    torch.testing.assert_close(ours[1], words * q_mask[..., None])
    for weights, expected in zip(module.weights(V, Q, v_mask, q_mask), maps, strict=True):
        torch.testing.assert_close(weights, expected * v_mask[:, None, :, None])


def test_capture_sees_every_unit_of_a_modular_one() -> None:
    module = modular()
    with capture(module) as seen:
        module(*batch())
    assert list(seen) == [
        *(f"words.{i}.attention.attend" for i in (0, 1)),
        *(f"regions.{i}.{which}.attend" for i in (0, 1) for which in ("attention", "guided")),
    ]
    torch.testing.assert_close(seen["words.1.attention.attend"][0].sum(-1), torch.ones(B, 2, T, dtype=torch.float64))


def test_dropout_is_for_training_alone() -> None:
    module = ModularCoAttention(D, 2, 1, dropout=0.5).double()
    V, Q, v_mask, q_mask = batch()
    assert not torch.equal(module(V, Q)[0], module(V, Q)[0])
    module.eval()
    assert torch.equal(module(V, Q, v_mask, q_mask)[0], module(V, Q, v_mask, q_mask)[0])


def test_numbers_that_cannot_be_are_named() -> None:
    with pytest.raises(ValueError, match="6 features cannot be shared out evenly among 4 maps"):
        DenseSymmetricCoAttention(D, 4, 1, 1)
    with pytest.raises(ValueError, match="0 slots or more, not -1"):
        DenseSymmetricCoAttention(D, 2, -1, 1)
    for make in (lambda: DenseSymmetricCoAttention(D, 2, 1, 0), lambda: ModularCoAttention(D, 2, 0)):
        with pytest.raises(ValueError, match="1 layer or more, not 0"):
            make()
