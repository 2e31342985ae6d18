"""No command writes over what it reads, whatever the file is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from regard import cli
from regard.cli import main
from regard.cli.app import check_unread, check_writable
from regard.cli.printing import coloured
from regard.embedded import english_french
from regard.errors import UsageError
from regard.training.checkpoint import write_text

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


def test_the_file_beside_what_a_link_leads_to_is_not_written_over(given: Path) -> None:
    Path("far").mkdir()
    Path("page.html").symlink_to("far/real.html")
    Path("far/real.html.part").write_text("A man is cooking.\n")
    with pytest.raises(UsageError, match=r"real\.html\.part is what is to be read"):
        check_unread(Path("page.html"), "far/real.html.part")


FULL = "standard output cannot be written (No space left on device): make room or send it elsewhere"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("count", [1, 99_999])  # one line fails when leaving, more than a buffer holds at once
def test_a_full_standard_output_is_one_sentence(count: int, unbuffered: str) -> None:
    program = "import sys; from regard import cli; cli.app = lambda *_, **__: print('é' * int(sys.argv[1])); "
    # The shell opens the device: a path to it would be an output file, and must never be one in a test.
    command = [
        "sh",
        "-c",
        '"$0" -c "$1" "$2" > /dev/full',
        sys.executable,
        program + "sys.exit(cli.main())",
        str(count),
    ]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, f"regard: {FULL}\n")


def test_another_refusal_of_the_system_is_still_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "app", refused)
    assert main(["predict"]) == 1
    assert "this is a bug in regard" in capsys.readouterr().err


def test_only_a_training_goes_on_with_resume(
    given: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["show", RUN, "A man is cooking.", "--html", "page.html", "--device", "cpu"]) == 1
    said = "page.html cannot be written (No space left on device): make room or "
    assert capsys.readouterr().err == f"regard: {said}name another file\n"

    def training(*_: object, **__: object) -> None:
        write_text(Path("page.html"), "new")

    monkeypatch.setattr(cli, "app", training)
    assert main(["train"]) == 1
    assert capsys.readouterr().err.startswith(f"regard: {said}choose another folder with --out; what was saved")


def test_no_color_is_heard_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, wanted in ((None, True), ("1", False)):
        if value is None:
            monkeypatch.delenv("NO_COLOR", raising=False)
        else:
            monkeypatch.setenv("NO_COLOR", value)
        assert coloured(Console(force_terminal=True)) is wanted
    monkeypatch.delenv("NO_COLOR")
    assert not coloured(Console(force_terminal=False))
