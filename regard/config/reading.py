"""TOML to recipe and back, with one sentence for each mistake."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from regard.config.mistakes import sentence
from regard.config.recipe import VECTORS, Recipe, RecipeBase, RecurrentPart, TransformerPart
from regard.errors import UsageError

Tree = dict[str, Any]

# Keys that are paths; those of a model are what it begins with: the weights of a backbone, a run, vectors of words.
PATHS = {
    "data": ("source", "target", "data", "valid_source", "valid_target", "valid_data", "alignment"),
    "model": ("weights", "pretrained", "vectors", *VECTORS),
}


def read_toml(path: Path) -> Tree:
    """The tree of a TOML file. UsageError names the file and, where it can, the line."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: give the path of a recipe") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder: give the path of a recipe file") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}, is not UTF-8: save the recipe as UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def rooted(tree: Mapping[str, Any], folder: Path) -> Tree:
    """The tree with its paths made absolute, which count from a folder, so that a run can go on from anywhere."""
    data, model = tree.get("data"), tree.get("model")
    found: Tree = dict(tree)
    if isinstance(data, Mapping):
        found["data"] = {**data, **{key: _absolute(data[key], folder) for key in PATHS["data"] if key in data}}
    if isinstance(model, Mapping):
        found["model"] = {**model, **{key: _absolute(model[key], folder) for key in PATHS["model"] if key in model}}
    return found


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, list):  # several files of text
        return [_absolute(each, folder) for each in value]
    return str((folder / value).resolve()) if isinstance(value, (str, PathLike)) else value


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Two trees as one; what `above` says counts."""
    merged: Tree = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def setting(text: str) -> Tree:
    """`path.to.key=value` as a tree. The value is TOML; what is not TOML is taken as a string."""
    path, equals, value = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise UsageError(f"--set {text}: write it as path.to.key=value, for example --set training.learning_rate=0.001")
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    tree: Any = parsed
    for key in reversed(keys):
        tree = {key: tree}
    return tree


R = TypeVar("R", bound=RecipeBase)


def recipe_of(tree: Mapping[str, Any], origin: str = "the recipe", kind: type[R] = Recipe) -> R:
    """The tree as a checked recipe of one task; UsageError with one sentence for the first mistake."""
    model = tree.get("model")
    if kind is Recipe and isinstance(model, Mapping) and "kind" not in model:
        tree = {**tree, "model": {"kind": _kind(model), **model}}
    version = tree.get("format", 1)
    if isinstance(version, int) and version > 1:
        raise UsageError(
            f"{origin} has format {version}, and this version of regard reads format 1: upgrade with "
            "'pip install -U regard'"
        )
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise UsageError(f"{origin}: {sentence(error, kind)}") from error


def _kind(model: Mapping[str, Any]) -> str:
    """A recipe that names a cell or a decoder need not say that it is recurrent."""
    only_recurrent = RecurrentPart.model_fields.keys() - TransformerPart.model_fields.keys()
    return "recurrent" if only_recurrent & model.keys() else "transformer"


def write_toml(tree: Mapping[str, Any]) -> str:
    """A recipe's tree as TOML: tables of plain values, lists and inline tables; None is left out."""
    lines: list[str] = []
    tables: list[tuple[str, Mapping[str, Any]]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            tables.append((key, value))
        elif value is not None:
            lines.append(f"{_key(key)} = {_value(value)}")
    for name, table in tables:
        lines += ["", f"[{_key(name)}]"]
        lines += [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]
    return "\n".join(lines).lstrip("\n") + "\n"


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str):
        return _string(value)
    return repr(value)


def _string(text: str) -> str:
    """JSON's escapes are TOML's, but for the delete character, which JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
