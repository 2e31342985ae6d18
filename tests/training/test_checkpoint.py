"""Files that appear whole or not at all, wherever a path leads."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch

from regard.errors import RegardError
from regard.training.checkpoint import load_tensors, save_state, save_tensors, write_bytes, write_text

FULL = OSError(28, "No space left on device")
READ_ONLY = OSError(30, "Read-only file system")


def refusing(error: OSError) -> object:
    def refuse(*_: object, **__: object) -> None:
        raise error

    return refuse


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real = tmp_path / "far" / "page.html"
    real.write_text("old")
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to(real)
    write_text(tmp_path / "first", "neu é\r\n苹果\n")
    assert real.read_bytes() == "neu é\r\n苹果\n".encode()
    assert (tmp_path / "first").is_symlink() and (tmp_path / "second").is_symlink()
    save_tensors(tmp_path / "first", {"a": torch.arange(3)})
    assert load_tensors(real)["a"].tolist() == [0, 1, 2] and (tmp_path / "second").is_symlink()
    real.unlink()  # a link that leads to nothing yet is a name as good
    write_bytes(tmp_path / "first", b"new")
    assert real.read_bytes() == b"new" and (tmp_path / "second").is_symlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["far", "first", "page.html", "second"]


@pytest.mark.parametrize("name", ["pipe", "link"])
def test_a_pipe_takes_the_bytes_and_stays(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    write_bytes(tmp_path / name, b"all of it" * 9999)
    reader.join(timeout=20)
    assert read == [b"all of it" * 9999]
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link").is_symlink()


def test_what_the_other_end_of_dev_stdout_is_has_no_name(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        # `/dev/stdout` leads here: the link reads 'pipe:[…]', which is no path.
        (tmp_path / "link").symlink_to(f"/proc/self/fd/{writer}")
        write_text(tmp_path / "link", "told")
        assert os.read(reader, 9) == b"told" and (tmp_path / "link").is_symlink()
    finally:
        os.close(reader)
        os.close(writer)


def test_a_full_disk_leaves_what_was_there_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", refusing(FULL))
    with pytest.raises(RegardError) as raised:
        write_text(path, "new")
    assert str(raised.value) == f"{path} cannot be written (No space left on device): make room or name another file"
    with pytest.raises(RegardError, match=r"model cannot be written \(No space left on device\): make room"):
        save_tensors(tmp_path / "model", {"a": torch.ones(2)})
    with pytest.raises(RegardError, match=r"state cannot be written \(No space left on device\): make room"):
        save_state(tmp_path / "state", {"a": torch.ones(2)}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"] and path.read_text() == "old"


def test_a_file_system_that_only_reads_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", refusing(READ_ONLY))
    monkeypatch.setattr(Path, "unlink", refusing(READ_ONLY))
    for write in (
        lambda: write_bytes(tmp_path / "a.png", b"new"),
        lambda: save_tensors(tmp_path / "a.png", {"a": torch.ones(2)}),
    ):
        with pytest.raises(RegardError, match=r"a\.png cannot be written \(Read-only file system\)"):
            write()
