"""A training that shares its cores says so, with loads that are put in."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
import torch
from rich.console import Console

from regard.run.crowding import crowded, load_before
from regard.run.training import train


@pytest.mark.parametrize(
    ("load", "threads", "cores", "machine", "busy"),
    [
        (0.0, 2, 2, 2, False),
        (0.74, 2, 2, 2, False),
        (0.76, 2, 2, 2, True),
        (1.9, 2, 2, 2, True),
        (1.9, 1, 2, 2, False),  # one thread waits for nobody
        (40.0, 1, 2, 2, False),
        (5.0, 8, 16, 16, False),  # three cores are left
        (9.0, 8, 16, 16, True),
        (3.0, 4, 2, 2, True),
        (0.0, 4, 2, 2, False),  # nobody else is there
        (8.0, 2, 2, 64, False),  # a quarter of a core is theirs
        (32.0, 2, 2, 64, True),  # one core of both
        (None, 8, 2, 2, False),
    ],
)
def test_it_is_crowded_where_load_and_threads_are_more_than_the_cores(
    load: float | None, threads: int, cores: int, machine: int, busy: bool
) -> None:
    said = crowded(load, threads, cores, machine)
    assert (said is not None) == busy
    if said is not None:
        assert f"load of {load:.1f}" in said and f"{threads} threads" in said and f"{machine} cores" in said
        assert "OMP_NUM_THREADS=1" in said and "\n" not in said


def test_a_system_that_tells_no_load_is_not_crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (3.5, 0.1, 0.1))
    assert load_before() == 3.5
    monkeypatch.setattr(os, "getloadavg", lambda: (_ for _ in ()).throw(OSError("not here")))
    assert load_before() is None
    monkeypatch.delattr(os, "getloadavg")
    assert load_before() is None and crowded(None, 8) is None


@pytest.mark.parametrize(("load", "said"), [(7.25, True), (0.0, False)])
def test_a_training_says_it_once_and_keeps_its_threads(
    load: float, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("".join(f"the cat {i} sleeps\n" for i in range(307)))
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: pytest.fail("threads are the user's"))
    written = io.StringIO()
    tree = {
        "task": "language-model",
        "data": {"data": str(tmp_path / "text.txt"), "tokenizer": "words", "context": 7},
        "model": {"dim": 8, "heads": 1, "feed_forward": 8, "layers": 1},
        "training": {"steps": 1, "precision": "fp32", "device": "cpu"},
    }
    train(tree, tmp_path / "run", Console(file=written, width=500))
    assert written.getvalue().count("OMP_NUM_THREADS=1") == int(said)
    assert written.getvalue().count("a load of 7.2 on 2 cores") == int(said)
