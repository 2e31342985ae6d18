"""Poolings against their formulas in plain loops, and the contract: masks, empty rows, order, padding, gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from regard.attention.pooling import AttentivePooling, HierarchicalPooling, SelfAttentivePooling, masked_softmax

B, T, D, A, R = 3, 5, 7, 11, 2

POOLINGS = {"self-attentive": lambda: SelfAttentivePooling(D, A, R), "attentive": lambda: AttentivePooling(D, A)}
Pooling = SelfAttentivePooling | AttentivePooling

poolings = pytest.mark.parametrize("name", POOLINGS)


def made(name: str) -> tuple[Pooling, Tensor, Tensor]:
    """A pooling with no parameter at zero, and a batch of 5, 3 and 1 vectors."""
    pooling = POOLINGS[name]().double()
    for parameter in pooling.parameters():
        nn.init.normal_(parameter)
    mask = torch.arange(T) < torch.tensor([5, 3, 1])[:, None]
    return pooling, torch.randn(B, T, D, dtype=torch.float64), mask


def softmaxed(scores: Sequence[float]) -> list[float]:
    exponentials = [math.exp(score) for score in scores]
    return [e / sum(exponentials) for e in exponentials]


def test_attentive_pooling_by_its_formula() -> None:
    pooling, H, mask = made("attentive")
    assert isinstance(pooling, AttentivePooling)
    w, b, u_w = pooling.w.tolist(), pooling.b.tolist(), pooling.u_w.tolist()
    weights, pooled = pooling.weights(H, mask), pooling(H, mask)
    for row, length in enumerate((5, 3, 1)):
        h = H[row, :length].tolist()
        scores = [
            sum(u_w[a] * math.tanh(sum(w[a][d] * h_t[d] for d in range(D)) + b[a]) for a in range(A)) for h_t in h
        ]
        expected = softmaxed(scores)
        assert weights[row].tolist() == pytest.approx([*expected, *[0.0] * (T - length)], abs=1e-12)
        mean = [sum(alpha * h_t[d] for alpha, h_t in zip(expected, h, strict=True)) for d in range(D)]
        assert pooled[row].tolist() == pytest.approx(mean, abs=1e-12)


def test_self_attentive_pooling_by_its_formula() -> None:
    pooling, H, mask = made("self-attentive")
    assert isinstance(pooling, SelfAttentivePooling)
    w_1, w_2 = pooling.w_1.tolist(), pooling.w_2.tolist()
    weights, pooled = pooling.weights(H, mask), pooling(H, mask)
    assert weights.shape == (B, R, T) and pooled.shape == (B, R, D)
    for row, length in enumerate((5, 3, 1)):
        h = H[row, :length].tolist()
        hidden = [[math.tanh(sum(w_1[a][d] * h_t[d] for d in range(D))) for a in range(A)] for h_t in h]
        for hop in range(R):
            expected = softmaxed([sum(w_2[hop][a] * hidden_t[a] for a in range(A)) for hidden_t in hidden])
            assert weights[row, hop].tolist() == pytest.approx([*expected, *[0.0] * (T - length)], abs=1e-12)
            mean = [sum(alpha * h_t[d] for alpha, h_t in zip(expected, h, strict=True)) for d in range(D)]
            assert pooled[row, hop].tolist() == pytest.approx(mean, abs=1e-12)


def test_the_penalty_by_hand() -> None:
    apart = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # A Aᵀ = I
    same = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])  # A Aᵀ - I = [[0, 1], [1, 0]]
    spread = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])  # A Aᵀ - I = [[-½, ¼], [¼, -½]]
    assert SelfAttentivePooling.penalty(torch.stack((apart, same, spread))).tolist() == [0.0, 2.0, 0.625]


@poolings
def test_rows_sum_to_one_and_what_is_masked_is_zero_and_does_not_matter(name: str) -> None:
    pooling, H, mask = made(name)
    weights = pooling.weights(H, mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))
    assert (weights.movedim(-1, 1)[~mask] == 0).all()
    for garbage in (1e9, math.nan, math.inf):
        poisoned = H.masked_fill(~mask[:, :, None], garbage).requires_grad_()
        out = pooling(poisoned, mask)
        torch.testing.assert_close(out, pooling(H, mask))
        out.sum().backward()
        assert poisoned.grad is not None and (poisoned.grad[~mask] == 0).all() and poisoned.grad.isfinite().all()


@poolings
def test_padding_changes_nothing(name: str) -> None:
    pooling, H, mask = made(name)
    longer = torch.cat((H, torch.full((B, 2, D), 9.0, dtype=H.dtype)), dim=1)
    mask_of_longer = torch.cat((mask, torch.zeros(B, 2, dtype=torch.bool)), dim=1)
    torch.testing.assert_close(pooling(longer, mask_of_longer), pooling(H, mask))
    torch.testing.assert_close(pooling(H[2:, :1]), pooling(H, mask)[2:])  # a row alone, with no mask


@poolings
def test_an_empty_row_gives_zeros_and_finite_gradients(name: str) -> None:
    pooling, H, mask = made(name)
    mask[1] = False
    H.requires_grad_()
    out = pooling(H, mask)
    assert (out[1] == 0).all() and (pooling.weights(H, mask)[1] == 0).all()
    assert (out[0] != 0).any()
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in (H, *pooling.parameters()))


@poolings
def test_order_moves_the_weights_and_not_the_result(name: str) -> None:
    pooling, H, mask = made(name)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(pooling.weights(H[:, order], mask[:, order]), pooling.weights(H, mask)[..., order])
    torch.testing.assert_close(pooling(H[:, order], mask[:, order]), pooling(H, mask))


@poolings
def test_gradients_match_finite_differences(name: str) -> None:
    pooling, H, mask = made(name)
    mask[1] = False
    inputs = (H.requires_grad_(), *pooling.parameters())
    assert torch.autograd.gradcheck(lambda *_: pooling(H, mask), inputs)


def test_masks_and_sizes_that_do_not_fit_are_named() -> None:
    pooling = AttentivePooling(D, A)
    with pytest.raises(ValueError, match="made for vectors of 7 features and was given 3"):
        pooling(torch.randn(B, T, 3))
    with pytest.raises(ValueError, match=r"boolean of shape \[3, 5\].*not int64 of shape \[3, 5\]"):
        pooling(torch.randn(B, T, D), torch.ones(B, T, dtype=torch.long))
    with pytest.raises(ValueError, match=r"of shape \[3, 5\].*not bool of shape \[3, 1, 5\]"):
        pooling(torch.randn(B, T, D), torch.ones(B, 1, T, dtype=torch.bool))
    with pytest.raises(ValueError, match="not 0 times"):
        SelfAttentivePooling(D, A, 0)


def test_masked_softmax_by_hand() -> None:
    scores = torch.tensor([[0.0, 50.0, math.log(3.0)], [1.0, 2.0, 3.0]])
    mask = torch.tensor([[True, False, True], [False, False, False]])
    torch.testing.assert_close(masked_softmax(scores, mask), torch.tensor([[0.25, 0.0, 0.75], [0.0, 0.0, 0.0]]))


class Packed(nn.Module):
    """A recurrent encoder in both directions, which refuses a row with nothing in it."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(size, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return self.gru(x)[0]
        packed = pack_padded_sequence(x, mask.sum(1), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])[0]


# Words in each sentence of each document: of the last document nothing is there.
LENGTHS = ((3, 5, 1), (2, 0, 0), (0, 0, 0))


def documents() -> tuple[HierarchicalPooling, Tensor, Tensor]:
    pooling = HierarchicalPooling(Packed(D, 3), AttentivePooling(6, 4), Packed(6, 2), AttentivePooling(4, 5)).double()
    mask = torch.arange(T) < torch.tensor(LENGTHS)[:, :, None]
    return pooling, torch.randn(3, 3, T, D, dtype=torch.float64), mask


def test_a_hierarchy_equals_its_parts_one_sentence_at_a_time() -> None:
    pooling, words, mask = documents()
    out = pooling(words, mask)
    over_words, over_sentences = pooling.weights(words, mask)
    for row, lengths in enumerate(LENGTHS[:2]):
        sentences = []
        for sentence, length in enumerate(n for n in lengths if n):
            encoded = pooling.word_encoder(words[row, sentence, None, :length], None)
            sentences.append(pooling.word_pooling(encoded))
            torch.testing.assert_close(over_words[row, sentence, :length], pooling.word_pooling.weights(encoded)[0])
        encoded = pooling.sentence_encoder(torch.stack(sentences, dim=1), None)
        torch.testing.assert_close(over_sentences[row, : len(sentences)], pooling.sentence_pooling.weights(encoded)[0])
        torch.testing.assert_close(out[row], pooling.sentence_pooling(encoded)[0])
    assert (over_words[~mask] == 0).all() and (over_sentences[~mask.any(-1)] == 0).all()
    assert (out[2] == 0).all()


def test_a_hierarchy_ignores_garbage_and_sentences_that_are_masked() -> None:
    pooling, words, mask = documents()
    out = pooling(words, mask)
    poisoned = words.masked_fill(~mask[..., None], math.nan).requires_grad_()
    torch.testing.assert_close(pooling(poisoned, mask), out)
    pooling(poisoned, mask).sum().backward()
    assert poisoned.grad is not None and poisoned.grad.isfinite().all()
    kept = torch.tensor([[True, True, False], [True, False, True], [True, True, True]])
    fewer = mask.clone()
    fewer[0, 2] = False
    torch.testing.assert_close(pooling(words, mask, kept), pooling(words, fewer))
    # A sentence mask alone: all the words of the sentences that it leaves.
    every = torch.ones(3, 3, T, dtype=torch.bool)
    torch.testing.assert_close(pooling(words, None, kept), pooling(words, every & kept[:, :, None]))
    assert not torch.equal(pooling(words, None, kept), pooling(words))


def test_what_an_encoder_says_of_nothing_is_thrown_away() -> None:
    def encode(x: Tensor, mask: Tensor | None) -> Tensor:
        return x if mask is None else x.masked_fill(~mask[..., None], math.nan)

    pooling = HierarchicalPooling(encode, AttentivePooling(D, 3), encode, AttentivePooling(D, 2)).double()
    _, words, mask = documents()
    assert pooling(words, mask).isfinite().all()


def test_gradients_of_a_hierarchy_match_finite_differences() -> None:
    pooling, words, mask = documents()
    inputs = (words.requires_grad_(), *pooling.parameters())
    assert torch.autograd.gradcheck(lambda *_: pooling(words, mask), inputs, fast_mode=True)
