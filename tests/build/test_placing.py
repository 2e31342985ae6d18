"""A device that is not there is one sentence that says what to write."""

from __future__ import annotations

import pytest
import torch

from regard import build
from regard.errors import UsageError


@pytest.mark.parametrize("name", ["gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu,cuda", "", "xla"])
def test_an_unknown_device_names_the_choices(name: str) -> None:
    with pytest.raises(UsageError, match=r"write auto, cpu, cuda, cuda:N or mps$"):
        build.device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_this_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"device '{name}' is not there, .*: write cpu or auto$"):
        build.device(name)


def test_devices_that_are_there_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert build.device("auto") == build.device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert build.device("auto") == torch.device("cuda")
    assert build.device("cuda:1") == torch.device("cuda", 1)
    assert build.device("mps").type == "mps"
    with pytest.raises(UsageError, match="PyTorch finds 2 of CUDA, from cuda:0 on: write cuda:1"):
        build.device("cuda:2")
