"""No command writes over what it reads, whatever the file is called."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from regard.cli import main
from regard.cli.app import check_unread, check_writable
from regard.embedded import english_french
from regard.errors import UsageError

RUN = str(english_french())


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in.en", "in.fr", "in.gold", "named"):
        Path(name).write_text("1-1\n")
    Path("pairs.tsv").write_text("They are watching.\tIls regardent.\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (["predict", RUN, "in.en", "--attention"], "in.en"),
        (["score", RUN, "--source", "in.en", "--target", "in.fr", "--attention"], "in.fr"),
        (["score", RUN, "--data", "pairs.tsv", "--attention"], "pairs.tsv"),
        (["align", RUN, "--source", "in.en", "--target", "in.fr", "--out"], "in.en"),
        (["align", RUN, "--source", "in.en", "--target", "in.fr", "--gold", "in.gold", "--out"], "in.gold"),
        (["align", RUN, "--data", "pairs.tsv", "--out"], "pairs.tsv"),
        (["show", RUN, "named", "--html"], "named"),
    ],
)
@pytest.mark.parametrize("alias", ["itself", "./", "symlink"])
def test_what_is_read_is_kept(
    arguments: list[str], out: str, alias: str, given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in given.iterdir()}
    name = {"itself": out, "./": f"../{given.name}/./{out}", "symlink": "link"}[alias]
    if alias == "symlink":
        Path("link").symlink_to(out)
    assert main([*arguments, name, "--device", "cpu"]) == 2
    said = capsys.readouterr()
    assert "is what is to be read: name another" in said.err and said.err.count("\n") == 1 and said.out == ""
    assert {path.name: path.read_bytes() for path in given.iterdir() if path.name != "link"} == before


@pytest.mark.parametrize("command", [["pack"], ["export", "--to", "onnx"]])
def test_a_run_is_not_where_its_copy_is_first_written(
    command: list[str], given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(RUN, "run.part")
    before = sorted(path.name for path in Path("run.part").iterdir())
    assert main([command[0], "run.part", "run", *command[1:]]) == 2
    assert "run.part is what is to be read, and run is first written there" in capsys.readouterr().err
    assert sorted(path.name for path in Path("run.part").iterdir()) == before and not Path("run").exists()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_another_name_of_a_file_is_the_file(link: Callable[[str, str], None], given: Path) -> None:
    link("in.en", "page.html")
    with pytest.raises(UsageError, match=r"page\.html is what is to be read"):
        check_writable(Path("page.html"), None, "in.fr", "in.en")
    check_writable(Path("page.html"), None, "in.fr", "none", "no\0file", "a sentence " * 500)
    check_writable(Path("new.html"), "new.html")  # which the reader then misses
    link("in.fr", "new.html.part")
    with pytest.raises(UsageError, match=r"in\.fr is what is to be read, and new\.html is first written there"):
        check_unread(Path("new.html"), Path("in.fr"))
