"""A server with a model of random weights, small enough to speak at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
import torch

from regard.config import recipe_of
from regard.data import Tokenizer
from regard.run import Model
from regard.run.translation.model import new_network
from regard.server.app import application
from regard.server.limits import Limits
from regard.server.speakers import Speakers

WORDS = ["one", "two", "three", "four", "five", "六", "سبعة", "huit", "नौ", "ten", "élf"]
SHAPES: dict[str, dict[str, Any]] = {
    "transformer": {"dim": 16, "heads": 2, "feed_forward": 24, "encoder_layers": 1, "decoder_layers": 3},
    "recurrent": {"cell": "gru", "hidden": 20, "embedding": 12},
    "blind": {"cell": "gru", "hidden": 20, "embedding": 12, "decoder": "fixed-initial"},
}


def new_model(kind: str = "transformer", max_length: int = 48) -> Model:
    """Random weights, large ones, so that outputs differ from input to input."""
    torch.manual_seed(3)
    tokenizer = Tokenizer.train("words", [" ".join(WORDS)], 100)
    recipe = recipe_of(
        {
            "task": "translation",
            "data": {
                "shared_vocabulary": True,
                "max_length": max_length,
                "source": "a/train.en",
                "target": "a/train.de",
            },
            "model": {"kind": "recurrent" if kind == "blind" else kind, **SHAPES[kind]},
            "decoding": {"beam": 3, "max_length_ratio": 1.5},
        }
    )
    network = new_network(recipe, tokenizer, tokenizer)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    return Model(network.eval(), tokenizer, tokenizer, recipe, kind)


@pytest.fixture
def tiny() -> Callable[[str], Model]:
    return new_model


@pytest.fixture
def model() -> Model:
    return new_model()


Open = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serving() -> Open:
    """`async with serving({"name": model}, …) as client`: started, loaded, and closed at the end."""

    @asynccontextmanager
    async def opened(
        models: dict[str, Any], *, limits: Limits | None = None, wait: bool = True, lanes: int = 1, **options: Any
    ) -> AsyncIterator[httpx.AsyncClient]:
        loaders: dict[str, Any] = {
            name: (each if callable(each) else lambda each=each: each) for name, each in models.items()
        }
        runs = {name: each.args[0] for name, each in models.items() if isinstance(each, partial)}
        speakers = Speakers(loaders, limits=limits, folders=runs, lanes=lanes)
        app = application(speakers, **options)
        async with app.router.lifespan_context(app):
            if wait and speakers._loading is not None:
                speakers._loading.join()
            transport = httpx.ASGITransport(app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
                yield client

    return opened
