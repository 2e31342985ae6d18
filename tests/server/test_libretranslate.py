"""LibreTranslate's API as its clients use it, against a server that listens."""

from __future__ import annotations

import asyncio
import copy
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.error import HTTPError

import httpx
import pytest
import uvicorn
from libretranslatepy import LibreTranslateAPI

from regard.data import Tokenizer
from regard.run import Model, Prediction
from regard.server.app import application
from regard.server.detection import detect, fit
from regard.server.limits import Limits
from regard.server.speakers import Speakers

GERMAN = {
    "Hello.": "Hallo.", "How are you?": "Wie geht es dir?", "really": "wirklich.", "I": "Ich", "do": "tue es",
    "你好": "hallo", "Dear {name}!": "Liebe {name}!", "the house": "das Haus", "house": "Haus", "AT&T < B": "AT&T < B",
}  # fmt: skip
FRENCH = {"Hallo.": "Salut.", "Haus": "maison"}
TEXTS = {
    "en": ["the house and the dog with the children in the street"] * 3,
    "de": ["das Haus und der Hund mit den Kindern auf der Straße"] * 3,
    "ja": ["犬と子供と家と道"] * 3,
}


def speaking(model: Model, table: dict[str, str], text: list[str]) -> Model:
    """A model that says what stands in a table, and what it does not find in capitals; its n-best are marked."""
    found = copy.copy(model)
    found.source_tokenizer = Tokenizer.train("bpe", text, 120)

    def predict(lines: list[str], **options: Any) -> list[Prediction]:
        rows = []
        for line in lines:
            said = [Prediction(line, table.get(line, line.upper()) + "*" * n, -1.0, [], [-1.0]) for n in range(3)]
            rows.append(Prediction(line, said[0].text, -1.0, [], [-1.0]))
            if (options.get("nbest") or 1) > 1:
                rows[-1] = Prediction(line, said[0].text, -1.0, [], [-1.0], alternatives=said)
        return rows

    found.predict = predict  # type: ignore[method-assign]
    return found


@pytest.fixture
def server(tiny: Callable[[str], Model]) -> Iterator[Callable[..., str]]:
    """Starts servers on free ports of the loopback; gives their addresses."""
    running = []

    def start(key: str | None = None, models: dict[str, Any] | None = None, limits: Limits | None = None) -> str:
        model = tiny("recurrent")
        speakers = Speakers(
            models
            or {
                "a": lambda: speaking(model, GERMAN, TEXTS["en"]),
                "b": lambda: speaking(model, FRENCH, TEXTS["de"]),
                "c": lambda: speaking(model, {}, TEXTS["ja"]),
            },
            limits=limits,
            languages={"a": ("en", "de"), "b": ("de", "fr"), "c": ("ja", "en"), "real": ("en", "de")},
        )
        port = socket.create_server(("127.0.0.1", 0))
        serving = uvicorn.Server(uvicorn.Config(application(speakers, key=key), log_level="warning"))
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [port]})
        thread.start()
        running.append((serving, thread, port))
        address = f"http://127.0.0.1:{port.getsockname()[1]}"
        until = time.monotonic() + 60
        while not (serving.started and speakers.ready) and time.monotonic() < until:
            time.sleep(0.01)
        return address

    yield start
    for serving, thread, port in running:
        serving.should_exit = True
        thread.join(30)
        port.close()


def post(address: str, path: str = "/translate", **fields: Any) -> httpx.Response:
    return httpx.post(address + path, json=fields, timeout=60)


def test_the_client_from_pypi(server: Callable[..., str]) -> None:
    client = LibreTranslateAPI(server())
    assert client.translate("Hello.", "en", "de") == "Hallo."
    assert client.translate("Hello.  How are you?\n\nHello.", "en", "de") == "Hallo.  Wie geht es dir?\n\nHallo."
    assert client.translate("你好", "en", "de") == "hallo"
    assert client.translate("ünï & +=%", "en", "de") == "ÜNÏ & +=%"
    assert client.translate("", "en", "de") == ""
    assert client.translate(" \n", "en", "de") == " \n"
    assert client.detect("the children and the house")[0]["language"] == "en"
    assert client.languages() == [
        {"code": "en", "name": "English", "targets": ["de", "fr"]},
        {"code": "de", "name": "German", "targets": ["fr"]},
        {"code": "ja", "name": "Japanese", "targets": ["en", "de"]},
        {"code": "fr", "name": "French", "targets": []},
    ]
    with pytest.raises(HTTPError, match="400") as refused:
        client.translate("a", "en", "xx")
    assert json.load(refused.value) == {"error": "xx is not supported: there is en, de, ja, fr"}
    refused.value.close()


def test_lists_formats_alternatives_and_two_steps(server: Callable[..., str]) -> None:
    address = server()
    pair = {"source": "en", "target": "de"}
    assert post(address, q=["Hello.", "", "house"], **pair).json() == {"translatedText": ["Hallo.", "", "Haus"]}
    assert post(address, q=[], **pair).json() == {"translatedText": []}
    html = '<p class="x">I <b>really</b> do</p><code>Hello.</code> AT&amp;T &lt; B'
    said = post(address, q=html, format="html", **pair).json()
    assert said == {"translatedText": '<p class="x">Ich <b>wirklich</b> tue es</p><code>Hello.</code> AT&amp;T &lt; B'}
    assert post(address, q="Dear {name}! Hi {x}.", **pair).json() == {"translatedText": "Liebe {name}! HI {x}."}
    more = post(address, q="Hello. Hello.", alternatives=2, **pair).json()
    assert more == {"translatedText": "Hallo. Hallo.", "alternatives": ["Hallo.* Hallo.*", "Hallo.** Hallo.**"]}
    # English to French goes through German, and English to English nowhere.
    assert post(address, q=["Hello.", "house"], source="en-GB", target="FR").json()["translatedText"] == [
        "Salut.",
        "maison",
    ]
    assert post(address, q="Hello.", source="en", target="en").json() == {"translatedText": "Hello."}
    form = {"q": ["Hello.", "house"], "alternatives": "1"} | pair
    assert httpx.post(address + "/translate", data=form).json() == {
        "translatedText": ["Hallo.", "Haus"],
        "alternatives": [["Hallo.*"], ["Haus*"]],
    }


def test_the_source_is_found(server: Callable[..., str]) -> None:
    address = server()
    found = post(address, q="the house and the street", source="auto", target="de").json()
    assert found["translatedText"] == "THE HOUSE AND THE STREET" and found["detectedLanguage"]["language"] == "en"
    two = post(address, q=["das Haus und der Hund", "犬と子供"], source="auto", target="fr").json()
    assert two["detectedLanguage"][0]["language"] == "de"
    rows = post(address, "/detect", q="犬と家").json()
    assert rows[0]["language"] == "ja" and rows[0]["confidence"] > 50
    assert [row["language"] for row in rows] == ["ja", "en", "de"]
    assert {row["confidence"] for row in post(address, "/detect", q="").json()} == {0.0}
    settings = httpx.get(address + "/frontend/settings").json()
    assert settings["language"]["source"] == {"code": "en", "name": "English"} and settings["keyRequired"] is False
    assert httpx.post(address + "/languages").json() == httpx.get(address + "/languages").json()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"source": "en", "target": "de"}, "q is missing"),
        ({"q": 5, "source": "en", "target": "de"}, "neither a text"),
        ({"q": ["a", 1], "source": "en", "target": "de"}, "neither a text"),
        ({"q": "a", "target": "de"}, "source is missing"),
        ({"q": "a", "source": "en", "target": ["de"]}, "target is not the code"),
        ({"q": "a", "source": "fr", "target": "de"}, "German (de) is not available as a target language from French (fr)"),
        ({"q": "a", "source": "auto", "target": "ja"}, "Japanese (ja) is not available as a target language"),
        ({"q": "a", "source": "en", "target": "de", "format": "pdf"}, "the format 'pdf' is not supported"),
        ({"q": "a", "source": "en", "target": "de", "alternatives": -1}, "alternatives is '-1'"),
        ({"q": "a", "source": "en", "target": "de", "alternatives": 99}, "a number from 0 to 31"),
        ({"q": "\0", "source": "en", "target": "de"}, "NUL"),
        ({"q": ["a"] * 129, "source": "en", "target": "de"}, "the limit is 128"),
    ],
)  # fmt: skip
def test_wrong_requests_get_400_and_a_sentence(
    tiny: Callable[[str], Model], fields: dict[str, Any], sentence: str
) -> None:
    asyncio.run(_refused(tiny("recurrent"), fields, sentence))


async def _refused(model: Model, fields: dict[str, Any], sentence: str) -> None:
    speakers = Speakers(
        {name: lambda: copy.copy(model) for name in ("de-fr", "en-de", "ja-en")},
        languages={"de-fr": ("de", "fr"), "en-de": ("en", "de"), "ja-en": ("ja", "en")},
    )
    app = application(speakers)
    async with app.router.lifespan_context(app):
        while not speakers.ready:
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answer = await client.post("/translate", json=fields)
    assert answer.status_code == 400 and list(answer.json()) == ["error"]
    assert sentence in answer.json()["error"]


def test_bodies_keys_and_limits(server: Callable[..., str]) -> None:
    address = server(key="secrét", limits=Limits(characters=11))
    pair = {"source": "en", "target": "de"}
    assert post(address, q="Hello.", **pair).status_code == 403
    assert post(address, q="Hello.", api_key="wrong", **pair).status_code == 403
    assert post(address, q="Hello.", api_key="secrét", **pair).json() == {"translatedText": "Hallo."}
    assert LibreTranslateAPI(address, "secrét").translate("Hello.", "en", "de") == "Hallo."
    assert post(address, q="x" * 12, api_key="secrét", **pair).status_code in (400, 413)
    for body, kind in (
        (b"{", "application/json"), (b"[1]", "application/json"), (b"q=%ff", "application/x-www-form-urlencoded"),
        (b"\xff", ""), (b"--x", "multipart/form-data; boundary=x"), (b"&" * 2000, "application/x-www-form-urlencoded"),
        (b"q=a&" * 2000, "application/x-www-form-urlencoded"),
    ):  # fmt: skip
        answer = httpx.post(address + "/translate", content=body, headers={"content-type": kind})
        assert answer.status_code in (400, 403) and list(answer.json()) == ["error"], (body, answer.text)


def test_a_real_model_says_over_this_api_what_it_says_itself(
    server: Callable[..., str], tiny: Callable[[str], Model]
) -> None:
    model = tiny("transformer")
    address = server(models={"real": lambda: model})
    lines = ["one two three", "六 سبعة huit", "नौ ten élf one"]
    alone = [p.text for p in tiny("transformer").predict(lines)]
    assert post(address, q=lines, source="en", target="de").json()["translatedText"] == alone
    assert post(address, q="\n".join(lines), source="en", target="de").json()["translatedText"] == "\n".join(alone)


def test_a_tokenizer_fits_its_own_language() -> None:
    tokenizers = {code: Tokenizer.train("bpe", text, 120) for code, text in TEXTS.items()}
    for code, (text, *_) in TEXTS.items():
        fits = {other: fit(tokenizer, text) for other, tokenizer in tokenizers.items()}
        assert max(fits, key=fits.__getitem__) == code
        assert min(fits.values()) >= 0 and max(fits.values()) <= 1
    assert fit(tokenizers["en"], "犬と子供") == 0.0 == fit(tokenizers["en"], " … ")
    words = Tokenizer.train("words", ["a b c"], 10)
    assert fit(words, "a b xyz") == pytest.approx(2 / 5)  # two letters of five are known


def test_models_decide_where_tokenizers_are_shared() -> None:
    shared = Tokenizer.train("bpe", [*TEXTS["en"], *TEXTS["de"]], 200)
    asked: list[str] = []

    def ask(language: str, text: str) -> Awaitable[float]:
        asked.append(language)

        async def sure() -> float:
            return -0.1 if language == "de" else -2.0

        return sure()

    found = asyncio.run(detect(TEXTS["de"][0], {"en": shared, "de": shared}, ask))
    assert asked == ["en", "de"] and [each.language for each in found] == ["de", "en"]
    assert found[0].confidence > 90
    assert asyncio.run(detect("", {"en": shared, "de": shared}, ask))[0].confidence == 0.0
