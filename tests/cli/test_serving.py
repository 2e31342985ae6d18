"""`regard serve`: numbers that are none are refused before anything is read."""

from __future__ import annotations

import pytest

from regard.cli import main


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "1e999", "0", "-1", "soon"])
def test_a_time_that_is_none_is_one_sentence(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--demo", "--timeout", value]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "--timeout" in err and "bug" not in err


@pytest.mark.parametrize("value", ["inf", "1e999"])
def test_no_end_is_told_what_to_write(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--demo", "--timeout", value]) == 2
    assert "--timeout inf is no time that a request may take: give seconds, such as 60\n" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["max-characters", "max-inputs", "max-body", "max-queue", "max-beam", "port"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_counts_are_whole_numbers(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--demo", f"--{option}", value]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and f"--{option}" in err
