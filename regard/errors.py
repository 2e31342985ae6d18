"""What a user did, or what the machine met, said in one sentence.

Every message names the file, line or key, what is wrong, and what to do. The command line prints it to
stderr without a traceback and leaves with `exit_status`.
"""


class RegardError(Exception):
    """A job that failed: a full disk, an exploding loss, a corpus in which nothing is left to train on."""

    exit_status = 1


class UsageError(RegardError):
    """Wrong use: a missing file, a misspelt key, a folder that is not a run."""

    exit_status = 2


class MovingPicture(UserWarning):
    """Of a picture with several frames the first alone is read. The command line says so of the first such picture."""
