"""Hard attention: what is chosen, how often, and that both estimators have the gradient they are meant to have."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from regard.attention import Attend, Hard, record
from regard.attention.hard import Choice
from regard.attention.normalizers import masked
from regard.attention.scores import Dot
from regard.training.attention_losses import leave_one_out, reinforce, returns


def noted(hard: Hard) -> list[Choice]:
    """Where its choices will be written down."""
    choices: list[Choice] = []
    hard.recorder = choices.append
    return choices


@pytest.mark.parametrize("estimator", ["reinforce", "gumbel"])
def test_at_prediction_the_likeliest_position_has_all_the_weight(estimator: str) -> None:
    hard = Hard(estimator).eval()  # type: ignore[arg-type]
    scores = torch.randn(2, 3, 7)
    choices = noted(hard)
    for b, t in itertools.product(range(2), range(3)):
        row = scores[b, t].tolist()
        assert hard(scores)[b, t].tolist() == [float(s == row.index(max(row))) for s in range(7)]
    seen = scores != scores.amax(dim=-1, keepdim=True)
    second = scores.masked_fill(~seen, -torch.inf).argmax(-1)
    assert torch.equal(masked(hard, scores, seen).argmax(-1), second)
    assert not choices  # nothing was left to chance


@pytest.mark.parametrize("estimator", ["reinforce", "gumbel"])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_positions_are_drawn_as_often_as_softmax_says(estimator: str, temperature: float) -> None:
    hard = Hard(estimator, expectation=0.0, temperature=temperature)  # type: ignore[arg-type]
    scores = torch.tensor([0.3, -1.0, 1.2, -torch.inf, 0.0])
    draws = 40_000
    found = hard(scores.expand(draws, 5))
    assert ((found == 0) | (found == 1)).all() and (found.sum(-1) == 1).all()
    total = sum(math.exp(e) for e in scores.tolist())
    for share, e in zip(found.mean(0).tolist(), scores.tolist(), strict=True):
        p = math.exp(e) / total
        assert share == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / draws))


def test_gumbel_noise_has_no_favourites_in_bfloat16() -> None:
    found = Hard("gumbel")(torch.zeros(4000, 199, dtype=torch.bfloat16)).argmax(-1).double().mean().item()
    assert found == pytest.approx(99, abs=5 * 199 / math.sqrt(12 * 4000))


def test_reinforce_draws_without_favourites_in_bfloat16() -> None:
    found = Hard(expectation=0.0)(torch.zeros(4000, 199, dtype=torch.bfloat16))
    assert found.dtype == torch.bfloat16 and (found.sum(-1) == 1).all()
    assert found.argmax(-1).double().mean().item() == pytest.approx(99, abs=5 * 199 / math.sqrt(12 * 4000))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_gumbel_gives_one_hot_rows_the_gradient_of_the_soft_sample(temperature: float) -> None:
    """The Jacobian of `softmax((e + g)/τ)` is `(diag(p) - p pᵀ)/τ`, from which p follows without knowing the noise:
    `p_0² = τ J_01 J_02 / -J_12`. It has to be a sample of the Concrete distribution that chose what was chosen."""
    hard = Hard("gumbel", temperature=temperature)
    scores = torch.tensor([0.4, -0.3, 0.1], dtype=torch.float64)
    rows = scores.expand(3000, 3).clone().requires_grad_()
    found = hard(rows)
    jacobian = torch.stack([torch.autograd.grad(found[:, s].sum(), rows, retain_graph=True)[0] for s in range(3)], 1)
    scaled = -temperature * jacobian
    p = torch.stack([(scaled[:, s, a] * scaled[:, s, b] / scaled[:, a, b]).sqrt() for s, a, b in ((0, 1, 2), (1, 0, 2), (2, 0, 1))], 1)  # fmt: skip
    sure = p.detach().amax(-1) < 1 - 1e-6  # else too few digits are left of the small ones
    assert sure.double().mean() > 0.9
    p, jacobian = p[sure], jacobian[sure]
    torch.testing.assert_close(p.sum(-1), torch.ones_like(p[:, 0]), atol=1e-6, rtol=0)
    wanted = (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) / temperature
    torch.testing.assert_close(jacobian, wanted, atol=1e-6, rtol=0)
    assert torch.equal(p.argmax(-1), found[sure].argmax(-1))
    assert torch.equal(found.detach(), nn.functional.one_hot(found.argmax(-1), 3).double())
    if temperature >= 1:  # nothing was left out, so differences of the noise are logistic
        assert sure.all()
        noise = temperature * p.log() - scores
        for a, b in ((0, 1), (1, 2)):
            assert kstest((noise[:, a] - noise[:, b]).numpy(), "logistic").pvalue > 1e-3


def test_masked_positions_are_never_drawn_and_an_empty_row_is_nothing() -> None:
    seen = torch.tensor([[True, False, True, False], [False] * 4, [False, False, False, True]])
    for hard in (Hard(expectation=0.0), Hard("gumbel"), Hard(expectation=1.0)):
        scores = torch.randn(500, 3, 4, requires_grad=True)
        weights = masked(hard, scores, seen)
        assert (weights[:, ~seen] == 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.tensor([1.0, 0.0, 1.0]).expand(500, 3))
        (weights * torch.randn(4)).sum().backward()
        assert scores.grad is not None and torch.isfinite(scores.grad).all()
        assert (scores.grad[:, 1] == 0).all()


@pytest.mark.parametrize("expectation", [0.0, 0.25, 0.5, 1.0])
def test_the_expectation_takes_its_share_of_steps(expectation: float) -> None:
    hard = Hard(expectation=expectation)
    choices = noted(hard)
    scores = torch.randn(3, dtype=torch.float64).expand(2000, 5, 3).clone().requires_grad_()
    found = hard(scores)
    [choice] = choices
    assert choice.made.shape == choice.entropy.shape == choice.log_probability.shape == (2000, 5)
    share = (~choice.made).double().mean().item()
    assert share == pytest.approx(expectation, abs=5 * math.sqrt(expectation * (1 - expectation) / 10_000))
    p = [math.exp(e) for e in scores[0, 0].tolist()]
    soft = torch.tensor([x / sum(p) for x in p], dtype=torch.float64)
    torch.testing.assert_close(found[~choice.made], soft.expand_as(found[~choice.made]))
    made = found[choice.made]
    assert ((made == 0) | (made == 1)).all() and (made.sum(-1) == 1).all()
    # log p of what was chosen, and nothing where nothing was.
    torch.testing.assert_close(choice.log_probability[choice.made], (made @ soft).log())
    assert (choice.log_probability[~choice.made] == 0).all()
    entropy = -sum(float(x) * math.log(x) for x in soft)
    torch.testing.assert_close(choice.entropy, torch.full((2000, 5), entropy, dtype=torch.float64))
    # A choice has no gradient; the expectation has that of softmax.
    (found * torch.tensor([1.0, 2.0, 4.0])).sum().backward()
    assert scores.grad is not None and (scores.grad[choice.made] == 0).all()
    mean = float(soft @ torch.tensor([1.0, 2.0, 4.0]).double())
    wanted = soft * (torch.tensor([1.0, 2.0, 4.0]) - mean)
    torch.testing.assert_close(scores.grad[~choice.made], wanted.expand_as(found[~choice.made]))


def test_log_probability_and_entropy_have_their_gradients() -> None:
    hard = Hard(expectation=0.0)
    choices = noted(hard)
    scores = torch.randn(50, 4, dtype=torch.float64)
    scores[:, 2] = -torch.inf
    scores.requires_grad_()
    chosen = hard(scores).argmax(-1)
    [choice] = choices
    p = torch.softmax(scores.detach(), dim=-1)
    (gradient,) = torch.autograd.grad(choice.log_probability.sum(), scores, retain_graph=True)
    torch.testing.assert_close(gradient, nn.functional.one_hot(chosen, 4) - p)
    (gradient,) = torch.autograd.grad(choice.entropy.sum(), scores)
    surprise = -p.masked_fill(p == 0, 1.0).log()
    wanted = p * (surprise - (p * surprise).sum(-1, keepdim=True))  # ∂H/∂e_s = p_s (-log p_s - H)
    torch.testing.assert_close(gradient, wanted)


def test_the_baseline_is_a_moving_average_that_is_saved() -> None:
    hard = Hard()
    assert list(hard.state_dict()) == ["baseline"] and not Hard("gumbel").state_dict()
    assert hard.follow(torch.tensor(-2.0)).item() == 0.0
    assert hard.follow(torch.tensor(-1.0)).item() == pytest.approx(-0.2)
    before = hard.follow(torch.tensor(-4.0))
    assert before.item() == pytest.approx(0.9 * -0.2 - 0.1)
    assert hard.state_dict()["baseline"].item() == pytest.approx(0.9 * -0.28 - 0.4)
    assert before.item() == pytest.approx(-0.28)  # it does not move along
    other = Hard()
    other.load_state_dict(hard.state_dict())
    assert other.follow(torch.tensor(0.0)) == hard.follow(torch.tensor(0.0))


def test_wrong_use_is_named() -> None:
    with pytest.raises(ValueError, match="'reinforce' or 'gumbel', not 'softmax'"):
        Hard("softmax")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"from 0 to 1, not 1\.5"):
        Hard(expectation=1.5)
    with pytest.raises(ValueError, match="above 0, not 0"):
        Hard("gumbel", temperature=0.0)


class Tiny:
    """Two steps over three positions. The first context decides y_1 and the second query; both decide y_2."""

    def __init__(self, expectation: float) -> None:
        self.expectation = expectation
        self.attend = Attend(Dot(), Hard(expectation=expectation))
        self.k = random(3, 2)
        self.q1, self.q2, self.turn, self.v = random(2), random(2), random(2, 2), random(3, 2)
        self.w1, self.w2, self.w12 = random(2, 4), random(2, 4), random(2, 4)
        self.parameters = [self.q1, self.q2, self.turn, self.v, self.w1, self.w2, self.w12]
        for parameter in self.parameters:
            parameter.requires_grad_()

    def steps(self, c1: Tensor, c2: Tensor) -> tuple[Tensor, Tensor]:
        """log p(y_1), log p(y_2) given the contexts."""
        first = torch.log_softmax(c1 @ self.w1, -1)[..., 2]
        return first, torch.log_softmax(c2 @ self.w2 + c1 @ self.w12, -1)[..., 1]

    def second(self, c1: Tensor) -> Tensor:
        return self.q2 + c1 @ self.turn

    def outcomes(self, q: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each position, or the expectation, with its probability."""
        p = torch.softmax(self.k @ q, -1)
        drawn = [((1 - self.expectation) * p[s], self.v[s]) for s in range(3)]
        return [*drawn, (torch.tensor(self.expectation), p @ self.v)]

    def exact(self) -> Tensor:
        """The expected log-likelihood: every outcome of both steps."""
        return torch.stack(
            [
                p1 * p2 * sum(self.steps(c1, c2))
                for p1, c1 in self.outcomes(self.q1)
                for p2, c2 in self.outcomes(self.second(c1))
            ]
        ).sum()

    def sampled(self, draws: int, baseline: float | None) -> Tensor:
        """The loss of that many pairs, as training computes it: each read once, or three times without a baseline."""
        k, v = self.k.expand(draws, 3, 2), self.v.expand(draws, 3, 2)
        readings: list[tuple[Tensor, Tensor]] = []
        for _ in range(3 if baseline is None else 1):
            with record([self.attend]) as [seen]:
                c1 = self.attend(self.q1.expand(draws, 1, 2), k, v)
                c2 = self.attend(self.second(c1), k, v)
            choice = seen.choice()
            assert choice is not None
            readings.append((torch.cat(self.steps(c1, c2), dim=1), choice.log_probability))
        said = torch.ones(draws, 2, dtype=torch.bool)
        rewards, made = (torch.stack(part) for part in zip(*readings, strict=True))
        gained = returns(rewards, said)
        expected = leave_one_out(gained) if baseline is None else baseline * torch.tensor([2.0, 1.0]).expand_as(gained)
        return (-rewards.sum() + reinforce(made, gained, expected, said)) / len(readings)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("expectation", [0.0, 0.5])
@pytest.mark.parametrize("baseline", [0.0, -1.3, None])
def test_reinforce_has_the_gradient_of_the_expected_log_likelihood(baseline: float | None, expectation: float) -> None:
    """The mean over many draws against the exact gradient by enumeration; no baseline, not even what the other
    readings of a pair earned, may move it."""
    torch.manual_seed(2)
    tiny = Tiny(expectation)
    parameters = tiny.parameters
    exact = torch.autograd.grad(tiny.exact(), parameters)
    draws, batches = 10_000, 40
    found = [torch.autograd.grad(-tiny.sampled(draws, baseline) / draws, parameters) for _ in range(batches)]
    for wanted, each in zip(exact, zip(*found, strict=True), strict=True):
        stacked = torch.stack(each)
        error = stacked.std(0) / math.sqrt(batches)
        assert ((stacked.mean(0) - wanted).abs() <= 4.5 * error + 1e-9).all()
        assert (error < 0.01).all()  # many draws indeed: the bound says something
    # Without the estimator the queries' gradient is missing: the test can tell.
    if expectation == 0.0:
        assert exact[0].abs().max() > 0.05 and exact[1].abs().max() > 0.05


def test_a_good_baseline_lowers_the_variance() -> None:
    torch.manual_seed(2)
    tiny = Tiny(0.0)
    token = tiny.exact().item() / 2

    def spread(baseline: float | None, draws: int) -> float:
        found = [torch.autograd.grad(tiny.sampled(draws, baseline) / draws, [tiny.q1])[0] for _ in range(300)]
        return float(torch.stack(found).var(0).sum())

    assert spread(token, 60) < 0.5 * spread(0.0, 60)
    # Three readings of a third of the pairs cost as much.
    assert spread(None, 20) < 0.7 * spread(0.0, 60)
