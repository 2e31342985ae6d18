"""A preset's training part under a budget of the user's own."""

from __future__ import annotations

from regard.config.budget import training_under, within_steps

BELOW = {"learning_rate": 3e-3, "warmup": 300, "epochs": 30, "patience": 10}


def test_the_rate_reaches_its_peak_within_a_short_budget() -> None:
    preset = {"learning_rate": 3e-3, "warmup": 300}
    assert within_steps(preset, 100) == {"learning_rate": 3e-3, "warmup": 25}
    assert within_steps(preset, 3)["warmup"] == 1
    assert within_steps(preset, 1200) == within_steps(preset, 9000) == within_steps(preset, None) == preset
    assert within_steps({"epochs": 3}, 100) == {"epochs": 3}


def test_a_budget_of_the_users_own_is_spent_to_the_end() -> None:
    assert training_under(BELOW, {}) == BELOW
    assert training_under(BELOW, {"learning_rate": 1e-3, "epochs": None}) == {
        **BELOW,
        "learning_rate": 1e-3,
        "epochs": None,
    }
    assert training_under(BELOW, {"minutes": 2}) == {"learning_rate": 3e-3, "warmup": 300, "minutes": 2}
    assert training_under(BELOW, {"epochs": 3}) == {"learning_rate": 3e-3, "warmup": 300, "epochs": 3}
    assert training_under(BELOW, {"steps": 40, "patience": 2}) == {
        "learning_rate": 3e-3, "warmup": 10, "steps": 40, "patience": 2,
    }  # fmt: skip


def test_what_is_no_table_is_left_for_the_recipe_to_name() -> None:
    assert training_under(BELOW, "fast") == "fast"
    assert training_under(BELOW, {"steps": "many"})["warmup"] == 300
