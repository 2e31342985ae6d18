"""POST /v1/predict: lines in, predictions out, at once or token by token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator
from starlette.responses import Response, StreamingResponse

from regard.attention import Edit
from regard.decoding.bounds import HOTTEST, SEEDS, WIDEST
from regard.errors import UsageError
from regard.run import Model
from regard.server.answering import PRIVATE, Reply
from regard.server.limits import Gate
from regard.server.reading import check_text, json_object
from regard.server.refusals import Refusal
from regard.server.speakers import Speakers
from regard.server.telling import event, partial_json, prediction_json, source_json

T = TypeVar("T")
MOST = 1_000_000  # a position, step, layer or head; more does not fit into what they are compared with
ONE_OR_MORE = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Sampling(_Part):
    """How to draw instead of searching."""

    temperature: float = Field(1.0, ge=0, le=HOTTEST)
    top_k: int = Field(0, ge=0, le=1_000_000)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = Field(1, ge=0, lt=SEEDS)


class PredictBody(_Part):
    """What to predict, and what to tell of it."""

    inputs: Annotated[list[str], ONE_OR_MORE] = Field(description="one text or several")
    model: str | None = Field(None, description="a name of /v1/models; the first if not given")
    beam: int | None = Field(None, ge=1, le=WIDEST, description="hypotheses kept while searching")
    nbest: int = Field(1, ge=1, le=WIDEST, description="outputs of each input")
    prefix: Annotated[list[str], ONE_OR_MORE] | None = Field(None, description="how each output must begin")
    attention: bool = Field(False, description="the weights as well")
    sample: Sampling | None = None
    steer: list[dict[str, Any]] | None = Field(None, max_length=64, description="edits of the attention")
    tree: bool = Field(False, description="all hypotheses of the beam")
    diagnostics: bool = Field(False, description="confidence, untranslated words, repetition")
    stream: bool = Field(False, description="token by token, as server-sent events; for one input")

    @field_validator("inputs", "prefix", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


def routes(speakers: Speakers, gate: Gate) -> APIRouter:
    """`/v1/predict` and `/v1/models`."""
    router = APIRouter(tags=["predict"])

    @router.post(
        "/v1/predict",
        summary="Predict",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": PredictBody.model_json_schema()}},
            }
        },
    )
    async def predict(request: Request) -> Response:
        gate.authorise(request)
        started = time.perf_counter()
        body = read(await gate.body(request), gate)
        name = speakers.speaker(body.model).served.name
        options: dict[str, Any] = {"beam": body.beam, "attention": body.attention or body.diagnostics}
        options |= {"sample": body.sample and body.sample.model_dump(), "steer": edits_of(body)}
        whole = options | {"prefix": body.prefix, "nbest": body.nbest, "tree": body.tree or None}
        if body.stream:
            return await _streamed(speakers, name, body, options, whole, started)
        predictions = await until_gone(request, speakers.predict(name, body.inputs, **whole))
        rows = [prediction_json(each, **told(body, speakers.model(name))) for each in predictions]
        return Reply({"model": name, "predictions": rows, "seconds": round(time.perf_counter() - started, 4)})

    @router.get("/v1/models", summary="The models, the default first")
    async def models(request: Request) -> Response:
        gate.authorise(request)
        return Reply({"models": [asdict(each) for each in speakers.served]})

    return router


def read(body: bytes, gate: Gate) -> PredictBody:
    """The body of a request within its limits; Refusal says what is wrong with it."""
    tree = json_object(body)
    limits = gate.limits
    try:
        asked = PredictBody.model_validate(tree)
    except ValidationError as problem:
        raise Refusal(422, _sentence(problem)) from None
    if len(asked.inputs) > limits.inputs:
        raise Refusal(
            413, f"there are {len(asked.inputs):,} inputs and the limit is {limits.inputs}: send fewer at once"
        )
    for name, value in (("beam", asked.beam), ("nbest", asked.nbest)):
        if value is not None and value > limits.beam:
            raise Refusal(422, f"{name} is {value} and the limit is {limits.beam}: write less")
    for name, texts in (("inputs", asked.inputs), ("prefix", asked.prefix or [])):
        for number, text in enumerate(texts):
            check_text(text, f"{name}[{number}]", limits.characters)
    if asked.prefix is not None and len(asked.prefix) != len(asked.inputs):
        raise Refusal(422, f"there are {len(asked.prefix)} prefixes for {len(asked.inputs)} inputs: give one for each")
    if asked.stream and len(asked.inputs) != 1:
        raise Refusal(422, f"stream is for one input, and there are {len(asked.inputs)}: send one, or stream: false")
    return asked


def told(body: PredictBody, model: Model) -> dict[str, Any]:
    """What a prediction shall tell, as arguments of `prediction_json`."""
    return {
        "attention": body.attention,
        "nbest": body.nbest > 1,
        "diagnosed_by": model if body.diagnostics else None,
    }


def edits_of(body: PredictBody) -> list[Edit] | None:
    """What shall be steered. Refusal 422 says what is no edit."""
    if not body.steer:
        return None
    for number, row in enumerate(body.steer):
        for name, value in row.items():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, int) and abs(each) > MOST:
                    raise Refusal(
                        422, f"steer[{number}].{name[:40]} holds a number above {MOST:,}: write a smaller one"
                    )
    try:
        return [Edit.from_json(row) for row in body.steer]
    except UsageError as problem:
        raise Refusal(422, f"steer: {problem}") from None


def _sentence(problem: ValidationError) -> str:
    first = problem.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:100]
    if first["type"] == "extra_forbidden":
        within = Sampling if first["loc"][0] == "sample" else PredictBody
        return f"there is no key {where!r} here: the keys are {', '.join(within.model_fields)}"
    if first["type"] == "missing":
        return f'{where} is missing: send {{"inputs": ["…"]}}'
    if first["type"] == "list_type" and where in ("inputs", "prefix"):
        return f"{where} is neither a text nor a list of texts: send one of them"
    return f"{where} is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}"


async def until_gone(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """The answer, unless the client leaves: then whatever is awaited is cancelled.

    Raises:
        Refusal: 499 if it has left, for the metrics; nobody reads it.
    """
    working, answered, gone = asyncio.current_task(), False, False
    assert working is not None

    def leave(leaving: asyncio.Task[None]) -> None:
        nonlocal gone
        if not answered and not leaving.cancelled():
            gone = True
            working.cancel()

    leaving = asyncio.ensure_future(_left(request))
    leaving.add_done_callback(leave)
    try:
        return await answer
    except asyncio.CancelledError:
        if not gone or working.uncancel():
            raise
        raise Refusal(499, "the client has gone") from None
    finally:
        answered = True
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _streamed(
    speakers: Speakers,
    name: str,
    body: PredictBody,
    options: dict[str, Any],
    whole: dict[str, Any],
    started: float,
) -> Response:
    prefix = None if body.prefix is None else body.prefix[0]
    partials = speakers.stream(name, body.inputs[0], **options, prefix=prefix)
    first = await anext(partials, None)  # what is refused at once gets its own status

    async def events() -> AsyncIterator[bytes]:
        try:
            if body.attention and body.inputs[0].strip():
                yield event("source", source_json(speakers.model(name), body.inputs[0]))
            partial = first
            said = None
            while partial is not None:
                if not partial.finished:
                    yield event("token", partial_json(partial, attention=body.attention))
                said = partial.prediction
                partial = await anext(partials, None)
            if said is None or body.nbest > 1 or body.tree or body.steer:  # which a stream does not tell of
                (said,) = await speakers.predict(name, body.inputs, **whole)
            yield event("done", prediction_json(said, **told(body, speakers.model(name))))
        except Refusal as refusal:
            yield event("error", {"error": refusal.sentence})
        finally:
            await partials.aclose()  # type: ignore[attr-defined]

    return StreamingResponse(events(), media_type="text/event-stream", headers=PRIVATE | {"X-Accel-Buffering": "no"})
