"""Local attention: local-p by hand arithmetic, and the paths at the cost of the window against the plain formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.attention import Attend
from regard.attention import attend as attend_module
from regard.attention.local import BLOCK
from regard.attention.normalizers import entmax15, sigmoid, softmax, sparsemax, top_k
from regard.attention.scopes import LocalMonotonic, LocalPredictive, Window, render
from regard.attention.scores import Additive, Cosine, Distance, Dot, General, ScaledDot, Score

S, T, D = 101, 67, 5
PAYS, SORTING_PAYS = attend_module.LOCAL_PAYS, attend_module.SORTING_PAYS


def predicting(share: float, window: int, **options: Any) -> LocalPredictive:
    """local-p over queries of one feature that always predicts this share of the sentence, for q = [1]."""
    scope = LocalPredictive(1, window, **options).double()
    with torch.no_grad():
        scope.w_p.weight.fill_(0.5)
        scope.v_p.weight.fill_(math.log(share / (1 - share)) / math.tanh(0.5))
    return scope


def flat(length: int) -> Tensor:
    """Keys that score 0."""
    return torch.zeros(1, length, 1, dtype=torch.float64)


ONE = torch.ones(1, 1, 1, dtype=torch.float64)


def test_local_p_by_hand_for_one_query() -> None:
    scope = LocalPredictive(2, 2).double()
    with torch.no_grad():
        scope.w_p.weight.copy_(torch.tensor([[1.0, -0.5], [0.25, 2.0]], dtype=torch.float64))
        scope.v_p.weight.copy_(torch.tensor([[0.7, -0.4]], dtype=torch.float64))
    q = torch.tensor([[[0.6, -0.3]]], dtype=torch.float64)
    k = torch.randn(1, 11, 2, dtype=torch.float64)
    # W_p q = [0.6 + 0.15, 0.15 - 0.6]
    inner = 0.7 * math.tanh(0.75) - 0.4 * math.tanh(-0.45)
    center = 11 / (1 + math.exp(-inner))
    window = [s for s in range(11) if center - 2 <= s <= center + 2]
    assert len(window) == 4  # p_t ≈ 7.2, so 6, 7, 8, 9
    scores = [float(q[0, 0] @ k[0, s]) for s in range(11)]
    total = sum(math.exp(scores[s]) for s in window)
    wanted = [0.0] * 11
    for s in window:  # σ = D / 2 = 1
        wanted[s] = math.exp(scores[s]) / total * math.exp(-((s - center) ** 2) / 2)
    found = Attend(Dot(), scope=scope).weights(q, k)[0, 0]
    assert found.tolist() == pytest.approx(wanted, abs=1e-14)
    assert sum(wanted) < 1
    scope.renormalise = True
    again = Attend(Dot(), scope=scope).weights(q, k)[0, 0]
    assert again.tolist() == pytest.approx([w / sum(wanted) for w in wanted], abs=1e-14)


def test_local_p_where_the_center_falls_on_a_position_sees_both_ends_of_its_window() -> None:
    scope = predicting(0.5, 3)
    # S = 12: p_t = 6 exactly, so positions 3 to 9, each with softmax weight 1/7 under exp(-d²/4.5).
    weights = Attend(Dot(), scope=scope).weights(ONE, flat(12))[0, 0]
    wanted = [math.exp(-((s - 6) ** 2) / (2 * 1.5**2)) / 7 if 3 <= s <= 9 else 0.0 for s in range(12)]
    assert weights.tolist() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("pays", [0, 10**9])
def test_local_p_follows_the_length_of_each_sentence_in_a_batch(pays: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_module, "LOCAL_PAYS", pays)
    lengths = [17, 8, 5, 1]
    attend = Attend(Dot(), scope=predicting(0.6, 2))
    mask = torch.arange(17) < torch.tensor(lengths)[:, None, None]
    values = torch.eye(17, dtype=torch.float64).expand(4, 17, 17)
    # With unit vectors for values the context is the weights, on the fast path too.
    found = attend(ONE.expand(4, 1, 1), flat(17).expand(4, 17, 1), values, mask)[:, 0]
    for row, length in zip(found, lengths, strict=True):
        center = 0.6 * length
        window = [s for s in range(length) if abs(s - center) <= 2]
        wanted = [math.exp(-((s - center) ** 2) / 2) / len(window) if s in window else 0.0 for s in range(17)]
        assert row.tolist() == pytest.approx(wanted, abs=1e-12)


def test_local_p_gradient_reaches_its_parameters_through_the_gaussian() -> None:
    attend = Attend(Dot(), scope=predicting(0.6, 2))
    scope = attend.scope
    assert isinstance(scope, LocalPredictive)
    weights = attend.weights(ONE, flat(17))[0, 0]
    weights[11].backward()
    # p = 10.2, positions 9 to 12; d/dp [¼ exp(-(11 - p)²/2)] = ¼ exp(…) (11 - p); dp/dv = S σ(1 - σ) tanh(w).
    slope = math.exp(-0.32) / 4 * 0.8 * 17 * 0.6 * 0.4
    assert scope.v_p.weight.grad is not None and scope.w_p.weight.grad is not None
    assert scope.v_p.weight.grad.item() == pytest.approx(slope * math.tanh(0.5))
    assert scope.w_p.weight.grad.item() == pytest.approx(slope * scope.v_p.weight.item() * (1 - math.tanh(0.5) ** 2))


@pytest.mark.parametrize("renormalise", [False, True])
def test_local_p_rows_sum_to_at_most_one(renormalise: bool) -> None:
    scope = LocalPredictive(D, 3, renormalise=renormalise).double()
    torch.nn.init.normal_(scope.v_p.weight, std=4.0)
    attend = Attend(ScaledDot(), scope=scope)
    sums = attend.weights(*(torch.randn(3, n, D).double() for n in (T, S))).sum(-1)
    if renormalise:
        torch.testing.assert_close(sums, torch.ones_like(sums))
    else:
        assert (sums < 1).all() and (sums > 0).all()


def test_local_p_beyond_256_positions_keeps_its_place_in_bfloat16() -> None:
    scope = predicting(0.75, 1).to(torch.bfloat16)
    inside, out = scope.w_p.weight.double(), scope.v_p.weight.double()  # what they are, and no rounding on the way
    share = 1 / (1 + math.exp(-out.item() * math.tanh(inside.item())))
    assert scope.center(ONE.bfloat16(), 1021).item() == pytest.approx(1021 * share, rel=1e-6)


def test_local_p_looks_at_the_same_place_in_mixed_precision() -> None:
    """Training multiplies in bfloat16 what prediction does not: neither may move the window."""
    scope = LocalPredictive(16, 3)
    q = torch.randn(5, 16)
    plain = scope.center(q, 1000)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = scope.center(q, 1000)
        assert scope.w_p(q).dtype == torch.bfloat16  # it would
    assert torch.equal(mixed, plain) and mixed.dtype == torch.float32
    torch.testing.assert_close(plain, 1000 * torch.sigmoid(scope.v_p(torch.tanh(scope.w_p(q)))[..., 0]))


@pytest.fixture(autouse=True)
def _local_wherever_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_module, "LOCAL_PAYS", 0)


WINDOWS = [Window(0, 0), Window(0, 1), Window(3, 0), Window(1, 3), LocalMonotonic(1), LocalMonotonic(3), Window(2, 4)]
SCORES: list[Callable[[], Score]] = [Dot, lambda: General(D, D), lambda: Additive(D, D, 3), Cosine, Distance]
NORMALIZERS = [softmax, sparsemax, entmax15, sigmoid, top_k(2)]


def parts(attend: Attend, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, start: int, fast: bool) -> list[Tensor]:
    """The context, and the gradient of every input and parameter."""
    inputs = [t.detach().clone().requires_grad_() for t in (q, k, v)]
    attend.zero_grad()
    way = attend if fast else attend.reference
    found = way(inputs[0], inputs[1], inputs[2], mask, start=start)
    towards = torch.linspace(-1, 2, found.numel(), dtype=found.dtype).view(found.shape)
    ((found * towards).sum() + sum(0 * t.sum() for t in inputs)).backward()
    gradients = [torch.zeros_like(t) if t.grad is None else t.grad for t in (*inputs, *attend.parameters())]
    return [found.detach(), *gradients]


def assert_fast_is_plain(
    attend: Attend, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, start: int = 0, taken: bool = True
) -> None:
    assert attend._is_local(q, k, mask) == taken
    both = (parts(attend, q, k, v, mask, start, fast) for fast in (True, False))
    for fast, plain in zip(*both, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-11)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def some_keys(rows: int, keys: int) -> Tensor:
    """Lengths, holes, and a row with nothing."""
    mask = torch.arange(keys) < torch.randint(1, keys + 1, (rows, 1))
    mask &= torch.rand(rows, keys) > 0.2
    mask[0] = True
    mask[-1] = False
    return mask[:, None, :]


@pytest.mark.parametrize("start", [0, 1, 29, 97, 150])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_window_equals_the_plain_formula(window: Window, start: int) -> None:
    for index, (score, normalize) in enumerate(zip(SCORES, NORMALIZERS, strict=True)):
        attend = Attend(score(), normalize, window).double()
        q, k, v = random(3, T, D), random(3, S, D), random(3, S, 3)
        assert_fast_is_plain(attend, q, k, v, [None, some_keys(3, S)][index % 2], start)


@pytest.mark.parametrize("queries", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 67, 131])
@pytest.mark.parametrize("keys", [29, 37, S])
def test_window_at_every_number_of_queries(queries: int, keys: int) -> None:
    """T = 1 as at prediction, T beyond a block, S shorter than a block and its margins, more queries than keys."""
    for window in (LocalMonotonic(3), Window(5, 1), Window(0, 6)):
        for start in (0, 13, keys - 1, keys + 3, keys + 40):
            attend = Attend(General(D, D), softmax, window).double()
            q, k, v = random(2, queries, D), random(2, keys, D), random(2, keys, 3)
            assert_fast_is_plain(attend, q, k, v, some_keys(2, keys), start)


def test_a_window_wider_than_a_block() -> None:
    for window in (Window(BLOCK, 7), Window(0, BLOCK + 5), Window(150, 150)):
        for start in (0, 17):
            attend = Attend(ScaledDot(), softmax, window).double()
            assert_fast_is_plain(attend, random(2, T, D), random(2, S, D), random(2, S, 3), some_keys(2, S), start)


def test_sources_shorter_than_a_window() -> None:
    for scope in (Window(2, 1), LocalPredictive(D, 4)):
        attend = Attend(ScaledDot(), softmax, scope).double()
        for keys in (1, 2, 5):
            for queries in (1, 3, 41):
                for start in (0, 2, 11):
                    q, k, v = random(2, queries, D), random(2, keys, D), random(2, keys, 3)
                    assert_fast_is_plain(attend, q, k, v, None, start)


LEADS = [
    ((), (), None),
    ((2, 3), (2, 3), (2, 3)),
    ((2, 3), (2, 3), (2, 1)),
    ((2, 3), (2, 1), None),
    ((2, 3), (2, 1), (2, 1)),
    ((2, 3, 4), (2, 1, 4), (2, 1, 1)),
    ((5, 3), (1, 1), (1, 1)),
    ((3,), (), None),
    ((2, 3), (2, 1), (2, 3)),  # each hypothesis has a mask of its own
    ((1,), (3,), (3,)),  # one query, many sources
    ((), (3,), None),
]


@pytest.mark.parametrize(("lead_q", "lead_k", "lead_mask"), LEADS)
@pytest.mark.parametrize("queries", [7, BLOCK + 5])
def test_window_with_leading_dimensions_and_keys_that_hypotheses_share(
    queries: int, lead_q: tuple[int, ...], lead_k: tuple[int, ...], lead_mask: tuple[int, ...] | None
) -> None:
    attend = Attend(General(D, D), softmax, LocalMonotonic(2)).double()
    q, k, v = random(*lead_q, queries, D), random(*lead_k, S, D), random(*lead_k, S, 3)
    mask = None if lead_mask is None else torch.rand(*lead_mask, 1, S) > 0.3
    assert_fast_is_plain(attend, q, k, v, mask, start=11)


@pytest.mark.parametrize(("lead_q", "lead_k", "lead_mask"), LEADS)
@pytest.mark.parametrize("queries", [7, BLOCK + 5])
def test_local_p_with_leading_dimensions_and_keys_that_hypotheses_share(
    queries: int, lead_q: tuple[int, ...], lead_k: tuple[int, ...], lead_mask: tuple[int, ...] | None
) -> None:
    for score in (General(D, D), Additive(D, D, 3)):
        attend = Attend(score, softmax, LocalPredictive(D, 2)).double()
        q, k, v = random(*lead_q, queries, D), random(*lead_k, S, D), random(*lead_k, S, 3)
        mask = None if lead_mask is None else torch.rand(*lead_mask, 1, S) > 0.3
        assert_fast_is_plain(attend, q, k, v, mask)


@pytest.mark.parametrize("make", [lambda: LocalMonotonic(2), lambda: LocalPredictive(D, 2)], ids=["local-m", "local-p"])
@pytest.mark.parametrize("queries", [7, BLOCK + 5])
def test_one_source_of_keys_with_values_for_each_row(make: Any, queries: int) -> None:
    attend = Attend(General(D, D), softmax, make()).double()
    assert_fast_is_plain(attend, random(3, queries, D), random(1, S, D), random(3, S, 3))


@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0, 100.0])  # all at the middle, about it, everywhere, at both ends
@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_local_p_equals_the_plain_formula(window: int, spread: float) -> None:
    for index, (score, normalize) in enumerate(zip(SCORES, NORMALIZERS, strict=True)):
        scope = LocalPredictive(D, window, renormalise=index % 2 == 0)
        torch.nn.init.normal_(scope.v_p.weight, std=spread)
        attend = Attend(score(), normalize, scope).double()
        for queries in (T, 1):
            for mask in (None, some_keys(3, S)):
                q, k, v = random(3, queries, D), random(3, S, D), random(3, S, 3)
                assert_fast_is_plain(attend, q, k, v, mask, start=[0, 13][index % 2])


@pytest.mark.parametrize("queries", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 131])
@pytest.mark.parametrize("keys", [1, 29, BLOCK, BLOCK + 1, 2 * BLOCK, S])
def test_local_p_at_every_number_of_queries(queries: int, keys: int) -> None:
    for window in (1, 5, BLOCK):
        for renormalise in (False, True):
            scope = LocalPredictive(D, window, renormalise=renormalise)
            torch.nn.init.normal_(scope.v_p.weight, std=5.0)
            attend = Attend(Additive(D, D, 3), softmax, scope).double()
            q, k, v = random(2, queries, D), random(2, keys, D), random(2, keys, 3)
            assert_fast_is_plain(attend, q, k, v, some_keys(2, keys))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_local_p_in_other_precisions(dtype: torch.dtype) -> None:
    attend = Attend(ScaledDot(), scope=LocalPredictive(D, 2)).to(dtype)
    q, k, v = random(3, T, D).to(dtype), random(3, S, D).to(dtype), random(3, S, 3).to(dtype)
    mask = some_keys(3, S)
    fast, plain = attend(q, k, v, mask), attend.reference(q, k, v, mask)
    assert fast.dtype == plain.dtype == dtype
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-5 if dtype == torch.float32 else 2e-2)


def test_local_p_where_the_window_holds_nothing_that_may_be_seen() -> None:
    """A mask with its True at the far end: the length is 3, so p_t ≤ 3, and the keys stand at 98 to 100."""
    attend = Attend(Dot(), scope=LocalPredictive(D, 2, renormalise=True)).double()
    mask = (torch.arange(S) >= 98)[None, None]
    q, k, v = random(1, T, D), random(1, S, D), random(1, S, 3)
    assert_fast_is_plain(attend, q, k, v, mask)
    assert (attend(q, k, v, mask) == 0).all()


def test_the_local_path_is_taken_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_module, "LOCAL_PAYS", PAYS)
    q = random(2, T, D)
    for score, scope, queries, needed in (
        (Dot(), LocalMonotonic(3), T, 7 * PAYS),
        (Dot(), LocalPredictive(D, 3), 1, 7 * PAYS),
        (Dot(), LocalPredictive(D, 3), T, 7 * PAYS * SORTING_PAYS),
        (Additive(D, D, 3), LocalPredictive(D, 3), T, 7 * PAYS),
    ):
        attend = Attend(score, scope=scope)
        assert not attend._is_local(q[:, :queries], random(2, needed - 1, D), None)
        assert attend._is_local(q[:, :queries], random(2, needed, D), None)


def test_the_local_path_is_not_taken_where_it_would_be_wrong() -> None:
    q, k, v = random(2, T, D), random(2, S, D), random(2, S, 3)
    mask = torch.rand(2, T, S) > 0.5  # a mask for each query is no matter of windows
    for scope in (Window(1, 1), LocalPredictive(D, 2)):
        assert_fast_is_plain(Attend(Dot(), scope=scope).double(), q, k, v, mask, taken=False)
        biased = Attend(Dot(), scope=scope, bias=lambda query, key: (query - key).double() / 9).double()
        assert_fast_is_plain(biased, q, k, v, taken=False)


@pytest.mark.parametrize("make", [lambda: LocalMonotonic(2), lambda: LocalPredictive(D, 2)], ids=["local-m", "local-p"])
@pytest.mark.parametrize("queries", [3, BLOCK + 1])
def test_dropout_drops_weights_and_keeps_their_mean(queries: int, make: Any) -> None:
    attend = Attend(Dot(), scope=make(), dropout=0.5).double()
    q, k, v = random(1, queries, D), random(1, S, D), random(1, S, 3)
    exact = attend.eval()(q, k, v)
    attend.train()
    many = torch.cat([attend(q, k, v) for _ in range(600)])
    assert not torch.equal(many[0], many[1])
    assert ((many.mean(0) - exact[0]).abs() <= 6 * many.std(0) / 600**0.5 + 1e-9).all()


def test_local_monotonic_is_the_window_around_the_same_place() -> None:
    seen = render(LocalMonotonic(2), 5, 7, 3, torch.device("cpu"))
    assert seen.tolist() == [[abs(s - t) <= 2 for s in range(7)] for t in range(3, 8)]
    for wrong in (LocalMonotonic, lambda window: LocalPredictive(D, window)):
        with pytest.raises(ValueError, match="at least 1, not 0"):
            wrong(0)
    with pytest.raises(ValueError, match=f"queries of {D} features and was given 3"):
        LocalPredictive(D, 2).center(torch.zeros(1, 1, 3), 7)
