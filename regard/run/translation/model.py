"""`regard.Model`: a finished run, ready to speak."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from regard import build
from regard.attention import Edit
from regard.config import Recipe
from regard.data import Encoding, Tokenizer, alike
from regard.decoding import Hypothesis, Trees
from regard.errors import UsageError
from regard.models import EncoderDecoder, Ensemble
from regard.run.folder import RunFolder
from regard.run.lines import OF_PREFIX, check_lines, check_prefixes, length_note, unknown_note
from regard.run.translation.prediction import Prediction, attention_map, attention_weights, looked_at
from regard.run.translation.scoring import scored
from regard.run.translation.steering import edits_of, resolved, steered
from regard.run.translation.streaming import Looked, Partial, partials
from regard.run.translation.unknown import texts
from regard.run.weights import with_weights
from regard.tasks.translation import Search, search
from regard.view import AttentionMap

READ_AHEAD = 512  # lines that are sorted by length together


class Model:
    """A trained model with its tokenizers and its recipe."""

    def __init__(
        self, network: EncoderDecoder, source: Tokenizer, target: Tokenizer, recipe: Recipe, name: str
    ) -> None:
        self.network = network
        self.source_tokenizer, self.target_tokenizer = source, target
        self.recipe = recipe
        self.name = name

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> Model:
        """Reads a run folder; UsageError says what is missing or broken."""
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe_of(Recipe)
        source, target = folder.read_tokenizers(recipe)
        network = new_network(recipe, source, target)
        network = with_weights(network, folder, device)
        return cls(network, source, target, recipe, folder.path.name)

    @classmethod
    def ensemble(cls, models: Sequence[Model]) -> Model:
        """Models that speak together: each token is chosen by the mean of what they hold probable, and `attention` has
        the layers of them all, one model after the other. They search as the recipe of the first says.

        Raises:
            UsageError: no model, or models whose tokens are not the same.
        """
        if not models:
            raise UsageError("an ensemble is made of one model at least: give regard.Model.ensemble([model, …])")
        first, *rest = models
        for other in rest:
            for side in ("source", "target"):
                own, their = getattr(first, f"{side}_tokenizer"), getattr(other, f"{side}_tokenizer")
                if not own.equals(their):
                    raise UsageError(
                        f"{first.name} and {other.name} cannot speak together, since their {side} tokens differ: an "
                        "ensemble is made of models that were trained on the same pairs with the same tokenizer"
                    )
        if not rest:
            return first
        longest = min(model.recipe.data.max_length for model in models)
        recipe = first.recipe.model_copy(update={"data": first.recipe.data.model_copy(update={"max_length": longest})})
        network = Ensemble([model.network for model in models])
        name = " + ".join(model.name for model in models)
        return cls(network.eval(), first.source_tokenizer, first.target_tokenizer, recipe, name)

    def search(self, **options: Any) -> Search:
        """How this model searches by its recipe, with some things changed. UsageError names what cannot be."""
        if options.get("sampling") is not None and options.get("beam") is not None:
            raise UsageError("sample draws and beam searches: give one of them")
        how = Search.of(self.recipe.decoding, self.recipe.data.max_length)
        how = replace(how, **{name: value for name, value in options.items() if value is not None})
        return replace(how, beam=max(how.beam, how.count))  # n-best of a search that keeps at least n

    def predict(
        self,
        lines: Sequence[str],
        beam: int | None = None,
        *,
        nbest: int = 1,
        attention: bool = False,
        sample: Mapping[str, Any] | None = None,
        prefix: Sequence[str] | None = None,
        search: Search | None = None,
        tree: bool = False,
        steer: Sequence[Edit | Mapping[str, Any]] | None = None,
    ) -> list[Prediction]:
        """One prediction per line, in order.

        `beam` overrides the recipe's; `nbest` fills `alternatives`; `attention` fills `attention`; `sample` draws
        instead of searching, with `temperature`, `top_k`, `top_p`, `seed`; `prefix` is how each output must begin;
        `search` sets everything at once; `tree` fills `tree`. `steer` changes what is attended to while each line is
        said, and fills `steering`. A line without a character that is not white space gives an empty text.

        Raises:
            UsageError: what is no list of texts, a number that no search can have, both `beam` and `sample`.
        """
        check_lines(lines)
        how = search if search is not None else self.search(beam=beam, count=nbest, sampling=sample)
        filled = [i for i, line in enumerate(lines) if line.strip()]
        encodings = {i: self.encode(lines[i]) for i in filled}
        prefixes = None
        if prefix is not None:
            check_prefixes(prefix, lines)
            prefixes = [self.target_tokenizer.encode(prefix[i]).ids for i in filled]
        if steer is not None:
            edits, begins = edits_of(steer), [None] * len(lines) if prefix is None else [[each] for each in prefix]
            asked = {"attention": attention, "tree": tree}
            return [
                steered(self, line, self.encode(line)[0], edits, how, begin, **asked)
                for line, begin in zip(lines, begins, strict=True)
            ]
        trees = Trees(len(filled)) if tree else None
        ids = [encodings[i][0].ids for i in filled]
        found = _search(self.network, ids, how, prefixes, trees)
        predictions = [_nothing_said(line, how) for line in lines]
        spoken = iter(self._texts([lines[i] for i in filled], ids, found, how))
        for i, begin, hypotheses in zip(filled, prefixes or [()] * len(filled), found, strict=True):
            notes = [*encodings[i][1], *unknown_note(begin, OF_PREFIX)]
            said = [self._prediction(lines[i], each, next(spoken), notes) for each in hypotheses]
            predictions[i] = replace(said[0], alternatives=said if how.count > 1 else [])
        if attention and self.network.looks:
            self._look(predictions, filled, {i: e for i, (e, _) in encodings.items()}, found)
            if len(filled) < len(lines):
                nothing = self._nothing_seen()
                predictions = [
                    p if i in encodings else replace(p, attention=nothing) for i, p in enumerate(predictions)
                ]
        if trees is not None:
            for i, growing, hypotheses in zip(filled, trees.growing, found, strict=True):
                predictions[i] = replace(predictions[i], tree=growing.tree(hypotheses[0], self._name))
        return predictions

    def score(self, sources: Sequence[str], targets: Sequence[str], *, attention: bool = False) -> list[Prediction]:
        """How probable the model holds each target after its source, as a `Prediction` that says it: `score` is the
        log-probability of the whole, its end included, and `log_probabilities` those of its tokens and of the end.
        `attention` fills `attention`.

        Raises:
            UsageError: a string instead of a list, or lists of unequal length.
        """
        if isinstance(sources, str) or isinstance(targets, str):
            raise UsageError("score takes lists of lines: write model.score([source], [target])")
        if len(sources) != len(targets):
            raise UsageError(
                f"there are {len(sources)} sources and {len(targets)} targets: give one target for each source"
            )
        return scored(self, sources, targets, attention)

    def stream(
        self,
        line: str,
        beam: int | None = None,
        *,
        attention: bool = False,
        sample: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        steer: Sequence[Edit | Mapping[str, Any]] | None = None,
        search: Search | None = None,
    ) -> Iterator[Partial]:
        """`predict` for one line, while it is said: what is said so far after each step, and at last the whole, with
        its `prediction`. The search goes on only when the next one is asked for, and may be left at any time."""
        if not isinstance(line, str):
            raise UsageError("stream takes one line: write model.stream(line), or model.predict(lines) for several")
        if prefix is not None and not isinstance(prefix, str):
            raise UsageError("the prefix of a stream is a text: how the output of the one line must begin")
        how = search if search is not None else self.search(beam=beam, sampling=sample)
        if how.sampling is not None and how.count > 1:
            raise UsageError(f"a stream says one draw, not {how.count}: use predict, or stream with other seeds")
        if not line.strip():
            seen = self._nothing_seen() if attention and self.network.looks else None
            nothing = replace(_nothing_said(line, how), attention=seen)
            return iter([Partial(0, [], "", 0.0, 0.0, True, prediction=nothing)])
        encoding, notes = self.encode(line)
        begin = self.target_tokenizer.encode(prefix or "").ids
        notes += unknown_note(begin, OF_PREFIX)

        def conclude(found: Sequence[Hypothesis], weights: Looked | None) -> Prediction:
            spoken = self._texts([line], [encoding.ids], [found], how)
            said = [self._prediction(line, *each, notes) for each in zip(found, spoken, strict=True)]
            seen = None
            if weights is None and attention and self.network.looks:  # it looks only at what is said as a whole
                [weights] = attention_weights(self.network, [encoding.ids], found[:1])
            if weights is not None:
                words = self.source_tokenizer.split_words(line)
                seen = attention_map(weights, encoding, words, found[0], self.target_tokenizer)
            return replace(said[0], alternatives=said if how.count > 1 else [], attention=seen)

        return partials(
            self.network,
            encoding.ids,
            self.target_tokenizer,
            how,
            conclude,
            prefix=begin,
            attention=attention,
            edits=resolved(edits_of(steer or ()), encoding, len(self.source_tokenizer.split_words(line))),
        )

    def predict_stream(self, lines: Iterable[str], **options: Any) -> Iterator[Prediction]:
        """`predict` for any number of lines, a few hundred at a time, in order."""
        rest = iter(lines)
        while chunk := list(islice(rest, READ_AHEAD)):
            yield from self.predict(chunk, **options)

    def encode(self, line: str) -> tuple[Encoding, list[str]]:
        """What the model reads of a line, and what about it deserves a word: unknown tokens, or too many."""
        encoding = self.source_tokenizer.encode(line)
        limit = self.recipe.data.max_length
        notes = [*unknown_note(encoding.ids), *length_note(len(encoding.ids), limit, "split the line")]
        return encoding.first(limit), notes

    def _texts(
        self, lines: Sequence[str], ids: Sequence[Sequence[int]], found: Sequence[Sequence[Hypothesis]], how: Search
    ) -> list[str]:
        """Of every hypothesis of each line, in order."""
        owners = [number for number, each in enumerate(found) for _ in each]
        return texts(
            self.network,
            (self.source_tokenizer, self.target_tokenizer),
            [lines[number] for number in owners],
            [ids[number] for number in owners],
            [hypothesis for each in found for hypothesis in each],
            how,
        )

    def _prediction(self, line: str, hypothesis: Hypothesis, text: str, notes: list[str]) -> Prediction:
        return Prediction(
            source=line,
            text=text,
            score=hypothesis.score,
            tokens=self.target_tokenizer.tokens(hypothesis.ids),
            log_probabilities=list(hypothesis.log_probabilities),
            notes=notes,
            ids=list(hypothesis.ids),
        )

    def _name(self, token: int) -> str:
        return self.target_tokenizer.tokens([token])[0]

    def _look(
        self,
        predictions: list[Prediction],
        filled: Sequence[int],
        encodings: Mapping[int, Encoding],
        found: Sequence[Sequence[Hypothesis]],
    ) -> None:
        """Adds what was looked at to the best of each."""
        best = [each[0] for each in found]
        for i, said, weights in zip(
            filled, best, looked_at(self.network, [encodings[i].ids for i in filled], best), strict=True
        ):
            words = self.source_tokenizer.split_words(predictions[i].source)
            seen = attention_map(weights, encodings[i], words, said, self.target_tokenizer)
            predictions[i] = replace(predictions[i], attention=seen)

    def _nothing_seen(self) -> AttentionMap:
        """The map of a line without a word, of which nothing is said: it has no row."""
        nothing = Hypothesis([], 0.0, [], finished=False)
        [weights] = attention_weights(self.network, [[]], [nothing])
        return attention_map(weights, Encoding([], [], [], []), [], nothing, self.target_tokenizer)


# `Model.search` is public and means the settings; inside the class the function would be hidden by it.
_search = search


def _nothing_said(line: str, how: Search) -> Prediction:
    """What is said of a line without a word: the empty text, which is all of its n-best outputs."""
    empty = Prediction(line, "", 0.0, [], [])
    return replace(empty, alternatives=[empty] if how.count > 1 else [])


def new_network(recipe: Recipe, source: Tokenizer, target: Tokenizer) -> EncoderDecoder:
    """An untrained network for a recipe and its tokenizers."""
    return build.encoder_decoder(
        recipe.model,
        source.size,
        target.size,
        shared=bool(recipe.data.shared_vocabulary),
        max_length=recipe.data.max_length,
        same=alike(source, target),
    )
