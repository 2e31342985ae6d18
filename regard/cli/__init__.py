"""The command line. Every command is a few lines over `regard.run`; errors are one sentence on stderr."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
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
from regard.errors import RegardError

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


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        given = ["--help"]
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        return _guarded(lambda: app(given, prog_name="regard", standalone_mode=False))
    except Exception as error:  # the last line of defence: never a traceback unless it was asked for
        if debug:
            traceback.print_exc()
            return 1
        return _say(
            f"{type(error).__name__}: {error} (this is a bug in regard: run again with --debug to see where)", 1
        )


def _guarded(run: Callable[[], Any]) -> int:
    try:
        result = run()
    except RegardError as error:
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _say(sentence: str, status: int) -> int:
    print(f"regard: {sentence}", file=sys.stderr)
    return status
