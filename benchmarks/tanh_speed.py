"""What tanh by the logistic function saves: additive attention's score and plain tanh, forward and backward.

    .venv/bin/python benchmarks/tanh_speed.py [--threads 1] [--rounds 30]

Checks first that both agree, then measures them in turn and prints the ratio of the medians, PyTorch's / ours.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from regard.tanh import tanh, tanh_score

SHAPES = ((160, 1, 144, 256), (146, 1, 14, 512), (64, 14, 14, 512), (8, 1, 14, 512))  # B, T, S, A


def passed(way: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """The output and every gradient."""
    found = way(*inputs)
    return [found.detach(), *torch.autograd.grad(found.float().square().sum(), inputs)]


def measure(
    name: str, fast: Callable[..., Tensor], plain: Callable[..., Tensor], inputs: list[Tensor], rounds: int
) -> None:
    near = 0.1 if inputs[0].dtype == torch.bfloat16 else 1e-4
    for one, other in zip(passed(fast, inputs), passed(plain, inputs), strict=True):
        if float((one - other).abs().max()) > near * max(1.0, float(other.abs().max())):
            raise SystemExit(f"{name}: not equal to PyTorch's, so no speed is worth printing")
    times: dict[Callable[..., Tensor], list[float]] = {fast: [], plain: []}
    for _ in range(rounds):
        for way, spent in times.items():
            begin = time.perf_counter()
            passed(way, inputs)
            spent.append(time.perf_counter() - begin)
    ours, theirs = (statistics.median(times[way]) for way in (fast, plain))
    print(f"| {name} | {theirs * 1000:.2f} | {ours * 1000:.2f} | {theirs / ours:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    print(f"{options.threads} threads, torch {torch.__version__}\n\n| | PyTorch's, ms | ours, ms | times faster |")
    print("| --- | --- | --- | --- |")
    for dtype in (torch.float32, torch.bfloat16):
        for b, t, s, a in SHAPES:
            kind = f"B {b}, T {t}, S {s}, {a} features, {str(dtype).removeprefix('torch.')}"
            q, k, v = (
                torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in ((b, t, 1, a), (b, 1, s, a), (a,))
            )
            measure(f"score, {kind}", tanh_score, lambda q, k, v: torch.tanh(q + k) @ v, [q, k, v], options.rounds)
            x = torch.randn(b, t, s, a, dtype=dtype, requires_grad=True)
            measure(f"tanh, {kind}", tanh, torch.tanh, [x], options.rounds)


if __name__ == "__main__":
    main()
