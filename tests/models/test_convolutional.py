"""The convolutional encoder against a loop over positions and words, in output and every gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regard.layers import Embedding
from regard.models.convolutional import ConvolutionalEncoder

WINDOWS = (1, 2, 3, 4)


def encoder(dropout: float = 0.0) -> ConvolutionalEncoder:
    torch.manual_seed(1)
    return ConvolutionalEncoder(Embedding(9, 5), WINDOWS, 3, dropout=dropout).double()


def plain(network: ConvolutionalEncoder, ids: list[int]) -> Tensor:
    """`relu(W · x + b)` of the words of each window, where there are any."""
    words = network.embedding(torch.tensor([ids]))[0]
    rows = []
    for s in range(len(ids)):
        found = []
        for size, layer in zip(WINDOWS, network.filters, strict=True):
            assert isinstance(layer, nn.Conv1d) and layer.bias is not None
            value = layer.bias.clone()
            for k in range(size):
                place = s - (size - 1) // 2 + k
                if 0 <= place < len(ids):
                    value = value + layer.weight[:, :, k] @ words[place]
            found.append(value.clamp_min(0))
        rows.append(torch.cat(found))
    return torch.stack(rows)


def test_windows_are_sums_over_their_words() -> None:
    fast, slow = encoder(), encoder()
    sources = [[4, 5, 6, 7, 8, 2], [3, 2], [2]]
    ids = torch.zeros(3, 6, dtype=torch.long)
    for row, source in zip(ids, sources, strict=True):
        row[: len(source)] = torch.tensor(source)
    ids[1, 2:] = 5  # whatever stands beyond a length
    memory = fast(ids, torch.tensor([len(source) for source in sources]))
    assert memory.values.shape == (3, 6, 12) and memory.source is ids
    values = [memory.values[i, : len(source)] for i, source in enumerate(sources)]
    expected = [plain(slow, source) for source in sources]
    for found, wanted in zip(values, expected, strict=True):
        torch.testing.assert_close(found, wanted)
    weight = torch.randn(9, 12, dtype=torch.float64)
    for parts in (values, expected):
        (torch.cat(parts) * weight).sum().backward()
    for (name, one), other in zip(fast.named_parameters(), slow.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None and one.grad.abs().sum() > 0, name
        torch.testing.assert_close(one.grad, other.grad)


def test_words_are_dropped_in_training_alone() -> None:
    network, ids, lengths = encoder(0.5), torch.tensor([[4, 5, 2]]), torch.tensor([3])
    assert not torch.equal(network(ids, lengths).values, network(ids, lengths).values)
    network.eval()
    torch.testing.assert_close(network(ids, lengths).values[0], plain(encoder(), [4, 5, 2]))


@pytest.mark.parametrize("windows", [(), (3, 0)])
def test_windows_hold_a_word_at_least(windows: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least a word"):
        ConvolutionalEncoder(Embedding(9, 5), windows, 3, dropout=0.0)
