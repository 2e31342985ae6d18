"""Where the fused kernel pays: `Attend` by its fused path against its reference, forward and backward, by length.

    .venv/bin/python benchmarks/attention_paths.py [--threads 1] [--dtype bf16]

Checks first that both agree, then measures them in turn and prints the ratio of the medians, reference / fused:
above 1 the fused kernel wins. `regard.attention.attend.FUSED_CPU_SCORES` is set from this table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch

from regard.attention import Attend
from regard.attention.scores import ScaledDot

SHAPES = ((256, 4, 16), (64, 4, 32), (32, 4, 64), (16, 4, 128), (8, 4, 256), (2, 4, 512), (1, 4, 1024))  # B, H, T = S
SIZE = 32  # of a head


def step(run, tensors: list[torch.Tensor]) -> torch.Tensor:  # type: ignore[no-untyped-def]
    for tensor in tensors:
        tensor.grad = None
    context = run(*tensors)
    context.sum().backward()
    return context


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = torch.bfloat16 if options.dtype == "bf16" else torch.float32
    attend = Attend(ScaledDot())
    print(f"{options.threads} threads, {options.dtype}, heads of {SIZE}; reference / fused, median of {options.rounds}")
    for batch, heads, length in SHAPES:
        tensors = [torch.randn(batch, heads, length, SIZE, dtype=dtype, requires_grad=True) for _ in range(3)]

        def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return attend._fused(*attend.score.factor(q, k), v, None, 0)  # type: ignore[misc]

        ways = {"reference": attend.reference, "fused": fused}
        plain, fast = (step(way, tensors) for way in ways.values())
        if not torch.allclose(plain, fast, atol=0.05 if dtype == torch.bfloat16 else 1e-4):
            print(f"T = {length}: the two disagree, so no speed is printed", file=sys.stderr)
            return 1
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                step(way, tensors)
                times[name].append(time.perf_counter() - start)
        ratio = statistics.median(times["reference"]) / statistics.median(times["fused"])
        print(f"B {batch:4}  H {heads}  T = S = {length:5}   {ratio:5.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
