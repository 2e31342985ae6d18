"""/v1/nearest as a client sees it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from pathlib import Path
from typing import Any

import httpx
import pytest

from regard.config import write_toml
from regard.data import build_corpus
from regard.run import Model, RunFolder
from regard.run.translation.nearest import Nearest
from regard.server.limits import Limits

PAIRS = [("one two 六", "ten"), ("one three", "huit"), ("سبعة नौ", "élf"), ("one three", "ten"), ("one three", "ten")]


def live(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that awaits."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


@pytest.fixture
def load(tmp_path: Path, model: Model) -> Callable[[], Model]:
    """How the model is loaded from a run folder with PAIRS, as `Speakers.of_runs` has it."""
    folder = RunFolder(tmp_path)
    tokenizer = model.source_tokenizer
    tokenizer.save(folder.tokenizer("source", True))
    folder.recipe.write_text(write_toml(model.recipe.model_dump(mode="json")), encoding="utf-8")
    triples = [(number, *pair) for number, pair in enumerate(PAIRS, start=1)]
    build_corpus(triples, tokenizer, tokenizer, folder.corpus, fingerprint="1", max_length=48)
    return partial(lambda _, __: model, tmp_path, "cpu")


async def ask(client: httpx.AsyncClient, **query: Any) -> httpx.Response:
    return await client.get("/v1/nearest", params=query)


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert list(found) == ["error"] and "Traceback" not in answer.text
    return found["error"]


@live
async def test_the_nearest_pairs_come_back(serving: Any, load: Any) -> None:
    async with serving({"m": load}) as client:
        assert (await client.get("/v1/models")).json()["models"][0]["nearest"] is True
        rows = (await ask(client, text="one three")).json()["examples"]
        assert rows[0] == {"source": "one three", "target": "ten", "similarity": 1.0}
        assert [row["source"] for row in rows] == ["one three", "one two 六"]
        assert 0 < rows[1]["similarity"] < 1
        assert (await ask(client, model="m", text="one three", count=1)).json() == {"examples": rows[:1]}
        [row] = (await ask(client, text="سبعة नौ")).json()["examples"]
        assert row == {"source": "سبعة नौ", "target": "élf", "similarity": 1.0}
        for text in ("", "  ", "你好 👩‍👧", "\n"):
            assert (await ask(client, text=text)).json() == {"examples": []}
        metrics = (await client.get("/metrics")).text
        assert 'path="/v1/nearest",status="200"' in metrics
        described = (await client.get("/openapi.json")).json()["paths"]["/v1/nearest"]["get"]
        assert {each["name"] for each in described["parameters"]} == {"text", "model", "count"}


@live
async def test_a_run_without_pairs_says_so(serving: Any, load: Any, model: Model, tmp_path: Path) -> None:
    (tmp_path / "corpus" / "ids.bin").unlink()
    async with serving({"bare": model, "cut": load}) as client:
        for name in ("bare", "cut"):
            assert f"{name} keeps no training pairs" in refused(await ask(client, text="one", model=name), 404)
        assert "no model 'other'" in refused(await ask(client, text="one", model="other"), 404)


@live
async def test_what_cannot_be_is_refused(serving: Any, load: Any) -> None:
    async with serving({"m": load}, limits=Limits(characters=31)) as client:
        assert "text has 32 characters and the limit is 31" in refused(await ask(client, text="é" * 32), 413)
        assert (await ask(client, text="é" * 31)).status_code == 200
        assert "text" in refused(await ask(client), 422)
        assert "NUL" in refused(await ask(client, text="a\0b"), 422)
        for count in ("0", "-1", "101", "9" * 5000, "x", "1.5", ""):
            assert "count" in refused(await ask(client, text="one", count=count), 422)
        assert (await ask(client, text="one", count=100)).status_code == 200
        assert (await client.get("/v1/nearest?text=%ff%ed%a0%80&model=m")).json() == {"examples": []}
        refused(await client.post("/v1/nearest", json={"text": "one"}), 405)


@live
async def test_the_key_comes_first(serving: Any, load: Any) -> None:
    async with serving({"m": load}, key="s3cret") as client:
        for query in ({"text": "one"}, {}, {"text": "one", "count": "x"}):
            refused(await ask(client, **query), 401)
        answer = await client.get("/v1/nearest?text=one", headers={"Authorization": "Bearer s3cret"})
        assert answer.status_code == 200


class Held:
    """Lookups that wait until they may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.count = 0
        real = Nearest.open

        def slow(run: Any) -> Any:
            self.count += 1
            assert self.go.wait(30)
            return real(run)

        monkeypatch.setattr(Nearest, "open", slow)


@live
async def test_nothing_waits_while_the_index_is_made(
    serving: Any, load: Any, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    async with serving({"m": load, "n": model}) as client:
        asked = [asyncio.create_task(ask(client, text="one three", model="m")) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert (await client.get("/health")).status_code == 200
        assert (await client.post("/v1/predict", json={"inputs": "one", "model": "m"})).status_code == 200
        refused(await ask(client, text="one", model="n"), 404)  # another run has another thread
        assert not any(each.done() for each in asked)
        held.go.set()
        answers = [await each for each in asked]
        assert all(answer.json()["examples"][0]["source"] == "one three" for answer in answers)
        assert held.count == 1  # opened once for all


@live
async def test_too_many_and_too_long(serving: Any, load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    try:
        async with serving({"m": load}, limits=Limits(queue=2, seconds=0.3)) as client:
            started = time.monotonic()
            asked = [asyncio.create_task(ask(client, text="one")) for _ in range(2)]
            await asyncio.sleep(0.05)
            third = await ask(client, text="one")
            assert "wait already" in refused(third, 429)
            assert int(third.headers["Retry-After"]) >= 1
            for each in asked:
                assert "longer than 0.3 seconds" in refused(await each, 504)
            assert time.monotonic() - started < 10
            held.go.set()
            await asyncio.sleep(0.05)
            answer = await ask(client, text="one three")  # it goes on where it was
            assert answer.json()["examples"][0]["target"] == "ten"
    finally:
        held.go.set()
