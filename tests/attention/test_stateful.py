"""Attention that goes forward: monotonic and chunkwise, by every way it can go, and by the papers' sums in loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.attention import Attend, MoChA, Monotonic, StatefulAttend, Trail, record
from regard.attention.normalizers import sparsemax
from regard.attention.scopes import Window
from regard.attention.scores import Additive, Coverage, Dot, General, Score
from regard.attention.stateful import Forward, chunkwise, expected_alignment


def logistic(e: float) -> float:
    return 1 / (1 + math.exp(-e))


def every_way(p: list[list[float]], seen: list[bool]) -> list[list[float]]:
    """The probability that step t stops at s: that of every path s_1 ≤ s_2 ≤ … added up. A path stands at `None` from
    the step on that ran past the end."""
    steps, keys = len(p), len(seen)
    found = [[0.0] * keys for _ in range(steps)]
    total = 0.0
    for path in itertools.product([*range(keys), None], repeat=steps):
        probability, stands = 1.0, 0
        for t, stop in enumerate(path):
            if stands is None:
                probability *= stop is None
                continue
            if stop is not None and (stop < stands or not seen[stop]):
                probability = 0.0
                break
            for s in range(stands, keys if stop is None else stop):
                probability *= 1 - p[t][s] if seen[s] else 1
            if stop is not None:
                probability *= p[t][stop]
            stands = stop
        total += probability
        for t, stop in enumerate(path):
            if stop is not None:
                found[t][stop] += probability
    assert total == pytest.approx(1)  # the ways are all there are
    return found


def walked(normalize: Monotonic, energies: Tensor, seen: Tensor | None = None) -> Tensor:
    """Energies [T, S] (the offset not yet added) step by step."""
    last, found = normalize.begin(torch.zeros_like(energies[0])), []
    for row in energies:
        last = normalize.follow(row[None], None if seen is None else seen[None], last)[0]
        found.append(last)
    return torch.stack(found)


@pytest.mark.parametrize("offset", [0.0, -1.3])
@pytest.mark.parametrize(("steps", "keys"), [(1, 1), (1, 5), (2, 3), (3, 4), (4, 3)])
def test_the_expected_alignment_is_that_of_every_way_to_go(steps: int, keys: int, offset: float) -> None:
    for scale in (0.5, 3.0):
        energies = scale * torch.randn(steps, keys, dtype=torch.float64)
        p = [[logistic(e + offset) for e in row] for row in energies.tolist()]
        hidden = torch.rand(keys) > 0.5
        for seen in (None, ~hidden, torch.arange(keys) < keys - 1):
            found = walked(Monotonic(offset, noise=0.0).double(), energies, seen)
            wanted = every_way(p, [True] * keys if seen is None else seen.tolist())
            for ours, plain in zip(found.tolist(), wanted, strict=True):
                assert ours == pytest.approx(plain, abs=1e-7)  # the offset is kept in single precision


def test_what_runs_past_the_end_is_lost_for_good() -> None:
    # p = ½ everywhere: the first step stops at 0, 1, 2 with ½, ¼, ⅛ and is past the end with ⅛.
    found = walked(Monotonic(0.0, noise=0.0), torch.zeros(2, 3))
    assert found[0].tolist() == [0.5, 0.25, 0.125]
    # From 0: ½, ¼, ⅛; from 1: ½, ¼; from 2: ½.
    assert found[1].tolist() == [0.25, 0.25, 0.1875]


def test_the_papers_recurrence_from_any_alignment() -> None:
    """`α_s = p_s Σ_{k≤s} last_k Π_{l=k}^{s-1} (1 - p_l)` in loops, with last of any sum and several rows."""
    energy, last = torch.randn(2, 3, 7, dtype=torch.float64), torch.rand(2, 3, 7, dtype=torch.float64)
    found = expected_alignment(energy, None, last)
    for b, h in itertools.product(range(2), range(3)):
        p = [logistic(e) for e in energy[b, h].tolist()]
        for s in range(7):
            ways = (float(last[b, h, k]) * math.prod(1 - p[m] for m in range(k, s)) for k in range(s + 1))
            assert float(found[b, h, s]) == pytest.approx(p[s] * sum(ways))
    inputs = (energy.requires_grad_(), last.requires_grad_())
    assert torch.autograd.gradcheck(lambda e, a: expected_alignment(e, None, a), inputs)


@pytest.mark.parametrize(
    "make", [lambda: StatefulAttend(Dot(), Monotonic()), lambda: MoChA(Dot(), Dot(), 3)], ids=["monotonic", "mocha"]
)
def test_the_cost_grows_with_the_source_and_not_with_its_square(make: Any) -> None:
    """What is kept for the gradient of a step over 64 times as many positions: 64 times as much, but for the rounds."""
    attend = make()
    kept = []
    for keys in (32, 2048):
        q, k = torch.randn(1, 1, 4), torch.randn(1, keys, 4, requires_grad=True)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.numel()) or t, lambda t: t):
            attend(q, k, k, trail=attend.begin(k))
        kept.append(sum(sizes))
    assert kept[1] < 64 * 3 * kept[0], kept


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_long_source_and_extreme_energies_stay_finite(dtype: torch.dtype) -> None:
    kinds = {
        "never": torch.full((400,), -1e4),
        "always": torch.full((400,), 1e4),
        "wild": torch.randn(400) * 1e4,
        "high": torch.randn(400) + 30,
        "low": torch.randn(400) - 30,
        "even": torch.zeros(400),
    }
    for name, energy in kinds.items():
        energy = energy.to(dtype).requires_grad_()
        for last in (torch.eye(400)[0], torch.eye(400)[399], torch.full((400,), 1 / 400)):
            last = last.to(dtype).requires_grad_()
            found = expected_alignment(energy, torch.arange(400) != 7, last)
            assert torch.isfinite(found).all() and (found >= 0).all() and found[7] == 0, name
            assert found.sum() <= 1 + 1e-3, name
            gradients = torch.autograd.grad((found * torch.arange(400)).sum(), (energy, last))
            assert all(torch.isfinite(g).all() for g in gradients), name
    always = expected_alignment(kinds["always"], None, torch.full((400,), 1 / 400))
    torch.testing.assert_close(always, torch.full((400,), 1 / 400))
    assert (expected_alignment(kinds["never"], None, torch.eye(400)[0]) == 0).all()


def running(energy: list[float], last: list[float]) -> list[float]:
    """The same by the recurrence from left to right, which adds and multiplies positive numbers only."""
    found, carried = [], 0.0
    for e, standing in zip(energy, last, strict=True):
        carried += standing
        p = logistic(e) if e > 0 else math.exp(e) / (1 + math.exp(e))
        found.append(carried * p)
        carried *= 1 / (1 + math.exp(e)) if e < 0 else math.exp(-e) / (1 + math.exp(-e))
    return found


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_single_precision_over_400_positions_is_near_the_exact_recurrence(scale: float) -> None:
    energy, last = scale * torch.randn(400), torch.rand(400) / 200
    wanted = torch.tensor(running(energy.double().tolist(), last.double().tolist()))
    torch.testing.assert_close(expected_alignment(energy, None, last), wanted, rtol=2e-3, atol=1e-6)


def test_single_precision_behind_extreme_energies() -> None:
    energy, last = torch.zeros(400), torch.zeros(400)
    energy[:200] = 1e4  # where the step before cannot have stopped
    last[200] = 1.0
    wanted = torch.tensor(running(energy.double().tolist(), last.double().tolist()))  # ½, ¼, ⅛, …
    torch.testing.assert_close(expected_alignment(energy, None, last), wanted, rtol=1e-3, atol=1e-6)


def greedy(energies: list[list[float]], seen: list[bool]) -> list[list[float]]:
    """Go right from the last stop, inclusive, until p > ½; nothing for ever once past the end."""
    stands, found = 0, []
    for row in energies:
        while stands < len(seen) and not (seen[stands] and logistic(row[stands]) > 0.5):
            stands += 1
        found.append([float(s == stands) for s in range(len(seen))])
    return found


def test_at_prediction_it_goes_right_and_stops_at_the_first_that_is_more_likely_than_not() -> None:
    normalize = Monotonic(-0.4, noise=1.0).eval()
    ends, stops = 0, 0
    for trial in range(200):
        energies = torch.randn(5, 7) - trial % 3
        seen = torch.rand(7) > 0.3
        for mask in (None, seen):
            found = walked(normalize, energies, mask)
            rows = (energies - 0.4).tolist()
            assert found.tolist() == greedy(rows, [True] * 7 if mask is None else mask.tolist())
            stops += int(found.sum())
            ends += int((found.sum(-1) == 0).sum())
    assert ends > 50 and stops > 50  # both happened


def test_at_prediction_where_none_stops_there_is_nothing_from_then_on() -> None:
    normalize = Monotonic(0.0).eval()
    energies = torch.tensor([[-1.0, 2.0, -1.0], [-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
    assert walked(normalize, energies).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    # Stopping again at the same place is going on; p = ½ is no stop.
    assert walked(normalize, torch.tensor([[0.0, 1.0], [3.0, 1.0]])).tolist() == [[0, 1], [0, 1]]


def test_noise_stands_on_the_energies_in_training_alone() -> None:
    quiet, noisy = Monotonic(0.7, noise=0.0).double(), Monotonic(0.7, noise=2.0).double()
    scores = torch.zeros(40_000, 1, 1, dtype=torch.float64)
    last = torch.ones(40_000, 1, dtype=torch.float64)
    p = noisy.follow(scores, None, last)[:, 0, 0]
    energy = torch.logit(p)
    assert energy.mean().item() == pytest.approx(0.7, abs=0.05)
    assert energy.std().item() == pytest.approx(2.0, abs=0.05)
    assert torch.equal(noisy.eval().follow(scores, None, last), quiet.eval().follow(scores, None, last))


def test_the_offset_learns() -> None:
    normalize = Monotonic(0.0, noise=0.0)
    normalize.follow(torch.zeros(1, 2), None, torch.tensor([1.0, 0.0]))[0, 1].backward()
    # d/db [p (1 - p)] at ½ is p(1 - p)(1 - 2p) = 0 for the second; the first has d p = ¼.
    assert normalize.offset.grad is not None and normalize.offset.grad.item() == pytest.approx(0.0)
    normalize.follow(torch.zeros(1, 2), None, torch.tensor([1.0, 0.0]))[0, 0].backward()
    assert normalize.offset.grad.item() == pytest.approx(0.25)
    assert isinstance(normalize, Forward) and not isinstance(sparsemax, Forward)


def chunks(alpha: list[float], u: list[float], seen: list[bool], width: int) -> list[float]:
    """`β_s = Σ_{k=s}^{s+w-1} α_k exp(u_s) / Σ_{l=k-w+1}^{k} exp(u_l)` (Chiu & Raffel 2018, equation 12)."""
    keys = len(u)
    found = []
    for s in range(keys):
        beta = 0.0
        for k in range(s, min(s + width, keys)):
            below = sum(math.exp(u[m]) for m in range(max(0, k - width + 1), k + 1) if seen[m])
            beta += alpha[k] * (math.exp(u[s]) / below if seen[s] else 0.0)
        found.append(beta)
    return found


@pytest.mark.parametrize("width", [1, 2, 3, 11])
@pytest.mark.parametrize("training", [True, False])
def test_mocha_is_the_papers_double_sum(training: bool, width: int) -> None:
    batch, steps, keys = 3, 4, 7
    stopping, inside = General(2, 2), Additive(2, 2, 2)
    attend = MoChA(stopping, inside, width, Monotonic(0.25, noise=0.0)).double().train(training)
    torch.nn.init.normal_(stopping.weight, std=2.0)
    torch.nn.init.normal_(inside.v, std=3.0)
    q, k, v = (torch.randn(batch, n, 2, dtype=torch.float64) for n in (steps, keys, keys))
    mask = torch.arange(keys) < torch.tensor([7, 4, 1])[:, None, None]
    mask[0, 0, [1, 4]] = False  # holes, over which a chunk reaches
    with torch.no_grad():
        energies, u = stopping(q, k), inside(q, k)
        weights = attend.weights(q, k, mask, trail=attend.begin(k))
        context, trail = attend(q, k, v, mask, trail=attend.begin(k))
    stood = 0.0
    for b in range(batch):
        seen = mask[b, 0].tolist()
        rows = (energies[b] + 0.25).tolist()
        alpha = every_way([[logistic(e) for e in row] for row in rows], seen) if training else greedy(rows, seen)
        beta = [chunks(alpha[t], u[b, t].tolist(), seen, width) for t in range(steps)]
        stood += sum(map(sum, beta))
        for t in range(steps):
            assert weights[b, t].tolist() == pytest.approx(beta[t], abs=1e-9)
            assert sum(beta[t]) == pytest.approx(sum(alpha[t]))  # a chunk shares out what stopped at its end
        torch.testing.assert_close(context[b], torch.tensor(beta, dtype=torch.float64) @ v[b])
        assert trail.last[b].tolist() == pytest.approx(alpha[-1], abs=1e-9)  # the stop, not the chunk, goes on
        assert trail.total[b].tolist() == pytest.approx([sum(row[s] for row in beta) for s in range(keys)])
    assert stood > 1


def test_chunks_survive_large_scores() -> None:
    """Softmax over each chunk alone: a great score elsewhere must not leave a chunk with nothing."""
    energy = torch.tensor([[0.0, -1.0, 1e4, 0.0, 0.0]], requires_grad=True)
    found = chunkwise(torch.full((1, 5), 0.2), energy, None, 2)
    first = 1 / (1 + math.exp(-1))
    wanted = torch.tensor([[0.2 + 0.2 * first, 0.2 * (1 - first), 0.2 + 0.2, 0.1, 0.2 - 0.1]])
    # Chunks: {0}, {0, 1}, {1, 2}, {2, 3}, {3, 4}.
    torch.testing.assert_close(found, wanted)
    found.sum().backward()
    assert energy.grad is not None and torch.isfinite(energy.grad).all()
    with pytest.raises(ValueError, match="at least 1 position, not 0"):
        MoChA(Dot(), Dot(), 0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda: StatefulAttend(Additive(3, 3, 2), Monotonic()),
        lambda: MoChA(Additive(3, 3, 2), Additive(3, 3, 2)),
    ],
)
def test_in_bfloat16(make: Any, training: bool) -> None:
    attend: StatefulAttend = make().bfloat16().train(training)
    q, k = torch.randn(2, 3, 3, dtype=torch.bfloat16), torch.randn(2, 5, 3, dtype=torch.bfloat16)
    assert attend(q, k, k, trail=attend.begin(k))[0].dtype == torch.bfloat16


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make", [lambda: Dot(), lambda: Additive(2, 2, 3), lambda: Coverage(2, 2, 3)])
def test_monotonic_attention_over_a_score(make: Any, training: bool) -> None:
    score: Score = make()
    attend = StatefulAttend(score, Monotonic(0.5, noise=0.0)).double().train(training)
    q, k, v = (torch.randn(1, n, 2, dtype=torch.float64) for n in (3, 4, 4))
    with torch.no_grad():
        context, trail = attend(q, k, v, trail=attend.begin(k))
        weights = attend.weights(q, k, trail=attend.begin(k))[0]
        coverage, rows = torch.zeros(1, 4, dtype=torch.float64), []
        for t in range(3):
            if isinstance(score, Coverage):
                one = score.compare(q[:, t : t + 1], score.project(k), Trail(coverage, coverage))[0, 0]
            else:
                one = score(q[:, t : t + 1], k)[0, 0]
            rows.append((one + 0.5).tolist())
            coverage = coverage + weights[t]
    p = [[logistic(e) for e in row] for row in rows]
    wanted = torch.tensor(every_way(p, [True] * 4) if training else greedy(rows, [True] * 4), dtype=torch.float64)
    torch.testing.assert_close(weights, wanted)
    torch.testing.assert_close(context[0], wanted @ v[0])
    torch.testing.assert_close(trail.total[0], wanted.sum(0))


def test_monotonic_attention_stops_only_within_its_scope() -> None:
    attend = StatefulAttend(Dot(), Monotonic(0.0, noise=0.0), Window(1, 1)).double()
    q, k = torch.randn(1, 3, 2, dtype=torch.float64), torch.randn(1, 7, 2, dtype=torch.float64)
    weights = attend.weights(q, k, trail=attend.begin(k), start=2)[0]
    for t, row in enumerate(weights.tolist()):
        assert all((w > 0) <= (abs(t + 2 - s) <= 1) for s, w in enumerate(row)) and sum(row) > 0


@pytest.mark.parametrize("make", [lambda: Coverage(3, 5, 2), lambda: Dot()])
def test_hypotheses_share_the_keys_of_their_source(make: Any) -> None:
    score = make()
    normalize = Monotonic(0.5, noise=0.0)
    attend = StatefulAttend(score, normalize).double()
    size = 5 if isinstance(score, Coverage) else 3
    q, k, v = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 3, 4, 3), (2, 1, 7, size), (2, 1, 7, 2)))
    mask = (torch.arange(7) < torch.tensor([7, 3])[:, None])[:, None, None]
    last, total = (torch.rand(2, 3, 7, dtype=torch.float64) / 7 for _ in range(2))
    context, trail = attend(q, k, v, mask, trail=Trail(last, total))
    for b, h in itertools.product(range(2), range(3)):
        alone, after = attend(q[b, h], k[b, 0], v[b, 0], mask[b, 0], trail=Trail(last[b, h], total[b, h]))
        torch.testing.assert_close(context[b, h], alone)
        torch.testing.assert_close(trail.last[b, h], after.last)
        torch.testing.assert_close(trail.total[b, h], after.total)


def test_a_mask_for_each_query() -> None:
    attend = StatefulAttend(Coverage(3, 3, 2)).double()
    q, k = torch.randn(2, 3, 3, dtype=torch.float64), torch.randn(2, 5, 3, dtype=torch.float64)
    mask = torch.rand(2, 3, 5) > 0.4
    weights, trail = attend.walk(q, k, mask, trail=attend.begin(k))
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(weights.sum(-1), mask.any(-1).double())
    torch.testing.assert_close(trail.total, weights.sum(-2))


def test_dropout_falls_on_the_context_and_not_on_the_trail() -> None:
    attend = StatefulAttend(Coverage(3, 3, 2), dropout=0.9).double()
    q, k = torch.randn(1, 3, 3, dtype=torch.float64), torch.randn(1, 5, 3, dtype=torch.float64)
    dropped, trail = attend(q, k, torch.eye(5, dtype=torch.float64)[None], trail=attend.begin(k))
    exact, other = attend.eval()(q, k, torch.eye(5, dtype=torch.float64)[None], trail=attend.begin(k))
    torch.testing.assert_close(trail.total, other.total)
    assert (dropped == 0).sum() > 5 and not (exact == 0).any()


@pytest.mark.parametrize("training", [True, False])
def test_a_stateful_attend_can_be_recorded(training: bool) -> None:
    attend: Attend = MoChA(Dot(), Dot(), 2, Monotonic(noise=0.0)).double().train(training)
    assert isinstance(attend, StatefulAttend)
    q, k = torch.randn(2, 3, 3, dtype=torch.float64), torch.randn(2, 5, 3, dtype=torch.float64)
    outside, _ = attend(q, k, k, trail=attend.begin(k))
    with record([attend]) as [seen]:
        trail, parts = attend.begin(k), []
        for t in range(3):
            part, trail = attend(q[:, t : t + 1], k, k, trail=trail)
            parts.append(part)
    assert torch.equal(torch.cat(parts, dim=1), outside)
    assert torch.equal(seen.weights(), attend.weights(q, k, trail=attend.begin(k)))
