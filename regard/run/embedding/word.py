"""A word in its sentence: where it stands, its vectors by layer, what is near to them, and what pulls it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from rich.cells import cell_len, set_cell_size
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from regard.batch import BOS, EOS, SPECIAL_TOKENS, UNK
from regard.data import Encoding
from regard.errors import UsageError
from regard.run.embedding.reader import Reader

NEAREST, PULLING = 5, 4  # how many are shown
# Scripts that leave no space between words: there a word is what the user says it is.
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Layer:
    """The word as one layer has made it; number 0 is the static vector. `weights` are the mean of its heads over the
    words of the sentence, the marks of its ends among them; the static vector has none."""

    number: int
    vector: Float[Tensor, " D"]
    cosine: float  # to the static vector
    nearest: list[tuple[str, float]]  # words of the vocabulary by the cosine of their static vectors
    weights: list[tuple[str, float]]

    @property
    def norm(self) -> float:
        return float(self.vector.norm())

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"norm": self.norm, "nearest": [list(pair) for pair in self.nearest]}
        if self.number:
            facts = {"layer": self.number, **facts, "cosine": self.cosine}
            facts["weights"] = [list(pair) for pair in self.weights]
        return facts | {"vector": self.vector.tolist()}


@dataclass(frozen=True)
class WordInSentence:
    sentence: str
    word: str
    tokens: list[str]  # that it is cut into
    place: int  # of the word among those that `Layer.weights` names
    static: Layer
    layers: list[Layer]
    inside: list[bool]  # of these words, whether the sentence has it: it does not have the marks of its ends
    others: Float[Tensor, "W D"]  # the static vectors of these words
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        facts = {"sentence": self.sentence, "word": self.word, "tokens": self.tokens, "notes": self.notes}
        return facts | {"static": self.static.to_json(), "layers": [layer.to_json() for layer in self.layers]}

    def pulls(self) -> list[float]:
        """What each word gives to it: the mean of the weights of all layers."""
        rows = [[weight for _, weight in layer.weights] for layer in self.layers]
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    def __str__(self) -> str:
        rows = [["", "norm", "cosine", "nearest words", "looks at"]]
        for layer in (self.static, *self.layers):
            name = f"layer {layer.number}" if layer.number else "static"
            near = ", ".join(f"{word} {cosine:.2f}" for word, cosine in layer.nearest)
            strongest = sorted(enumerate(layer.weights), key=lambda item: -item[1][1])
            pulled = [
                f"{'itself' if place == self.place else word} {weight:.2f}"
                for place, (word, weight) in strongest[:PULLING]
                if weight >= 0.005
            ]
            rows.append([name, f"{layer.norm:.2f}", f"{layer.cosine:.3f}", near, ", ".join(pulled)])
        cut = f"   ({' + '.join(self.tokens)})" if len(self.tokens) > 1 else ""
        return f"{self.sentence}{cut}\n{aligned(rows)}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart, whatever script they are in."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def found(sentence: str, word: str) -> list[tuple[int, int]]:
    """Where a word stands in a sentence, as characters [from, to): whole, in capitals or not, and composed in whatever
    way Unicode allows."""
    forms = {word, unicodedata.normalize("NFC", word), unicodedata.normalize("NFD", word)}
    pattern = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    spans = [match.span() for match in re.finditer(pattern, sentence, re.IGNORECASE)]
    if UNSPACED.search(word):
        return spans
    return [(a, b) for a, b in spans if not _goes_on(sentence[a - 1 : a]) and not _goes_on(sentence[b : b + 1])]


def _goes_on(character: str) -> bool:
    """Letters, marks and digits belong to a word. A mark may come out of a letter that was cut in two."""
    return bool(character) and unicodedata.category(character)[0] in "LMN"


def span_of(sentence: str, word: str, occurrence: int | None = None) -> tuple[int, int]:
    """Where the word stands; UsageError where it does not, or where it is not said which one is meant."""
    if not sentence.strip():
        raise UsageError("the sentence is empty: give some words, one of them the word")
    spans = found(sentence, word)
    if not spans:
        raise UsageError(f'"{word}" is not in "{_short(sentence)}": give a sentence that has it, spelled the same')
    if occurrence is None and len(spans) > 1:
        raise UsageError(
            f'"{word}" is {len(spans)} times in "{_short(sentence)}": say which one with --occurrence 1 to {len(spans)}'
        )
    if occurrence is not None and not 1 <= occurrence <= len(spans):
        times = "once" if len(spans) == 1 else f"{len(spans)} times"
        raise UsageError(f'"{word}" is {times} in "{_short(sentence)}", so --occurrence {occurrence} is not there')
    return spans[(occurrence or 1) - 1]


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= 60 else sentence[:57] + "…"


def places_of(encoding: Encoding, span: tuple[int, int]) -> list[int]:
    """The tokens that a stretch of characters lies in."""
    places = [i for i, (a, b) in enumerate(encoding.offsets) if max(a, span[0]) < min(b, span[1])]
    if not places:
        raise UsageError("the tokenizer of this run says nothing at the place of the word: choose another word")
    return places


class Embedder:
    """Words by a finished run: `Embedder.load(run).embed(sentence, word)`."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.vocabulary, table = reader.words()
        self._table = normalize(table, dim=1)

    @classmethod
    def load(cls, run: Any, device: str = "auto") -> Embedder:
        return cls(Reader.load(run, device))

    @property
    def name(self) -> str:
        return self.reader.name

    def embed(self, sentence: str, word: str, occurrence: int | None = None) -> WordInSentence:
        """The vectors of one word. What it is cut into counts as one, by the mean.

        Raises:
            UsageError: the word is empty or not in the sentence, or several times and it is not said which.
        """
        sentence, word = sentence.strip(), word.strip()
        if not word:
            raise UsageError("the word is empty: name one of the sentence, such as --word apple")
        whole = self.reader.tokenizer.encode(sentence)
        span = span_of(sentence, word, occurrence)
        encoding, places = self.reader.part(whole, places_of(whole, span))
        notes = []
        if len(encoding.ids) < len(whole.ids):
            notes.append(f"{len(whole.ids)} tokens are more than the model reads: only {self.reader.limit} were read")
        if any(encoding.ids[place] == UNK for place in places):
            notes.append(f'"{word}" is unknown to the model, at least in part: its vector is that of any unknown word')
        [vectors] = self.reader.vectors([encoding.ids])
        by_layer = vectors.mean(places)
        names, groups, place = self._words(sentence, encoding, places)
        weights = self._weights(encoding, places, groups)
        static = by_layer[0]
        own = {word.casefold(), sentence[span[0] : span[1]].casefold()}
        layers = [
            Layer(
                number,
                vector,
                float(cosine_similarity(vector, static, dim=0)),
                self._nearest(vector, own),
                list(zip(names, weights[number - 1], strict=True)) if number else [],
            )
            for number, vector in enumerate(by_layer)
        ]
        return WordInSentence(
            sentence,
            sentence[span[0] : span[1]],
            [encoding.tokens[i] for i in places],
            place,
            layers[0],
            layers[1:],
            [all(0 <= i - self.reader.start < len(encoding.ids) for i in group) for group in groups],
            self._static(encoding, groups),
            notes,
        )

    def _words(
        self, sentence: str, encoding: Encoding, places: Sequence[int]
    ) -> tuple[list[str], list[list[int]], int]:
        """The words that can be looked at, the positions of each one's tokens, marks counted, and which one is asked
        for: its tokens stand apart from a comma that no white space parts it from."""
        keys: list[tuple[int, bool]] = []
        groups: list[list[int]] = []
        for i, number in enumerate(encoding.words):
            key = (number, i in places)
            if not keys or keys[-1] != key:
                keys.append(key)
                groups.append([])
            groups[-1].append(i)
        own = next(n for n, (_, asked) in enumerate(keys) if asked)
        names = [sentence[encoding.offsets[g[0]][0] : encoding.offsets[g[-1]][1]].strip() or "␣" for g in groups]
        groups = [[i + self.reader.start for i in group] for group in groups]
        if self.reader.before:
            names, groups, own = [SPECIAL_TOKENS[BOS], *names], [[0], *groups], own + 1
        if self.reader.after:
            names, groups = [*names, SPECIAL_TOKENS[EOS]], [*groups, [len(encoding.ids)]]
        return names, groups, own

    def _weights(self, encoding: Encoding, places: Sequence[int], groups: Sequence[Sequence[int]]) -> list[list[float]]:
        """For each layer, what the word looks at, word by word: the mean of heads and of its own tokens."""
        rows = [place + self.reader.start for place in places]
        seen = self.reader.weights(encoding.ids).mean(dim=1)[:, rows].mean(dim=1)
        return torch.stack([seen[:, list(group)].sum(dim=1) for group in groups], dim=1).tolist()

    def _static(self, encoding: Encoding, groups: Sequence[Sequence[int]]) -> Float[Tensor, "W D"]:
        ids = torch.tensor(self.reader.marked(encoding.ids), device=self.reader.device)
        with torch.inference_mode():
            vectors = self.reader.body.embedding(ids).float().cpu()
        return torch.stack([vectors[list(group)].mean(dim=0) for group in groups])

    def _nearest(self, vector: Float[Tensor, " D"], own: set[str]) -> list[tuple[str, float]]:
        """Words other than the word itself."""
        cosines = self._table @ normalize(vector, dim=0)
        values, order = cosines.topk(min(NEAREST + 8, len(cosines)))
        pairs = zip(order.tolist(), values.tolist(), strict=True)
        return [(self.vocabulary[i], c) for i, c in pairs if self.vocabulary[i].casefold() not in own][:NEAREST]


def apart(words: Sequence[WordInSentence]) -> Float[Tensor, "layers N N"]:
    """The cosines between the vectors of several sentences, for the static vectors and then for each layer."""
    by_layer = torch.stack(
        [torch.stack([layer.vector for layer in (word.static, *word.layers)]) for word in words], dim=1
    )
    unit = normalize(by_layer, dim=2)
    return unit @ unit.mT
