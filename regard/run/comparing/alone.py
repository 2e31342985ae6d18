"""A training in a process of its own: its peak memory is its own, and its crash is nobody else's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from regard.config import read_toml
from regard.errors import RegardError
from regard.run.folder import RunFolder
from regard.run.training import train
from regard.training.checkpoint import write_text

_START = "import sys; from regard.run.comparing.alone import child; sys.exit(child(*sys.argv[1:]))"


@dataclass(frozen=True)
class Memory:
    """The most that a training held at once, in MiB; `device` is of a GPU, and None without one."""

    resident: float | None
    device: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {"resident_mib": self.resident, "device_mib": self.device}


def train_alone(recipe: Path, out: Path, console: Console) -> str | None:
    """Trains by the recipe file into `out`, or goes on where a run there stopped. What it says is shown on `console`.

    Returns None, or the sentence of what went wrong; a traceback is then in `out` with `.log` instead of a suffix.
    Ctrl-C lets the training save itself and raises KeyboardInterrupt; a second one ends it at once.
    """
    log = out.with_name(out.name + ".log")
    with open(log, "w+", encoding="utf-8", errors="replace") as wrong:
        # A session of its own: Ctrl-C reaches us alone, and the training is asked to stop once, not twice.
        with subprocess.Popen(
            [sys.executable, "-c", _START, str(recipe), str(out)],
            stdout=subprocess.PIPE,
            stderr=wrong,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    console.print("  " + line.rstrip("\n"), style="dim", highlight=False)
                status = process.wait()
            except BaseException:
                _end(process)
                raise
        wrong.seek(0)
        said = [line.strip() for line in wrong if line.strip()]
    if status == 0:
        log.unlink()
        return None
    if status < 0:
        name = signal.Signals(-status).name
        return f"the training was killed by {name}" + (" (is memory short?)" if name == "SIGKILL" else "")
    return said[-1] if said else f"the training ended with status {status}"


def child(recipe: str, out: str) -> int:
    """What the process runs: one training, and how much memory it took."""
    folder = RunFolder(Path(out))
    # Lines of any width: the reader is a pipe, and the terminal behind it wraps them.
    console = Console(soft_wrap=True, markup=False, force_terminal=False)
    try:
        train(read_toml(Path(recipe)), folder.path, console, origin=recipe, resume=folder.recipe.exists())
    except RegardError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    finally:
        if folder.path.is_dir():
            _note(folder)
    return 0


def memory_of(folder: RunFolder) -> Memory:
    """What the trainings of a run noted; a run that was trained in another way has noted nothing."""
    try:
        found = json.loads(_noted(folder).read_text(encoding="utf-8"))
        return Memory(found["resident_mib"], found["device_mib"])
    except (OSError, ValueError, KeyError):
        return Memory(None)


def _noted(folder: RunFolder) -> Path:
    return folder.path / "memory.json"


def _note(folder: RunFolder) -> None:
    """A training that was stopped and went on has noted before; the most counts."""
    before = memory_of(folder)
    device = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    most = Memory(_largest(before.resident, _peak()), _largest(before.device, device))
    write_text(_noted(folder), json.dumps(most.to_json()) + "\n")


def _largest(*values: float | None) -> float | None:
    known = [round(value, 1) for value in values if value is not None]
    return max(known, default=None)


def _peak() -> float | None:
    """The largest resident set of this program, in MiB; None where the system does not tell."""
    try:
        # Linux's ru_maxrss begins with that of the process which started this one; the status does not.
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _end(process: subprocess.Popen[str]) -> None:
    """Lets the training save itself. If we are interrupted meanwhile, it ends at once."""
    process.terminate()
    try:
        # Its last words must be read, or a full pipe would hold it up.
        process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
