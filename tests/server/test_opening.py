"""The port and the command, up to where a server would run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import regard.cli.serving as serving_command
from regard.cli import main
from regard.config import recipe_of
from regard.errors import RegardError, UsageError
from regard.run import Model
from regard.server.languages import languages_given, languages_of
from regard.server.opening import is_loopback, open_port, serve
from regard.server.speakers import Speakers


def test_a_taken_port_is_a_sentence() -> None:
    with open_port("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} is taken .* --port {port + 1}"):
            open_port("127.0.0.1", port)
    with pytest.raises(UsageError, match="no address of this machine"):
        open_port("no such host", 5000)


def test_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org")] == [False] * 4


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        ({"source": "/x/train.en", "target": "/x/train.de"}, "run", ("en", "de")),
        ({"source": "/x/train.src", "target": "/x/train.tgt"}, "run", (None, None)),
        ({"source": "/x/train.src", "target": "/x/train.tgt"}, "big-en-fr", ("en", "fr")),
        ({"data": "/x/tatoeba_en-fr/train.tsv"}, "run", ("en", "fr")),
        ({"data": "/x/train.tsv"}, "my-run", (None, None)),
        ({"data": "/x/train.tsv"}, "tf", (None, None)),
    ],
)
def test_languages_of_a_run(data: dict[str, str], name: str, expected: tuple[str | None, str | None]) -> None:
    recipe = recipe_of({"data": data, "model": {"kind": "transformer"}})
    assert languages_of(recipe, name) == expected


def test_languages_by_hand() -> None:
    assert languages_given("en-de") == ("en", "de") and languages_given("zh-Hant:en") == ("zh-Hant", "en")
    for wrong in ("en", "", "-", "English-German!", "e-d"):
        with pytest.raises(UsageError, match="such as en-de"):
            languages_given(wrong)


def test_what_the_command_refuses(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*arguments: str) -> str:
        assert main(["serve", *arguments]) == 2
        err = capsys.readouterr().err
        assert err.startswith("regard: ") and err.count("\n") == 1
        return err

    assert "is not a run" in said(str(tmp_path))
    assert "no origin" in said(str(tmp_path), "--cors", "example.org")
    assert "once for each" in said(str(tmp_path), "--languages", "en-de", "--languages", "en-fr")
    assert "ASCII" in said(str(tmp_path), "--api-key", "clé")
    monkeypatch.setattr(serving_command, "find_spec", lambda name: None if name == "uvicorn" else importlib.util)
    assert "pip install 'regard[serve]'" in said(str(tmp_path))


def test_a_model_that_cannot_be_loaded_ends_the_server() -> None:
    def broken() -> Model:
        time.sleep(0.2)
        raise UsageError("it is broken")

    for load in (broken, lambda: {}["at once"]):
        with pytest.raises(RegardError, match="x could not be loaded"):
            serve(Speakers({"x": load}), open_port("127.0.0.1", 0), key=None, cors=[], say=lambda _: None)  # type: ignore[dict-item]


def until_ready(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{url}/ready", timeout=5).close()
            break
        except urllib.error.HTTPError as answer:
            answer.close()
            time.sleep(0.05)


def test_stopping_finishes_what_was_asked(model: Model) -> None:
    """Ctrl-C while a request is being answered: it gets its answer, and the port is free afterwards."""
    plain = model.predict
    answers: list[Any] = []
    opened = open_port("127.0.0.1", 0)
    port = opened.getsockname()[1]

    def predict(lines: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        return plain(lines, **options)

    def client() -> None:
        until_ready(f"http://127.0.0.1:{port}")
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", b'{"inputs": ["one two"]}')
        with urllib.request.urlopen(request, timeout=30) as answer:
            answers.append(json.load(answer))

    model.predict = predict  # type: ignore[method-assign]
    thread = threading.Thread(target=client)
    thread.start()
    said: list[str] = []
    serve(Speakers({"tiny": lambda: model}), opened, key=None, cors=[], say=said.append)
    thread.join(30)
    assert answers[0]["predictions"][0]["text"] == plain(["one two"])[0].text
    assert said == [f"tiny: http://127.0.0.1:{port} (Ctrl-C stops)"]
    assert not [t.name for t in threading.enumerate() if t.name.startswith("regard-")]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


SLOW = """
import sys, time
from regard.cli import main
from regard.run import Model

def predict(self, *given, **options):
    print("asked", flush=True)
    time.sleep(60)

Model.predict = predict
sys.exit(main(["serve", "--demo", "--port", "0"]))
"""


def test_a_second_ctrl_c_ends_it_in_the_midst_of_an_answer() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert server.stdout is not None and server.stderr is not None
    try:
        address = re.search(r"http://\S+", server.stdout.readline())
        assert address is not None
        url = address[0]

        def client() -> None:
            until_ready(url)
            with suppress(OSError):  # it gets none
                urllib.request.urlopen(f"{url}/v1/predict", b'{"inputs": ["one two"]}', timeout=30).close()

        thread = threading.Thread(target=client)
        thread.start()
        assert server.stdout.readline() == "asked\n"
        for _ in range(2):
            server.send_signal(signal.SIGINT)
            time.sleep(0.5)
        assert server.wait(20) == 130
        assert server.stderr.read() == "regard: stopped at once, without the last answers\n"
        thread.join(30)
    finally:
        server.kill()
        server.stdout.close()
        server.stderr.close()
