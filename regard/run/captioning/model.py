"""A finished captioner: what a picture shows, and where each word looked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from regard.build.captioning import captioner
from regard.config.captioning import CaptioningRecipe
from regard.data import Tokenizer, read_lines
from regard.data.images import Shape, read_picture
from regard.data.picture_lines import naming_lines, read_picture_lines
from regard.data.reader import is_pipe, refuse_pipe
from regard.decoding import Hypothesis
from regard.errors import UsageError
from regard.evaluation import paired_test, score
from regard.models.captioning import ImageCaptioner
from regard.run.captioning.data import captioned, check_split, plain, shape_of, splits_note
from regard.run.evaluating import Evaluation
from regard.run.folder import RunFolder
from regard.run.lines import OF_PREFIX, unknown_note
from regard.run.pictures import ENDINGS
from regard.run.weights import with_weights
from regard.tasks import captioning
from regard.tasks.captioning import Search
from regard.view.picture import PictureMap

READ_AHEAD = 64  # pictures that are captioned together
SHOWN = 384  # pixels of the longer side of a picture that is shown


@dataclass(frozen=True)
class Caption:
    """What is said about the picture `source`; the other fields are those of `regard.Prediction`."""

    source: str
    text: str
    score: float
    tokens: list[str]
    log_probabilities: list[float]
    attention: PictureAttention | None = None
    alternatives: list[Caption] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self, nbest: bool = True) -> dict[str, Any]:
        """Plain values for a line of JSON; `places` are row and column, from 0, that each word looked at most."""
        row: dict[str, Any] = {"text": self.text, "score": self.score, "tokens": self.tokens}
        if self.attention is not None:
            seen = self.attention.map()
            row["grid"] = list(self.attention.grid)
            row["places"] = [list(seen.place(i)) for i in range(len(seen.words))]
        if nbest and self.alternatives:
            row["nbest"] = [other.to_json(nbest=False) for other in self.alternatives]
        return row


@dataclass(frozen=True, eq=False)
class PictureAttention:
    """Where each token of a caption looked, in every layer and head: `weights [L, H, T, rows · columns]`."""

    picture: UInt8[np.ndarray, "H W C"]
    weights: Float[np.ndarray, "L H T S"]
    grid: tuple[int, int]
    words: list[str]
    word_of: list[int]

    def map(self, layer: int | None = None, head: int | None = None) -> PictureMap:
        """Of words, averaged over layers and heads but for the one chosen, from 0, and over the tokens of a word."""
        chosen = self.weights
        for axis, (number, what) in enumerate(((layer, "layer"), (head, "head"))):
            if number is not None:
                size = self.weights.shape[axis]
                if not 0 <= number < size:
                    raise UsageError(f"there is no {what} {number}: this model has {what}s 0 to {size - 1}")
                chosen = chosen.take([number], axis=axis)
        rows = np.zeros((len(self.words), len(self.word_of)), dtype=np.float32)
        rows[self.word_of, np.arange(len(self.word_of))] = 1
        rows /= np.maximum(rows.sum(axis=1, keepdims=True), 1)
        return PictureMap.of(self.picture, self.words, rows @ chosen, self.grid)


class CaptionModel:
    """A trained captioner with its tokenizer and its recipe."""

    def __init__(self, network: ImageCaptioner, tokenizer: Tokenizer, recipe: CaptioningRecipe, name: str) -> None:
        self.network, self.tokenizer = network, tokenizer
        self.recipe, self.name = recipe, name

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> CaptionModel:
        """Reads a run folder; UsageError says what is missing or broken."""
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe_of(CaptioningRecipe)
        tokenizer = Tokenizer.load(folder.tokenizer("target", True))
        network = captioner(recipe.model, shape_of(recipe.data), tokenizer.size, pretrained=False)
        return cls(with_weights(network, folder, device), tokenizer, recipe, folder.path.name)

    @property
    def shape(self) -> Shape:
        return shape_of(self.recipe.data)

    def search(self, **options: Any) -> Search:
        """How this model searches by its recipe, with some things changed. UsageError names what cannot be."""
        if options.get("sampling") is not None and options.get("beam") is not None:
            raise UsageError("sample draws and beam searches: give one of them")
        how = replace(
            Search.of(self.recipe.decoding), **{name: value for name, value in options.items() if value is not None}
        )
        return replace(how, beam=max(how.beam, how.count))  # n-best of a search that keeps at least n

    def predict(
        self,
        pictures: Sequence[str | Path],
        beam: int | None = None,
        *,
        nbest: int = 1,
        attention: bool = False,
        sample: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        search: Search | None = None,
    ) -> list[Caption]:
        """A caption for each picture file, in order; an empty path gives an empty caption.

        `beam`, `nbest`, `attention`, `sample` and `search` are those of `regard.Model.predict`; `prefix` is how every
        caption begins. UsageError names a picture that cannot be read.
        """
        if isinstance(pictures, str | Path):
            raise UsageError("predict takes a list of pictures: write model.predict([picture])")
        how = search if search is not None else self.search(beam=beam, count=nbest, sampling=sample)
        filled = [i for i, picture in enumerate(pictures) if str(picture).strip()]
        captions = [Caption(str(picture), "", 0.0, [], []) for picture in pictures]
        begin = None if prefix is None else self.tokenizer.encode(plain(prefix, self.recipe.data)).ids
        notes = unknown_note(begin or (), OF_PREFIX)
        for start in range(0, len(filled), READ_AHEAD):
            chosen = filled[start : start + READ_AHEAD]
            pixels = np.stack([read_picture(pictures[i], self.shape) for i in chosen])
            found = captioning.search(self.network, pixels, how, begin)
            for i, seen, hypotheses in zip(chosen, pixels, found, strict=True):
                said = [self._caption(str(pictures[i]), hypothesis, notes) for hypothesis in hypotheses]
                looked = self._looked(Path(pictures[i]), seen, hypotheses[0]) if attention else None
                captions[i] = replace(said[0], attention=looked, alternatives=said if how.count > 1 else [])
        return captions

    def predict_stream(self, pictures: Iterable[str | Path], **options: Any) -> Iterator[Caption]:
        """`predict` for any number of pictures, a few at a time, in order."""
        rest = iter(pictures)
        while chunk := list(islice(rest, READ_AHEAD)):
            yield from self.predict(chunk, **options)

    def _caption(self, source: str, hypothesis: Hypothesis, notes: list[str]) -> Caption:
        return Caption(
            source=source,
            text=self.tokenizer.decode(hypothesis.ids),
            score=hypothesis.score,
            tokens=self.tokenizer.tokens(hypothesis.ids),
            log_probabilities=list(hypothesis.log_probabilities),
            notes=notes,
        )

    def _looked(self, path: Path, pixels: UInt8[np.ndarray, "H W C"], hypothesis: Hypothesis) -> PictureAttention:
        """The picture is shown larger than the model saw it, but no more of it."""
        size = self.shape
        larger = max(1, SHOWN // max(size.height, size.width))
        shown = read_picture(path, replace(size, height=larger * size.height, width=larger * size.width))
        words, word_of = self.tokenizer.words(hypothesis.ids)
        grid = self.network.encoder.vision.grid(size.height, size.width)  # type: ignore[operator]
        return PictureAttention(shown, captioning.look(self.network, pixels, hypothesis), grid, words, word_of)

    def evaluate(
        self, data: Path, *, split: str | None = None, beam: int | None = None, against: CaptionModel | None = None
    ) -> Evaluation:
        """BLEU-1 to BLEU-4 and CIDEr-D over all captions of each picture in a JSONL file, or in one split of it.
        `against` is tested on the same pictures."""
        if split is not None:
            refuse_pipe(data)
            check_split(data, split)
        notes = splits_note(data) if split is None and not is_pipe(data) else []
        side = captioned(data, split)
        references, metrics = list(side.values()), captioning.metrics()
        with naming_lines(data):
            said = [caption.text for caption in self.predict_stream(side, beam=beam)]
        tests = []
        if against is not None:
            other = [caption.text for caption in against.predict_stream(side, beam=beam)]
            tests = [paired_test(said, other, references, metric) for metric in metrics[-2:]]
        return Evaluation(
            run=self.name,
            sentences=len(side),
            beam=beam or self.recipe.decoding.beam,
            scores=[score(metric, said, references) for metric in metrics],
            lengths=[],
            paired=tests,
            notes=notes,
        )


def pictures_in(file: str, places: dict[Path, str] | None = None) -> Iterator[str]:
    """The pictures that a command names: `file` is a picture, a JSONL file of them, or a list with a path a line, which
    counts from where the command is given or else from the list; "-" is a list on standard input. Where those of a list
    stand in it is left in `places`."""
    path = Path(file)
    if file != "-" and path.suffix.lower() in ENDINGS:
        yield file
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        for line in read_picture_lines(path, needs=()):
            yield str(line.image)
    else:
        folder = Path() if file == "-" else path.parent
        for number, line in enumerate(read_lines(file if file == "-" else path), start=1):
            name = line.strip()
            beside = folder / name
            found = str(beside) if name and not os.path.exists(name) and os.path.exists(beside) else name
            if places is not None and name:
                places.setdefault(Path(found), f"{'standard input' if file == '-' else file}, line {number}")
            yield found
