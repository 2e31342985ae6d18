"""Senses by vectors: by hand arithmetic, and by what makes a regression's minimum one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regard.errors import UsageError
from regard.evaluation.senses import METHODS, LogisticRegression, nearest, nearest_mean, predicted


def test_the_nearest_decides_by_its_direction() -> None:
    train = torch.tensor([[100.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    test = torch.tensor([[1.0, 2.0], [5.0, 4.9], [-3.0, 1.0]])  # cosines: .45 .89 -.45; .71 .70 -.71; -.95 .32 .95
    assert nearest(train, torch.tensor([2, 0, 1]), test).tolist() == [0, 2, 1]


def test_vectors_that_are_all_alike_give_the_commonest_sense() -> None:
    one = torch.tensor([[0.3, -0.7, 0.1]])
    train = one.repeat(7, 1) * torch.tensor([1.0, 3.0, 0.1, 7.0, 1.0, 1.0, 1.0])[:, None]
    senses = ["b", "a", "c", "c", "b", "c", "a"]
    for how in METHODS:
        assert predicted(how, train, senses, one.repeat(3, 1) * 5) == ["c"] * 3


def test_the_nearest_mean_is_of_all_of_a_sense() -> None:
    # Of sense 0 one vector is the nearest of all, yet its mean points elsewhere.
    train = torch.tensor([[0.0, 1.0], [9.0, 0.0], [1.0, 1.0]])
    labels = torch.tensor([0, 0, 1])
    test = torch.tensor([[0.1, 1.0]])
    assert nearest(train, labels, test).tolist() == [0]
    assert nearest_mean(train, labels, test).tolist() == [1]  # mean of 0 is (4.5, 0.5)


def test_the_regression_stands_where_the_slope_is_nothing() -> None:
    draw = np.random.default_rng(3)
    x = draw.normal(size=(41, 5)) * [1, 10, 0.1, 3, 1] + [0, 100, 0, -7, 0]
    y = draw.integers(3, size=41)
    found = LogisticRegression.fit(torch.from_numpy(x), torch.from_numpy(y), l2=0.7)
    z = (x - x.mean(0)) / x.std(0)
    logits = z @ found.weight.numpy().T + found.bias.numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    slope = (p - np.eye(3)[y]).T @ z + 0.7 * found.weight.numpy()
    assert np.abs(slope).max() < 1e-4
    assert np.abs((p - np.eye(3)[y]).sum(0)).max() < 1e-4
    assert found.predict(torch.from_numpy(x)).tolist() == logits.argmax(1).tolist()
    moved = LogisticRegression.fit(torch.from_numpy(x * 13 - 5), torch.from_numpy(y), l2=0.7)
    assert torch.allclose(moved.logits(torch.from_numpy(x * 13 - 5)), torch.from_numpy(logits), atol=1e-4)


def test_a_feature_that_never_changes_says_nothing() -> None:
    x = torch.tensor([[1e4, -1.0], [1e4, 1.0], [1e4, 2.0]])
    found = LogisticRegression.fit(x, torch.tensor([0, 1, 1]))
    assert found.weight[:, 0].abs().max() == 0 and found.predict(x).tolist() == [0, 1, 1]


def test_what_cannot_be_is_said_in_a_sentence() -> None:
    x = torch.zeros(3, 2)
    with pytest.raises(UsageError, match="2 senses for 3 vectors"):
        predicted("nearest", x, ["a", "b"], x)
    with pytest.raises(UsageError, match="2 and 5 numbers"):
        predicted("mean", x, ["a", "b", "a"], torch.zeros(1, 5))
    with pytest.raises(ValueError, match="above 0"):
        LogisticRegression.fit(x, torch.tensor([0, 1, 1]), l2=0)
