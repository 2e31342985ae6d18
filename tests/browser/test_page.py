"""The page of a server, as a reader uses it: with models of random weights, behind a real port."""

from __future__ import annotations

import json
import re
import runpy
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from regard.run import Model
from regard.server.app import application
from regard.server.speakers import Speakers

new_model = runpy.run_path(str(Path(__file__).parents[1] / "server" / "conftest.py"))["new_model"]
TEXT = "one two three four five"
OUT = 'section[aria-label="Output"]'
OVER = ".field canvas + canvas"


class Slow(Model):
    """Takes its time between two tokens, so that what is seen meanwhile can be looked at."""

    def stream(self, *line: Any, **options: Any) -> Iterator[Any]:
        for partial in super().stream(*line, **options):
            time.sleep(0.15)
            yield partial


def slow_model() -> Model:
    model = new_model()
    model.__class__ = Slow
    return model


MODELS: dict[str, Callable[[], Model]] = {
    "first": new_model,
    "second": lambda: new_model("recurrent"),
    "blind": lambda: new_model("blind"),
    "slow": slow_model,
}


@contextmanager
def serving(port: int = 0, **options: Any) -> Iterator[int]:
    """A server in a thread; its port."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    speakers = Speakers(MODELS)
    server = uvicorn.Server(uvicorn.Config(application(speakers, **options), ws="none", log_level="error"))
    server.config.timeout_graceful_shutdown = 1
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not (server.started and speakers.ready):
        time.sleep(0.02)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as opened:
        yield opened


@dataclass
class Window:
    """A page, what it asked of the server, and what the browser complained of."""

    page: Page
    asked: list[dict[str, Any]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    expected: str = "nothing"  # complaints that the test is about

    def streamed(self) -> list[dict[str, Any]]:
        """The requests for an output; others only ask for the tokens of the source."""
        return [body for body in self.asked if body.get("stream")]

    def settled(self, count: int = 1) -> None:
        """Waits until so many outputs are there and none is still growing."""
        expect(self.page.locator(f'{OUT}[aria-busy="false"]')).to_have_count(count)

    def output(self, number: int = 0) -> Any:
        return self.page.locator("textarea.said").nth(number)

    def say(self, text: str = TEXT) -> None:
        self.page.get_by_placeholder("Write a sentence").fill(text)
        self.page.keyboard.press("Enter")
        self.settled()


@pytest.fixture
def window(browser: Browser, port: int) -> Iterator[Callable[..., Window]]:
    seen: list[Window] = []

    def act(
        at: int = port, width: int = 1200, height: int = 900, asked: dict[str, Any] | None = None, **options: Any
    ) -> Window:
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.set_default_timeout(15000)
        made = Window(page)
        seen.append(made)

        page.on("console", lambda said: made.problems.append(said.text))
        page.on("pageerror", lambda error: made.problems.append(str(error)))

        def requested(request: Any) -> None:
            made.urls.append(request.url)
            if request.url.endswith("/v1/predict"):
                made.asked.append(json.loads(request.post_data))

        page.on("request", requested)
        page.goto(f"http://127.0.0.1:{at}/" + (f"#{urlencode(asked)}" if asked else ""))
        return made

    yield act
    for each in seen:
        assert [text for text in each.problems if not re.search(each.expected, text)] == []
        assert [url for url in each.urls if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []
        each.page.close()


def truth(at: int, **asked: Any) -> dict[str, Any]:
    reply = httpx.post(f"http://127.0.0.1:{at}/v1/predict", json={"inputs": TEXT} | asked, timeout=30)
    return reply.json()["predictions"][0]


def test_a_text_becomes_an_output_and_the_engines_picture(window: Callable, port: int) -> None:
    shown = window()
    shown.say()
    expected = truth(port, attention=True)
    expect(shown.output()).to_have_value(expected["text"])
    score = f"log-probability {expected['score']:.2f}".replace("-", "−").replace("log−", "log-")
    expect(shown.page.locator(".score")).to_have_text(score)
    rows = shown.page.locator(".rows span")
    assert rows.all_inner_texts() == expected["attention"]["target_words"]
    assert shown.page.locator(".columns span").all_inner_texts() == expected["attention"]["source_words"]
    assert shown.page.locator(".engine canvas").count() > 2
    expect(shown.page.get_by_role("status").last).to_have_text(f"first: {expected['text']}")


def test_output_and_picture_grow_token_by_token(window: Callable, port: int) -> None:
    shown = window(asked={"text": TEXT, "model": "slow"})
    shown.page.evaluate(
        """() => { window.seen = []; const look = () => {
            window.seen.push([document.querySelector('textarea.said')?.value ?? '', document.querySelectorAll('.rows span').length]);
            setTimeout(look, 20); }; look(); }"""
    )
    shown.settled()
    seen = shown.page.evaluate("window.seen")
    expected = truth(port, attention=True)
    assert seen[-1] == [expected["text"], len(expected["attention"]["target_words"])]
    assert len({text for text, _ in seen}) >= 4
    assert len({rows for _, rows in seen}) >= 4


def test_a_link_restores_all_and_runs(window: Callable, port: int) -> None:
    edits = [{"action": "forbid", "source": [1]}]
    asked = {
        "text": TEXT,
        "beam": 2,
        "nbest": 2,
        "tree": 1,
        "model": "second",
        "steer": json.dumps(edits),
        "prefix": "huit",
    }
    first = window(asked=asked)
    first.settled()
    (sent,) = first.streamed()
    told = {"inputs": TEXT, "model": "second", "beam": 2, "nbest": 2, "tree": True, "steer": edits, "prefix": "huit"}
    assert {name: sent.get(name) for name in told} == told
    expect(first.page.get_by_placeholder("Write a sentence")).to_have_value(TEXT)
    expect(first.page.get_by_role("combobox", name="Model")).to_have_value("second")
    expect(first.page.locator(".chips li")).to_have_count(2)
    expect(first.page.locator("ol.nbest li")).to_have_count(2)
    first.page.get_by_role("button", name="Beam", exact=True).click()
    expect(first.page.locator(".branches")).to_be_visible()


def test_what_is_asked_stands_in_the_address_and_back_goes_back(window: Callable, port: int) -> None:
    shown = window()
    shown.say("one")
    shown.say("two & #three")
    assert parse_qs(shown.page.url.partition("#")[2])["text"] == ["two & #three"]
    shown.page.go_back()
    expect(shown.page.get_by_placeholder("Write a sentence")).to_have_value("one")
    shown.settled()
    assert [body["inputs"] for body in shown.streamed()] == ["one", "two & #three", "one"]
    shown.page.get_by_text("Earlier in this session").click()
    shown.page.locator(".past li button", has_text="two & #three").click()
    expect(shown.page.get_by_placeholder("Write a sentence")).to_have_value("two & #three")
    shown.settled()


def test_the_link_is_copied(window: Callable) -> None:
    shown = window(permissions=["clipboard-read", "clipboard-write"])
    shown.say()
    shown.page.get_by_role("button", name="Copy link").click()
    expect(shown.page.get_by_role("button", name="Copied")).to_be_visible()
    assert shown.page.evaluate("navigator.clipboard.readText()") == shown.page.url


def test_a_click_on_a_cell_steers(window: Callable, port: int) -> None:
    shown = window()
    shown.say()
    before = truth(port, attention=True)
    box = shown.page.locator(OVER).bounding_box()
    size = box["width"] / len(before["attention"]["source_words"])
    shown.page.mouse.click(box["x"] + 2.5 * size, box["y"] + 1.5 * size)
    dialog = shown.page.get_by_role("dialog")
    expect(dialog).to_contain_text("three")
    dialog.get_by_text("always").click()
    dialog.get_by_role("button", name="Never here").click()
    shown.settled()
    edits = [{"action": "forbid", "source": [2]}]
    assert shown.streamed()[-1]["steer"] == edits
    told = truth(port, steer=edits)["steering"]
    expect(shown.output()).to_have_value(told["after"]["text"])
    compared = shown.page.get_by_label("With and without the edits")
    for number in (told["before"]["score"], told["after"]["score"], told["score_of_before"], told["score_of_after"]):
        expect(compared).to_contain_text(f"{number:.2f}".replace("-", "−"))
    if told["before"]["text"] != told["after"]["text"]:
        assert compared.locator("mark").count() >= 1
    shown.page.get_by_role("button", name="Remove: never “three”").click()
    shown.settled()
    assert "steer" not in shown.streamed()[-1]
    expect(shown.output()).to_have_value(before["text"])


@pytest.mark.parametrize(
    ("button", "expected"),
    [
        ("Only here", {"action": "force", "source": [0], "steps": [0]}),
        ("More", {"action": "bias", "source": [0], "strength": 2, "steps": [0]}),
        ("Less", {"action": "bias", "source": [0], "strength": -2, "steps": [0]}),
        ("Spread evenly", {"action": "flatten", "steps": [0]}),
    ],
)
def test_each_choice_becomes_its_edit(window: Callable, button: str, expected: dict[str, Any]) -> None:
    shown = window()
    shown.say()
    shown.page.mouse.click(*(shown.page.locator(OVER).bounding_box()[side] + 5 for side in ("x", "y")))
    shown.page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()
    shown.settled()
    assert shown.streamed()[-1]["steer"] == [expected]


def test_a_head_can_be_dropped(window: Callable) -> None:
    shown = window()
    shown.say()
    shown.page.get_by_role("button", name="Layer 2, head 1", exact=True).click()
    shown.page.get_by_role("group", name="layer 2, head 1").get_by_role("button", name="Drop").click()
    shown.settled()
    assert shown.streamed()[-1]["steer"] == [{"action": "drop", "layers": [1], "heads": [0]}]
    expect(shown.page.locator(".chips li").first).to_contain_text("dropped · layer 2, head 1")


def test_edits_are_of_one_text(window: Callable) -> None:
    shown = window(asked={"text": TEXT, "steer": '[{"action":"flatten"}]', "prefix": "ten"})
    shown.settled()
    shown.say("five four")
    assert not {"steer", "prefix"} & set(shown.streamed()[-1])
    expect(shown.page.locator(".chips li")).to_have_count(0)


def test_the_model_writes_on_from_the_caret(window: Callable, port: int) -> None:
    shown = window()
    shown.say()
    shown.output().fill("ten huit six")
    shown.page.evaluate("document.querySelector('textarea.said').setSelectionRange(8, 8)")
    shown.page.keyboard.press("Enter")
    shown.settled()
    assert shown.streamed()[-1]["prefix"] == "ten huit"
    expect(shown.output()).to_have_value(truth(port, prefix="ten huit")["text"])
    expect(shown.output()).to_have_value(re.compile("^ten huit"))
    shown.page.get_by_role("button", name="Remove: begins “ten huit”").click()
    shown.settled()
    expect(shown.output()).to_have_value(truth(port)["text"])


def test_a_click_into_a_word_means_the_text_before_it(window: Callable, port: int) -> None:
    shown = window()
    shown.say()
    text = truth(port)["text"]
    first = text.split()[0]
    shown.output().focus()
    shown.page.evaluate("at => document.querySelector('textarea.said').setSelectionRange(at, at)", len(first) + 2)
    shown.output().press("Shift")
    shown.page.get_by_role("button", name=f"Write on after “{first}”").click()
    shown.settled()
    assert shown.streamed()[-1]["prefix"].strip() == first


def test_two_models_side_by_side(window: Callable, port: int) -> None:
    shown = window()
    shown.say()
    shown.page.get_by_role("button", name="Compare").click()
    shown.settled(2)
    for number, model in enumerate(("first", "second")):
        expect(shown.output(number)).to_have_value(truth(port, model=model)["text"])
    left, right = (shown.page.locator(".engine").nth(number).bounding_box() for number in range(2))
    assert abs(left["y"] - right["y"]) < 200 and left["x"] + left["width"] <= right["x"]
    assert "model1=second" in shown.page.url
    shown.page.get_by_role("combobox", name="Model").nth(1).select_option("blind")
    shown.settled(2)
    expect(shown.output(1)).to_have_value(truth(port, model="blind")["text"])
    assert [body["model"] for body in shown.streamed()] == ["first", "second", "blind"]
    shown.page.get_by_role("button", name="Remove this model").first.click()
    expect(shown.page.locator("textarea.said")).to_have_count(1)


def test_settings_reach_the_server(window: Callable) -> None:
    shown = window()
    shown.page.get_by_text("Settings").click()
    shown.page.get_by_label("Draw instead of searching").check()
    shown.page.get_by_label("Temperature").fill("0.5")
    shown.page.get_by_label("Seed").fill("7")
    shown.say()
    assert shown.streamed()[-1]["sample"] == {"temperature": 0.5, "top_k": 0, "top_p": 1, "seed": 7}


def test_the_servers_sentence_is_shown(window: Callable) -> None:
    shown = window(asked={"text": TEXT, "model": "none"})
    shown.expected = "404"
    expect(shown.page.locator(".trouble")).to_contain_text("there is no model 'none' here")
    shown.page.get_by_role("combobox", name="Model").select_option("first")
    shown.settled()
    expect(shown.page.locator(".trouble")).to_be_hidden()


def test_an_edit_that_cannot_be_is_told(window: Callable) -> None:
    shown = window(asked={"text": TEXT, "steer": '[{"action":"drop","layers":[99]}]'})
    shown.expected = "422"
    expect(shown.page.locator(".trouble")).to_contain_text("99")
    shown.page.locator(".chips button").first.click()
    shown.settled()


def test_nothing_is_asked_of_an_empty_text(window: Callable) -> None:
    shown = window()
    expect(shown.page.get_by_role("combobox", name="Model")).to_have_value("first")
    shown.page.get_by_placeholder("Write a sentence").fill("  \n ")
    shown.page.get_by_role("button", name="Translate").click()
    expect(shown.page.locator("#status")).to_have_text("Write a text first.")
    assert shown.asked == []


def test_what_is_asked_before_the_models_are_there_is_not_lost(window: Callable, port: int) -> None:
    shown = window()
    shown.page.route("**/v1/models", lambda route: (time.sleep(0.5), route.continue_()))
    shown.page.reload()
    shown.page.get_by_placeholder("Write a sentence").fill(TEXT)
    shown.page.keyboard.press("Enter")
    expect(shown.output()).to_have_value(truth(port)["text"])


def test_escape_stops_and_keeps_what_was_said(window: Callable, port: int) -> None:
    shown = window(asked={"text": TEXT, "model": "slow"})
    expect(shown.output()).not_to_have_value("")
    shown.page.keyboard.press("Escape")
    shown.settled()
    expect(shown.page.get_by_role("button", name="Stop")).to_be_hidden()
    assert shown.output().input_value() != truth(port)["text"]


def test_a_key_is_asked_for_and_kept_in_the_tab(window: Callable) -> None:
    with serving(key="opensesame") as at:
        shown = window(at)
        shown.expected = "401"
        shown.page.get_by_label("This server needs a key").fill("wrong")
        shown.page.keyboard.press("Enter")
        shown.page.wait_for_timeout(200)
        shown.page.get_by_label("This server needs a key").fill("opensesame")
        shown.page.keyboard.press("Enter")
        expect(shown.page.get_by_role("combobox", name="Model")).to_have_value("first")
        shown.say()
        shown.page.reload()
        shown.settled()
        expect(shown.page.get_by_label("This server needs a key")).to_be_hidden()
        assert shown.page.evaluate("localStorage.length") == 0 and "opensesame" not in shown.page.url


def test_a_server_that_went_away_is_waited_for(window: Callable) -> None:
    with serving() as at:
        shown = window(at)
        shown.expected = "ERR_CONNECTION"
        shown.say()
    shown.page.get_by_role("button", name="Translate").click()
    expect(shown.page.locator(".away")).to_contain_text("The server does not answer")
    with serving(at):
        expect(shown.page.locator(".away")).to_be_hidden()
        shown.settled()
        expect(shown.page.locator(".trouble")).to_be_hidden()


def test_the_keyboard_alone_translates_and_steers(window: Callable) -> None:
    shown = window()
    expect(shown.page.get_by_placeholder("Write a sentence")).to_be_focused()
    shown.page.keyboard.type("one two")
    shown.page.keyboard.press("Enter")
    shown.settled()
    for _ in range(40):
        if shown.page.evaluate("document.activeElement.matches('.field canvas')"):
            break
        shown.page.keyboard.press("Tab")
    for key in ("ArrowDown", "Home", "Enter"):
        shown.page.keyboard.press(key)
    expect(shown.page.get_by_role("dialog").get_by_role("button", name="Only here")).to_be_focused()
    shown.page.keyboard.press("Escape")
    expect(shown.page.get_by_role("dialog")).to_have_count(0)
    assert shown.page.evaluate("document.activeElement.matches('.field canvas')"), "the focus goes back to the picture"
    shown.page.keyboard.press("Home")
    shown.page.keyboard.press("Enter")
    expect(shown.page.get_by_role("dialog").get_by_role("button", name="Only here")).to_be_focused()
    shown.page.keyboard.press("Tab")
    shown.page.keyboard.press("Enter")
    shown.settled()
    assert shown.streamed()[-1]["steer"][0]["action"] == "forbid"


def test_every_control_has_a_name(window: Callable) -> None:
    shown = window(asked={"text": TEXT, "steer": '[{"action":"flatten"},{"action":"drop","heads":[0]}]'})
    shown.settled()
    nameless = shown.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea')].filter(e => e.checkVisibility()
            && !(e.getAttribute('aria-label') || e.textContent.trim() && e.tagName === 'BUTTON' || e.labels?.length)).map(e => e.outerHTML)"""
    )
    assert nameless == []


def test_a_phone_has_no_sideways_scroll(window: Callable) -> None:
    text = "one سبعة 六 👨‍🍳 " + "x" * 120 + " two three four five ten huit नौ"
    shown = window(
        width=390,
        height=844,
        has_touch=True,
        is_mobile=True,
        asked={"text": text, "nbest": 3, "tree": 1, "model": "first", "model1": "second"},
    )
    shown.settled(2)
    shown.page.locator(OVER).first.tap(position={"x": 5, "y": 5})
    expect(shown.page.get_by_role("dialog")).to_be_visible()
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = shown.page.get_by_role("dialog").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 845


def test_it_is_usable_within_a_second(window: Callable) -> None:
    times = []
    for _ in range(3):
        shown = window()
        shown.page.add_init_script(
            """const look = () => { if (document.querySelector('select[aria-label="Model"] option')) window.usable = performance.now();
                else requestAnimationFrame(look); }; look();"""
        )
        shown.page.reload()
        times.append(shown.page.wait_for_function("() => window.usable").json_value())
    assert min(times) < 1000, "milliseconds from opening until a model is there and the field can be typed in"


def test_nearest_examples_are_shown_where_there_are_any(window: Callable) -> None:
    shown = window()
    rows = [{"source": "one two six", "target": "<b>ten</b>", "similarity": 0.834}]
    shown.page.route("**/v1/nearest?*", lambda route: route.fulfill(json={"examples": rows}))
    shown.say()
    assert not any("/v1/nearest" in url for url in shown.urls), "these models keep none"
    expect(shown.page.locator(".nearest")).to_have_count(0)

    def keeping(route: Any) -> None:
        models = route.fetch().json()["models"]
        route.fulfill(json={"models": [model | {"nearest": True} for model in models]})

    shown.page.route("**/v1/models", keeping)
    shown.page.reload()
    shown.say()
    shown.page.get_by_text("Nearest training examples").click()
    expect(shown.page.locator(".nearest li span")).to_have_text(["one two six", "<b>ten</b>", "0.83"])


def test_what_differs_is_marked_word_by_word(window: Callable) -> None:
    shown = window()
    pairs = [
        ("a red shirt.", "a shirt.", [["red"], []]),
        ("我爱北京", "我爱上海", [["北京"], ["上海"]]),
        ("", "x", [[], ["x"]]),
        ("same", "same", [[], []]),
    ]
    for first, second, expected in pairs:
        sides = shown.page.evaluate(
            "async ([a, b]) => (await import('/page/differing.js')).differing(a, b)", [first, second]
        )
        assert ["".join(part["text"] for part in side) for side in sides] == [first, second]
        assert [[part["text"] for part in side if part["changed"]] for side in sides] == expected


def test_right_to_left_text_stands_on_the_right(window: Callable) -> None:
    shown = window()
    shown.say("سبعة سبعة")
    field = shown.page.get_by_placeholder("Write a sentence")
    assert field.evaluate("e => getComputedStyle(e).direction") == "rtl"
    assert shown.page.locator(".grid").get_attribute("dir") == "rtl"
