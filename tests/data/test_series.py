"""Series from CSV: what is read, and the one sentence for what is not."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from regard.data.series import COLUMNS, Step, read_series
from regard.errors import UsageError


def test_a_plain_file() -> None:
    lines = ["time,load,temp", "2024-02-28 23:00,1,-2.5", "2024-02-29 00:00,2,1e1", "2024-02-29 01:00,3,+0"]
    series = read_series("x.csv", lines)
    assert series.time == "time" and series.columns == ["load", "temp"] and series.step == Step(seconds=3600)
    np.testing.assert_array_equal(series.values, [[1, -2.5], [2, 10], [3, 0]])
    assert [series.written(t) for t in series.going_on(2)] == ["2024-02-29 02:00", "2024-02-29 03:00"]


@pytest.mark.parametrize(
    ("cells", "step", "season", "after"),
    [
        (["2023-11", "2023-12", "2024-01"], "1 month", 12, ["2024-02", "2024-03"]),
        (["2023-11-30", "2023-12-31", "2024-01-31"], "1 month", 12, ["2024-02-29", "2024-03-31"]),
        (["2023-06-30", "2023-09-30", "2023-12-31"], "3 months", 4, ["2024-03-31", "2024-06-30"]),
        (["2023-10-15", "2023-11-15", "2023-12-15"], "1 month", 12, ["2024-01-15", "2024-02-15"]),
        (["2021", "2022", "2023"], "1 year", 1, ["2024", "2025"]),
        (["2024-02-27", "2024-02-28"], "1 day", 7, ["2024-02-29", "2024-03-01"]),
        (["2024-02-05", "2024-02-12", "2024-02-19"], "7 days", 52, ["2024-02-26", "2024-03-04"]),
        (["2024-01-01T00:00:00", "2024-01-01T00:00:20"], "20 seconds", 3, ["2024-01-01T00:00:40"]),
        (["2024-01-01 00:00", "2024-01-01 00:15"], "15 minutes", 96, ["2024-01-01 00:30"]),
        # Clocks go forward: with its offset each hour is one hour, and is written as the first was.
        (
            ["2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00"],
            "1 hour",
            24,
            ["2024-03-31T03:00+01:00", "2024-03-31T04:00+01:00"],
        ),
        (["2024-01-01T22:00Z", "2024-01-01T23:00Z"], "1 hour", 24, ["2024-01-02T00:00Z"]),
    ],
)
def test_the_time_goes_on_at_the_files_step(cells: list[str], step: str, season: int, after: list[str]) -> None:
    series = read_series("x.csv", ["when,y", *(f"{cell},{i}" for i, cell in enumerate(cells))])
    assert str(series.step) == step and series.step.season == season
    assert [series.written(t) for t in series.going_on(len(after))] == after


@pytest.mark.parametrize(
    "lines",
    [
        ["\ufefftime,y", "2024-01-01,1.5", "2024-01-02,2"],
        ["time;y", "2024-01-01;1,5", "2024-01-02;2"],
        ["time\ty", "2024-01-01\t1.5", "", "2024-01-02\t2", ""],
        ['"time","y"', '"2024-01-01","1.5"', '"2024-01-02","2"'],
    ],
)
def test_ways_to_write_the_same(lines: list[str]) -> None:
    series = read_series("x.csv", lines)
    assert series.columns == ["y"] and series.times[0] == datetime(2024, 1, 1)
    np.testing.assert_array_equal(series.values, [[1.5], [2]])


def test_columns_are_found_by_name() -> None:
    lines = ["note,気温,date", "a,1,2024-01-01", "b,2,2024-01-02"]
    series = read_series("x.csv", lines, columns=["気温"])
    assert series.time == "date" and series.columns == ["気温"]


def day(number: int, rest: str = "1") -> str:
    return f"2024-01-{number:02},{rest}"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], ["is empty"]),
        (["", "  "], ["is empty"]),
        (["time,y"], ["no line below its header"]),
        (["time,y", day(1)], ["one line below its header"]),
        ([day(1), day(2)], ["no header"]),
        (["1,2", "3,4", "5,6"], ["no header"]),
        (["time", "2024-01-01", "2024-01-02"], ["one column"]),
        (["time,y,y", day(1, "1,1")], ["two columns called 'y'"]),
        (["time,,y", day(1, "1,1")], ["a column without a name"]),
        (["time,y", day(1), day(2), day(4), day(5)], ["line 4", "2024-01-04", "missing", "1 day"]),
        (["time,y", day(1), day(3), day(5), day(6)], ["line 5", "too early", "2 days"]),
        (["time,y", day(1), day(2), day(2)], ["line 4 repeats the time of line 3"]),
        (["time,y", day(1), day(3), day(2)], ["line 4", "sort"]),
        (["time,y", day(1), day(2, "x")], ["line 3", "'x'", "'y'", "not a number"]),
        (["time,y", day(1), day(2, "")], ["line 3 has no number", "'y'"]),
        (["time,y", day(1), day(2, "NaN")], ["line 3 has no number"]),
        (["time,y", day(1), day(2, "inf")], ["'inf'", "not a number"]),
        (["time,y", day(1), day(2, "1e999")], ["line 3", "beyond"]),
        (["time,y", day(1), day(2, "1_000")], ["line 3", "not a number"]),
        (["time,y", day(1), day(2, "٣")], ["line 3", "not a number"]),
        (["time,y", day(1), day(2, "3,5")], ["line 3 has 3 cells and the header 2", "semicolons"]),
        (["time;y", "2024-01-01;1,5", "2024-01-02;1.5"], ["line 3", "decimal"]),
        (["time;y", "2024-01-01;1.234,5", "2024-01-02;1"], ["line 2", "not a number"]),
        (["time,y", day(1), "2024-02-30,1"], ["line 3", "'2024-02-30' is no time"]),
        (["time,y", day(1), "01/02/2024,1"], ["line 3", "write it as"]),
        (["time,y", "2024-01-01 24:00,1", day(2)], ["line 2", "no time"]),
        (["time,y", day(1), "2024-01-02T00:00Z,1"], ["line 3", "time zone"]),
        (["time,y", day(1), '2024-01-02,"1'], ["line 3", "quotation marks"]),
        (["time," + ",".join(f"c{i}" for i in range(3001)), day(1)], ["3,001 columns", str(COLUMNS)]),
    ],
)
def test_each_mistake_is_one_sentence_that_names_its_line(lines: list[str], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read_series("x.csv", lines)
    said = str(caught.value)
    assert said.startswith("x.csv") and "\n" not in said and all(word in said for word in words), said


def test_a_column_that_is_not_there() -> None:
    lines = ["time,y", day(1), day(2)]
    with pytest.raises(UsageError, match="no column 'z': there are time, y"):
        read_series("x.csv", lines, columns=["z"])
    with pytest.raises(UsageError, match="column of times and cannot be forecast"):
        read_series("x.csv", lines, columns=["time"])


def test_the_calendar_ends() -> None:
    series = read_series("x.csv", ["time,y", "9999-12-30,1", "9999-12-31,2"])
    with pytest.raises(UsageError, match="too near the year 9999"):
        series.going_on(1)


ROWS = ["time;load", "2024-01-01;1,5", "2024-01-02;2"]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=; ", "\nsep=;"])
def test_a_line_of_a_spreadsheet_program_says_the_separator(first: str) -> None:
    plain, series = read_series("x.csv", ROWS), read_series("x.csv", [*first.split("\n"), *ROWS])
    np.testing.assert_array_equal(series.values, plain.values)
    assert series.columns == ["load"] and series.times == plain.times
    with pytest.raises(UsageError, match="line 4: 'x' in column 'load'"):
        read_series("x.csv", ["sep=;", *ROWS[:2], "2024-01-02;x"])
    # What it says counts more than what the header has most of.
    assert read_series("x.csv", ["sep=|", "time|a;b;c", "2024|1", "2025|2"]).columns == ["a;b;c"]


def test_lines_may_end_as_those_of_old_programs_do() -> None:
    plain = read_series("x.csv", ROWS)
    for whole in ("\r".join(ROWS), "\r".join(ROWS) + "\r", "sep=;\r" + "\r".join(ROWS)):
        np.testing.assert_array_equal(read_series("x.csv", [whole]).values, plain.values)
    with pytest.raises(UsageError, match="line 3: 'x' in column"):
        read_series("x.csv", ["\r".join([*ROWS[:2], "2024-01-02;x"])])
