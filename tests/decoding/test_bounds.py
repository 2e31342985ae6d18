"""What no search can have is refused before it begins; what it can have leads to an end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.batch import EOS
from regard.decoding import Constraints, check_count, check_drawing, check_sampling, sample
from regard.decoding.bounds import COLDEST, HOTTEST, PENALTY
from regard.errors import UsageError
from regard.tasks import captioning, translation
from regard.tasks.language_model import Sampling

NONE = [math.nan, math.inf, -math.inf, -1, "a", None]


@pytest.mark.parametrize(
    ("name", "values", "advice"),
    [
        ("temperature", [*NONE, 1e-40, 1e300, 10**400], "write 0 for the likeliest token"),
        ("top_k", [*NONE, 1.5], "or 0 for all"),
        ("top_p", [*NONE, 0, 1.1], "a share above 0 and up to 1"),
        ("seed", [*NONE, 2**63, 1.0], "a whole number from 0 to 9223372036854775807"),
    ],
)
def test_no_draw_is_made_with_what_is_no_number_for_it(name: str, values: list[Any], advice: str) -> None:
    for value in values:
        for call in (
            lambda v: check_drawing(**{name: v}),
            lambda v: Sampling(**{name: v}),
            lambda v: translation.Search(sampling={name: v}),
            lambda v: captioning.Search(sampling={name: v}),
        ):
            with pytest.raises(UsageError) as caught:
                call(value)
            assert str(caught.value).startswith(f"{name} is ") and advice in str(caught.value)


def test_what_is_no_sampling_is_named() -> None:
    check_sampling(None)
    check_sampling({})
    check_sampling({"temperature": np.float32(0.5), "top_k": np.int64(3), "top_p": 1, "seed": 2**63 - 1})
    with pytest.raises(UsageError, match="sample has no 'temprature': it has temperature, top_k, top_p, seed"):
        check_sampling({"temprature": 1})
    with pytest.raises(UsageError, match=r"sample is True: write how to draw, such as {\"temperature\": 0\.8}"):
        check_sampling(True)


@pytest.mark.parametrize(
    ("search", "name", "values"),
    [
        (search, name, values)
        for search in (translation.Search, captioning.Search)
        for name, values in (
            ("beam", [*NONE, 0, 2.0, 2**31]),
            ("count", [*NONE, 0]),
            ("length_penalty", [*NONE, 51]),
            ("no_repeat_ngram", [*NONE, 0.5]),
            ("coverage_penalty", NONE),
            ("min_length_ratio", NONE),
            ("max_length_ratio", [*NONE, 0]),
            ("max_length", [0, "a", 2**80]),
        )
        if name in (("max_length",) if search is captioning.Search else ("coverage_penalty", "min_length_ratio"))
        or name in ("beam", "count", "length_penalty", "no_repeat_ngram")
        or (name == "max_length_ratio" and search is translation.Search)
    ],
)
def test_no_search_has_what_is_no_number_for_it(search: type, name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UsageError) as caught:
            search(**{name: value})
        assert str(caught.value).startswith(f"{'nbest' if name == 'count' else name} is "), str(caught.value)


def test_a_count_says_how_many_it_may_be() -> None:
    check_count("beam", 3, 1, "some")
    with pytest.raises(UsageError, match=r"beam is 2\.0: write some"):
        check_count("beam", 2.0, 1, "some")
    with pytest.raises(UsageError, match="beam is 9999999999: write 2,147,483,647 at most"):
        check_count("beam", 9999999999, 1, "some")


class Flat:
    """Says each of five tokens with its own large logit, whatever was said."""

    lengths = torch.tensor([1])

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, rows: Any) -> Any:
        return self

    def start(self, memory: Any) -> Any:
        return self

    def __call__(self, tokens: torch.Tensor, state: Any, memory: Any) -> Any:
        return torch.tensor([[[9e3, 9e3, 9e3, -9e3, -9e3]]]).expand(len(tokens), 1, 5).clone(), self


@given(st.sampled_from([0.0, COLDEST, 1e-3, 1.0, 1e3, HOTTEST]), st.integers(0, 2**63 - 1))
def test_a_draw_comes_to_its_end_at_every_temperature(temperature: float, seed: int) -> None:
    flat: Any = Flat()
    [[found]] = sample(flat, flat, Constraints(4), temperature=temperature, seed=seed)
    assert len(found.ids) <= 4 and found.finished and EOS not in found.ids


def test_ratios_of_any_size_are_lengths() -> None:
    from tests_of_lengths import model  # pyright: ignore[reportMissingImports]

    assert model
    assert PENALTY
