"""`regard.train`: as the command, from a dict or a file, quietly or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import regard
from regard.errors import UsageError
from tests.run.translation.numbers import RECURRENT, settings, train


@pytest.fixture
def recipe(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """That of `numbers.RECURRENT`, with paths that count from where we are."""
    monkeypatch.chdir(corpus)
    tree: dict[str, Any] = {
        "data": {
            "source": "train.src",
            "target": "train.tgt",
            "valid_source": "valid.src",
            "valid_target": "valid.tgt",
        },
        "training": {"steps": 6},
    }
    for setting in RECURRENT:
        path, value = setting.split("=")
        section, key = path.split(".")
        number = value.replace(".", "").isdigit()
        tree.setdefault(section, {})[key] = (float(value) if "." in value else int(value)) if number else value
    return tree


def test_it_trains_what_the_command_trains(
    recipe: dict[str, Any], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(corpus, tmp_path / "command", "--steps", "6", *settings(RECURRENT)) == 0
    capsys.readouterr()
    recipe["data"] |= {"source": Path("train.src")}
    model = regard.train(recipe, tmp_path / "python", quiet=True)
    assert capsys.readouterr().out == ""
    assert [p.text for p in model.predict(["one 六", ""])][1] == ""
    wanted = regard.load(tmp_path / "command").network.state_dict()
    for found in (model, regard.load(tmp_path / "python")):
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.network.state_dict().items())
    lines = (tmp_path / "python" / "recipe.toml").read_text()
    assert f'source = "{(corpus / "train.src").resolve()}"' in lines
    # Its own recipe, as a file in another folder, makes it once more.
    again = regard.train(str(tmp_path / "python" / "recipe.toml"), tmp_path / "file")
    assert "6 steps are done" in capsys.readouterr().out
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in again.network.state_dict().items())


def test_wrong_use_is_a_sentence(recipe: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="out is the folder to make"):
        regard.train(recipe, None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a file or a dict"):
        regard.train(7, tmp_path / "x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="does not exist"):
        regard.train(tmp_path / "none.toml", tmp_path / "x")
    with pytest.raises(UsageError, match="learning_rat"):
        regard.train(recipe | {"training": {"learning_rat": 1}}, tmp_path / "x")
    with pytest.raises(UsageError, match="nowhere does not exist"):
        regard.train(recipe | {"data": {"source": "nowhere", "target": "train.tgt"}}, tmp_path / "x")
    assert not (tmp_path / "x").exists()
