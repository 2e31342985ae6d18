"""The port, and the server behind it until somebody stops it."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from types import FrameType

import uvicorn

from regard.errors import RegardError, UsageError
from regard.server.app import application
from regard.server.speakers import Speakers


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_port(host: str, port: int) -> socket.socket:
    """UsageError says why it cannot be opened."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise UsageError(f"--host {host} is no address of this machine: write 127.0.0.1, or 0.0.0.0 for all") from None
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(2048)
    except OSError as problem:
        opened.close()
        if problem.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} is taken by another program: choose another, as in --port {min(port + 1, 65535)}"
            ) from None
        if problem.errno == errno.EACCES:
            raise UsageError(f"port {port} needs rights that this user lacks: choose one from 1024 on") from None
        raise UsageError(f"--host {host} --port {port} cannot be opened: {problem.strerror}") from None
    return opened


class Server(uvicorn.Server):
    """A second Ctrl-C, while the last answers are made, ends it at once: threads in the midst of a prediction can't be
    asked to stop, and Python would not end without them."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGINT and self.should_exit:
            sys.stdout.flush()
            sys.stderr.write("regard: stopped at once, without the last answers\n")
            sys.stderr.flush()
            os._exit(130)
        super().handle_exit(sig, frame)


def serve(
    speakers: Speakers, opened: socket.socket, *, key: str | None, cors: Sequence[str], say: Callable[[str], None]
) -> None:
    """Until Ctrl-C or SIGTERM; what has been asked is answered first, or not after a second Ctrl-C. RegardError if a model cannot be loaded."""
    problems: list[str] = []

    def failed(sentence: str) -> None:
        problems.append(sentence)
        server.should_exit = True

    app = application(speakers, key=key, cors=cors, failed=failed)
    server = Server(
        uvicorn.Config(
            app,
            log_level="error",  # not a line for each who speaks no HTTP
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,  # a client that is busy for some seconds may still send on the same connection
            timeout_graceful_shutdown=int(speakers.limits.seconds) + 1,
        )
    )
    host, port = opened.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    names = ", ".join(speakers.loaders)
    say(f"{names}: http://{shown}:{port} (Ctrl-C stops)")
    try:
        server.run(sockets=[opened])
    except KeyboardInterrupt:
        pass  # uvicorn passes it on after the last answer
    finally:
        opened.close()
    if problems:
        raise RegardError(problems[0])
