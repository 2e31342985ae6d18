"""A module imports only from lower floors, and folders on one floor do not import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "regard"
# A row for each floor of DESIGN, lowest first. What stands left of "<" may be imported by its right on that floor.
FLOORS = """
    errors < batch state config dropout tanh wide embedded
    attention data decoding training
    layers evaluation view
    models
    build tasks export
    run < demo
    server < cli < __main__
"""
LEVEL = {place: level for level, row in enumerate(FLOORS.replace("<", "\n").split("\n")) for place in row.split()}


def imported(source: str, module: str) -> set[str]:
    """The places in `regard/` that the source of `regard.<module>` imports anywhere, under TYPE_CHECKING too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = ["regard", *module.split(".")][: -node.level] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{start}.{alias.name}" for alias in node.names} if start == "regard" else {start}
    return {f"{name}.".split(".")[1] for name in names if name.split(".")[0] == "regard"}


def violations(source: str, module: str) -> list[str]:
    here = module.split(".")[0]
    return [
        f"regard.{module} (level {LEVEL.get(here)}) must not import regard.{there} (level {LEVEL.get(there)})"
        for there in sorted(imported(source, module) - {here})
        if here not in LEVEL or there not in LEVEL or LEVEL[there] >= LEVEL[here]
    ]


MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
MODULES.pop("__init__", None)  # the public face may fetch anything, when it is asked for


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module: str) -> None:
    assert violations(MODULES[module].read_text(encoding="utf-8"), module) == []


def test_the_package_was_found() -> None:
    assert {"errors", "batch", "attention.attend", "models.transformer"} <= set(MODULES)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("attention.scores", "from regard.models import EncoderDecoder"),
        ("attention.scores", "import regard.layers.recurrent as r"),
        ("attention.scores", "from regard import decoding"),
        ("attention.scores", "from ..data import corpus"),
        ("attention.scores", "from .. import data"),
        ("attention.__init__", "from ..training.loop import train"),
        ("layers.recurrent", "def f():\n    from regard.view import html"),
        (
            "view.html",
            "if TYPE_CHECKING:\n    from regard.models import EncoderDecoder",
        ),
        ("batch", "from regard.state import Memory"),
        ("models.transformer", "import regard"),
        ("tasks.translation", "from regard import load"),
        ("helpers", "import torch, regard.errors"),
    ],
)
def test_a_violation_is_caught(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("attention.scores", "from regard.attention.rows import fold\nfrom . import rows\nfrom .rows import fold"),
        (
            "attention.scores",
            "from ..errors import UsageError\nimport regard.batch, regardless",
        ),
        ("batch", "from regard.errors import UsageError"),
        ("cli", "from regard import server, run\nfrom regard.demo import demo"),
    ],
)
def test_imports_down_and_within_the_folder_pass(module: str, source: str) -> None:
    assert violations(source, module) == []
