"""/v1/predict and its neighbours, as a client sees them."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
import threading
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import httpx
import numpy as np
import pytest

from regard.errors import UsageError
from regard.run import Model
from regard.server.limits import Limits
from regard.server.predicting import until_gone
from regard.server.refusals import Refusal

WORDS = ["one", "two", "three", "four", "five", "六", "سبعة", "huit", "नौ", "ten", "élf"]


def lines_of(count: int) -> list[str]:
    """Different lines of one word to nine."""
    draw = random.Random(5)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 9)))] = None
    return list(found)


def live(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that awaits."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 120))

    return run


async def ask(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/v1/predict", json=body)


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.split("\n\n")[:-1]:
        kind, data = block.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert list(found) == ["error"] and "Traceback" not in answer.text
    return found["error"]


@pytest.mark.parametrize("lanes", [1, 2])
@live
async def test_each_of_fifty_gets_its_own_answer(serving: Any, model: Model, lanes: int) -> None:
    lines = lines_of(50)
    expected = model.predict(lines)
    assert len({p.text for p in expected}) > 25  # or crossed answers would not show
    async with serving({"m": model}, lanes=lanes) as client:
        answers = await asyncio.gather(*(ask(client, inputs=[line]) for line in lines))
        metrics = (await client.get("/metrics")).text
    for line, answer, wanted in zip(lines, answers, expected, strict=True):
        (row,) = answer.json()["predictions"]
        assert (row["input"], row["text"], row["tokens"]) == (line, wanted.text, wanted.tokens)
        assert row["score"] == pytest.approx(wanted.score, abs=1e-4)
        assert row["log_probabilities"] == pytest.approx(wanted.log_probabilities, abs=1e-4)
    batches = float(next(row for row in metrics.splitlines() if row.startswith("regard_batch_lines_count")).split()[1])
    assert batches <= 10  # they shared
    assert 'regard_requests_total{path="/v1/predict",status="200"} 50.0' in metrics
    assert f'regard_tokens_total{{model="m"}} {sum(len(p.tokens) for p in expected):.1f}' in metrics


@live
async def test_unlike_options_do_not_mix(serving: Any, model: Model) -> None:
    lines = lines_of(7)
    async with serving({"m": model}) as client:
        one, two, three, four = await asyncio.gather(
            ask(client, inputs=lines, beam=1),
            ask(client, inputs=lines, nbest=2, beam=4),
            ask(client, inputs=lines, sample={"seed": 11, "top_k": 5}),
            ask(client, inputs=lines, prefix=["six huit"] * 7),
        )
    said = [[row["text"] for row in each.json()["predictions"]] for each in (one, two, three, four)]
    assert said[0] == [p.text for p in model.predict(lines, 1)]
    wanted = model.predict(lines, 4, nbest=2)
    assert said[1] == [p.text for p in wanted]
    assert [[n["text"] for n in row["nbest"]] for row in two.json()["predictions"]] == [
        [n.text for n in p.alternatives] for p in wanted
    ]
    assert said[2] == [p.text for p in model.predict(lines, sample={"seed": 11, "top_k": 5})]
    assert said[3] == [p.text for p in model.predict(lines, prefix=["six huit"] * 7)]


@live
async def test_attention_is_the_reference(serving: Any, model: Model) -> None:
    line = "one two نا three"
    (wanted,) = model.predict([line], attention=True)
    assert wanted.attention is not None
    async with serving({"m": model}) as client:
        (row,) = (await ask(client, inputs=line, attention=True)).json()["predictions"]
    packed = row["attention"]["weights"]
    weights = np.frombuffer(base64.b64decode(packed["uint16"]), "<u2") / 65535 * packed["scale"]
    np.testing.assert_allclose(weights.reshape(row["attention"]["shape"]), wanted.attention.weights, atol=1e-5)
    assert row["alignment"] == [list(pair) for pair in wanted.attention.alignment()]


@live
async def test_empty_gives_empty(serving: Any, model: Model) -> None:
    async with serving({"m": model}) as client:
        assert (await ask(client, inputs=[])).json()["predictions"] == []
        lines = ["", " \n", lines_of(9)[7], "\u2003"]
        rows = (await ask(client, inputs=lines)).json()["predictions"]
        assert [row["text"] for row in rows] == ["", "", model.predict(lines)[2].text, ""] and rows[2]["text"]
        assert events((await ask(client, inputs="", stream=True)).text)[-1][1]["text"] == ""


@live
async def test_a_prefix_that_the_model_does_not_know_is_noted(serving: Any, model: Model) -> None:
    note = "1 of 2 tokens of the prefix are unknown to the model"
    async with serving({"m": model}) as client:
        [row] = (await ask(client, inputs="two", prefix="one 你好")).json()["predictions"]
        assert row["notes"] == [note] and row["text"].startswith("one <unk>")
        last = events((await ask(client, inputs="two", prefix="one 你好", stream=True)).text)[-1]
        assert last[0] == "done" and last[1]["notes"] == [note]


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_a_stream_ends_in_what_predict_says(serving: Any, tiny: Callable[[str], Model], kind: str) -> None:
    @live
    async def run() -> None:
        model = tiny(kind)
        lines = lines_of(5)
        expected = model.predict(lines, attention=True)
        async with serving({"m": model}) as client:
            answers = await asyncio.gather(
                *(ask(client, inputs=[line], stream=True, attention=True) for line in lines),
                ask(client, inputs=lines),
            )
        for answer, wanted in zip(answers, expected, strict=False):
            assert answer.headers["content-type"].startswith("text/event-stream")
            found = events(answer.text)
            assert wanted.attention is not None
            whole = wanted.attention.to_json()
            (begun, columns), *found = found
            assert begun == "source" and columns == {key: whole[key] for key in columns}
            assert set(columns) == {"source", "source_words", "source_word_of", "layers"}
            assert [kind for kind, _ in found] == ["token"] * (len(found) - 1) + ["done"]
            assert [row["step"] for _, row in found[:-1]] == list(range(len(found) - 1))
            said = found[-1][1]
            assert (said["text"], said["tokens"]) == (wanted.text, wanted.tokens)
            shape = np.array(found[0][1]["attention"]).shape
            assert shape == (*wanted.attention.weights.shape[:2], wanted.attention.weights.shape[3])
            for _, row in found[:-1]:
                assert row["log_probability"] <= 0 and row["token"] == "".join(row["tokens"][-1:])

    run()


@live
async def test_a_short_request_does_not_wait_for_a_long_one(serving: Any, model: Model) -> None:
    go = threading.Event()

    class Slow(Model):
        def predict(self, lines: Any, *args: Any, **options: Any) -> Any:  # type: ignore[override]
            assert max(map(len, lines)) < 250 or go.wait(30)
            return super().predict(lines, *args, **options)

    model.__class__ = Slow
    long = [" ".join(["three"] * 50)] * 20  # 299 characters
    async with serving({"m": model}) as client:
        slow = asyncio.create_task(ask(client, inputs=long))
        mixed = asyncio.create_task(ask(client, inputs=["two three", *long]))
        await asyncio.sleep(0.1)
        assert (await ask(client, inputs=["one two"])).status_code == 200
        assert events((await ask(client, inputs="one two", stream=True)).text)[-1][0] == "done"
        assert not slow.done() and not mixed.done()
        go.set()
        assert [len((await task).json()["predictions"]) for task in (slow, mixed)] == [20, 21]


@live
async def test_who_has_gone_is_dropped(serving: Any, model: Model) -> None:
    said: list[str] = []
    begun, go = threading.Event(), threading.Event()
    plain = model.predict

    def predict(lines: Any, *args: Any, **options: Any) -> Any:
        begun.set()
        assert go.wait(30)
        said.extend(lines)
        return plain(lines, *args, **options)

    model.predict = predict  # type: ignore[method-assign]
    async with serving({"m": model}) as client:
        first = asyncio.create_task(ask(client, inputs=["one"], beam=1))
        await asyncio.to_thread(begun.wait, 30)
        second = asyncio.create_task(ask(client, inputs=["two"], beam=2))
        third = asyncio.create_task(ask(client, inputs=["three"], beam=3))
        await asyncio.sleep(0.1)
        second.cancel()
        await asyncio.sleep(0.1)
        go.set()
        assert (await first).status_code == (await third).status_code == 200
    assert said == ["one", "three"]


class Leaving:
    """A request whose client goes when it is told."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


@live
async def test_an_answer_is_given_up_with_its_client_and_not_later() -> None:
    request: Any = Leaving()
    given_up = asyncio.Event()

    async def never() -> None:
        try:
            request.gone.set()
            await asyncio.Event().wait()
        finally:
            given_up.set()

    with pytest.raises(Refusal) as caught:
        await until_gone(request, never())
    assert caught.value.status == 499 and given_up.is_set()
    await asyncio.sleep(0)  # this task itself was not cancelled

    late: Any = Leaving()

    async def answer() -> str:
        late.gone.set()
        await asyncio.sleep(0)  # the client is seen to go, and the answer is there in the same round
        return "said"

    assert await until_gone(late, answer()) == "said"
    for _ in range(3):
        await asyncio.sleep(0)


@live
async def test_who_cancels_the_server_is_no_client() -> None:
    request: Any = Leaving()
    task = asyncio.create_task(until_gone(request, asyncio.sleep(1000)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@live
async def test_a_crash_is_one_sentence_for_one_client(serving: Any, model: Model, caplog: Any) -> None:
    plain = model.predict

    def predict(lines: Any, *args: Any, **options: Any) -> Any:
        if "ten" in lines:
            raise RuntimeError("secret path /secret/weights")
        if "four" in lines:
            raise UsageError("four is refused: write five")
        return plain(lines, *args, **options)

    model.predict = predict  # type: ignore[method-assign]
    async with serving({"m": model}) as client:
        good, bad, wrong, fine = await asyncio.gather(
            *(ask(client, inputs=[word]) for word in ("one", "ten", "four", "two"))
        )
        assert good.status_code == fine.status_code == 200
        sentence = refused(bad, 503)
        assert "secret" not in sentence and "RuntimeError" in sentence
        assert refused(wrong, 422) == "four is refused: write five"
        assert (await ask(client, inputs=["one"])).status_code == 200
    assert "secret path" in caplog.text


@live
async def test_limits(serving: Any, model: Model) -> None:
    begun, go = threading.Event(), threading.Event()
    plain = model.predict

    def predict(lines: Any, *args: Any, **options: Any) -> Any:
        begun.set()
        assert go.wait(30)
        return plain(lines, *args, **options)

    model.predict = predict  # type: ignore[method-assign]
    limits = Limits(body=2000, characters=100, inputs=5, queue=7, seconds=30, beam=4)
    async with serving({"m": model}, limits=limits) as client:
        assert "5" in refused(await ask(client, inputs=["one"] * 6), 413)
        assert "100" in refused(await ask(client, inputs=["one", "x" * 101]), 413)
        assert "2,000" in refused(await client.post("/v1/predict", content=b" " * 2001), 413)
        assert "beam" in refused(await ask(client, inputs=["one"], beam=5), 422)
        first = asyncio.create_task(ask(client, inputs=["one"]))
        await asyncio.to_thread(begun.wait, 30)  # which nobody waits for any more
        more = [asyncio.create_task(ask(client, inputs=["one"] * 5)) for _ in range(3)]
        await asyncio.sleep(0.2)
        go.set()
        answers = await asyncio.gather(first, *more)
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
        late = answers[3]
        assert 1 <= int(late.headers["retry-after"]) <= 60 and "ask again" in refused(late, 429)


@live
async def test_out_of_time(serving: Any, model: Model) -> None:
    plain = model.predict

    def predict(lines: Any, *args: Any, **options: Any) -> Any:
        time.sleep(0.7)
        return plain(lines, *args, **options)

    model.predict = predict  # type: ignore[method-assign]
    async with serving({"m": model}, limits=Limits(seconds=0.3)) as client:
        assert "0.3 seconds" in refused(await ask(client, inputs=["one"]), 504)


@live
async def test_the_key(serving: Any, model: Model) -> None:
    async with serving({"m": model}, key="s3cret") as client:
        for path in ("/v1/models", "/metrics"):
            assert "Bearer" in refused(await client.get(path), 401)
        answer = await ask(client, inputs=["one"])
        assert "Bearer" in refused(answer, 401) and answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret", "Bearer", "Bearer \xff"):
            headers = {"Authorization": wrong.encode("latin-1")}
            refused(await client.get("/v1/models", headers=headers), 401)
        headers = {"Authorization": "bearer s3cret"}
        assert (await client.get("/v1/models", headers=headers)).status_code == 200
        for path in ("/health", "/ready", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200


@live
async def test_loading_goes_on_behind_the_open_port(serving: Any, model: Model) -> None:
    go = threading.Event()

    def load() -> Model:
        assert go.wait(30)
        return model

    async with serving({"m": load}, wait=False) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        assert "loaded" in refused(await client.get("/ready"), 503)
        answer = await ask(client, inputs=["one"])
        assert "loaded" in refused(answer, 503) and answer.headers["retry-after"] == "2"
        assert (await client.get("/v1/models")).json() == {"models": []}
        go.set()
        for _ in range(100):
            if (await client.get("/ready")).status_code == 200:
                break
            await asyncio.sleep(0.05)
        assert (await ask(client, inputs=["one"])).status_code == 200
        (row,) = (await client.get("/v1/models")).json()["models"]
    assert row == {
        "name": "m", "task": "translation", "source_language": None, "target_language": None,
        "parameters": sum(p.numel() for p in model.network.parameters()), "attention": True, "layers": 3, "heads": 2,
        "beam": 3, "nearest": False,
    }  # fmt: skip


@live
async def test_a_model_that_cannot_be_loaded_is_a_sentence(serving: Any, model: Model) -> None:
    def broken() -> Model:
        raise UsageError("runs/x has no model.safetensors yet")

    heard: list[str] = []
    async with serving({"good": model, "bad": broken}, failed=heard.append) as client:
        assert heard == ["bad could not be loaded: runs/x has no model.safetensors yet"]
        assert refused(await client.get("/ready"), 503) == heard[0]
        assert refused(await ask(client, inputs=["one"], model="bad"), 503) == heard[0]
        assert "good, bad" in refused(await ask(client, inputs=["one"], model="no"), 404)
        assert (await ask(client, inputs=["one"])).json()["model"] == "good"


WRONG: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'{"inputs": NaN}', 400),
    (b'{"inputs": ["one"], "sample": {"temperature": Infinity}}', 400),
    (b'{"inputs": ["one"], "sample": {"temperature": 1e999}}', 422),
    (b"[" * 100_000, 400),
    (b'{"inputs": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", 400),
    (b'{"inputs": ["one"], "beam": ' + b"9" * 5000 + b"}", 400),
    (b'{"inputs": ["one"], "beam": ' + b"9" * 400 + b"}", 422),
    (b'{"inputs": ["one"], "beam": 1.5}', 422),
    (b'{"inputs": ["one"], "beam": true}', 422),
    (b'{"inputs": ["one"], "beam": -1}', 422),
    (b'{"inputs": ["one"], "sample": {"seed": 1e300}}', 422),
    (b'{"inputs": ["one"], "sample": {"top_p": 0}}', 422),
    (b'{"inputs": ["one"], "sample": {"top_p": NaN}}', 400),
    (b'{"inputs": ["one"], "sample": {"top_p": -1e999}}', 422),
    (b'{"inputs": ["one"], "sample": {"temperature": 1e-300}}', 422),
    (b'{"inputs": ["one"], "sample": {"temperature": 1e-300}, "stream": true}', 422),
    (b'{"inputs": ["one"], "sample": {"seed": 9223372036854775808}}', 422),
    (b'{"inputs": ["one"], "sample": {"seed": -1}}', 422),
    (b'{"inputs": ["one"], "sample": {}, "beam": 2}', 422),
    (b'{"inputs": ["\\ud800"]}', 422),
    (b'{"inputs": ["a\\u0000b"]}', 422),
    (b'{"inputs": ["one"], "prefix": ["\\udfff"]}', 422),
    (b'{"inputs": ["one"], "prefix": ["a", "b"]}', 422),
    (b'{"inputs": ["one"], "\\ud800": 1}', 422),
    (b'{"inputs": ["one"], "model": "\\ud800"}', 404),
    (b'{"inputs": ["one"], "model": 3}', 422),
    (b'{"inputs": [1]}', 422),
    (b'{"inputs": {"a": 1}}', 422),
    (b"{}", 422),
    (b"[]", 422),
    (b"3", 422),
    (b'"one"', 422),
    (b'{"inputs": ["one"], "input": []}', 422),
    (b'{"inputs": ["one", "two"], "stream": true}', 422),
    (b'{"inputs": ["one"], "steer": [{}]}', 422),
    (b'{"inputs": ["one"], "steer": [{"action": "explode"}]}', 422),
    (b'{"inputs": ["one"], "steer": [{"action": "forbid", "source": [' + b"9" * 300 + b"]}]}", 422),
    (b'{"inputs": ["one"], "steer": 7}', 422),
]


@live
async def test_what_is_wrong_is_one_sentence(serving: Any, model: Model) -> None:
    async with serving({"m": model}) as client:
        for body, status in WRONG:
            answer = await client.post("/v1/predict", content=body)
            assert answer.status_code == status, (body[:80], answer.text[:200])
            assert len(refused(answer, status)) < 700
        said = refused(await ask(client, inputs=["one"], sample={"temprature": 1}), 422)
        assert said == "there is no key 'sample.temprature' here: the keys are temperature, top_k, top_p, seed"
        assert (
            refused(await ask(client, inputs=3), 422)
            == "inputs is neither a text nor a list of texts: send one of them"
        )
        assert "/nothing" in refused(await client.get("/nothing"), 404)
        assert "GET" in refused(await client.get("/v1/predict"), 405)
        assert (await ask(client, inputs=["one"])).status_code == 200


@live
async def test_a_byte_order_mark_before_the_body_is_no_matter(serving: Any, model: Model) -> None:
    async with serving({"m": model}) as client:
        answer = await client.post("/v1/predict", content=b'\xef\xbb\xbf{"inputs": "one"}')
        assert answer.json()["predictions"] == (await ask(client, inputs=["one"])).json()["predictions"]


@live
async def test_pages_need_no_network(serving: Any, model: Model) -> None:
    async with serving({"m": model}) as client:
        docs = await client.get("/docs")
        assert "/v1/predict" in docs.text and "nbest" in docs.text
        assert "http://" not in docs.text and "https://" not in docs.text and "<script" not in docs.text
        engine = await client.get("/view/engine.js")
        assert engine.headers["content-type"].startswith("text/javascript") and "export" in engine.text
        assert "script-src 'self';" in engine.headers["content-security-policy"]
        for path in ("/view/page.py", "/view/..%2Ferrors.py", "/view/%2Fetc%2Fpasswd", "/page/..%2Fapp.py"):
            refused(await client.get(path), 404)
        assert (await client.get("/openapi.json")).json()["paths"]["/v1/predict"]["post"]["requestBody"]["required"]


@live
async def test_other_origins_only_if_asked(serving: Any, model: Model) -> None:
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    async with serving({"m": model}) as client:
        answer = await client.options("/v1/predict", headers=headers)
        assert "access-control-allow-origin" not in answer.headers
    async with serving({"m": model}, cors=["https://a.example"]) as client:
        answer = await client.options("/v1/predict", headers=headers)
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        bad = await client.post("/v1/predict", content=b"{", headers={"Origin": "https://a.example"})
        assert bad.headers["access-control-allow-origin"] == "https://a.example"
        other = await client.get("/health", headers={"Origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers


@live
async def test_many_streams_leave_nothing_behind(serving: Any, model: Model) -> None:
    """Steered and plain ones in turn, and plain predictions beside them: each as if it were alone."""
    lines = lines_of(9)
    plain = {line: p.text for line, p in zip(lines, model.predict(lines), strict=True)}
    async with serving({"m": model}) as client:
        alone = {
            line: events((await ask(client, inputs=line, stream=True, attention=True)).text)[-1][1]["text"]
            for line in lines
        }
        assert alone == plain
        jobs = [ask(client, inputs=line, stream=True, attention=n % 2 == 0) for n, line in enumerate(lines)]
        jobs += [ask(client, inputs=[line]) for line in lines]
        answers = await asyncio.gather(*jobs)
    assert [events(a.text)[-1][1]["text"] for a in answers[:9]] == list(plain.values())
    assert [a.json()["predictions"][0]["text"] for a in answers[9:]] == list(plain.values())


@live
async def test_steering_and_the_tree(serving: Any, model: Model) -> None:
    line, edits = lines_of(3)[2], [{"action": "force", "source": [0]}]
    (wanted,) = model.predict([line], steer=edits)
    assert wanted.steering is not None
    async with serving({"m": model}) as client:
        steered, tree, plain, stream = await asyncio.gather(
            ask(client, inputs=[line], steer=edits),
            ask(client, inputs=[line], tree=True),
            ask(client, inputs=[line]),
            ask(client, inputs=[line], steer=edits, stream=True),
        )
        refused(await ask(client, inputs=[line], steer=[{"action": "force", "source": [99]}]), 422)
        refused(await ask(client, inputs=[line], steer=[{"action": "force", "source": [0], "layers": [7]}]), 422)
        refused(await ask(client, inputs=[line], steer=[{"action": "drop", "layers": [7]}], stream=True), 422)
    (row,) = steered.json()["predictions"]
    assert row["text"] == wanted.text and row["steering"]["after"]["text"] == wanted.text
    assert row["steering"]["before"]["text"] == plain.json()["predictions"][0]["text"]
    kind, last = events(stream.text)[-1]
    assert kind == "done" and last["text"] == wanted.text and last["steering"] == row["steering"]
    nodes = tree.json()["predictions"][0]["tree"]["nodes"]
    assert [node["id"] for node in nodes if node["state"] == "best"]


@pytest.mark.parametrize("kind", ["transformer", "recurrent", "blind"])
def test_diagnostics(serving: Any, tiny: Callable[[str], Model], kind: str) -> None:
    @live
    async def run() -> None:
        model = tiny(kind)
        async with serving({"m": model}) as client:
            rows = (await ask(client, inputs=[lines_of(9)[7], ""], diagnostics=True)).json()["predictions"]
            streamed = events((await ask(client, inputs=lines_of(9)[7], diagnostics=True, stream=True)).text)
        found = rows[0]["diagnostics"]
        tokens = len(rows[0]["tokens"])
        assert found["confidence"] == pytest.approx([math.exp(p) for p in rows[0]["log_probabilities"][:tokens]])
        assert (found["attended"] is None) == (kind == "blind") and "attention" not in rows[0]
        assert rows[1]["diagnostics"]["confidence"] == []
        assert streamed[-1][1]["diagnostics"]["notes"] == found["notes"] and "attention" not in streamed[0][1]

    run()
