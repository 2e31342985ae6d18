"""A server under load: many clients at once, each of whose answers must be its own.

    .venv/bin/python benchmarks/serve_load.py runs/en-de --lines FILE --clients 50 --minutes 5

Starts `regard serve RUN` on a free port. Every client sends one line of FILE after another and compares each answer
with what the same run says offline; an answer to another line would show, and so would one that never comes. How fast
offline prediction is (`Model.predict` of lines as many as a batch of the server has room for, sorted by length as
`regard predict` does) is measured in turn with the server, in blocks of equal length, in this same process, which only
waits while the server works. Prints a line of JSON: answers, errors, lost and crossed answers, lines a second of both
and their ratio, lines a batch of the server, processor time a request of the server and of the clients and a line
offline (which other work on the machine does not change much), and the memory of the server at the start and at the end.
The clients share the cores with the server, and therefore do next to nothing but to read, to compare and to write.

Two searches that batch differently add floats in another order, so that a near tie may fall the other way: such an
answer has another text and a score within 1e-3 of the offline one's, and is counted apart, as `ties`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import httpx
import torch

from regard.run import Model, Prediction


def memory(process: int) -> float:
    """Megabytes that are resident."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def processor(process: int) -> float:
    """Seconds that it has computed."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(run: Path, environment: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    """A server that is ready, and its address."""
    command = [sys.executable, "-m", "regard", "serve", str(run), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    assert server.stdout is not None
    said = server.stdout.readline()
    found = re.search(r"http://\S+", said)
    if found is None:
        raise SystemExit(f"the server did not start: {said or 'it said nothing'}")
    for _ in range(1200):
        if httpx.get(found[0] + "/ready").status_code == 200:
            return server, found[0]
        time.sleep(0.1)
    raise SystemExit("the server was not ready within two minutes")


def stop(server: subprocess.Popen[str]) -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(timeout=70)
    except subprocess.TimeoutExpired:
        server.kill()
        raise SystemExit("the server did not stop") from None


class Connection:
    """One client's own connection. It speaks as little HTTP as will do, for it takes from the server's cores."""

    def __init__(self, address: SplitResult) -> None:
        self.address = address
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, value: object) -> tuple[int, bytes]:
        """Status and body. OSError, ValueError or TimeoutError if there is no whole answer within two minutes."""
        body = json.dumps(value).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {self.address.netloc}\r\nContent-Type: application/json\r\n"
        try:
            async with asyncio.timeout(120):
                if self._ends is None:
                    self._ends = await asyncio.open_connection(self.address.hostname, self.address.port)
                reader, writer = self._ends
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                said = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").lower()
                length = re.search(r"\ncontent-length: (\d+)\r", said)
                if not said.startswith("http/1.1 ") or length is None:
                    raise ValueError(f"no answer in HTTP: {said[:80]!r}")
                return int(said.split(" ")[1]), await reader.readexactly(int(length[1]))
        except EOFError as problem:
            await self.close()
            raise OSError(f"the connection broke: {problem}") from None
        except (OSError, ValueError, TimeoutError):
            await self.close()
            raise

    async def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()
            self._ends = None


async def client(
    number: int,
    address: SplitResult,
    lines: list[str],
    offline: dict[str, Prediction],
    until: float,
    seen: Counter[str],
) -> None:
    place = number * 7919
    connection = Connection(address)
    while time.monotonic() < until:
        line = lines[place % len(lines)]
        place += 1
        seen["sent"] += 1
        try:
            status, body = await connection.post("/v1/predict", {"inputs": [line]})
        except (OSError, ValueError, TimeoutError) as problem:
            seen["lost"] += 1
            print(f"lost: {problem!r}", file=sys.stderr)
            continue
        if status != 200:
            seen["errors"] += 1
            print(f"{status}: {body[:200]!r}", file=sys.stderr)
            continue
        (row,) = json.loads(body)["predictions"]
        wanted = offline[line]
        same = row["input"] == line and row["text"] == wanted.text
        near = row["input"] == line and abs(row["score"] - wanted.score) < 1e-3 * max(1, abs(wanted.score))
        seen["own" if same else "ties" if near else "crossed"] += 1
    await connection.close()


async def block(
    clients: int, base: str, lines: list[str], offline: dict[str, Prediction], seconds: float
) -> tuple[Counter[str], float]:
    """What the clients saw, and how many seconds they worked. Each has a connection of its own."""
    seen: Counter[str] = Counter()
    address = urlsplit(base)
    started = time.monotonic()
    until = started + seconds
    await asyncio.gather(*(client(n, address, lines, offline, until, seen) for n in range(clients)))
    return seen, time.monotonic() - started


def batches(base: str) -> tuple[float, float]:
    """How many lines the server has said so far, and in how many batches."""
    told = httpx.get(base + "/metrics").text
    lines, count = (
        sum(float(value) for value in re.findall(rf"^regard_batch_lines_{name}\{{.*\}} (\S+)$", told, re.MULTILINE))
        for name in ("sum", "count")
    )
    return lines, count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--lines", type=Path, required=True, help="one input a line")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--count", type=int, default=512, help="lines of the file that are used")
    parser.add_argument("--block", type=float, default=20.0, help="seconds of each in turn")
    parser.add_argument("--server-threads", metavar="N", help="OMP_NUM_THREADS of the server alone")
    given = parser.parse_args()
    lines = [line for line in given.lines.read_text(encoding="utf-8").splitlines() if line.strip()][: given.count]
    model = Model.load(given.run)
    offline = {p.source: p for p in model.predict(lines)}
    server, base = start(given.run, {"OMP_NUM_THREADS": given.server_threads} if given.server_threads else {})
    seen: Counter[str] = Counter()
    served, alone = [], []
    try:
        asyncio.run(block(given.clients, base, lines, offline, min(3.0, given.block)))  # warm
        before = memory(server.pid)
        spent, computed, computed_alone, computed_asking, said_alone = 0.0, 0.0, 0.0, 0.0, 0
        said_before, count_before = batches(base)
        while spent < given.minutes * 60:
            at, asking = processor(server.pid), time.process_time()
            found, seconds = asyncio.run(block(given.clients, base, lines, offline, given.block))
            computed += processor(server.pid) - at
            computed_asking += time.process_time() - asking
            seen += found
            spent += seconds
            served.append((found["own"] + found["ties"]) / seconds)
            started, at, said = time.perf_counter(), time.process_time(), 0
            while time.perf_counter() - started < given.block:
                said += len(model.predict(lines))
            computed_alone += time.process_time() - at
            said_alone += said
            alone.append(said / (time.perf_counter() - started))
            print(f"{spent:.0f} s: {served[-1]:.1f} served, {alone[-1]:.1f} offline", file=sys.stderr)
        after = memory(server.pid)
        said_after, count_after = batches(base)
    finally:
        stop(server)
    ratio = statistics.median(s / a for s, a in zip(served, alone, strict=True))
    result = {
        "clients": given.clients,
        "seconds": round(spent),
        **{name: seen[name] for name in ("sent", "own", "ties", "crossed", "errors", "lost")},
        "lines_per_second": round(statistics.median(served), 1),
        "offline_lines_per_second": round(statistics.median(alone), 1),
        "ratio": round(ratio, 3),
        "lines_per_batch": round((said_after - said_before) / max(1, count_after - count_before), 1),
        "server_processor_ms_per_request": round(1000 * computed / max(1, seen["sent"]), 2),
        "clients_processor_ms_per_request": round(1000 * computed_asking / max(1, seen["sent"]), 2),
        "offline_processor_ms_per_line": round(1000 * computed_alone / max(1, said_alone), 2),
        "memory_start_mb": round(before, 1),
        "memory_end_mb": round(after, 1),
        "offline_threads": torch.get_num_threads(),
        "server_threads": given.server_threads or os.environ.get("OMP_NUM_THREADS", "its own choice"),
    }
    print(json.dumps(result))
    if seen["crossed"] or seen["errors"] or seen["lost"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
