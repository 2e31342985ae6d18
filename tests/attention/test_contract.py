"""The contract every mechanism keeps. A new one joins by standing in MECHANISMS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pytest
import torch
from torch import Tensor

from regard.attention import Alibi, Attend, Hard, MoChA, Monotonic, Relative, StatefulAttend
from regard.attention import attend as attend_module
from regard.attention.normalizers import entmax15, sigmoid, sparsemax, sums_to_one, top_k
from regard.attention.scopes import Causal, Global, LocalMonotonic, LocalPredictive, Window
from regard.attention.scores import (
    Additive,
    Cosine,
    Coverage,
    Distance,
    Dot,
    General,
    Location,
    LocationSensitive,
    ScaledDot,
    Score,
)

# Odd and prime sizes: a transposed or broadcast dimension shows itself. Values are as wide as keys for `Relative`.
B, T, S, DQ, DK, DV = 3, 5, 7, 11, 11, 11

SCORES: dict[str, Callable[[], Score]] = {
    "dot": Dot,
    "scaled-dot": ScaledDot,
    "general": lambda: General(DQ, DK),
    "additive": lambda: Additive(DQ, DK, 17),
    "cosine": lambda: Cosine(2.0),
    "distance": Distance,
    "location": lambda: Location(DQ, 19),
}
# Softmax over every score, every normalizer over every score whose shape differs, every scope.
NORMALIZERS: dict[str, Callable[[], Any]] = {
    "sparsemax": lambda: sparsemax,
    "entmax15": lambda: entmax15,
    "sigmoid": lambda: sigmoid,
    "top-k": lambda: top_k(3),
    "hard": Hard,
    "hard-gumbel": lambda: Hard("gumbel"),
}
MECHANISMS: dict[str, Callable[[], Attend]] = {
    **{f"{name}-softmax": (lambda make=make: Attend(make())) for name, make in SCORES.items()},
    **{
        f"{name}-{other}": (lambda make=SCORES[name], normalize=normalize: Attend(make(), normalize()))
        for name in ("scaled-dot", "general", "additive")
        for other, normalize in NORMALIZERS.items()
    },
    "scaled-dot-global": lambda: Attend(ScaledDot(), scope=Global()),
    "scaled-dot-causal": lambda: Attend(ScaledDot(), scope=Causal()),
    "scaled-dot-window": lambda: Attend(ScaledDot(), scope=Window(1, 2)),
    "additive-window": lambda: Attend(Additive(DQ, DK, 17), scope=Window(2, 0)),
    "general-window-sparsemax": lambda: Attend(General(DQ, DK), sparsemax, Window(1, 2)),
    "general-local-m": lambda: Attend(General(DQ, DK), scope=LocalMonotonic(1)),
    "general-local-p": lambda: Attend(General(DQ, DK), scope=LocalPredictive(DQ, 2)),
    "additive-local-p-entmax15": lambda: Attend(Additive(DQ, DK, 17), entmax15, LocalPredictive(DQ, 1)),
    "dot-local-p-renormalised": lambda: Attend(Dot(), scope=LocalPredictive(DQ, 2, renormalise=True)),
    "location-window": lambda: Attend(Location(DQ, 19), scope=Window(2, 2)),
    "general-bias": lambda: Attend(General(DQ, DK), bias=lambda query, key: -0.3 * (query - key).abs().double()),
    "scaled-dot-alibi": lambda: Attend(ScaledDot(), bias=Alibi(B)),
    "scaled-dot-relative": lambda: Attend(ScaledDot(), bias=Relative(DQ, 2)),
    "scaled-dot-relative-causal": lambda: Attend(ScaledDot(), sparsemax, Causal(), Relative(DQ, 3)),
    "location-sensitive": lambda: StatefulAttend(LocationSensitive(DQ, DK, 17, 5, 3)),
    "location-sensitive-window": lambda: StatefulAttend(LocationSensitive(DQ, DK, 17, 5, 3), entmax15, Window(2, 3)),
    "coverage": lambda: StatefulAttend(Coverage(DQ, DK, 17)),
    "coverage-local-p": lambda: StatefulAttend(Coverage(DQ, DK, 17), scope=LocalPredictive(DQ, 2)),
    "monotonic": lambda: StatefulAttend(Additive(DQ, DK, 17), Monotonic(0.5, noise=0.0)),
    "monotonic-general": lambda: StatefulAttend(General(DQ, DK), Monotonic(0.5, noise=0.0)),
    "mocha": lambda: MoChA(Additive(DQ, DK, 17), Additive(DQ, DK, 17), 3, Monotonic(0.5, noise=0.0)),
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}
# Whose weights depend on where a key stands, not only on what it is.
PLACED = ("causal", "window", "bias", "local", "location", "alibi", "relative", "mono", "mocha")

mechanisms = pytest.mark.parametrize("name", MECHANISMS)


class Context(Protocol):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor: ...


def made(name: str, dtype: torch.dtype = torch.float64) -> tuple[Attend, Tensor, Tensor, Tensor]:
    """The mechanism as it predicts, but for the monotonic ones, which have no gradient then."""
    torch.manual_seed(3)
    attend = MECHANISMS[name]().to(dtype).train("mono" in name or name == "mocha")
    q, k, v = (torch.randn(B, n, d, dtype=dtype) for n, d in ((T, DQ), (S, DK), (S, DV)))
    if "alibi" in name:  # a bias for each head needs heads: the rows of the batch are taken for them
        q, k, v = q[None], k[None], v[None]
    return attend, q, k, v


def context(attend: Attend, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **options: Any) -> Tensor:
    """What a mechanism gives, from the beginning of its trail if it has one."""
    if isinstance(attend, StatefulAttend):
        return attend(q, k, v, mask, trail=attend.begin(k), **options)[0]
    return attend(q, k, v, mask, **options)


def weighed(attend: Attend, q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
    if isinstance(attend, StatefulAttend):
        return attend.weights(q, k, mask, trail=attend.begin(k))
    return attend.weights(q, k, mask)


def key_mask() -> Tensor:
    return (torch.arange(S) < torch.tensor([S, 4, 1])[:, None])[:, None, :]


@mechanisms
def test_rows_sum_to_one_and_are_not_negative(name: str) -> None:
    attend, q, k, _ = made(name)
    weights = weighed(attend, q, k)
    assert weights.shape == (*q.shape[:-1], S)
    assert (weights >= 0).all()
    sums = weights.sum(-1)
    scope = attend.scope
    if sums_to_one(attend.normalize) and not (isinstance(scope, LocalPredictive) and not scope.renormalise):
        torch.testing.assert_close(sums, torch.ones_like(sums))
    else:
        assert "sigmoid" in name or "local-p" in name or "mono" in name or name == "mocha"
        assert (weights <= 1).all() and ("sigmoid" in name or (sums <= 1 + 1e-12).all())


@mechanisms
def test_masked_keys_get_exactly_zero_and_do_not_matter(name: str) -> None:
    attend, q, k, v = made(name)
    mask = key_mask()
    weights = weighed(attend, q, k, mask)
    assert (weights.masked_select(~mask.expand_as(weights)) == 0).all()
    hidden = ~mask[:, 0, :, None]
    poisoned = context(attend, q, k.masked_fill(hidden, 1e6), v.masked_fill(hidden, -1e6), mask)
    torch.testing.assert_close(poisoned, context(attend, q, k, v, mask))


@mechanisms
def test_a_sentence_among_longer_ones_is_as_it_is_alone(name: str) -> None:
    attend, q, k, v = made(name)
    if "alibi" in name:
        return  # its rows are heads
    together = context(attend, q, k, v, key_mask())
    alone = context(attend, q[1:2], k[1:2, :4], v[1:2, :4])
    torch.testing.assert_close(together[1:2], alone)


@mechanisms
def test_a_row_with_nothing_to_see_gives_zeros_and_finite_gradients(name: str) -> None:
    attend, q, k, v = made(name)
    q.requires_grad_()
    mask = key_mask().repeat(1, T, 1)
    mask[1] = False
    found = context(attend, q, k, v, mask)
    assert (found[..., 1, :, :] == 0).all()
    assert (weighed(attend, q, k, mask)[..., 1, :, :] == 0).all()
    (found.sum() + 0 * q.sum()).backward()  # hard attention knows nothing of its queries
    assert q.grad is not None and torch.isfinite(q.grad).all()


@mechanisms
def test_a_source_of_nothing_gives_zeros(name: str) -> None:
    attend, q, k, v = made(name)
    for mask in (None, torch.ones(B, 1, 0, dtype=torch.bool)):
        found = context(attend, q, k[..., :0, :], v[..., :0, :], mask)
        assert found.shape == (*q.shape[:-1], DV) and (found == 0).all()
        assert weighed(attend, q, k[..., :0, :], mask).shape == (*q.shape[:-1], 0)


@mechanisms
def test_a_mask_of_keys_alone_is_one_for_every_query(name: str) -> None:
    mask = torch.arange(S) != 2
    attend, q, k, v = made(name)
    torch.manual_seed(4)
    found = context(attend, q, k, v, mask)
    torch.manual_seed(4)  # noise of what is drawn
    torch.testing.assert_close(found, context(attend, q, k, v, mask.expand(B, 1, S)))


@pytest.mark.parametrize("name", [n for n in MECHANISMS if not any(word in n for word in PLACED)])
def test_permuting_keys_permutes_weights_and_keeps_the_context(name: str) -> None:
    attend, q, k, v = made(name)
    order = torch.randperm(S)
    torch.testing.assert_close(weighed(attend, q, k[:, order]), weighed(attend, q, k)[:, :, order])
    torch.testing.assert_close(context(attend, q, k[:, order], v[:, order]), context(attend, q, k, v))


@mechanisms
def test_gradients_match_finite_differences(name: str) -> None:
    attend, q, k, v = made(name)
    mask = key_mask()
    inputs = tuple(t.requires_grad_() for t in (q, k, v))
    assert torch.autograd.gradcheck(lambda q, k, v: context(attend, q, k, v, mask), inputs, fast_mode=True)
    for parameter in attend.parameters():
        assert torch.autograd.gradcheck(lambda _: context(attend, q, k, v, mask), (parameter,), fast_mode=True)


@pytest.mark.parametrize("name", [n for n in MECHANISMS if "hard" not in n])
def test_every_input_and_parameter_has_a_say(name: str) -> None:
    attend, q, k, v = made(name)
    inputs = [t.requires_grad_() for t in (q, k, v)]
    context(attend, q, k, v).square().sum().backward()
    for tensor in (*inputs, *attend.parameters()):
        if "location" in name and "sensitive" not in name and tensor is inputs[1]:
            continue  # location scores never see the keys
        assert tensor.grad is not None and tensor.grad.abs().sum() > 0


@mechanisms
def test_one_step_at_a_time_equals_all_at_once(name: str) -> None:
    attend, q, k, v = made(name)
    whole = context(attend, q, k, v, key_mask())
    steps = []
    trail = attend.begin(k) if isinstance(attend, StatefulAttend) else None
    for t in range(T):
        query = q[..., t : t + 1, :]
        if trail is None:
            steps.append(attend(query, k, v, key_mask(), start=t))
        else:
            step, trail = attend(query, k, v, key_mask(), start=t, trail=trail)
            steps.append(step)
    torch.testing.assert_close(torch.cat(steps, dim=-2), whole)


@mechanisms
def test_projected_keys_give_the_same(name: str) -> None:
    attend, q, k, v = made(name)
    projected = attend.project(k)
    found = (
        attend(q, projected, v, key_mask(), projected=True, trail=attend.begin(k))[0]
        if isinstance(attend, StatefulAttend)
        else attend(q, projected, v, key_mask(), projected=True)
    )
    torch.testing.assert_close(found, context(attend, q, k, v, key_mask()))


@pytest.mark.parametrize("name", [n for n, make in MECHANISMS.items() if not isinstance(make(), StatefulAttend)])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_fast_paths_equal_the_reference_in_output_and_gradients(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attend_module, "FUSED_CPU_SCORES", 0)
    monkeypatch.setattr(attend_module, "LOCAL_PAYS", 0)
    attend, q, k, v = made(name, dtype)
    for mask in (key_mask(), key_mask().repeat(1, T, 1)):
        if mask.shape[1] > 1:
            mask[2, 1] = False
        results = []
        ways: list[Context] = [attend, attend.reference]
        for run in ways:
            inputs = [t.detach().clone().requires_grad_() for t in (q, k, v)]
            attend.zero_grad()
            found = run(inputs[0], inputs[1], inputs[2], mask)
            (found.square().sum() + sum(0 * t.sum() for t in inputs)).backward()
            results.append([found, *(t.grad for t in inputs), *(p.grad for p in attend.parameters())])
        for fast, plain in zip(*results, strict=True):
            if fast is None and plain is None:
                continue  # hard attention has no gradient but of its values
            scale = max(1.0, float(plain.detach().abs().max()))
            torch.testing.assert_close(fast, plain, rtol=0, atol=TOLERANCE[dtype] * scale)


@mechanisms
def test_a_score_factors_up_to_a_constant_along_keys(name: str) -> None:
    attend, q, k, _ = made(name)
    factors = attend.score.factor(q, k)
    if factors is None:
        assert isinstance(attend.score, Additive | Location)
        return
    difference = factors[0] @ factors[1].transpose(-1, -2) - attend.score(q, k)
    torch.testing.assert_close(difference, difference[..., :1].expand_as(difference))


def test_each_fast_path_is_taken_where_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(attend_module, "FUSED_CPU_SCORES", 0)
    monkeypatch.setattr(attend_module, "LOCAL_PAYS", 1)
    monkeypatch.setattr(attend_module, "SORTING_PAYS", 1)
    monkeypatch.setattr(Attend, "_fused", lambda self, q, k, v, mask, start: calls.append("fused") or v)
    monkeypatch.setattr(Attend, "_local", lambda self, q, k, v, mask, start: calls.append("local") or v)
    expected = {
        **{f"{name}-softmax": "fused" for name in ("dot", "scaled-dot", "general", "cosine", "distance")},
        **{name: "fused" for name in ("scaled-dot-global", "scaled-dot-causal", "general-bias", "scaled-dot-alibi")},
        **{
            name: "local"
            for name in (
                "scaled-dot-window", "additive-window", "general-window-sparsemax", "general-local-m", "general-local-p",
                "additive-local-p-entmax15", "dot-local-p-renormalised",
            )
        },
    }  # fmt: skip
    for name in MECHANISMS:
        attend, q, k, v = made(name)
        calls.clear()
        context(attend, q, k, v)
        assert calls == ([expected[name]] if name in expected else []), name


def test_dropout_keeps_the_mean_and_only_in_training() -> None:
    torch.manual_seed(0)
    attend = Attend(ScaledDot(), dropout=0.5)
    q, k, v = torch.randn(1, 1, 4), torch.randn(1, 9, 4), torch.randn(1, 9, 6)
    attend.eval()
    exact = attend(q, k, v)
    assert torch.equal(exact, attend.reference(q, k, v))
    attend.train()
    mean = torch.stack([attend(q, k, v) for _ in range(4000)]).mean(0)
    assert not torch.equal(attend(q, k, v), exact)
    torch.testing.assert_close(mean, exact, rtol=0, atol=0.05)


def test_wrong_use_is_named() -> None:
    for make in (lambda: Attend(LocationSensitive(3, 3, 2)), lambda: Attend(Dot(), Monotonic())):
        with pytest.raises(ValueError, match="goes from step to step: compose it by StatefulAttend"):
            make()
    uneven = MoChA(Additive(3, 3, 2), Additive(3, 3, 5))
    q = torch.randn(1, 2, 3)
    with pytest.raises(ValueError, match="project keys to one size, not to 2 and 5"):
        uneven(q, q, q, trail=uneven.begin(q))
    stateful = StatefulAttend(Coverage(3, 3, 2))
    for call in (
        lambda mask: Attend(Dot())(q, q, q, mask),
        lambda mask: stateful(q, q, q, mask, trail=stateful.begin(q)),
    ):
        with pytest.raises(ValueError, match=r"a mask is boolean, True where may be looked, not torch\.float32"):
            call(torch.ones(1, 1, 2))
    for wrong in (lambda: top_k(2.5), lambda: LocalMonotonic(1.5), lambda: LocalPredictive(3, 0)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"at least 1.*not (2\.5|1\.5|0)"):
            wrong()
