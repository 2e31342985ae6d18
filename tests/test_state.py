"""Choosing rows of what a decoder carries: in tuples of tuples, in states within states, and not in what all share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.state import Memory, Rows, State


@dataclass(frozen=True)
class Inner(State):
    hidden: Tensor
    position: int


@dataclass(frozen=True)
class Outer(State):
    inner: Inner
    cache: tuple[Any, ...]
    fed: Tensor | None
    scale: float = 1.0


def number_rows(rows: int, *rest: int) -> Tensor:
    """All entries of row n are n, so that a chosen row says where it is from."""
    return torch.arange(rows, dtype=torch.float32).view(-1, *[1] * len(rest)).expand(rows, *rest).clone()


def outer() -> Outer:
    pair = (number_rows(5, 2, 3), number_rows(5, 2, 3) + 10)
    cache = (pair, None, (number_rows(5), (), 7, Inner(number_rows(5, 3) + 20, 13)))
    return Outer(Inner(number_rows(5, 7), 11), cache, number_rows(5, 3) + 30, scale=0.5)


# In another order, one thrice and some not at all; a single row; none.
CHOICES = [[3, 0, 3, 3, 4, 1, 0], [2], []]


@pytest.mark.parametrize("chosen", CHOICES)
def test_rows_are_chosen_however_deep_they_lie(chosen: list[int]) -> None:
    found = outer().select(torch.tensor(chosen, dtype=torch.long))

    def check(tensor: Tensor, *rest: int, plus: int = 0) -> None:
        assert tensor.shape == (len(chosen), *rest)
        for row, n in zip(tensor, chosen, strict=True):
            assert row.eq(n + plus).all()

    assert type(found) is Outer and type(found.inner) is Inner
    check(found.inner.hidden, 7)
    assert found.fed is not None
    check(found.fed, 3, plus=30)
    (keys, values), nothing, (vector, empty, number, inner) = found.cache
    check(keys, 2, 3)
    check(values, 2, 3, plus=10)
    check(vector)
    assert type(inner) is Inner
    check(inner.hidden, 3, plus=20)
    assert nothing is None and empty == () and number == 7
    assert found.inner.position == 11 and inner.position == 13 and found.scale == 0.5


def test_what_is_not_there_stays_so() -> None:
    assert replace(outer(), fed=None).select(torch.tensor([1, 1])).fed is None
    assert State().select(torch.tensor([0])) == State()


def test_dtypes_stay_and_numbers_are_not_made_tensors() -> None:
    @dataclass(frozen=True)
    class Kinds(Rows):
        ids: Tensor
        done: Tensor
        low: Tensor
        step: int
        greedy: bool
        name: str

    kinds = Kinds(torch.arange(5), torch.arange(5) > 2, torch.arange(5).bfloat16(), 3, True, "search")
    found = kinds.select(torch.tensor([4, 2]))
    assert found.ids.tolist() == [4, 2] and found.ids.dtype == torch.long
    assert found.done.tolist() == [True, False] and found.done.dtype == torch.bool
    assert found.low.tolist() == [4.0, 2.0] and found.low.dtype == torch.bfloat16
    assert (found.step, found.greedy, found.name) == (3, True, "search") and type(found.step) is int


def test_a_choice_of_a_choice_is_one_choice() -> None:
    first, second = torch.tensor([4, 4, 1, 0, 2, 3, 1]), torch.tensor([6, 0, 0])
    twice, once = outer().select(first).select(second), outer().select(first[second])
    assert torch.equal(twice.inner.hidden, once.inner.hidden)
    assert torch.equal(twice.cache[2][3].hidden, once.cache[2][3].hidden)
    assert twice.inner.hidden[:, 0].tolist() == [1, 4, 4]


def test_chosen_rows_are_copies() -> None:
    """One hypothesis may write into its cache without its sister, or the state before, seeing it."""
    state = Inner(number_rows(3, 2), 0)
    found = state.select(torch.tensor([0, 1, 1]))
    found.hidden[1] = -1
    assert found.hidden[:, 0].tolist() == [0, -1, 1] and state.hidden[:, 0].tolist() == [0, 1, 2]


def test_gradients_of_a_repeated_row_add_up() -> None:
    hidden = number_rows(4, 3).requires_grad_()
    Inner(hidden, 0).select(torch.tensor([3, 1, 3, 3, 0])).hidden.sum().backward()
    assert hidden.grad is not None and hidden.grad.tolist() == [[n] * 3 for n in (1, 1, 0, 3)]


def test_rows_that_do_not_exist_are_refused() -> None:
    with pytest.raises(IndexError):
        Inner(number_rows(3, 2), 0).select(torch.tensor([3]))


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_the_length_of_a_memory_is_its_sources(rows: int) -> None:
    memory = Memory(number_rows(rows, 7, 3), torch.full((rows,), 2))
    assert len(memory) == rows


@dataclass(frozen=True)
class Projected(Memory):
    keys: Tensor | None = None
    final: tuple[Tensor, Tensor] | None = None


def test_a_memory_with_more_fields_is_chosen_whole() -> None:
    final = (number_rows(5, 2), number_rows(5, 2) + 10)
    memory = Projected(number_rows(5, 7, 3), torch.tensor([7, 5, 3, 2, 1]), None, number_rows(5, 7, 2), final)
    found = memory.select(torch.tensor([2, 2, 0]))
    assert type(found) is Projected and len(found) == 3 and len(memory) == 5
    assert found.lengths.tolist() == [3, 3, 7]
    assert found.keys is not None
    assert found.values[:, 0, 0].tolist() == found.keys[:, 6, 1].tolist() == [2, 2, 0]
    assert found.final is not None and [f[:, 1].tolist() for f in found.final] == [[2, 2, 0], [12, 12, 10]]
    assert len(memory.select(torch.tensor([], dtype=torch.long))) == 0
