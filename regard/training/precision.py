"""Which number format this machine multiplies faster, by measuring it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class Speeds:
    """Multiply–adds per second as 10⁹ floating-point operations, of matrix products the size of a training step's."""

    fp32: float
    bf16: float

    @property
    def faster(self) -> Precision:
        # Casts and the operations that stay in float32 eat a gain smaller than this.
        return "bf16" if self.bf16 > 1.4 * self.fp32 else "fp32"

    def __str__(self) -> str:
        return f"this machine multiplies bf16 at {self.bf16:.0f} and fp32 at {self.fp32:.0f} GFLOP/s"


def measure(device: torch.device, now: Callable[[], float] = time.perf_counter) -> Speeds:
    """Takes about a tenth of a second. Leaves the random generators as they are."""
    rows, inner, columns = 2048, 256, 512

    def speed(dtype: torch.dtype) -> float:
        left = torch.ones(rows, inner, dtype=dtype, device=device)
        right = torch.ones(inner, columns, dtype=dtype, device=device)
        best = float("inf")
        for _ in range(8):
            start = now()
            product = left @ right
            product[0, 0].item()  # waits for a device that works behind our back
            best = min(best, now() - start)
        return 2 * rows * inner * columns / max(best, 1e-9) / 1e9

    return Speeds(fp32=speed(torch.float32), bf16=speed(torch.bfloat16))
