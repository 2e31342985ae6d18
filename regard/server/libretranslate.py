"""LibreTranslate's API over the served models, so that its clients work: /translate, /languages, /detect.

Texts may be long: they are cut into sentences, which go to the models as lines, and come back with their white space;
markup and placeholders survive (`regard.data.markup`). Where no model leads from one language to another, two may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import Response

from regard.config.language_names import name_of
from regard.data.markup import Conversation, translation
from regard.run import Model, Prediction
from regard.server.answering import Reply
from regard.server.detection import Detected, detect
from regard.server.limits import Gate
from regard.server.predicting import until_gone
from regard.server.reading import check_text, json_object
from regard.server.refusals import Refusal
from regard.server.speakers import Served

AUTO = "auto"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
TEXT = {"type": "string"}
TEXTS = {"anyOf": [TEXT, {"type": "array", "items": TEXT}]}
TRANSLATE = {
    "q": TEXTS,
    "source": TEXT | {"description": "a code of /languages, or auto"},
    "target": TEXT,
    "format": {"type": "string", "enum": ["text", "html"]},
    "alternatives": {"type": "integer", "minimum": 0},
    "api_key": TEXT,
}


class Speaking(Protocol):
    """What is asked of `regard.server.speakers.Speakers` here."""

    @property
    def ready(self) -> bool: ...

    @property
    def served(self) -> list[Served]: ...

    def model(self, name: str | None) -> Model: ...

    async def predict(self, model: str | None, lines: Sequence[str], **options: Any) -> list[Prediction]: ...


def routes(speakers: Speaking, gate: Gate) -> APIRouter:
    """`/translate`, `/languages`, `/detect` and `/frontend/settings`."""
    router = APIRouter(tags=["LibreTranslate"])

    @router.post("/translate", summary="Translate texts", openapi_extra=_body(TRANSLATE, ["q", "source", "target"]))
    async def translate(request: Request) -> Response:
        fields = await _read(request, gate)
        with _Statuses():
            asked = Asked.of(fields, gate)
            return Reply(await until_gone(request, _Translating(speakers, asked).answer()))

    @router.post("/detect", summary="The language of a text", openapi_extra=_body({"q": TEXTS, "api_key": TEXT}, ["q"]))
    async def detected(request: Request) -> Response:
        fields = await _read(request, gate)
        with _Statuses():
            texts = _texts(fields, gate)
            sources = list(Map.of(speakers).sources)
            found = await until_gone(request, _detect(speakers, "\n".join(texts), sources))
            return Reply([each.to_json() for each in found])

    async def languages(request: Request) -> Response:
        # LibreTranslate asks no key for these either.
        there = Map.of(speakers)
        return Reply([{"code": c, "name": name_of(c), "targets": there.targets(c)} for c in there.languages])

    for method in ("GET", "POST"):
        router.add_api_route("/languages", languages, methods=[method], summary="The languages", name=f"{method}")

    @router.get("/frontend/settings", summary="What a page of LibreTranslate wants to know")
    async def settings(request: Request) -> Response:
        first = next((s for s in speakers.served if s.source_language and s.target_language), None)
        pair = {"source": first and first.source_language, "target": first and first.target_language}
        return Reply(
            {
                "apiKeys": gate.key is not None,
                "charLimit": gate.limits.characters,
                "filesTranslation": False,
                "frontendTimeout": 500,
                "keyRequired": gate.key is not None,
                "language": {side: {"code": code or "", "name": name_of(code or "")} for side, code in pair.items()},
                "suggestions": False,
                "supportedFilesFormat": [],
            }
        )

    return router


# --- what came in ---------------------------------------------------------------------------------------------------


class _Statuses:
    """LibreTranslate says 400 for what is 422 elsewhere, and 403 for a wrong key."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, Refusal) and problem.status in (401, 422):
            status = {401: 403, 422: 400}[problem.status]
            raise Refusal(status, problem.sentence, problem.retry_after) from None


async def _read(request: Request, gate: Gate) -> dict[str, Any]:
    """The fields of a body in JSON or of a form, from one who may ask."""
    with _Statuses():
        body = await gate.body(request)
        fields = _fields(request.headers.get("content-type", ""), body)
        gate.authorise(request, fields.get("api_key"))
    return fields


def _fields(kind: str, body: bytes) -> dict[str, Any]:
    kind = kind.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        raise Refusal(400, f"send JSON or a form as {FORM}; {kind} is not read here")
    if kind.endswith("json") or (kind != FORM and body.lstrip()[:1] in (b"{", b"[")):
        try:
            return json_object(body)
        except Refusal as refusal:
            if refusal.status != 422:
                raise
            raise Refusal(400, 'send an object such as {"q": "Hello", "source": "en", "target": "de"}') from None
    try:
        form = parse_qs(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except UnicodeDecodeError:
        raise Refusal(400, "the form is not UTF-8: encode its fields as UTF-8") from None
    except ValueError:
        raise Refusal(400, "the form has more than 1,000 fields: send less at once") from None
    return {name: values[0] if len(values) == 1 else values for name, values in form.items()}


def _texts(fields: Mapping[str, Any], gate: Gate) -> list[str]:
    """`q` as a list."""
    q = fields.get("q")
    if q is None:
        raise Refusal(400, "q is missing: it is the text, or a list of texts")
    texts = [q] if isinstance(q, str) else q
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "q is neither a text nor a list of texts")
    if len(texts) > gate.limits.inputs:
        raise Refusal(400, f"q has {len(texts):,} texts and the limit is {gate.limits.inputs}: send fewer at once")
    for number, text in enumerate(texts):
        check_text(text, "q" if isinstance(q, str) else f"q[{number}]", gate.limits.characters)
    return texts


@dataclass(frozen=True)
class Asked:
    """A translation that was asked for. `single`: q was one text, and so is the answer."""

    texts: list[str]
    single: bool
    source: str
    target: str
    html: bool
    alternatives: int

    @classmethod
    def of(cls, fields: Mapping[str, Any], gate: Gate) -> Asked:
        texts = _texts(fields, gate)
        codes = []
        for name in ("source", "target"):
            code = fields.get(name)
            if not code:
                raise Refusal(400, f"{name} is missing: it is the code of a language, such as en; GET /languages")
            if not isinstance(code, str):
                raise Refusal(400, f"{name} is not the code of a language, such as en")
            codes.append(code)
        form = fields.get("format") or "text"
        if form not in ("text", "html"):
            raise Refusal(400, f"the format {str(form)[:40]!r} is not supported: write text or html")
        more = fields.get("alternatives") or 0
        if isinstance(more, str) and more.isascii() and more.isdigit() and len(more) < 10:
            more = int(more)
        most = gate.limits.beam - 1
        if isinstance(more, bool) or not isinstance(more, int) or not 0 <= more <= most:
            raise Refusal(400, f"alternatives is {str(more)[:40]!r}: write a number from 0 to {most}")
        return cls(texts, isinstance(fields["q"], str), codes[0], codes[1], form == "html", more)


# --- languages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Map:
    """Which model leads from where to where. Of several for one pair the first is taken."""

    models: dict[tuple[str, str], str]

    @classmethod
    def of(cls, speakers: Speaking) -> Map:
        models: dict[tuple[str, str], str] = {}
        for each in speakers.served:
            if each.source_language and each.target_language:
                models.setdefault((each.source_language, each.target_language), each.name)
        if not models:
            if not speakers.ready:
                raise Refusal(503, "models are still being loaded: ask again in a few seconds", 2)
            raise Refusal(404, "of no model here it is known what languages it is for; POST /v1/predict asks it anyway")
        return cls(models)

    @property
    def sources(self) -> dict[str, str]:
        """Each source language, with the first model that reads it."""
        found: dict[str, str] = {}
        for (source, _), name in self.models.items():
            found.setdefault(source, name)
        return found

    @property
    def languages(self) -> list[str]:
        return list(dict.fromkeys([*self.sources, *(target for _, target in self.models)]))

    def targets(self, source: str) -> list[str]:
        return [code for code in self.languages if code != source and self.way(source, code)]

    def way(self, source: str, target: str) -> list[tuple[str, str]] | None:
        """The pairs to go: none from a language to itself, one, or two through a third; None if that is not enough."""
        if source == target:
            return []
        if (source, target) in self.models:
            return [(source, target)]
        through = (code for code in self.languages if {(source, code), (code, target)} <= set(self.models))
        middle = next(through, None)
        return None if middle is None else [(source, middle), (middle, target)]

    def code(self, asked: str, codes: Sequence[str]) -> str:
        """The served code that was meant: en for EN or en-US. Refusal 400 if there is none."""
        for wanted in (asked.lower(), asked.lower().partition("-")[0]):
            for code in codes:
                if code.lower() == wanted:
                    return code
        raise Refusal(400, f"{asked[:40]} is not supported: there is {', '.join(codes)}")


async def _detect(speakers: Speaking, text: str, languages: Sequence[str]) -> list[Detected]:
    names = {code: name for code, name in Map.of(speakers).sources.items() if code in languages}

    async def ask(language: str, text: str) -> float:
        [said] = await speakers.predict(names[language], [text.strip()[:200]], beam=1)
        return sum(said.log_probabilities) / max(1, len(said.log_probabilities))

    return await detect(text, {code: speakers.model(name).source_tokenizer for code, name in names.items()}, ask)


# --- translating ----------------------------------------------------------------------------------------------------


class _Translating:
    """One request. Its texts are translated together, those of one language in the same lines."""

    def __init__(self, speakers: Speaking, asked: Asked) -> None:
        self.speakers, self.asked = speakers, asked
        self.map = Map.of(speakers)

    async def answer(self) -> dict[str, Any]:
        asked, there = self.asked, self.map
        target = there.code(asked.target, there.languages)
        found: list[Detected] = []
        if asked.source.lower() == AUTO:
            reaching = [code for code in there.sources if there.way(code, target) is not None]
            if reaching in ([], [target]):  # to leave everything as it is would be no translation
                raise Refusal(400, f"{name_of(target)} ({target}) is not available as a target language")
            found = [(await _detect(self.speakers, text, reaching))[0] for text in asked.texts]
            sources = [each.language for each in found]
        else:
            sources = [there.code(asked.source, there.languages)] * len(asked.texts)
        rows: list[list[str]] = [[] for _ in asked.texts]
        for source in dict.fromkeys(sources):
            chosen = [n for n, code in enumerate(sources) if code == source]
            said = await self._translated([asked.texts[n] for n in chosen], source, target)
            for n, texts in zip(chosen, said, strict=True):
                rows[n] = texts
        row: dict[str, Any] = {"translatedText": self._one_or_all([texts[0] for texts in rows])}
        if asked.source.lower() == AUTO:
            row["detectedLanguage"] = self._one_or_all([each.to_json() for each in found])
        if asked.alternatives:
            row["alternatives"] = self._one_or_all([texts[1:] for texts in rows])
        return row

    def _one_or_all(self, values: list[Any]) -> Any:
        return values[0] if self.asked.single else values

    async def _translated(self, texts: list[str], source: str, target: str) -> list[list[str]]:
        """Each text's translation, and its alternatives after it."""
        way = self.map.way(source, target)
        if way is None:
            a, b = f"{name_of(target)} ({target})", f"{name_of(source)} ({source})"
            raise Refusal(400, f"{a} is not available as a target language from {b}")
        if not way:
            return [[text] for text in texts]
        *before, last = [_Leg(self.speakers, self.map.models[pair], pair[0], self.asked) for pair in way]
        for leg in before:
            texts = await leg.translate(texts)
        ranks = [await last.translate(texts, rank) for rank in range(self.asked.alternatives + 1)]
        return [list(dict.fromkeys(said)) for said in zip(*ranks, strict=True)]


class _Leg:
    """Translating by one model. What it said of a line is kept, since alternatives ask for the same lines."""

    def __init__(self, speakers: Speaking, name: str, language: str, asked: Asked) -> None:
        model = speakers.model(name)
        self.speakers, self.name = speakers, name
        self.nbest = asked.alternatives + 1 if asked.alternatives else None
        self.said: dict[str, list[str]] = {}
        self.options: dict[str, Any] = {
            "html": asked.html,
            "language": language,
            "limit": model.recipe.data.max_length,
            "size": lambda text: len(model.source_tokenizer.encode(text).ids),
        }

    async def translate(self, texts: Sequence[str], rank: int = 0) -> list[str]:
        """The translations that come from each line's output of this rank, 0 for the best."""

        async def speak(lines: list[str]) -> list[str]:
            unknown = [line for line in dict.fromkeys(lines) if line not in self.said]
            found = await self.speakers.predict(self.name, unknown, nbest=self.nbest) if unknown else []
            for line, said in zip(unknown, found, strict=True):
                self.said[line] = [other.text for other in said.alternatives] or [said.text]
            return [self.said[line][min(rank, len(self.said[line]) - 1)] for line in lines]

        return await converse([translation(text, **self.options) for text in texts], speak)


async def converse(
    conversations: Sequence[Conversation], speak: Callable[[list[str]], Awaitable[list[str]]]
) -> list[str]:
    """The texts that conversations end with. In each round the lines of all are said together."""
    done: dict[int, str] = {}
    answers: dict[int, list[str] | None] = dict.fromkeys(range(len(conversations)))
    while answers:
        # Cutting a large text takes a while, in which others are served.
        asked = await asyncio.to_thread(_next, conversations, answers, done)
        lines = [line for each in asked.values() for line in each]
        said = iter(await speak(lines))
        answers = {number: [next(said) for _ in each] for number, each in asked.items()}
    return [done[number] for number in range(len(conversations))]


def _next(
    conversations: Sequence[Conversation], answers: Mapping[int, list[str] | None], done: dict[int, str]
) -> dict[int, list[str]]:
    """What each conversation asks after its answer; those that end go to `done`."""
    asked = {}
    for number, answer in answers.items():
        try:
            # The first send to a generator has to be None.
            asked[number] = conversations[number].send(answer)  # type: ignore[arg-type]
        except StopIteration as end:
            done[number] = end.value
    return asked


def _body(fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": fields, "required": required}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema} for kind in (JSON, FORM)}}}


__all__ = ["Asked", "Map", "converse", "routes"]
