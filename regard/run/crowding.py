"""Whether other programs leave a training the processor cores that its threads count on."""

from __future__ import annotations

import os

SPARE = 0.75  # of a core that may be missing: a load that rose for a moment, and what regard itself has just read


def load_before() -> float | None:
    """How many programs wanted to run in the last minute, on average; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has no such number
        return None


def crowded(load: float | None, threads: int, cores: int | None = None, machine: int | None = None) -> str | None:
    """One sentence where `threads` of PyTorch would share their `cores` with others, or None.

    `cores` are those that this process may run on (None: asked of the system) of all that the `machine` has; where it
    may not run on all of them, their share of the load is taken for theirs. One thread waits for nobody.
    """
    machine = machine or os.cpu_count() or 1
    cores = cores or _allowed() or machine
    if load is None or threads < 2:
        return None
    others = load * min(1.0, cores / machine)
    if others + min(threads, cores) < cores + SPARE:
        return None
    of = "1 core" if machine == 1 else f"{machine} cores"
    return (
        f"this machine is busy already (a load of {load:.1f} on {of}), and {threads} threads that wait for each other "
        "among other programs can make training many times slower: stop it with Ctrl-C, write OMP_NUM_THREADS=1 before "
        "the command and add --resume, or let the others end first"
    )


def _allowed() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
