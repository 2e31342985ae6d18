"""Wrong use that an argument would mend: what is wrong, and apart from it which argument.

A function knows its arguments by their names in Python, and whoever reads its sentence on a command line knows them as
options. So the sentence is kept in parts, and each caller writes the arguments in its own words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from regard.errors import UsageError


@dataclass(frozen=True, slots=True)
class Setting:
    """What an argument should be; as text, the way Python writes it: `one_based=False`."""

    argument: str
    value: bool

    def __str__(self) -> str:
        return f"{self.argument}={self.value}"


class SettingError(UsageError):
    """A sentence of which some `parts` are the settings that would mend what is wrong."""

    def __init__(self, *parts: str | Setting) -> None:
        self.parts = parts
        super().__init__(self.written(str))

    def written(self, names: Callable[[Setting], str]) -> str:
        """The sentence, with each setting as `names` has it."""
        return "".join(part if isinstance(part, str) else names(part) for part in self.parts)
