"""What local attention costs against global attention, forward and backward, by source length.

    python benchmarks/local_attention.py [--window 16] [--dim 64] [--lengths 128,256,512,1024,2048] [--threads 1]
                                         [--scores dot,general,additive] [--json FILE]

Both are measured in turn in one run, after the local path was found equal to its masked reference, output and
gradients. Memory is the growth of a process of its own that does one step and nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from regard.attention import Attend
from regard.attention.scopes import LocalMonotonic, LocalPredictive
from regard.attention.scores import Additive, Dot, General, Score

SCORES: dict[str, Callable[[int], Score]] = {
    "dot": lambda _: Dot(),
    "general": lambda dim: General(dim, dim),
    "additive": lambda dim: Additive(dim, dim, dim),
}
SCOPES = ("global", "local-m", "local-p")


def made(score: str, scope: str, dim: int, window: int) -> Attend:
    torch.manual_seed(1)
    where = {"global": None, "local-m": LocalMonotonic(window), "local-p": LocalPredictive(dim, window)}[scope]
    return Attend(SCORES[score](dim), scope=where)


def inputs(length: int, dim: int) -> list[Tensor]:
    torch.manual_seed(2)
    return [torch.randn(1, length, dim, requires_grad=True) for _ in range(3)]


def step(attend: Attend, tensors: list[Tensor], way: Callable[..., Tensor] | None = None) -> list[Tensor]:
    """One forward and backward pass; the output and every gradient."""
    attend.zero_grad()
    for tensor in tensors:
        tensor.grad = None
    context = (way or attend)(*tensors)
    context.square().sum().backward()
    gradients = [t.grad for t in (*tensors, *attend.parameters())]
    return [context.detach(), *(g for g in gradients if g is not None)]


def check(attend: Attend, tensors: list[Tensor]) -> None:
    for fast, plain in zip(step(attend, tensors), step(attend, tensors, attend.reference), strict=True):
        scale = max(1.0, float(plain.abs().max()))
        if float((fast - plain).abs().max()) > 1e-4 * scale:
            raise SystemExit("the local path is not equal to its reference: no speed is worth printing")


def seconds(attend: Attend, tensors: list[Tensor]) -> float:
    begin = time.perf_counter()
    step(attend, tensors)
    return time.perf_counter() - begin


def growth(score: str, scope: str, length: int, dim: int, window: int) -> float:
    """MiB that one step adds to a process that has done a small one."""
    code = ["--grow", score, scope, "--lengths", str(length), "--dim", str(dim), "--window", str(window)]
    found = subprocess.run([sys.executable, __file__, *code], check=True, capture_output=True, text=True)
    return float(found.stdout)


def grow(score: str, scope: str, length: int, dim: int, window: int) -> None:
    step(made(score, scope, dim, window), inputs(4 * window + 8, dim))
    attend, tensors = made(score, scope, dim, window), inputs(length, dim)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is counted from here
    before = kibibytes("VmRSS")
    step(attend, tensors)
    print((kibibytes("VmHWM") - before) / 1024)


def kibibytes(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--lengths", default="128,256,512,1024,2048")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processes", type=int, default=1, help="in which memory is measured; the median is printed")
    parser.add_argument("--scores", default=",".join(SCORES), help="which of them are measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement here too")
    parser.add_argument("--grow", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.grow:
        score, scope = options.grow
        grow(score, scope, int(options.lengths), options.dim, options.window)
        return
    print(
        f"T = S, D = {options.window}, {options.dim} features, fp32, {options.threads} threads, torch {torch.__version__}"
    )
    print(
        "| score | S | global ms | local-m times faster | local-p times faster | global MiB | local-m times leaner | local-p times leaner |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    measured = []
    for score in options.scores.split(","):
        for length in map(int, options.lengths.split(",")):
            tensors = inputs(length, options.dim)
            mechanisms = {scope: made(score, scope, options.dim, options.window) for scope in SCOPES}
            for scope in SCOPES[1:]:
                check(mechanisms[scope], tensors)
            times: dict[str, list[float]] = {scope: [] for scope in SCOPES}
            for _ in range(options.rounds):
                for scope, attend in mechanisms.items():
                    times[scope].append(seconds(attend, tensors))
            fast = {scope: statistics.median(each) for scope, each in times.items()}
            grown = {
                scope: [growth(score, scope, length, options.dim, options.window) for _ in range(options.processes)]
                for scope in SCOPES
            }
            fat = {scope: statistics.median(each) for scope, each in grown.items()}
            measured += [
                {"score": score, "length": length, "scope": scope, "seconds": times[scope], "mebibytes": grown[scope]}
                for scope in SCOPES
            ]
            print(
                f"| {score} | {length} | {fast['global'] * 1000:.1f} "
                + "".join(f"| {fast['global'] / fast[scope]:.1f} " for scope in SCOPES[1:])
                + f"| {fat['global']:.0f} "
                + "".join(f"| {fat['global'] / max(fat[scope], 0.1):.1f} " for scope in SCOPES[1:])
                + "|",
                flush=True,
            )
    if options.json is not None:
        facts = {"window": options.window, "dim": options.dim, "threads": options.threads, "torch": torch.__version__}
        options.json.write_text(json.dumps({**facts, "measured": measured}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
