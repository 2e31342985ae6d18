"""A recipe's mistake in one sentence, which says what to write instead."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

Kind = type[BaseModel]
Key = tuple[str, ...]

ONE_OR_SEVERAL = ("one", "several")  # tags of a mechanism, or of a list of them
NEAR, NEAR_ELSEWHERE = 0.5, 0.7  # of names, as difflib measures it


def sentence(error: ValidationError, recipe: Kind) -> str:
    """What the first mistake is, and how many more there are."""
    first = error.errors()[0]
    place, parts = _place(first["loc"], recipe)
    key = ".".join(place)
    kind, given = first["type"], first.get("input")
    context = first.get("ctx", {})
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    match kind:
        case "extra_forbidden":
            return _no_key(place, recipe, _place(first["loc"][:-1], recipe)[1]) + more
        case "literal_error":
            return f"'{key}' is {_shown(given)}; write {context.get('expected', '')}{more}"
        case "union_tag_invalid":
            return f"'{key}' has kind {_shown(context.get('tag'))}; write {context.get('expected_tags', '')}{more}"
        case "union_tag_not_found":
            return f"'{key}' has to say its kind, for example kind = \"window\"{more}"
        case "missing":
            return f"'{key}' is missing: set it{more}"
        case "value_error":
            cause = str(context.get("error", first["msg"]))
            return f"'{key}': {cause}{more}" if key else f"{cause}{more}"
        case "tuple_type":
            return f"'{key}' is {_shown(given)}, but it is a list: write it in square brackets{more}"
        case "model_type" | "model_attributes_type" if key and parts:
            return f"'{key}' is {_shown(given)}, but it is a table: {_within(key, given, parts)}{more}"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"'{key}' is {_shown(given)}, but {message.replace('input should', 'it should')}{more}"


def _no_key(place: list[str], recipe: Kind, here: list[Kind]) -> str:
    """A key that is not there: it may be of another kind of the same part, stand somewhere else, or be misspelt."""
    *above, name = place
    said = f"there is no key '{'.'.join(place)}'"
    known = sorted({field for part in here for field in part.model_fields})
    every = list(dict.fromkeys(_keys(recipe)))
    section = ".".join(above)
    if tuple(place) in every:
        owners = [kind for part in _parts_at(above, recipe) if name in part.model_fields for kind in _kinds(part)]
        return f"{said} with {section}.kind = {_either(k for p in here for k in _kinds(p))}; it is of {_either(owners)}"
    same = [key for key in every if key[-1] == name]
    if same:
        depth = min(map(len, same))
        sections = {key[0]: key for key in reversed(same) if len(key) == depth}  # of each the first
        return f"{said}; did you mean {' or '.join(repr('.'.join(key)) for key in reversed(sections.values()))}?"
    near = difflib.get_close_matches(name, known, n=1, cutoff=NEAR)
    far = difflib.get_close_matches(name, [key[-1] for key in every], n=1, cutoff=NEAR_ELSEWHERE)
    if far and (not near or _ratio(name, far[0]) > _ratio(name, near[0])):
        key = min((key for key in every if key[-1] == far[0]), key=len)
        return f"{said}; did you mean '{'.'.join(key)}'?"
    if near:
        return f"{said}; did you mean '{'.'.join([*above, near[0]])}'?"
    return f"{said}; {section or 'it'} knows {', '.join(known)}"


def _within(key: str, given: Any, parts: list[Kind]) -> str:
    """What to write where a table was given something else: the key in it that has such a value, or its first one."""
    names = list(dict.fromkeys(name for part in parts for name in part.model_fields))
    for name in sorted(names, key=lambda name: name != "kind"):
        those = [part for part in parts if name in part.model_fields]
        words = list(dict.fromkeys(word for part in those for word in _words(_annotation(part, name))))
        near = [word for word in words if word == given] or [word for word in words if word.startswith(str(given))]
        if near or (near := difflib.get_close_matches(str(given), words, n=1, cutoff=NEAR_ELSEWHERE)):
            return f"write {' or '.join(f'{key}.{name}={word}' for word in near)}"
    kinds = list(dict.fromkeys(kind for part in parts for kind in _kinds(part)))
    if len(kinds) > 1:
        return f"write {key}.kind={_either(kinds, '')}"
    return f"set its keys, such as {key}.{names[0]}"


# --- where a key is ---------------------------------------------------------------------------------------------------


def _place(location: Iterable[int | str], recipe: Kind) -> tuple[list[str], list[Kind]]:
    """The key that pydantic's location is of, without the names of chosen alternatives, which stand in no file; and
    what may be there."""
    place: list[str] = []
    parts: list[Kind] = [recipe]
    for step in location:
        chosen = [part for part in parts if step in _kinds(part)]
        holders = [part for part in parts if step in part.model_fields]
        if chosen and (len(parts) > 1 or not holders):
            parts = chosen
        elif holders:
            place.append(str(step))
            parts = _parts_of(holders, str(step))
        elif step not in ONE_OR_SEVERAL:
            place.append(str(step))
    return place, parts


def _parts_at(above: list[str], recipe: Kind) -> list[Kind]:
    """All kinds of part that a key may hold."""
    parts: list[Kind] = [recipe]
    for name in above:
        parts = _parts_of(parts, name) or parts  # a number in a list leads to the same
    return parts


def _parts_of(holders: list[Kind], name: str) -> list[Kind]:
    inner = [part for holder in holders if name in holder.model_fields for part in _parts(_annotation(holder, name))]
    return list(dict.fromkeys(inner))


def _keys(part: Kind, above: Key = ()) -> Iterator[Key]:
    """Every key there is, in full."""
    for name in part.model_fields:
        yield (*above, name)
        for inner in _parts(_annotation(part, name)):
            yield from _keys(inner, (*above, name))


def _annotation(part: Kind, name: str) -> Any:
    return part.model_fields[name].annotation


def _parts(annotation: Any) -> list[Kind]:
    """The tables in a type, wherever in it they stand."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for inner in get_args(annotation) for part in _parts(inner)]


def _words(annotation: Any) -> list[str]:
    """The words that a type lists."""
    if get_origin(annotation) is Literal:
        return [word for word in get_args(annotation) if isinstance(word, str)]
    return [word for inner in get_args(annotation) for word in _words(inner)]


def _kinds(part: Kind) -> list[str]:
    return _words(_annotation(part, "kind")) if "kind" in part.model_fields else []


# --- words ------------------------------------------------------------------------------------------------------------


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


def _either(words: Iterable[str], quote: str = '"') -> str:
    *most, last = (f"{quote}{word}{quote}" for word in dict.fromkeys(words))
    return f"{', '.join(most)} or {last}" if most else last


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"
