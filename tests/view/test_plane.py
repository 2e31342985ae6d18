"""The plane of a moving word: its arithmetic, and a picture that can be opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regard.errors import RegardError, UsageError
from regard.view.plane import Move, _draw, plane, save_plane


def test_distances_in_a_plane_stay() -> None:
    """Unit vectors that lie in a plane of a larger space are as far apart when drawn."""
    draw = np.random.default_rng(2)
    angles = draw.uniform(0, 3, size=7)
    basis, _ = np.linalg.qr(draw.normal(size=(11, 2)))
    points = np.stack((np.cos(angles), np.sin(angles)), axis=1) @ basis.T * draw.uniform(0.1, 9, size=(7, 1))
    flat, _, shares = plane(points, np.zeros((0, 11)))
    wanted = 2 * np.abs(np.sin((angles[:, None] - angles) / 2))  # a chord
    assert np.allclose(np.linalg.norm(flat[:, None] - flat, axis=-1), wanted, atol=1e-9)
    assert sum(shares) == pytest.approx(1) and shares[0] >= shares[1]


def test_the_others_are_drawn_as_far_out_as_the_points_and_keep_their_directions() -> None:
    points = np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0]])
    others = np.array([[3.0, 0, 4], [-3.0, 0, 4]])  # lengths made 1: (±0.6, 0, 0.8), so ±0.6 on the first axis
    flat, beside, _ = plane(points, others)
    assert np.linalg.norm(beside, axis=1).max() == pytest.approx(np.linalg.norm(flat, axis=1).max())
    assert np.allclose(beside[0], -beside[1]) and np.allclose(beside[:, 1], 0)
    assert np.sign(beside[0, 0]) == np.sign(flat[0, 0])


def test_one_point_and_zeros_have_a_place() -> None:
    flat, beside, shares = plane(np.zeros((1, 3)), np.zeros((2, 3)))
    assert not flat.any() and not beside.any() and shares == (0.0, 0.0)


def test_a_path_lies_within_the_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the arrows of its middle do not count in what matplotlib shows."""
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots()
    path = np.array([[0.0, 0], [40, 9], [-40, -9], [1, 1]])
    _draw(axes, Move("a", path, [], np.zeros((0, 2)), []), path, np.zeros((0, 2)), "green", set())
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left < -40 and right > 40 and low < -9 and high > 9


def test_it_draws_what_users_write(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    moves = [
        Move(text, draw.normal(size=(4, 5)), ["$x_1$", "_", "苹果"], draw.normal(size=(3, 5)), [0.1, 0.2, 0.0])
        for text in ("a $5 apple", "_ underscored", "تفاحة", "सेब 苹果 \U0001f34e", "long " * 99, "f", "g")
    ]
    out = tmp_path / "plane.png"
    save_plane(moves, out, "$apple")
    with Image.open(out) as picture:
        assert picture.format == "PNG" and picture.width > 700
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 30
    save_plane([Move("alone", draw.normal(size=(1, 5)), [], np.zeros((0, 5)), [])], out, "one vector")


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sentence"):
        save_plane([], tmp_path / "a.png", "")
    with pytest.raises(UsageError, match="1 names for 2 vectors"):
        Move("a", np.zeros((2, 3)), ["b"], np.zeros((2, 3)), [0.5, 0.5])
    with pytest.raises(RegardError, match="cannot be written"):
        save_plane([Move("a", np.ones((2, 3)), [], np.zeros((0, 3)), [])], tmp_path / "no" / "a.png", "")
