"""Finished language models: they go on from a prompt, say how likely a text is, and show what they look at."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from regard.attention import attends
from regard.batch import BOS, SPECIAL_TOKENS
from regard.build.language import language_model as new_network
from regard.config.language import LanguageModelRecipe, SayingPart
from regard.data import Tokenizer
from regard.data.text import TextCorpus
from regard.decoding import Constraints, check_count, sample
from regard.errors import UsageError
from regard.evaluation import RESAMPLES, FineScore, Measured, PairedResult, Score, paired_measures
from regard.models.language_model import LanguageModel as Network
from regard.models.language_model import RecurrentLanguageModel, no_source
from regard.run.folder import RunFolder
from regard.run.language.model import TextEvaluation, seen_weights, text_named, with_confidence
from regard.run.language.reading import read_tokenizer
from regard.run.lines import check_lines, unknown_note
from regard.run.weights import with_weights
from regard.tasks import language_model
from regard.tasks.language_model import Likelihood, Sampling
from regard.view import AttentionMap

READ_AHEAD = 512  # lines that are sorted by length together
ROWS = 64  # prompts that go on side by side
MANY = 0.001  # of a text's tokens: if more are unknown, how likely it is says too little of it


def likelihood_scores(found: Likelihood, context: int) -> list[Score]:
    how = f"context:{context}|stride:{max(1, context // 2)}|tokens:{found.tokens}|characters:{found.characters}"
    how += f"|unknown:{found.unknown}"
    perplexity = FineScore("perplexity", found.perplexity, None, None, how)
    bits = FineScore("bits per character", found.bits_per_character, None, None, how)
    return [
        with_confidence(perplexity, found.pieces, lambda sums: np.exp(sums[:, 0] / sums[:, 1])),
        with_confidence(bits, found.pieces, lambda sums: sums[:, 0] / sums[:, 2] / np.log(2)),
    ]


def _bits(pieces: Float[np.ndarray, "P 3"], how: str) -> Measured:
    """Bits per character of nats, tokens and characters."""

    def said(fields: dict[str, str]) -> str:
        return "|".join([how, *(f"{key}:{value}" for key, value in fields.items())])

    return Measured(pieces, lambda sums: sums[:, 0] / sums[:, 2] / np.log(2), said)


@dataclass(frozen=True)
class How:
    """How texts go on: by chance or, at temperature 0, by what is likeliest, for so many tokens at most."""

    sampling: Sampling
    max_tokens: int

    def __post_init__(self) -> None:
        check_count("max_tokens", self.max_tokens, 1, "how many tokens to say, at least 1")
        check_count("no_repeat_ngram", self.sampling.no_repeat_ngram, 0, "0 (off) or the length that may not recur")

    @classmethod
    def of(
        cls,
        part: SayingPart,
        *,
        draw: bool = False,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        no_repeat_ngram: int | None = None,
        max_tokens: int | None = None,
    ) -> How:
        """As a recipe has it, with some things changed. To change how it is drawn is to ask that it is drawn."""
        drawn = draw or part.sample or any(x is not None for x in (temperature, top_k, top_p, seed))
        repeats = part.no_repeat_ngram if no_repeat_ngram is None else no_repeat_ngram
        sampling = Sampling(
            (part.temperature if temperature is None else temperature) if drawn else 0.0,
            part.top_k if top_k is None else top_k,
            part.top_p if top_p is None else top_p,
            1 if seed is None else seed,
            repeats,
        )
        return cls(sampling, part.max_tokens if max_tokens is None else max_tokens)


@dataclass(frozen=True)
class Continuation:
    """A prompt, and the text after it. White space at the prompt's ends is not read."""

    prompt: str
    text: str
    tokens: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> str:
        return self.prompt.strip() + self.text

    def to_json(self) -> dict[str, Any]:
        return {"prompt": self.prompt, "text": self.text, "tokens": self.tokens}


class LanguageModel:
    """A trained model of what comes next, with its tokenizer and its recipe."""

    def __init__(self, network: Network, tokenizer: Tokenizer, recipe: LanguageModelRecipe, name: str) -> None:
        self.network, self.tokenizer, self.recipe, self.name = network, tokenizer, recipe, name
        assert recipe.data.context is not None
        self.context = recipe.data.context

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> LanguageModel:
        """Reads a run folder; UsageError says what is missing or broken."""
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe_of(LanguageModelRecipe)
        tokenizer = read_tokenizer(folder)
        network = new_network(recipe.model, tokenizer.size, recipe.data.context or 0)
        return cls(with_weights(network, folder, device), tokenizer, recipe, folder.path.name)

    def how(self, **options: Any) -> How:
        return How.of(self.recipe.decoding, **options)

    @property
    def _reach(self) -> int | None:
        """A Transformer is at home in the places it was trained in; a state has none."""
        return None if isinstance(self.network, RecurrentLanguageModel) else self.context

    def predict(
        self, lines: Sequence[str], how: How | None = None, *, first: int = 0, from_nothing: bool = True
    ) -> list[Continuation]:
        """One continuation per line, in order. `first` is the number of the first line: each is drawn with the seed
        and its own number, so what is drawn for one depends on no other. A blank line begins a text `from_nothing`, or
        else stays blank."""
        check_lines(lines)
        how = how or self.how()
        said = (
            {} if from_nothing else {i: Continuation(line, "", []) for i, line in enumerate(lines) if not line.strip()}
        )
        prompts = self.tokenizer.encode_batch(lines)
        reach = self._reach
        asked = [i for i in range(len(lines)) if i not in said]
        short = [i for i in asked if reach is None or len(prompts[i]) + how.max_tokens <= reach]
        short.sort(key=lambda i: len(prompts[i]))
        for start in range(0, len(short), ROWS):
            chosen = short[start : start + ROWS]
            found = self._side_by_side([prompts[i] for i in chosen], how, [first + i for i in chosen])
            said |= {i: self._continuation(lines[i], prompts[i], ids) for i, ids in zip(chosen, found, strict=True)}
        for i, line in enumerate(lines):
            if i not in said:  # its window moves on the way
                text = "".join(self.stream(line, how, number=first + i))
                said[i] = Continuation(line, text, self.tokenizer.tokens(self.tokenizer.encode_batch([text])[0]))
        return [self._noted(said[i], prompts[i]) for i in range(len(lines))]

    def predict_stream(
        self, lines: Iterable[str], how: How | None = None, *, from_nothing: bool = True
    ) -> Iterator[Continuation]:
        """`predict` for any number of lines, a few hundred at a time, in order."""
        rest, first = iter(lines), 0
        while chunk := list(islice(rest, READ_AHEAD)):
            yield from self.predict(chunk, how, first=first, from_nothing=from_nothing)
            first += len(chunk)

    def stream(self, prompt: str, how: How | None = None, *, number: int = 0) -> Iterator[str]:
        """What comes after a prompt, piece by piece while it is said. A blank one begins from nothing."""
        how = how or self.how()
        return language_model.continue_text(
            self.network,
            self.tokenizer,
            prompt,
            length=how.max_tokens,
            context=self._reach,
            sampling=replace(how.sampling, number=number),
        )

    def _side_by_side(self, prompts: list[list[int]], how: How, numbers: list[int]) -> list[list[int]]:
        """The tokens of each, prompt and all."""
        draw = how.sampling
        limits = torch.tensor([len(ids) + how.max_tokens for ids in prompts])
        found = sample(
            self.network,
            no_source(len(prompts), self.network.output.weight.device),
            Constraints(limits, no_repeat_ngram=draw.no_repeat_ngram, allow_unknown=draw.allow_unknown),
            temperature=draw.temperature,
            top_k=draw.top_k,
            top_p=draw.top_p,
            seed=draw.seed,
            numbers=numbers,
            prefix=prompts,
        )
        return [hypotheses[0].ids for hypotheses in found]

    def _continuation(self, line: str, prompt: list[int], ids: list[int]) -> Continuation:
        text = self.tokenizer.decode(ids)[len(self.tokenizer.decode(prompt)) :]
        return Continuation(line, text, self.tokenizer.tokens(ids[len(prompt) :]))

    def _noted(self, said: Continuation, prompt: list[int]) -> Continuation:
        return replace(said, notes=unknown_note(prompt))

    def likelihood(self, corpus: TextCorpus) -> Likelihood:
        """How likely a text is."""
        return language_model.measure(self.network, corpus, context=self.context)

    def evaluate(self, corpus: TextCorpus, against: tuple[LanguageModel, TextCorpus] | None = None) -> TextEvaluation:
        """`against` is tested by bits per character on the same text, as its own tokenizer reads it."""
        found, notes = self.likelihood(corpus), []
        if found.unknown > MANY * found.tokens:
            notes.append(
                f"{found.unknown:,} of {found.tokens:,} tokens ({found.unknown / found.tokens:.1%}) are unknown to the model "
                "and easier to say than what they hide: bits per character and perplexity look better than they are"
            )
        paired = [] if against is None else [self._compared(found, *against)]
        return TextEvaluation(self.name, len(corpus), likelihood_scores(found, self.context), notes, paired)

    def _compared(self, found: Likelihood, other: LanguageModel, corpus: TextCorpus) -> PairedResult:
        theirs = other.likelihood(corpus)
        if len(found.parts) != len(theirs.parts) or found.characters != theirs.characters:
            raise UsageError(
                f"{self.name} reads {len(found.parts):,} documents of {found.characters:,} characters and {other.name} "
                f"{len(theirs.parts):,} of {theirs.characters:,}: a test needs two runs with the same data.unit"
            )
        alike = np.array_equal(found.pieces[:, 2], theirs.pieces[:, 2])  # cut at the same places
        first, second = (each.pieces if alike else each.documents for each in (found, theirs))
        how = f"{'pieces' if alike else 'documents'}:{len(first)}|context:{self.context},{other.context}"
        resamples = RESAMPLES if len(first) > 1 else 0  # one piece alone tells nothing of others
        measured = (_bits(each, how) for each in (first, second))
        return paired_measures("bits per character", *measured, bootstrap=resamples, kind=FineScore)

    def said(self, lines: Iterable[str], *, jsonl: bool, how: How | None = None) -> Iterator[str]:
        """What `regard predict` prints for each line: the line and what comes after it. A blank line stays blank."""
        for number, each in enumerate(self.predict_stream(lines, how, from_nothing=False), start=1):
            for note in each.notes:
                print(f"line {number}: {note}", file=sys.stderr)
            text = each.whole.replace("\n", " ")
            yield json.dumps(each.to_json(), ensure_ascii=False) if jsonl else text

    def said_at_once(self, lines: Iterable[str], how: How | None = None) -> Iterator[str]:
        """What `said` gives, piece by piece as it is said, with the end of each line."""
        for number, line in enumerate(lines):
            if line.strip():
                for note in unknown_note(self.tokenizer.encode_batch([line])[0]):
                    print(f"line {number + 1}: {note}", file=sys.stderr)
                yield line.strip()
                yield from (piece.replace("\n", " ") for piece in self.stream(line, how, number=number))
            yield "\n"

    def evaluated(
        self,
        source: Path | None,
        target: Path | None,
        data: Path | None,
        as_json: bool,
        against: LanguageModel | None = None,
    ) -> str:
        """What `regard evaluate` prints."""
        own, *others = (
            (model, text_named(source, target, data, model.recipe.data.unit, model.tokenizer))
            for model in (self, *(() if against is None else (against,)))
        )
        found = self.evaluate(own[1], *others)
        for note in found.notes:
            print(note, file=sys.stderr)
        return found.said(as_json)

    def look(self, text: str) -> AttentionMap | None:
        """What each token of a text, of its end where that is longer than the context, was said by looking at: a row
        for each token, a column for each that was read. None for a model without attention."""
        ids = self.tokenizer.encode_batch([text])[0][-self.context :]
        if not attends(self.network) or not ids:
            return None
        read = torch.tensor([[BOS, *ids[:-1]]], device=self.network.output.weight.device)
        weights = seen_weights(
            self.network, lambda: self.network.features(read, self.network.start(no_source(1, read.device)))
        )
        words, word_of = self.tokenizer.words(ids)
        before, before_of = self.tokenizer.words(ids[:-1])
        start = SPECIAL_TOKENS[BOS]
        return AttentionMap(
            weights,
            source=[start, *self.tokenizer.tokens(ids[:-1])],
            target=self.tokenizer.tokens(ids),
            source_words=[start, *before],
            target_words=words,
            source_word_of=[0, *(word + 1 for word in before_of)],
            target_word_of=word_of,
        )
