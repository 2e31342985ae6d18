"""A line of a JSONL file as one object, or the sentence about what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from regard.errors import UsageError

NAMED = 60  # characters of a key in a sentence


def parse_object(
    line: str | bytes, where: str, otherwise: str = "is no object: write one object a line"
) -> dict[str, Any]:
    """The object that a line holds. `where` names the line in sentences, such as "a.jsonl, line 3"; `otherwise` says
    what is wrong where it holds something else.

    UsageError for what is not JSON, for what is no object, and for a key that one object has twice, in it or within
    what it holds: of two values JSON's readers keep the last and lose the first without a word.
    """

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                shown = key if len(key) <= NAMED else f"{key[:NAMED]}…"
                raise UsageError(f'{where} has the key "{shown}" twice: leave one out, or give each a line of its own')
            found[key] = value
        return found

    try:
        text = line if isinstance(line, str) else line.decode("utf-8")
        row = json.loads(text, object_pairs_hook=checked)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{where} is not JSON (byte {error.start + 1} is not UTF-8): save the file as UTF-8"
        ) from error
    except json.JSONDecodeError as error:
        problem = error.msg[:1].lower() + error.msg[1:]
        raise UsageError(
            f"{where} is not JSON ({problem} at character {error.pos + 1}): write one object a line"
        ) from error
    except RecursionError as error:
        raise UsageError(f"{where} is not JSON (it is nested too deeply): write one object a line") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise UsageError(f"{where} is not JSON that can be read ({error}): write one object a line") from error
    if not isinstance(row, dict):
        raise UsageError(f"{where} {otherwise}")
    return row
