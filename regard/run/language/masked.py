"""Finished masked language models: they fill gaps, say how well they do, and show what they look at."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regard.batch import EOS, SPECIAL_TOKENS
from regard.build.language import masked_language_model
from regard.config.language import MaskedLanguageModelRecipe
from regard.data import Tokenizer
from regard.data.masking import MaskedBatches, word_beginnings
from regard.data.text import TextCorpus
from regard.data.tokenizer import SPACE
from regard.evaluation import FineScore, Score
from regard.models.language_model import MaskedLanguageModel as Network
from regard.run.folder import RunFolder
from regard.run.language.model import TextEvaluation, seen_weights, text_named, with_confidence
from regard.run.language.reading import read_tokenizer
from regard.run.weights import with_weights
from regard.tasks import language_model
from regard.training.checkpoint import write_text
from regard.view import AttentionMap, PageItem, draw, page

MASK = "[MASK]"


def restored_scores(found: language_model.Restored, rate: float) -> list[Score]:
    how = f"masked:{rate:g}|tokens:{found.tokens}"
    perplexity = FineScore("perplexity of hidden tokens", found.perplexity, None, None, how)
    right = Score("hidden tokens found", 100 * found.accuracy, None, None, how)
    return [
        with_confidence(perplexity, found.pieces, lambda sums: np.exp(sums[:, 0] / sums[:, 2])),
        with_confidence(right, found.pieces, lambda sums: 100 * sums[:, 1] / sums[:, 2]),
    ]


@dataclass(frozen=True)
class Filled:
    """A text with gaps, as filled by what is likeliest in each, and for each gap what is likeliest, with chances."""

    source: str
    text: str
    gaps: list[list[tuple[str, float]]]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source, "text": self.text, "gaps": [[list(pair) for pair in gap] for gap in self.gaps]}


class MaskedLanguageModel:
    """A trained model of what is hidden, with its tokenizer and its recipe."""

    def __init__(self, network: Network, tokenizer: Tokenizer, recipe: MaskedLanguageModelRecipe, name: str) -> None:
        self.network, self.tokenizer, self.recipe, self.name = network, tokenizer, recipe, name
        assert recipe.data.context is not None
        self.context = recipe.data.context

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> MaskedLanguageModel:
        """Reads a run folder; UsageError says what is missing or broken."""
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe_of(MaskedLanguageModelRecipe)
        tokenizer = read_tokenizer(folder)
        network = masked_language_model(recipe.model, tokenizer.size, recipe.data.context or 0)
        return cls(with_weights(network, folder, device), tokenizer, recipe, folder.path.name)

    def predict(self, lines: Iterable[str], count: int = 5) -> Iterator[Filled]:
        """Each line with its gaps, written [MASK], filled. A gap is one token."""
        for line in lines:
            yield self.fill(line, count)

    def fill(self, line: str, count: int = 5) -> Filled:
        ids, notes = self._read(line)
        places = [i for i, token in enumerate(ids) if token == self.network.vocabulary]
        if not places:
            return Filled(line, line, [], [f"there is no {MASK} to fill"] if line.strip() else [])
        tokens = torch.tensor([[*ids, EOS]], device=self.network.bias.device)
        lengths = torch.tensor([len(ids) + 1], device=tokens.device)
        with torch.inference_mode():
            logits = self.network.eval()(tokens, lengths)[0, places].float()
            logits[:, : len(SPECIAL_TOKENS)] = -torch.inf
            chances, found = logits.softmax(dim=-1).topk(min(count, logits.shape[1] - len(SPECIAL_TOKENS)), dim=-1)
        gaps = [
            [(self._name(i), chance) for i, chance in zip(ids_of, chances_of, strict=True)]
            for ids_of, chances_of in zip(found.tolist(), chances.tolist(), strict=True)
        ]
        text = line
        for gap in gaps:
            text = text.replace(MASK, gap[0][0], 1)
        return Filled(line, text, gaps, notes)

    def restore(self, corpus: TextCorpus) -> language_model.Restored:
        """How well hidden tokens of a text are found; the same ones are hidden each time."""
        recipe = self.recipe
        batches = MaskedBatches(
            corpus,
            self.context,
            recipe.training.batch_tokens,
            0,
            vocabulary=self.tokenizer.size,
            rate=recipe.masking.rate,
            beginnings=word_beginnings(self.tokenizer) if recipe.masking.whole_words else None,
            shuffle=False,
        )
        return language_model.restore(self.network, batches.epoch(0))

    def evaluate(self, corpus: TextCorpus) -> TextEvaluation:
        found = restored_scores(self.restore(corpus), self.recipe.masking.rate)
        return TextEvaluation(self.name, len(corpus), found)

    def said(self, lines: Iterable[str], *, jsonl: bool) -> Iterator[str]:
        """What `regard predict` prints for each line."""
        for number, filled in enumerate(self.predict(lines), start=1):
            for note in filled.notes:
                print(f"line {number}: {note}", file=sys.stderr)
            yield json.dumps(filled.to_json(), ensure_ascii=False) if jsonl else filled.text

    def shown(self, text: str, width: int, color: bool, *, layer: int | None = None, head: int | None = None) -> str:
        """What `regard show` prints: the filled text, what is likeliest in each gap, and what was looked at."""
        filled = self.fill(text)
        lines = [filled.text, *(note for note in filled.notes)]
        for number, gap in enumerate(filled.gaps, start=1):
            lines.append(f"{MASK} {number}: " + ", ".join(f"{name} {chance:.2f}" for name, chance in gap))
        seen = self.look(text)
        drawn = [] if seen is None else ["", draw(seen, width=width, color=color, layer=layer, head=head)]
        return "\n".join([*lines, *drawn])

    def save_page(self, text: str, path: Path, layer: int | None = None, head: int | None = None) -> None:
        """Writes a page with the filled text and what was looked at, which opens offline. Its reader chooses layers and
        heads there."""
        write_text(path, page([PageItem(text, self.fill(text).text, None, self.look(text))], self.name))

    def evaluated(self, source: Path | None, target: Path | None, data: Path | None, as_json: bool) -> str:
        """What `regard evaluate` prints."""
        return self.evaluate(text_named(source, target, data, self.recipe.data.unit, self.tokenizer)).said(as_json)

    def look(self, line: str) -> AttentionMap | None:
        """What each token of a line looks at, gaps and the end too."""
        ids, _ = self._read(line)
        if not ids:
            return None
        tokens = torch.tensor([[*ids, EOS]], device=self.network.bias.device)
        lengths = torch.tensor([len(ids) + 1], device=tokens.device)
        weights = seen_weights(self.network, lambda: self.network(tokens, lengths))
        end = SPECIAL_TOKENS[EOS]
        names = [*(MASK if i == self.network.vocabulary else self.tokenizer.tokens([i])[0] for i in ids), end]
        words, word_of = self._words(ids)
        words, word_of = [*words, end], [*word_of, len(words)]
        return AttentionMap(weights, names, names, words, words, word_of, word_of)

    def _read(self, line: str) -> tuple[list[int], list[str]]:
        """The tokens around the gaps, and the gaps."""
        parts = line.strip().split(MASK)
        if self.tokenizer.kind == "characters":  # white space at a gap is said, too
            pieces = [self._inner(part, i > 0, i < len(parts) - 1) for i, part in enumerate(parts)]
        else:
            pieces = self.tokenizer.encode_batch(parts)
        ids = [token for piece in pieces for token in (self.network.vocabulary, *piece)][1:]
        notes = []
        if len(ids) > self.context - 1:
            notes.append(f"{len(ids)} tokens are more than data.context = {self.context} holds: the rest was not read")
            ids = ids[: self.context - 1]
        return ids, notes

    def _inner(self, part: str, left: bool, right: bool) -> list[int]:
        """The tokens of a piece of a line, with the white space where it meets a gap: its ends are kept apart by a
        full stop, which is cut off again."""
        ids = self.tokenizer.encode_batch([("." if left else "") + part + ("." if right else "")])[0]
        return ids[int(left) : len(ids) - int(right)]

    def _words(self, ids: Sequence[int]) -> tuple[list[str], list[int]]:
        words: list[str] = []
        word_of: list[int] = []
        held: list[int] = []

        def close() -> None:
            if held:
                inner, inner_of = self.tokenizer.words(held)
                word_of.extend(len(words) + number for number in inner_of)
                words.extend(inner)
                held.clear()

        for token in ids:
            if token != self.network.vocabulary:
                held.append(token)
                continue
            close()
            word_of.append(len(words))
            words.append(MASK)
        close()
        return words, word_of

    def _name(self, token: int) -> str:
        return self.tokenizer.tokens([token])[0].removeprefix(SPACE)
