"""The observer sees the truth and changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regard.attention import Attend, MultiHead, attends, capture
from regard.attention.scores import ScaledDot
from regard.errors import UsageError


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = MultiHead(8, 2), MultiHead(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)[0])[0]


def test_the_output_is_bit_identical_and_the_weights_are_those_that_ran() -> None:
    torch.manual_seed(0)
    model, x = Two(), torch.randn(3, 5, 8)
    before = model(x)
    with capture(model) as seen:
        during = model(x)
    assert torch.equal(before, during)
    assert list(seen) == ["first.attend", "second.attend"]
    # What the second layer put out is its weights times its values, projected.
    inner = model.first(x)[0]
    values = model.second._split(model.second.projection(inner)[..., 16:])
    rebuilt = model.second.output((seen["second.attend"][0] @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(rebuilt, before)


def test_only_what_was_asked_for_is_seen_and_nothing_afterwards() -> None:
    model, x = Two(), torch.randn(3, 5, 8)
    with capture(model, ["second.attend"]) as seen:
        model(x)
        model(x)
    model(x)
    assert list(seen) == ["second.attend"]
    assert len(seen["second.attend"]) == 2
    assert seen.steps("second.attend").shape == (3, 2, 10, 5)
    assert not seen["second.attend"][0].requires_grad
    assert all(not a._forward_hooks for a in attends(model).values())
    with capture(model, lambda name, attend: name.startswith("first")) as seen:
        model(x)
    assert list(seen) == ["first.attend"]


def test_hooks_are_gone_after_an_error() -> None:
    model = Two()
    with pytest.raises(RuntimeError), capture(model):
        model(torch.randn(3, 5, 9))
    assert all(not a._forward_hooks for a in attends(model).values())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile imports what PyTorch deprecates
def test_what_cannot_be_seen_is_said() -> None:
    model = Two()
    with (
        pytest.raises(UsageError, match=r"no attention is called 'third'; there are: first\.attend"),
        capture(model, ["third"]),
    ):
        pass
    with pytest.raises(UsageError, match="no attention to capture"), capture(nn.Linear(2, 2)):
        pass
    with pytest.raises(UsageError, match="compiled"), capture(torch.compile(model)):  # type: ignore[arg-type]
        pass
    with pytest.raises(UsageError, match="nothing was captured"), capture(model) as seen:
        seen.steps("first.attend")


def test_attend_called_by_keyword_is_seen() -> None:
    attend = Attend(ScaledDot())
    q = torch.randn(1, 2, 3)
    with capture(attend) as seen:
        attend(q=q, k=q, v=q, mask=None)
    torch.testing.assert_close(seen[""][0], torch.softmax(q @ q.transpose(1, 2) / 3**0.5, -1))
