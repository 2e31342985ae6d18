"""`record`: weights with their gradient, of every call, while a model runs, and no trace of it afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regard.attention import Attend, Hard, MultiHead, Relative, StatefulAttend, record
from regard.attention import attend as attend_module
from regard.attention.normalizers import entmax15
from regard.attention.scopes import Causal, LocalMonotonic, LocalPredictive
from regard.attention.scores import Additive, Coverage, Dot, ScaledDot

B, T, S, D = 2, 3, 29, 5


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(B, T, D), torch.randn(B, S, D), torch.randn(B, S, D)


KINDS = {
    "fused": lambda: Attend(ScaledDot(), scope=Causal()),
    "banded": lambda: Attend(Additive(D, D, 3), entmax15, LocalMonotonic(2)),
    "gathered": lambda: Attend(Dot(), scope=LocalPredictive(D, 2)),
    "relative": lambda: Attend(ScaledDot(), bias=Relative(D, 2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_those_of_the_call_and_the_output_stays(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_module, "FUSED_CPU_SCORES", 0)
    attend = KINDS[kind]()
    q, k, v = inputs()
    mask = (torch.arange(S) < torch.tensor([S, 17])[:, None])[:, None]
    plain = attend(q, k, v, mask)
    with record([attend]) as [seen]:
        recorded = attend(q, k, v, mask)
        projected = attend(q, attend.project(k), v, mask, projected=True)
    torch.testing.assert_close(recorded, plain)
    torch.testing.assert_close(projected, plain)
    assert len(seen.calls) == 2 and seen.choice() is None
    assert torch.equal(seen.calls[0], attend.weights(q, k, mask))
    attend(q, k, v, mask)
    assert len(seen.calls) == 2 and attend.recorder is None


def test_a_loss_of_the_weights_has_the_gradient_of_the_formula() -> None:
    attend = Attend(Dot())
    q, k, v = (t.double().requires_grad_() for t in inputs())
    with record([attend]) as [seen]:
        attend(q, k, v)
    (seen.weights()[..., 0] ** 2).sum().backward()
    (wanted,) = torch.autograd.grad((torch.softmax(q @ k.mT, -1)[..., 0] ** 2).sum(), q)
    assert q.grad is not None
    torch.testing.assert_close(q.grad, wanted)


def test_recording_changes_no_gradient_of_the_output() -> None:
    torch.manual_seed(1)
    heads = MultiHead(12, 3)
    x = torch.randn(B, T, 12)
    heads(x)[0].square().sum().backward()
    wanted = [p.grad.clone() for p in heads.parameters() if p.grad is not None]
    heads.zero_grad()
    with record([heads.attend]) as [seen]:
        heads(x)[0].square().sum().backward()
    assert seen.weights().shape == (B, 3, T, T)
    torch.testing.assert_close([p.grad for p in heads.parameters()], wanted)


def test_steps_stand_one_after_the_other_and_each_attend_has_its_own() -> None:
    first, second, third = Attend(Dot()), Attend(ScaledDot()), Attend(Dot())
    q, k, v = inputs()
    with record([first, second]) as records:
        for t in range(T):
            first(q[:, t : t + 1], k, v)
        second(q, k, v)
        third(q, k, v)
    assert torch.equal(records[0].weights(), torch.cat([first.weights(q[:, t : t + 1], k) for t in range(T)], 1))
    torch.testing.assert_close(records[0].weights(), first.weights(q, k))
    assert torch.equal(records[1].weights(), second.weights(q, k))
    assert [len(r.calls) for r in records] == [T, 1]


def test_weights_are_recorded_before_dropout() -> None:
    attend = Attend(Dot(), dropout=0.5)
    q, k, v = inputs()
    with record([attend]) as [seen]:
        attend(q, k, v)
    assert torch.equal(seen.weights(), attend.eval().weights(q, k))


def test_a_record_inside_another_sees_its_part_and_the_other_all() -> None:
    attend = Attend(Dot())
    q, k, v = inputs()
    with record([attend]) as [outer]:
        attend(q[:, :1], k, v)
        with record([attend]) as [inner]:
            attend(q[:, 1:2], k, v)
        attend(q[:, 2:], k, v)
    assert len(outer.calls) == 3 and len(inner.calls) == 1
    assert inner.calls[0] is outer.calls[1]
    torch.testing.assert_close(outer.weights(), attend.weights(q, k))
    assert attend.recorder is None


def test_nothing_is_left_behind_after_an_exception() -> None:
    hard, soft = Attend(Dot(), Hard()), Attend(Dot())
    q, k, v = inputs()
    with record([soft]) as [outer]:
        with pytest.raises(RuntimeError, match="stop"), record([hard, soft]):
            raise RuntimeError("stop")
        assert hard.recorder is None and isinstance(hard.normalize, Hard) and hard.normalize.recorder is None
        soft(q, k, v)  # that outside goes on
    assert len(outer.calls) == 1
    with pytest.raises(RuntimeError, match="stop"), record([soft]):
        raise RuntimeError("stop")
    assert soft.recorder is None


@pytest.mark.parametrize("size", [0, 2])
def test_any_number_of_attends(size: int) -> None:
    with record([Attend(Dot()) for _ in range(size)]) as records:
        assert len(records) == size


def test_choices_are_recorded_step_by_step() -> None:
    attend = Attend(Dot(), Hard(expectation=0.5))
    q, k, v = inputs()
    with record([attend]) as [seen]:
        for t in range(T):
            attend(q[:, t : t + 1], k, v)
    choice = seen.choice()
    assert choice is not None and len(seen.choices) == T
    assert choice.log_probability.shape == choice.entropy.shape == choice.made.shape == (B, T)
    chosen = seen.weights().argmax(-1)
    log_p = torch.log_softmax(q @ k.mT, -1).gather(-1, chosen[..., None])[..., 0]
    torch.testing.assert_close(choice.log_probability, log_p.masked_fill(~choice.made, 0.0))
    assert isinstance(attend.normalize, Hard) and attend.normalize.recorder is None
    attend(q, k, v)
    assert len(seen.choices) == T


def test_a_record_inside_another_sees_choices_too() -> None:
    attend = Attend(Dot(), Hard(expectation=0.0))
    q, k, v = inputs()
    with record([attend]) as [outer], record([attend]) as [inner]:
        attend(q, k, v)
    assert len(outer.choices) == 1
    assert len(inner.choices) == 1


def test_a_stateful_attend_is_recorded_with_its_gradient() -> None:
    attend = StatefulAttend(Coverage(D, D, 3))
    q, k, v = inputs()
    with record([attend]) as [seen]:
        trail = attend.begin(k)
        for t in range(T):
            _, trail = attend(q[:, t : t + 1], k, v, trail=trail)
    assert torch.equal(seen.weights(), attend.weights(q, k, trail=attend.begin(k)))
    seen.weights()[..., 0].sum().backward()
    assert isinstance(attend.score, Coverage) and attend.score.coverage.grad is not None
    assert attend.score.coverage.grad.abs().sum() > 0


def test_the_model_around_is_not_touched() -> None:
    model = nn.ModuleList([Attend(Dot()), Attend(Additive(D, D, 3))])
    before = set(model.state_dict())
    with record([m for m in model if isinstance(m, Attend)]):
        assert set(model.state_dict()) == before
