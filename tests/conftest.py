"""What every test may rely on: the same random numbers each time, and no memory that happens to hold zeros."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

# Sums are added up in another order by other numbers of threads, and small tensors gain nothing from a second.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    """Seed torch, and let it fill memory that nobody has written with NaN, so that reading it shows."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)  # as long as this holds, torch.empty is full of NaN
    yield
    torch.use_deterministic_algorithms(False)
