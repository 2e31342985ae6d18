"""Memory and state as flat lists of named tensors, and back: a graph knows no dataclasses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, TypeVar

from torch import Tensor

from regard.state import Rows

T = TypeVar("T")


def leaves(value: Any, name: str) -> dict[str, Tensor]:
    """The tensors in it by their path, such as `state.past.0.1`, in the order in which they stand."""
    if isinstance(value, Tensor):
        return {name: value.contiguous()}
    parts: dict[str, Any] = {}
    if isinstance(value, Rows):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
    elif isinstance(value, tuple):
        parts = {str(number): part for number, part in enumerate(value)}
    return {path: leaf for key, part in parts.items() for path, leaf in leaves(part, f"{name}.{key}").items()}


def filled(template: T, tensors: Iterator[Tensor]) -> T:
    """The same value with other tensors, in the order of `leaves`."""
    value: Any = template
    if isinstance(value, Tensor):
        return next(tensors)  # type: ignore[return-value]
    if isinstance(value, Rows):
        parts = {field.name: filled(getattr(value, field.name), tensors) for field in fields(value)}
        return replace(value, **parts)  # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(filled(part, tensors) for part in value)  # type: ignore[return-value]
    return template
