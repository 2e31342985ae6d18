"""The models that are served. What is asked of them here may be asked by any number of clients at once."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regard.config import Recipe
from regard.data import made_of
from regard.errors import RegardError
from regard.run import Model, Prediction, RunFolder
from regard.server.languages import Languages, languages_of
from regard.server.limits import Limits
from regard.server.measures import Measures
from regard.server.refusals import Refusal
from regard.server.speaking import Lane, refusal_of, twin
from regard.server.streaming import Stream, Streams
from regard.server.waiting import Ask, Rotation

LOG = logging.getLogger("regard.server")


@dataclass(frozen=True)
class Served:
    """What /v1/models says of one model. Languages are codes such as "en", or None where nobody said."""

    name: str
    task: str
    source_language: str | None
    target_language: str | None
    parameters: int
    attention: bool
    layers: int
    heads: int
    beam: int
    nearest: bool  # whether training pairs are kept, for /v1/nearest

    @classmethod
    def of(cls, model: Model, name: str, languages: Languages, folder: Path | None = None) -> Served:
        looking = model.network.looking
        return cls(
            name=name,
            task=model.recipe.task,
            source_language=languages[0],
            target_language=languages[1],
            parameters=sum(p.numel() for p in model.network.parameters()),
            attention=model.network.looks,
            layers=len(looking),
            heads=getattr(model.recipe.model, "heads", 1) if looking else 0,
            beam=model.recipe.decoding.beam,
            nearest=folder is not None and made_of(RunFolder(folder).corpus) is not None,
        )


class Speaker:
    """One model: short lines on one thread or several, what takes long on another, streams on one more.

    Their modules are apart and their parameters the same, so that nobody waits for another's long text, and no
    observer or steering shows anywhere else.
    """

    def __init__(self, model: Model, served: Served, measures: Measures, lanes: int = 1) -> None:
        self.model, self.served = model, served
        on_cpu = all(parameter.device.type == "cpu" for parameter in model.network.parameters())
        self.short = Rotation(lanes if on_cpu else 1)
        self.long = Rotation()
        each = [model, *(twin(model) for _ in range(1, self.short.lanes))]
        self.lanes = [Lane(one, served.name, measures, self.short) for one in each]
        self.lanes.append(Lane(twin(model), served.name, measures, self.long))
        self.streams = Streams(model, served.name, measures)
        measures.watch(served.name, lambda: self.count)
        for thread in (*self.lanes, self.streams):
            thread.start()

    @property
    def count(self) -> int:
        """Lines that wait."""
        return self.short.count + self.long.count + self.streams.count

    def admit(self, more: int, room: int) -> None:
        """Refusal 429 if so many more lines would not fit. Where nobody waits, one request always does."""
        waiting = self.count
        if waiting and waiting + more > room:
            rate = sum(lane.rate for lane in self.lanes[:-1]) or self.lanes[-1].rate
            seconds = min(60, max(1, math.ceil(waiting / rate))) if rate else 1
            raise Refusal(429, f"{waiting:,} lines wait already: ask again in {seconds} seconds", retry_after=seconds)

    def close(self) -> None:
        self.short.close()
        self.long.close()
        self.streams.close()
        for thread in (*self.lanes, self.streams):
            thread.join(timeout=10)


class Speakers:
    """All models of a server, by name. The first is the default.

    `loaders` say how to get each; nothing is loaded before `start`, and then one after the other in the background.
    """

    def __init__(
        self,
        loaders: Mapping[str, Callable[[], Model]],
        *,
        limits: Limits | None = None,
        measures: Measures | None = None,
        languages: Mapping[str, Languages] | None = None,
        folders: Mapping[str, Path] | None = None,
        lanes: int = 1,
    ) -> None:
        self.loaders = dict(loaders)
        self.folders = dict(folders or {})  # the runs, of those that are any
        self.at_close: list[Callable[[], None]] = []
        self.limits = limits or Limits()
        self.measures = measures or Measures()
        self.languages = dict(languages or {})
        self.lanes = lanes  # of each model on the CPU
        self.problem: str | None = None  # why a model could not be loaded
        self._speakers: dict[str, Speaker] = {}
        self._loading: threading.Thread | None = None
        self._closed = False

    @classmethod
    def of_runs(
        cls,
        runs: Sequence[Path],
        device: str = "auto",
        *,
        languages: Sequence[Languages] = (),
        limits: Limits,
        lanes: int = 1,
    ) -> Speakers:
        """Of run folders, named after them. UsageError if one of them cannot be served."""
        from functools import partial

        loaders: dict[str, Callable[[], Model]] = {}
        spoken: dict[str, Languages] = {}
        folders: dict[str, Path] = {}
        for number, run in enumerate(runs):
            recipe = RunFolder(run).read_recipe_of(Recipe)
            name = base = run.resolve().name
            for again in range(2, len(runs) + 2):
                if name in loaders:
                    name = f"{base}-{again}"
            loaders[name] = partial(Model.load, run, device)
            folders[name] = run
            spoken[name] = languages[number] if number < len(languages) else languages_of(recipe, base)
        return cls(loaders, limits=limits, languages=spoken, folders=folders, lanes=lanes)

    def start(self, failed: Callable[[str], None] | None = None) -> None:
        """Begins to load in the background. `failed` hears the sentence if one cannot be loaded."""
        if self._loading is None:
            self._loading = threading.Thread(target=self._load, args=(failed,), name="regard-loading", daemon=True)
            self._loading.start()

    def _load(self, failed: Callable[[str], None] | None) -> None:
        for name, load in self.loaders.items():
            if self._closed:
                return
            try:
                model = load()
                served = Served.of(model, name, self.languages.get(name, (None, None)), self.folders.get(name))
                self._speakers[name] = Speaker(model, served, self.measures, self.lanes)
            except Exception as problem:
                if not isinstance(problem, RegardError):
                    LOG.error("%s could not be loaded", name, exc_info=problem)
                self.problem = f"{name} could not be loaded: {problem}"
                if failed is not None:
                    failed(self.problem)

    def close(self) -> None:
        """Says what still waits, and ends the threads."""
        self._closed = True
        if self._loading is not None:
            self._loading.join(timeout=10)
        for speaker in self._speakers.values():
            speaker.close()
        for close in self.at_close:
            close()

    @property
    def ready(self) -> bool:
        """Whether all models are there."""
        return len(self._speakers) == len(self.loaders)

    @property
    def served(self) -> list[Served]:
        """The models in the order given; those that are still loading are not among them."""
        return [self._speakers[name].served for name in self.loaders if name in self._speakers]

    def speaker(self, name: str | None) -> Speaker:
        """Refusal 404 if there is no such model, 503 if it is not there yet."""
        chosen = next(iter(self.loaders)) if name is None else name
        if chosen not in self.loaders:
            known = ", ".join(self.loaders)
            raise Refusal(404, f"there is no model {chosen[:100]!r} here: the models are {known}")
        if chosen not in self._speakers:
            if self.problem is not None:
                raise Refusal(503, self.problem)
            raise Refusal(503, f"{chosen} is still being loaded: ask again in a few seconds", retry_after=2)
        return self._speakers[chosen]

    def model(self, name: str | None) -> Model:
        """The model itself, for its tokenizers and recipe; to predict, ask `predict`."""
        return self.speaker(name).model

    async def predict(self, model: str | None, lines: Sequence[str], **options: Any) -> list[Prediction]:
        """One prediction per line, in order, from the model of this name (None: the first).

        Options are those of `Model.predict`: beam, nbest, attention, sample, prefix (a list), steer, tree. Lines of
        many callers share a batch where their options are equal. Cancelling drops what still waits.

        Raises:
            Refusal: 404 no such model, 422 wrong options or lines, 429 too many lines wait, 503 still loading or the
                model failed, 504 out of time.
        """
        speaker = self.speaker(model)
        if not lines:
            return []
        prefixes = options.pop("prefix", None)
        if prefixes is not None and len(prefixes) != len(lines):
            raise Refusal(422, f"there are {len(prefixes)} prefixes for {len(lines)} inputs: give one for each")
        ask = Ask(lines, {name: value for name, value in options.items() if value is not None}, prefixes)
        speaker.admit(ask.count, self.limits.queue)
        rotation = speaker.long if ask.slow else speaker.short
        rotation.add(ask)
        try:
            async with asyncio.timeout(self.limits.seconds):
                said = await asyncio.wrap_future(ask.future)  # which is cancelled with it
        except TimeoutError:
            raise self._late() from None
        rotation.heard()
        return said

    async def stream(self, model: str | None, line: str, **options: Any) -> AsyncIterator[Any]:
        """The Partials of `Model.stream`, the last one finished. Raises what `predict` raises."""
        speaker = self.speaker(model)
        speaker.admit(1, self.limits.queue)
        stream = Stream(line, {name: value for name, value in options.items() if value is not None})
        speaker.streams.add(stream)
        until = asyncio.get_running_loop().time() + self.limits.seconds
        try:
            while True:
                left = until - asyncio.get_running_loop().time()
                partial = await asyncio.wait_for(stream.next(), max(0.0, left))
                if partial is None:
                    return
                yield partial
        except TimeoutError:
            raise self._late() from None
        except Exception as problem:
            raise refusal_of(problem, speaker.served.name) from None
        finally:
            stream.gone = True

    def _late(self) -> Refusal:
        return Refusal(
            504, f"this took longer than {self.limits.seconds:g} seconds and was given up: send less at once"
        )
