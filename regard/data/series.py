"""Series of numbers from CSV: a header, a column of times at a regular step, columns of numbers.

A line is either read as it stands or named in one sentence: nothing is filled in, left out or put in order unasked.
"""

from __future__ import annotations

import csv
import math
import re
from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from regard.errors import UsageError

COLUMNS = 256  # that a series may have; more are a mistake, or too many to be forecast together
TIMES = ("time", "date", "datetime", "timestamp", "ds")
_TIME = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:([T ])(\d\d):(\d\d)(?::(\d\d))?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_SEPARATOR = re.compile(r'"?sep=([;,|:\t])"?\s*', re.IGNORECASE)
_NONE = ("", "na", "n/a", "nan", "null", "none", "-", "?")
_DAY = 86400


@dataclass(frozen=True)
class Step:
    """From one time to the next: `months` months, or `seconds` seconds; the other is 0. Months go to the same `day`, or to
    the last one of a month that has not so many."""

    months: int = 0
    seconds: int = 0
    day: int = 1

    def __str__(self) -> str:
        if self.months:
            size, unit = (self.months // 12, "year") if self.months % 12 == 0 else (self.months, "month")
        else:
            size, unit = next(
                (self.seconds // length, name)
                for length, name in ((_DAY, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
                if self.seconds % length == 0
            )
        return f"{size} {unit}{'s' if size > 1 else ''}"

    def after(self, time: datetime, count: int = 1) -> datetime:
        """The time `count` steps later."""
        if not self.months:
            return time + timedelta(seconds=self.seconds * count)
        year, month = divmod(time.year * 12 + time.month - 1 + self.months * count, 12)
        return time.replace(year=year, month=month + 1, day=min(self.day, monthrange(year, month + 1)[1]))

    @property
    def season(self) -> int:
        """After how many steps things usually come back: a day of hours or minutes, a week of days, a year of weeks,
        months or quarters."""
        if self.months:
            return 12 // self.months if 12 % self.months == 0 else 1
        if self.seconds < 60:
            return 60 // self.seconds if 60 % self.seconds == 0 else 1
        if self.seconds < _DAY:
            return _DAY // self.seconds if _DAY % self.seconds == 0 else 1
        return {_DAY: 7, 7 * _DAY: 52}.get(self.seconds, 1)


@dataclass(frozen=True)
class Series:
    """`values [N, C]` of C `columns` at N `times`, `step` apart. `form` is how the file wrote its last time."""

    name: str
    time: str
    columns: list[str]
    times: list[datetime]
    values: Float[np.ndarray, "N C"]
    step: Step
    form: str

    def __len__(self) -> int:
        return len(self.times)

    def going_on(self, count: int) -> list[datetime]:
        """The `count` times after the last one. UsageError where the calendar ends."""
        try:
            return [self.step.after(self.times[-1], number) for number in range(1, count + 1)]
        except (OverflowError, ValueError) as error:
            raise UsageError(f"{self.name} ends at {self.written(self.times[-1])}, too near the year 9999") from error

    def written(self, time: datetime) -> str:
        """A time as the file would write it."""
        if self.form.endswith("%z"):
            offset = time.strftime("%z")
            return _strftime(time, self.form[:-2]) + f"{offset[:3]}:{offset[3:]}"
        return _strftime(time, self.form)


def _strftime(time: datetime, form: str) -> str:
    return time.strftime(form.replace("%Y", f"{time.year:04}"))  # the C library may write year 987 in three digits


def read_series(
    name: str, lines: Iterable[str], time: str | None = None, columns: Sequence[str] | None = None
) -> Series:
    """The series in the lines of a CSV file. `time` names the column of times: else the first that is called time, date,
    datetime, timestamp or ds, else the first. `columns` are those of numbers; else all others.

    The header's separator is a comma, a semicolon or a tab, or what a line `sep=…` of a spreadsheet program before it
    says; only beside a comma does a decimal comma not do. Where lines end with `\\r` alone, as those of old programs do,
    it ends them. UsageError names the line.
    """
    rows = _rows(name, lines)
    _, header, separator = rows[0]
    place, places = _places(name, header, time, columns)
    texts = [header[place], *(header[each] for each in places)]
    if len(rows) < 3:
        found = "no line" if len(rows) == 1 else "one line"
        raise UsageError(f"{name} has {found} below its header: a step in time needs two lines, a forecast many more")
    times: list[datetime] = []
    values = np.empty((len(rows) - 1, len(places)))
    form, zone = "", None
    decimal: str | None = None
    for row, (line, cells, _) in enumerate(rows[1:]):
        if len(cells) != len(header):
            advice = "write numbers such as 3.5, or separate by semicolons" if separator == "," else "mend the line"
            raise UsageError(f"{name}, line {line} has {len(cells)} cells and the header {len(header)}: {advice}")
        at, form = _time_of(name, line, cells[place])
        if row and (at.tzinfo is None) != (times[-1].tzinfo is None):
            raise UsageError(
                f"{name}, line {line}: of '{cells[place]}' and the line before, one has a time zone: give all one"
            )
        if row == 0:
            zone = at.tzinfo
        times.append(at if zone is None else at.astimezone(zone))
        for place_here, each in enumerate(places):
            values[row, place_here], mark = _number(name, line, header[each], cells[each], separator)
            if mark is not None and decimal is not None and mark != decimal:
                raise UsageError(
                    f"{name}, line {line}: '{cells[each]}' has a decimal '{mark}' and lines before it '{decimal}': use one"
                )
            decimal = mark or decimal
    numbers = [line for line, _, _ in rows[1:]]
    step = _step(name, numbers, times, [cells[place] for _, cells, _ in rows[1:]])
    return Series(name, texts[0], texts[1:], times, values, step, form)


def _rows(name: str, lines: Iterable[str]) -> list[tuple[int, list[str], str]]:
    """The number, the cells and the separator of each line that is not blank, the header first."""
    rows: list[tuple[int, list[str], str]] = []
    separator, told = ",", False
    for number, line in enumerate(_ended(lines), start=1):
        text = line.removeprefix("\ufeff") if number == 1 else line
        if not text.strip():
            continue
        if not rows and not told and (found := _SEPARATOR.fullmatch(text)) is not None:
            separator, told = found[1], True
            continue
        if not rows and not told:
            separator = max("\t;,", key=text.count)
        try:
            cells = next(csv.reader([text], delimiter=separator, strict=True))
        except (csv.Error, StopIteration) as error:
            raise UsageError(f"{name}, line {number} is no line of CSV ({error}): mend its quotation marks") from error
        rows.append((number, [cell.strip() for cell in cells], separator))
    if not rows:
        raise UsageError(f"{name} is empty: give a CSV file with a header, a column of times and columns of numbers")
    return rows


def _ended(lines: Iterable[str]) -> Iterator[str]:
    """The lines, of which the first is the whole file where only `\\r` ends one."""
    for number, line in enumerate(lines):
        yield from line.removesuffix("\r").split("\r") if number == 0 else [line]


def _places(name: str, header: list[str], time: str | None, columns: Sequence[str] | None) -> tuple[int, list[int]]:
    """Where the time stands, and where the numbers do."""
    if _TIME.fullmatch(header[0]) or all(_NUMBER.fullmatch(cell) for cell in header):
        raise UsageError(f"{name} has no header: its first line names the columns, such as 'time,load'")
    if len(header) < 2:
        raise UsageError(f"{name} has one column, '{header[0]}': give a column of times and one of numbers or more")
    twice = [cell for cell, count in Counter(header).items() if count > 1]
    if twice or "" in header:
        what = f"two columns called '{twice[0]}'" if twice and twice[0] else "a column without a name"
        raise UsageError(f"{name} has {what} in its header: give each a name of its own")
    for each in [*([] if time is None else [time]), *(columns or ())]:
        if each not in header:
            shown = ", ".join(header[:12]) + (", …" if len(header) > 12 else "")
            raise UsageError(f"{name} has no column '{each}': there are {shown}")
    if time is None:
        place = next((i for i, cell in enumerate(header) if cell.lower() in TIMES), 0)
    else:
        place = header.index(time)
    places = [i for i in range(len(header)) if i != place] if columns is None else [header.index(c) for c in columns]
    if place in places:
        raise UsageError(
            f"{name}: '{header[place]}' is the column of times and cannot be forecast: leave it out of columns"
        )
    if len(places) > COLUMNS:
        raise UsageError(
            f"{name} has {len(places):,} columns of numbers, and {COLUMNS} can be forecast together: choose with data.columns"
        )
    return place, places


def _time_of(name: str, line: int, cell: str) -> tuple[datetime, str]:
    """The time of a cell, and how it is written."""
    found = _TIME.fullmatch(cell)
    try:
        if found is None:
            raise ValueError
        year, month, day, between, hour, minute, second, zone = found.groups()
        at = datetime(int(year), int(month or 1), int(day or 1))
        at += timedelta(hours=_below(hour, 24), minutes=_below(minute, 60), seconds=_below(second, 60))
        if zone is not None:
            at = at.replace(tzinfo=UTC if zone == "Z" else datetime.strptime(zone, "%z").tzinfo)
    except ValueError as error:
        what = f"'{cell}' is no time" if cell else "has no time"
        raise UsageError(f"{name}, line {line}: {what}: write it as 2024-01-31 or 2024-01-31 13:00") from error
    form = "%Y" + ("-%m" if month else "") + ("-%d" if day else "")
    if hour:
        form += f"{between}%H:%M" + (":%S" if second else "") + ({"Z": "Z"}.get(zone, "%z") if zone else "")
    return at, form


def _below(part: str | None, limit: int) -> int:
    if int(part or 0) >= limit:
        raise ValueError
    return int(part or 0)


def _number(name: str, line: int, column: str, cell: str, separator: str) -> tuple[float, str | None]:
    """A cell's number, and its decimal mark if it has one."""
    mark = "," if separator != "," and cell.count(",") == 1 and "." not in cell else None
    text = cell.replace(",", ".") if mark else cell
    if not _NUMBER.fullmatch(text):
        if cell.lower() in _NONE:
            raise UsageError(
                f"{name}, line {line} has no number in column '{column}': fill it in, or leave the column out with data.columns"
            )
        raise UsageError(
            f"{name}, line {line}: '{cell[:40]}' in column '{column}' is not a number: write it as 1234.5, or choose the "
            "columns of numbers with data.columns"
        )
    value = float(text)
    if not math.isfinite(value) or abs(value) > 1e30:
        raise UsageError(f"{name}, line {line}: {cell[:40]} in column '{column}' is beyond 1e30: use a larger unit")
    return value, mark or ("." if "." in text else None)


def _step(name: str, lines: list[int], times: list[datetime], cells: list[str]) -> Step:
    """The one step of all times. UsageError names the first line that does not follow."""
    for place, (before, after) in enumerate(pairwise(times), start=1):
        if after == before:
            raise UsageError(
                f"{name}, line {lines[place]} repeats the time of line {lines[place - 1]}, {cells[place]}: keep one"
            )
        if after < before:
            raise UsageError(
                f"{name}, line {lines[place]}: {cells[place]} comes after {cells[place - 1]}: sort the lines by time"
            )
    gaps = Counter(round((after - before).total_seconds()) for before, after in pairwise(times))
    seconds = min(gaps, key=lambda gap: (-gaps[gap], gap))
    one_day = len({time.day for time in times}) == 1
    ends = all(time.day == monthrange(time.year, time.month)[1] for time in times)
    if seconds >= 28 * _DAY and (one_day or ends) and len({time.time() for time in times}) == 1:
        numbers = [time.year * 12 + time.month for time in times]
        months = Counter(after - before for before, after in pairwise(numbers))
        step = Step(min(months, key=lambda gap: (-months[gap], gap)), day=times[0].day if one_day else 31)
    else:
        step = Step(seconds=seconds)
    for place, (before, after) in enumerate(pairwise(times), start=1):
        if step.after(before) != after:
            what = "is missing what comes between" if after > step.after(before) else "comes too early"
            raise UsageError(
                f"{name}, line {lines[place]}: {cells[place]} {what}: the line before is {cells[place - 1]}, and the step is {step}; "
                "give every step one line"
            )
    return step
