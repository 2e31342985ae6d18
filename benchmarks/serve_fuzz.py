"""A server and ten thousand requests that nobody meant.

    .venv/bin/python benchmarks/serve_fuzz.py runs/en-de --requests 10000

Starts `regard serve RUN` and sends, from a seed, requests of three kinds in turn: JSON of the right shape with wrong
values in it; bodies that were right before bytes were changed, cut, doubled; and random bytes, some of them straight
into the socket and no HTTP at all. A finding is status 500, an answer that takes longer than a minute, "Traceback" or a
path of this machine in an answer, an error that is not {"error": sentence}, or a server that does not answer afterwards.
Prints a line of JSON and leaves with status 1 if anything was found. `--schemathesis N` adds N examples of each operation
of /openapi.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import string
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from serve_load import start, stop

SENTENCE = "A man rides a bicycle."
TEXTS = [
    "", " ", "\0", "\ud800", "\udc00x", "A\u0301", "👩‍👩‍👧‍👦", "שלום", "漢字", "\u202e", "\ufeff", "<b>x</b>", "a" * 6000, "x " * 3000,
    "NaN", "%s%n", "{{7*7}}", "../../etc/passwd", "'; --", "\r\n\r\n", "\u2028", "\U0010ffff", SENTENCE, "word " * 300,
]  # fmt: skip
NUMBERS = [0, 1, 2, -1, 2**31, 2**63, 2**64, 10**300, 1.5, -0.0, 1e-300, 1e308, float("inf"), float("nan")]
KEYS = {
    "/v1/predict": [
        "inputs", "model", "beam", "nbest", "prefix", "attention", "sample", "steer", "tree", "diagnostics", "stream",
        "temperature", "top_k", "top_p", "seed", "action", "source", "source_words", "steps", "layers", "heads", "where",
    ],
    "/translate": ["q", "source", "target", "format", "alternatives", "api_key"],
    "/detect": ["q", "api_key"],
}  # fmt: skip
PATHS = [
    "/",
    "/v1/models",
    "/health",
    "/ready",
    "/metrics",
    "/languages",
    "/docs",
    "/openapi.json",
    "/frontend/settings",
]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"]


def value(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.random()
    if kind < 0.35:
        return draw.choice(TEXTS)
    if kind < 0.55:
        return draw.choice(NUMBERS)
    if kind < 0.65:
        return draw.choice([True, False, None])
    if kind < 0.85 and depth < 4:
        return [value(draw, depth + 1) for _ in range(draw.choice([0, 1, 2, 3, 140 if depth == 0 else 4]))]
    if depth < 4:
        names = [name for keys in KEYS.values() for name in keys]
        return {draw.choice(names): value(draw, depth + 1) for _ in range(draw.randint(0, 4))}
    return draw.choice(["force", "forbid", "bias", "flatten", "freeze", "drop", "cross", "en", "de", "auto", "html"])


def right(draw: random.Random, path: str) -> dict[str, Any]:
    if path == "/v1/predict":
        body: dict[str, Any] = {"inputs": [SENTENCE] * draw.randint(0, 3)}
        more = {
            "beam": draw.randint(1, 6), "nbest": draw.randint(1, 3), "attention": True, "sample": {"seed": draw.randint(0, 9)},
            "tree": True, "stream": True, "steer": [{"action": "forbid", "source": [draw.randint(0, 9)]}],
            "diagnostics": True, "prefix": "Ein",
        }  # fmt: skip
        return body | {name: more[name] for name in draw.sample(list(more), draw.randint(0, 3))}
    body = {"q": draw.choice([SENTENCE, [SENTENCE, ""]])}
    return body if path == "/detect" else body | {"source": draw.choice(["en", "auto"]), "target": "de"}


def broken(draw: random.Random, text: bytes) -> bytes:
    found = bytearray(text)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(found) + 1)
        match draw.randrange(4):
            case 0:
                found[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del found[place : place + draw.randint(1, 9)]
            case 2:
                found[place:place] = found[: draw.randint(1, 40)]
            case _:
                found[place:place] = draw.choice([b"[" * 5000, b"9" * 5000, b"\\ud800", b"\\u0000", b"NaN", b'"', b"{"])
    return bytes(found)


def request(draw: random.Random) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers."""
    path = draw.choice(list(KEYS))
    kind = draw.random()
    body = right(draw, path)
    if kind < 0.45:
        for _ in range(draw.randint(1, 3)):
            body[draw.choice(KEYS[path])] = value(draw)
        return "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    if kind < 0.75:
        return "POST", path, broken(draw, json.dumps(body).encode()), {"Content-Type": "application/json"}
    if kind < 0.9:
        kinds = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "\x7f", ""]
        headers = {"Content-Type": draw.choice(kinds)}
        headers["Authorization"] = "".join(draw.choices(string.printable[:94], k=draw.randint(1, 30)))
        return "POST", path, draw.randbytes(draw.choice([0, 1, 50, 5000])), headers
    path = draw.choice([*PATHS, *KEYS]) if draw.random() < 0.5 else "/" + "".join(draw.choices("ab/.%25?&=#~é", k=9))
    return draw.choice(METHODS), path, b"", {}


class Findings:
    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.found: list[str] = []

    def look(self, what: str, status: int, text: str) -> None:
        self.statuses[status] += 1
        if status == 500:
            self.found.append(f"500: {what}")
        if "Traceback" in text or 'File "' in text or str(Path.cwd()) in text or "site-packages" in text:
            self.found.append(f"a trace: {what}: {text[:200]}")
        if status >= 400 and text and not what.startswith(("HEAD", "bytes")):
            try:
                row = json.loads(text)
            except ValueError:
                row = None
            # What is no HTTP, uvicorn refuses before the server sees it.
            if not (isinstance(row, dict) and isinstance(row.get("error"), str)) and "Invalid HTTP" not in text:
                self.found.append(f"no sentence: {what}: {status} {text[:200]}")


async def over_http(base: str, count: int, seed: int, findings: Findings) -> None:
    draw = random.Random(seed)
    async with httpx.AsyncClient(base_url=base, timeout=70) as http:
        for number in range(count):
            method, path, body, headers = request(draw)
            what = f"{method} {path} {body[:300]!r} (seed {seed}, number {number})"
            try:
                answer = await http.request(method, path, content=body, headers=headers)
            except httpx.TimeoutException:
                findings.found.append(f"no answer: {what}")
                continue
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
                findings.statuses[0] += 1  # not sent, or the connection was closed in the middle of it
                continue
            findings.look(what, answer.status_code, answer.text)


async def over_socket(base: str, count: int, seed: int, findings: Findings) -> None:
    """Bytes that are hardly HTTP; the server may close the connection, but not keep silent."""
    draw, where = random.Random(seed), urlsplit(base)
    for _ in range(count):
        text = draw.choice(
            [
                draw.randbytes(draw.randint(1, 300)) + b"\r\n\r\n",
                b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n" + draw.randbytes(5),
                b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n{}",
                b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                b"GET /" + draw.randbytes(20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 90_000 + b"\r\n\r\n",
            ]
        )
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            writer.write(text)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(100_000), 70)
            status = int(answer[9:12]) if answer[9:12].isdigit() else 0
            findings.look(f"bytes {text[:200]!r}", status, answer.decode("latin-1"))
        except TimeoutError:
            findings.found.append(f"no answer: bytes {text[:200]!r}")
        except OSError:
            findings.statuses[0] += 1
        finally:
            writer.close()


async def all_of(base: str, count: int, workers: int, seed: int, findings: Findings) -> None:
    each = count // (workers + 1)
    jobs = [over_http(base, each, seed * 1000 + number, findings) for number in range(workers)]
    await asyncio.gather(*jobs, over_socket(base, count - each * workers, seed, findings))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schemathesis", type=int, default=0, metavar="N")
    given = parser.parse_args()
    findings = Findings()
    server, base = start(given.run, {})
    started = time.perf_counter()
    try:
        asyncio.run(all_of(base, given.requests, given.workers, given.seed, findings))
        if given.schemathesis:
            tool = str(Path(sys.executable).with_name("schemathesis"))
            checks = "not_a_server_error"
            command = [tool, "run", f"{base}/openapi.json", "--checks", checks, "-n", str(given.schemathesis)]
            if subprocess.run([*command, "--request-timeout", "70"]).returncode:
                findings.found.append("schemathesis found something: see above")
        answer = httpx.post(f"{base}/v1/predict", json={"inputs": [SENTENCE]}, timeout=70)
        if answer.status_code != 200 or server.poll() is not None:
            findings.found.append(f"afterwards it does not answer: {answer.status_code} {answer.text[:200]}")
    finally:
        stop(server)
    for sentence in findings.found[:20]:
        print(sentence, file=sys.stderr)
    seconds = round(time.perf_counter() - started, 1)
    statuses = {str(status): count for status, count in sorted(findings.statuses.items())}
    print(
        json.dumps(
            {"requests": given.requests, "seconds": seconds, "statuses": statuses, "findings": len(findings.found)}
        )
    )
    if findings.found:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
