"""Co-attention against its formulas in plain loops, and the contract that all five keep."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regard.attention.coattention import (
    AlternatingCoAttention,
    CoAttention,
    HierarchicalCoAttention,
    ParallelCoAttention,
)
from regard.attention.dense_coattention import DenseSymmetricCoAttention, ModularCoAttention

B, N, T, D, A = 3, 7, 5, 6, 11
REGIONS, WORDS = (7, 4, 1), (2, 5, 3)  # of each row

MAKERS: dict[str, Callable[[], nn.Module]] = {
    "parallel": lambda: ParallelCoAttention(D, A),
    "alternating": lambda: AlternatingCoAttention(D, A),
    "hierarchical-parallel": lambda: HierarchicalCoAttention(D, A),
    "hierarchical-alternating": lambda: HierarchicalCoAttention(D, A, AlternatingCoAttention),
    "dense": lambda: DenseSymmetricCoAttention(D, maps=2, slots=3, layers=2),
    "dense-without-slots": lambda: DenseSymmetricCoAttention(D, maps=3, slots=0, layers=1),
    "modular": lambda: ModularCoAttention(D, heads=2, layers=2),
}
SEQUENCES = ("dense", "dense-without-slots", "modular")  # these give [B, N, D] and [B, T, D]
every = pytest.mark.parametrize("name", MAKERS)


def made(name: str) -> tuple[Any, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """A module with no parameter at zero, and `V, Q, v_mask, q_mask`."""
    module = MAKERS[name]().double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    V, Q = torch.randn(B, N, D, dtype=torch.float64), torch.randn(B, T, D, dtype=torch.float64)
    return module, (V, Q, *masks())


def masks() -> tuple[Tensor, Tensor]:
    return torch.arange(N) < torch.tensor(REGIONS)[:, None], torch.arange(T) < torch.tensor(WORDS)[:, None]


def outputs(module: nn.Module, *arguments: Tensor | None) -> tuple[Tensor, ...]:
    out = module(*arguments)
    return out if isinstance(out, tuple) else (out,)


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def softmaxed(scores: Sequence[float]) -> list[float]:
    exponentials = [math.exp(score) for score in scores]
    return [e / sum(exponentials) for e in exponentials]


def product(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """W x, term by term."""
    return np.array([sum(float(w) * float(x_d) for w, x_d in zip(row, x, strict=True)) for row in matrix])


def test_the_names_and_sizes_that_are_fixed() -> None:
    named = {name: tuple(p.shape) for name, p in ParallelCoAttention(D, A).named_parameters()}
    assert named == {"w_b": (D, D), "w_v": (A, D), "w_q": (A, D), "w_hv": (A,), "w_hq": (A,)}


def test_parallel_by_its_formula() -> None:
    module, (V, Q, v_mask, q_mask) = made("parallel")
    w_b, w_v, w_q, w_hv, w_hq = (array(getattr(module, name)) for name in ("w_b", "w_v", "w_q", "w_hv", "w_hq"))
    a_v, a_q = module.weights(V, Q, v_mask, q_mask)
    v_hat, q_hat = module(V, Q, v_mask, q_mask)
    for row in range(B):
        v, q = array(V[row, : REGIONS[row]]), array(Q[row, : WORDS[row]])  # what is masked does not exist
        C = [[math.tanh(float(q_t @ product(w_b, v_n))) for v_n in v] for q_t in q]
        to_v = [sum(C[t][n] * product(w_q, q[t]) for t in range(len(q))) for n in range(len(v))]
        to_q = [sum(C[t][n] * product(w_v, v[n]) for n in range(len(v))) for t in range(len(q))]
        over_v = softmaxed([float(w_hv @ np.tanh(product(w_v, v[n]) + to_v[n])) for n in range(len(v))])
        over_q = softmaxed([float(w_hq @ np.tanh(product(w_q, q[t]) + to_q[t])) for t in range(len(q))])
        assert a_v[row].tolist() == pytest.approx([*over_v, *[0.0] * (N - len(v))], abs=1e-12)
        assert a_q[row].tolist() == pytest.approx([*over_q, *[0.0] * (T - len(q))], abs=1e-12)
        np.testing.assert_allclose(array(v_hat[row]), sum(a * x for a, x in zip(over_v, v, strict=True)), atol=1e-12)
        np.testing.assert_allclose(array(q_hat[row]), sum(a * x for a, x in zip(over_q, q, strict=True)), atol=1e-12)


def test_alternating_by_its_formula() -> None:
    module, (V, Q, v_mask, q_mask) = made("alternating")
    first = (module.summary.w_1, torch.zeros(A, D, dtype=torch.float64), module.summary.w_2[0])
    second, third = ((part.w_x, part.w_g, part.w_hx) for part in (module.regions, module.words))

    def attend(step: tuple[Tensor, ...], x: np.ndarray, g: np.ndarray) -> tuple[list[float], np.ndarray]:
        w_x, w_g, w_hx = (array(w) for w in step)
        weights = softmaxed([float(w_hx @ np.tanh(product(w_x, x_t) + product(w_g, g))) for x_t in x])
        return weights, np.array([a * x_t for a, x_t in zip(weights, x, strict=True)]).sum(0)

    a_v, a_q = module.weights(V, Q, v_mask, q_mask)
    v_hat, q_hat = module(V, Q, v_mask, q_mask)
    for row in range(B):
        v, q = array(V[row, : REGIONS[row]]), array(Q[row, : WORDS[row]])
        _, question = attend(first, q, np.zeros(D))
        over_v, image = attend(second, v, question)
        over_q, question = attend(third, q, image)
        assert a_v[row].tolist() == pytest.approx([*over_v, *[0.0] * (N - len(v))], abs=1e-12)
        assert a_q[row].tolist() == pytest.approx([*over_q, *[0.0] * (T - len(q))], abs=1e-12)
        np.testing.assert_allclose(array(v_hat[row]), image, atol=1e-12)
        np.testing.assert_allclose(array(q_hat[row]), question, atol=1e-12)


def test_phrases_and_the_question_by_their_formulas() -> None:
    module, (_, Q, _, q_mask) = made("hierarchical-parallel")
    words, phrases, question = module.levels(Q, q_mask)
    grams = [array(gram.weight) for gram in module.grams]  # [D, D, s]: out, in, which word of the s
    cell = nn.LSTMCell(D, D).double()
    for ours in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, ours).data = getattr(module.lstm, f"{ours}_l0").data
    for row, length in enumerate(WORDS):
        q = [*array(Q[row, :length]), np.zeros(D), np.zeros(D)]  # nothing comes after the last word
        state = (torch.zeros(D, dtype=torch.float64), torch.zeros(D, dtype=torch.float64))
        for t in range(length):
            each = [
                np.tanh(np.array([product(gram[:, :, i], q[t + i]) for i in range(size)]).sum(0))
                for size, gram in enumerate(grams, start=1)
            ]
            np.testing.assert_allclose(array(phrases[row, t]), np.max(each, axis=0), atol=1e-12)
            state = cell(phrases[row, t], state)
            torch.testing.assert_close(question[row, t], state[0])
        for level in (words, phrases, question):
            assert (level[row, length:] == 0).all()


def test_padding_before_a_question_is_as_good_as_padding_behind_it() -> None:
    module, (V, Q, v_mask, _) = made("hierarchical-parallel")
    fill = torch.full((B, 2, D), math.nan, dtype=torch.float64)
    some, none = torch.ones(B, T, dtype=torch.bool), torch.zeros(B, 2, dtype=torch.bool)
    before = module(V, torch.cat((fill, Q), dim=1), v_mask, torch.cat((none, some), dim=1))
    behind = module(V, torch.cat((Q, fill), dim=1), v_mask, torch.cat((some, none), dim=1))
    torch.testing.assert_close(before, behind)
    torch.testing.assert_close(before, module(V, Q, v_mask))
    for level in module.levels(torch.cat((fill, Q), dim=1), torch.cat((none, some), dim=1)):
        assert (level[:, :2] == 0).all()


@pytest.mark.parametrize("name", ["hierarchical-parallel", "hierarchical-alternating"])
def test_a_hierarchy_is_combined_from_words_up(name: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    w_w, w_p, w_s = (array(linear.weight) for linear in module.combine)
    a_v, a_q = module.weights(V, Q, v_mask, q_mask)
    assert a_v.shape == (B, 3, N) and a_q.shape == (B, 3, T)
    levels = [array(level) for level in module.levels(Q, q_mask)]
    for row in range(B):
        both = [array(a_v[row, i]) @ array(V[row]) + array(a_q[row, i]) @ levels[i][row] for i in range(3)]
        h_w = np.tanh(product(w_w, both[0]))
        h_p = np.tanh(product(w_p, np.concatenate((both[1], h_w))))
        h_s = np.tanh(product(w_s, np.concatenate((both[2], h_p))))
        np.testing.assert_allclose(array(module(V, Q, v_mask, q_mask)[row]), h_s, atol=1e-12)


@every
def test_rows_sum_to_one_and_what_is_masked_gets_exactly_zero(name: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    lookers = {"dense": (1, 0), "dense-without-slots": (1, 0), "modular": (0, 0)}.get(name)  # whose row it is
    for masked in ((None, None), (v_mask, None), (None, q_mask), (v_mask, q_mask)):
        for side, weights in enumerate(module.weights(V, Q, *masked)):
            looker = None if lookers is None else masked[lookers[side]]
            expected = torch.ones_like(weights.sum(-1))
            if looker is not None:  # one that is masked itself looks at nothing
                expected = expected * (looker[:, None] if name == "modular" else looker)
            torch.testing.assert_close(weights.sum(-1), expected)
            mask = masked[side]
            if mask is not None:
                assert (weights[..., : mask.shape[1]].movedim(-1, 1)[~mask] == 0).all()


@every
def test_garbage_and_padding_change_nothing(name: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    expected = outputs(module, V, Q, v_mask, q_mask)
    maps = module.weights(V, Q, v_mask, q_mask)
    for garbage in (-3.0, 1e9, math.nan, math.inf):
        longer = torch.cat((V, V[:, :2]), 1), torch.cat((Q, Q[:, :3]), 1)
        longer_masks = nn.functional.pad(v_mask, (0, 2)), nn.functional.pad(q_mask, (0, 3))
        poisoned = [
            x.masked_fill(~mask[..., None], garbage).requires_grad_()
            for x, mask in zip(longer, longer_masks, strict=True)
        ]
        out = outputs(module, *poisoned, *longer_masks)
        for ours, theirs in zip(out, expected, strict=True):
            torch.testing.assert_close(ours[:, : theirs.shape[1]], theirs)
            assert (ours[:, theirs.shape[1] :] == 0).all()
        if name not in SEQUENCES:
            for ours, theirs in zip(module.weights(*poisoned, *longer_masks), maps, strict=True):
                torch.testing.assert_close(ours[..., : theirs.shape[-1]], theirs)
        sum(part.square().sum() for part in out).backward()  # type: ignore[union-attr]
        for x, mask in zip(poisoned, longer_masks, strict=True):
            assert x.grad is not None and (x.grad[~mask] == 0).all() and x.grad.isfinite().all()


@every
def test_a_row_alone_without_masks_is_the_row_in_a_batch(name: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    whole = outputs(module, V, Q, v_mask, q_mask)
    for row, (regions, words) in enumerate(zip(REGIONS, WORDS, strict=True)):
        alone = outputs(module, V[row : row + 1, :regions], Q[row : row + 1, :words])
        for ours, theirs in zip(alone, whole, strict=True):
            torch.testing.assert_close(ours[0], theirs[row, : ours.shape[1]] if ours.ndim == 3 else theirs[row])


@every
@pytest.mark.parametrize("empty", ["regions", "words", "both"])
def test_nothing_to_attend_to_gives_zeros_and_finite_gradients(name: str, empty: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    gone = [mask for mask, what in ((v_mask, "regions"), (q_mask, "words")) if empty in (what, "both")]
    expected = outputs(module, V, Q, v_mask, q_mask)
    for mask in gone:
        mask[1] = False
    for x in (V, Q):
        x.requires_grad_()
    out = outputs(module, V, Q, v_mask, q_mask)
    for ours, theirs in zip(out, expected, strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours[[0, 2]], theirs[[0, 2]])
    for part, mask in zip(module.weights(V, Q, v_mask, q_mask), (v_mask, q_mask), strict=True):
        assert part.isfinite().all()
        if not mask[1].any():
            assert (part[1][..., : mask.shape[1]] == 0).all()
    if len(out) == 2:
        for ours, mask in zip(out, (v_mask, q_mask), strict=True):
            assert (ours[1] == 0).all() == (not mask[1].any())
    elif empty == "both":
        assert (out[0][1] == 0).all()
    sum(part.square().sum() for part in out).backward()  # type: ignore[union-attr]
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (V, Q))
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@every
def test_the_order_of_the_regions_moves_their_weights_and_nothing_else(name: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    order = torch.tensor([4, 0, 6, 1, 5, 3, 2])
    moved = (V[:, order], Q, v_mask[:, order], q_mask)
    a_v, a_q = module.weights(V, Q, v_mask, q_mask)
    ours_v, ours_q = module.weights(*moved)
    slots = torch.arange(N, a_v.shape[-1])
    a_v = a_v[..., torch.cat((order, slots))]
    if name in SEQUENCES:
        a_q = a_q[..., order, :]  # a row a region
    if name == "modular":
        a_v = a_v[..., order, :]
    torch.testing.assert_close(ours_v, a_v)
    torch.testing.assert_close(ours_q, a_q)
    before, after = outputs(module, V, Q, v_mask, q_mask), outputs(module, *moved)
    torch.testing.assert_close(after[0], before[0][:, order] if name in SEQUENCES else before[0])
    torch.testing.assert_close(after[-1], before[-1])


@pytest.mark.parametrize("name", ["parallel", "dense"])
def test_with_the_parameters_of_both_sides_exchanged_the_sides_are_exchanged(name: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    exchange = str.maketrans("vq", "qv")
    own = {name: p.detach() for name, p in module.named_parameters()}
    twins = {name: re.sub(r"_h?[vq]\b", lambda found: found[0].translate(exchange), name) for name in own}
    assert sum(name != twin for name, twin in twins.items()) == {"parallel": 4, "dense": 16}[name]
    other = MAKERS[name]().double()
    other.load_state_dict({name: own[twin].T if name == "w_b" else own[twin] for name, twin in twins.items()})
    for ours, theirs in zip(
        outputs(other, Q, V, q_mask, v_mask), outputs(module, V, Q, v_mask, q_mask)[::-1], strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    here, there = module.weights(V, Q, v_mask, q_mask), cast(Any, other).weights(Q, V, q_mask, v_mask)
    for ours, theirs in zip(there, here[::-1], strict=True):
        torch.testing.assert_close(ours, theirs)


@every
def test_gradients_match_finite_differences(name: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    v_mask[1] = False
    inputs = (V.requires_grad_(), Q.requires_grad_(), *(p for p in module.parameters() if p.numel()))
    assert torch.autograd.gradcheck(lambda *_: module(V, Q, v_mask, q_mask), inputs, fast_mode=True)


@pytest.mark.parametrize("name", [n for n in MAKERS if n != "modular"])
def test_gradients_of_the_weights_match_finite_differences(name: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    inputs = (V.requires_grad_(), Q.requires_grad_())
    assert torch.autograd.gradcheck(lambda *_: module.weights(V, Q, v_mask, q_mask), inputs, fast_mode=True)


@every
def test_every_parameter_learns(name: str) -> None:
    module, batch = made(name)
    sum(part.square().sum() for part in outputs(module, *batch)).backward()  # type: ignore[union-attr]
    assert [n for n, p in module.named_parameters() if p.numel() and (p.grad is None or not p.grad.any())] == []


@every
def test_sizes_and_masks_that_do_not_fit_are_named(name: str) -> None:
    module, (V, Q, v_mask, q_mask) = made(name)
    with pytest.raises(ValueError, match="made for regions of 6 features and was given 5"):
        module(V[..., :5], Q)
    with pytest.raises(ValueError, match="made for words of 6 features and was given 5"):
        module(V, Q[..., :5])
    with pytest.raises(ValueError, match=r"mask of the words .* shape \[3, 5\].* not bool of shape \[3, 7\]"):
        module(V, Q, v_mask, v_mask)
    with pytest.raises(ValueError, match=r"mask of the regions has to be boolean .* not float64"):
        module(V, Q, v_mask.double(), q_mask)


def test_a_co_attention_without_weights_is_named() -> None:
    with pytest.raises(NotImplementedError, match="CoAttention has to define weights"):
        CoAttention().weights(torch.randn(B, N, D), torch.randn(B, T, D))
