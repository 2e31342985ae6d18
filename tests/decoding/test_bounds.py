"""What no search can have is refused before it begins; with what it can have, it comes to an end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from regard.batch import EOS
from regard.decoding import (
    Constraints,
    beam_search,
    check_beam,
    check_count,
    check_drawing,
    check_length_penalty,
    check_number,
    check_sampling,
    sample,
)
from regard.decoding.bounds import COLDEST, HOTTEST, PENALTY, WIDEST
from regard.errors import UsageError
from regard.state import Memory, State

NONE = [math.nan, math.inf, -math.inf, -1, "a", None]


@pytest.mark.parametrize(
    ("name", "values", "advice"),
    [
        ("temperature", [1e-40, 1e300, 10**400], "write 0 for the likeliest token"),
        ("top_k", [1.5], "or 0 for all"),
        ("top_p", [0, 1.1], "a share above 0 and up to 1"),
        ("seed", [2**63, 1.0], "a whole number from 0 to 9223372036854775807"),
    ],
)
def test_no_draw_is_made_with_what_is_no_number_for_it(name: str, values: list[Any], advice: str) -> None:
    for value in [*NONE, *values]:
        for check in (lambda v: check_drawing(**{name: v}), lambda v: check_sampling({name: v})):
            with pytest.raises(UsageError) as caught:
                check(value)
            assert str(caught.value).startswith(f"{name} is ") and advice in str(caught.value)


def test_what_is_no_sampling_is_named() -> None:
    check_sampling(None)
    check_sampling({})
    check_sampling({"temperature": np.float32(0.5), "top_k": np.int64(3), "top_p": 1, "seed": 2**63 - 1})
    with pytest.raises(UsageError, match="sample has no 'temprature': it has temperature, top_k, top_p, seed"):
        check_sampling({"temprature": 1})
    with pytest.raises(UsageError, match=r"sample is True: write how to draw, such as \{\"temperature\": 0\.8\}"):
        check_sampling(True)


def test_a_beam_is_no_wider_than_what_is_held_at_once() -> None:
    check_beam(WIDEST, WIDEST)
    with pytest.raises(UsageError, match=r"beam is 1001: write 1,000 at most"):
        check_beam(1001, 1)
    with pytest.raises(UsageError, match=r"nbest is 100000: write 1,000 at most"):
        check_beam(1, 100_000)


def test_each_number_is_named_with_what_to_write() -> None:
    check_count("beam", np.int64(3), 1, "some")
    for value, sentence in (
        (2.0, r"beam is 2\.0: write some"),
        (0, "beam is 0"),
        (2**31, "write 2,147,483,647 at most"),
    ):
        with pytest.raises(UsageError, match=sentence):
            check_count("beam", value, 1, "some")
    for value in NONE:
        for call in (
            lambda v: check_count("it", v, 0, "some"),
            lambda v: check_number("it", v, "some"),
            lambda v: check_number("it", v, "some", above=True),
        ):
            with pytest.raises(UsageError, match=r"^it is .*: write some$"):
                call(value)
        with pytest.raises(UsageError, match=r"^length_penalty is "):
            check_length_penalty(value)
    check_number("it", 0, "some")
    with pytest.raises(UsageError, match=r"^it is 0: write some$"):
        check_number("it", 0.0, "some", above=True)


class Flat:
    """Says each of six tokens with a large logit of its own, whatever was said."""

    def start(self, memory: Memory) -> State:
        return Nothing(torch.zeros(len(memory)))

    def __call__(self, tokens: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        return torch.tensor([9e3, 9e3, -9e3, 9e3, -9e3, 9e3]).expand(len(tokens), 1, 6).clone(), state


class Nothing(State):
    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def select(self, rows: Tensor) -> Nothing:
        return Nothing(self.rows[rows])


ONE = Memory(torch.zeros(1, 1, 1), torch.ones(1, dtype=torch.long))


@given(st.sampled_from([0.0, COLDEST, 1e-3, 1.0, 1e3, HOTTEST]), st.integers(0, 2**63 - 1))
@settings(max_examples=30, deadline=None)
def test_a_draw_comes_to_its_end_at_every_temperature(temperature: float, seed: int) -> None:
    [[found]] = sample(Flat(), ONE, Constraints(4), temperature=temperature, seed=seed)
    assert len(found.ids) <= 4 and found.finished and EOS not in found.ids


def test_the_largest_penalty_of_a_long_output_is_a_number() -> None:
    [[found]] = beam_search(Flat(), ONE, Constraints(300, min_length=300), beam=1, length_penalty=PENALTY)
    assert found.finished and len(found.ids) == 300
