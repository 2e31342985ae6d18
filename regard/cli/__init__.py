"""The command line. Every command is a few lines over `regard.run`; errors are one sentence on stderr."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

import typer

from regard.cli import (
    comparing,
    embedding,
    evaluating,
    exporting,
    packing,
    pictures,
    predicting,
    probing,
    scoring,
    serving,
    showing,
    training,
)
from regard.cli.app import app
from regard.cli.quoting import advice
from regard.errors import MovingPicture, RegardError

__all__ = [
    "app",
    "comparing",
    "embedding",
    "evaluating",
    "exporting",
    "main",
    "packing",
    "pictures",
    "predicting",
    "probing",
    "scoring",
    "serving",
    "showing",
    "training",
]

TRAINED = "make room or choose another folder with --out; what was saved before is whole, and --resume goes on from it"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        given = ["--help"]
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        # Standard output is None where it was closed.
        with redirect_stdout(Output(sys.stdout)) if sys.stdout else nullcontext(), _first_frames():
            return _flushed(_guarded(lambda: app(given, prog_name="regard", standalone_mode=False), given))
    except Exception as error:  # the last line of defence: never a traceback unless it was asked for
        if debug:
            traceback.print_exc()
            return 1
        return _say(
            f"{type(error).__name__}: {error} (this is a bug in regard: run again with --debug to see where)", 1
        )


@contextmanager
def _first_frames() -> Iterator[None]:
    """That of a moving picture the first frame alone is read is said once: of the first such picture. Other warnings
    go their way."""
    said: list[str] = []

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, MovingPicture):
            before(message, category, *where, **more)
        elif not said:
            said.append(str(message))
            print(f"{message}, as of every picture that moves", file=sys.stderr)

    with warnings.catch_warnings():
        before = warnings.showwarning
        warnings.simplefilter("always", MovingPicture)
        warnings.showwarning = show
        yield


def _guarded(run: Callable[[], Any], given: list[str]) -> int:
    try:
        result = run()
    except RegardError as error:
        problem = getattr(error, "problem", None)  # an Unwritable, which comes with torch
        if problem is not None and given[:1] == ["train"]:
            return _say(f"{problem}: {TRAINED}", error.exit_status)
        return _say(str(error), error.exit_status)
    except typer.exceptions.TyperException as error:
        sentence = " ".join(error.format_message().split())  # choices come on lines of their own
        command = getattr(getattr(error, "ctx", None), "info_name", None)
        help_ = "see 'regard --help'"
        return _say(f"{sentence.rstrip('.')}: {advice(command, sentence) or help_}", 2)
    except (typer.Abort, KeyboardInterrupt):
        return _say("interrupted", 130)
    except BrokenPipeError:
        # The reader has gone, as with `| head`: nobody is left to tell.
        _close_output()
        return 0
    return result if isinstance(result, int) else 0


def _flushed(status: int) -> int:
    """The status, once standard output has taken all that was printed; another one where it does not."""
    try:
        print(end="", flush=True)
    except RegardError as error:
        return _say(str(error), status or error.exit_status)
    except BrokenPipeError:
        _close_output()
    return status


class Output:
    """Standard output that says of itself that it is full: from an OSError alone nobody knows which file refused."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        return self._tried(lambda: self.stream.write(text))

    def flush(self) -> None:
        self._tried(self.stream.flush)

    def _tried(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except BrokenPipeError:
            raise
        except OSError as error:
            _close_output()
            raise RegardError(
                f"standard output cannot be written ({error.strerror}): make room or send it elsewhere"
            ) from error


def _close_output() -> None:
    """What is still in the buffer goes nowhere, so that leaving does not fail with it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _say(sentence: str, status: int) -> int:
    print(f"regard: {sentence}", file=sys.stderr)
    return status
