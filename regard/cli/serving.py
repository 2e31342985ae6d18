"""`regard serve`."""

from __future__ import annotations

import math
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.aligners import check_translates
from regard.cli.app import DemoOption, DeviceOption, app
from regard.errors import UsageError


@app.command()
def serve(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN [RUN ...]", help="folders of runs that translate", show_default=False),
    ] = None,
    demo: DemoOption = False,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free")] = 5000,
    api_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="clients must send it; better in $REGARD_API_KEY", show_default=False),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="let pages of this origin ask, as https://example.org; repeat for more"),
    ] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM-TO", help="of each run in turn, as en-de; from its training files if not given"),
    ] = None,
    max_characters: Annotated[int, typer.Option(min=1, help="of one input")] = 5000,
    max_inputs: Annotated[int, typer.Option(min=1, help="of one request")] = 128,
    max_body: Annotated[int, typer.Option(min=1, help="bytes of one request")] = 2_000_000,
    max_queue: Annotated[int, typer.Option(min=1, help="lines that may wait for one model")] = 2000,
    max_beam: Annotated[int, typer.Option(min=1, help="hypotheses that a request may ask for")] = 32,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds for one request")] = 60.0,
    device: DeviceOption = "auto",
) -> None:
    """Answers over HTTP: predictions with their attention, LibreTranslate's API, a page. See /docs on the server."""
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "prometheus_client")):
        raise UsageError("serving needs more packages: pip install 'regard[serve]'")
    import torch

    from regard import build
    from regard.embedded import english_french
    from regard.server.languages import languages_given
    from regard.server.limits import Limits
    from regard.server.opening import is_loopback, open_port
    from regard.server.opening import serve as serve_until_stopped
    from regard.server.speakers import Speakers
    from regard.server.speaking import lanes_and_threads

    runs = list(runs or []) + ([english_french()] if demo else [])
    if not runs:
        raise UsageError("give the folder of a run, or --demo for the English to French model that comes along")
    if not math.isfinite(timeout):
        raise UsageError(f"--timeout {timeout} is no time that a request may take: give seconds, such as 60")
    if languages and len(languages) != len(runs):
        raise UsageError(f"--languages is given {len(languages)} times for {len(runs)} runs: give it once for each")
    key = api_key if api_key is not None else os.environ.get("REGARD_API_KEY")
    if key == "" and api_key is None:
        raise UsageError("REGARD_API_KEY is empty: set a key in it, or unset it to let anybody ask")
    if key is not None and (not key.isascii() or not key.strip()):
        raise UsageError("the key must be letters, digits and signs of ASCII, for it travels in a header")
    for origin in cors or []:
        if origin != "*" and (not origin.startswith(("http://", "https://")) or origin.count("/") != 2):
            raise UsageError(f"--cors {origin} is no origin: write one such as https://example.org, without a path")
    limits = Limits(
        body=max_body,
        characters=max_characters,
        inputs=max_inputs,
        queue=max_queue,
        seconds=timeout,
        beam=max_beam,
    )
    check_translates(*runs)
    build.device(device)  # before the port is said to be open
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    lanes, threads = lanes_and_threads(cores, torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else None)
    torch.set_num_threads(threads)
    speakers = Speakers.of_runs(
        runs, device, languages=[languages_given(text) for text in languages or []], limits=limits, lanes=lanes
    )
    opened = open_port(host, port)
    if key is None and not is_loopback(host):
        print(
            f"regard: anybody who reaches {host} can ask this server: give --api-key KEY to ask for one",
            file=sys.stderr,
        )
    serve_until_stopped(speakers, opened, key=key, cors=cors or [], say=lambda text: print(text, flush=True))
