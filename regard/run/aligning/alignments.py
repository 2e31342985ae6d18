"""`align`: which source word each target word of given pairs comes from, by what a run looks at while it says them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np

from regard.data.reader import RawPair, TextPairs
from regard.errors import UsageError
from regard.evaluation import (
    Gold,
    Lengths,
    Links,
    alignment_scores,
    read_gold,
    symmetrise,
)
from regard.run.aligning.choosing import (
    AlignmentChoice,
    Wanted,
    best_by_agreement,
    best_by_gold,
    choices,
    default_choice,
    guided_choice,
    link_table,
    links_of,
    links_of_posteriors,
    turn,
)
from regard.run.aligning.forcing import Side, forced_attention, forced_posteriors, side, spelled, target_words
from regard.run.aligning.report import HEURISTIC, WAYS, AlignmentReport, Symmetrise
from regard.run.corpus import Pairs
from regard.run.translation.model import READ_AHEAD, Model

COMPARED = 500  # pairs on which the two directions are compared


@dataclass(frozen=True, slots=True)
class Aligned:
    """The links of one pair, (source word, target word) from 0, and what deserves a word about it."""

    links: Links
    notes: list[str]


class Alignments:
    """The links of every pair, once and in order; after that, `report`.

    What can be compared is: layer, head and shift by the error rate on the first `tune` gold pairs; without them by
    the agreement with `reverse` on the first 500; without that they are the default. What is `wanted` stays. Two models
    that sum over alignments are made one by their probabilities, `posterior`, unless `heuristic` says otherwise.
    """

    def __init__(
        self,
        model: Model,
        pairs: Sequence[tuple[str, str]],
        *,
        reverse: Model | None = None,
        heuristic: Symmetrise | None = None,
        wanted: Wanted | None = None,
        gold: Sequence[Gold] | None = None,
        tune: int = 0,
    ) -> None:
        _check(len(pairs), reverse, heuristic, gold, tune)
        if reverse is not None:
            _check_directions(model, reverse)
        self._gold, self._tune = gold, tune
        self._models = [model] if reverse is None else [model, reverse]
        wanted = wanted or Wanted()
        self._heuristic: Symmetrise | None = None if reverse is None else _way(self._models, heuristic, wanted)
        among = [_choices(of, wanted) for of in self._models]
        tables = _tables(self._models, pairs, posterior=self._heuristic == "posterior")
        first = list(islice(tables, tune or (COMPARED if reverse is not None else 0)))
        self._chosen, self.choices = _chosen(among, first, None if gold is None else gold[:tune])
        self._tables = chain(first, tables)
        self._links: list[Links] = []
        self._count = 0

    def __iter__(self) -> Iterator[Aligned]:
        for found, notes in self._tables:
            one = self._one(found) if found else frozenset()
            self._count += 1
            if self._gold is not None:
                self._links.append(one)
            yield Aligned(one, notes)

    def _one(self, found: Sequence[np.ndarray]) -> Links:
        """The links of one pair, of a table for each direction."""
        if self._heuristic == "posterior":
            return links_of_posteriors(found[0], found[1])
        links = [links_of(table, choice) for table, choice in zip(found, self.choices, strict=True)]
        return links[0] if self._heuristic is None else symmetrise(links[0], turn(links[1]), self._heuristic)

    def report(self) -> AlignmentReport:
        """Of the pairs that have come out."""
        scores = None
        if self._gold is not None:
            scores = alignment_scores(self._links[self._tune :], self._gold[self._tune : len(self._links)])
        return AlignmentReport(
            run=self._models[0].name,
            choice=self.choices[0],
            chosen=self._chosen,
            sentences=self._count,
            reverse=self._models[1].name if len(self._models) > 1 else None,
            reverse_choice=self.choices[1] if len(self._models) > 1 else None,
            heuristic=self._heuristic,
            tuned=self._tune,
            scores=scores,
        )


def given_pairs(pairs: Pairs) -> list[tuple[str, str]]:
    """The pairs as text, none left out.

    Raises:
        UsageError: one file has more lines than the other; a line is not UTF-8.
    """
    found = []
    for pair in pairs:
        if pair.source is None or pair.target is None:
            less = "source" if pair.source is None else "target"
            raise UsageError(
                f"{pairs.name} differ in length: line {pair.line} has no {less}; give files with one line for each pair"
            )
        found.append((_decoded(pairs, pair, "source"), _decoded(pairs, pair, "target")))
    return found


def _decoded(pairs: Pairs, pair: RawPair, side: Literal["source", "target"]) -> str:
    try:
        return getattr(pair, side).decode("utf-8")
    except UnicodeDecodeError as error:
        byte = error.start + 1
        if isinstance(pairs, TextPairs):
            where = f"{getattr(pairs, side)}, line {pair.line}, byte {byte}"
        else:
            where = f"{pairs.name}, line {pair.line}: byte {byte} of the {side}"
        raise UsageError(f"{where} is not UTF-8: save the file as UTF-8") from error


def gold_links(
    path: Path | str,
    model: Model,
    pairs: Sequence[tuple[str, str]],
    *,
    one_based: bool | None = None,
    reverse: bool = False,
) -> list[Gold]:
    """The gold links of the pairs, as `read_gold` has it, which are counted in the words that the run aligns."""
    sources, targets = _sides(model, pairs)
    lengths: list[Lengths] = [(source.words, target.words) for source, target in zip(sources, targets, strict=True)]
    return read_gold(path, lengths, one_based=one_based, reverse=reverse)


def _check(
    pairs: int, reverse: Model | None, heuristic: Symmetrise | None, gold: Sequence[Gold] | None, tune: int
) -> None:
    if heuristic is not None and heuristic not in WAYS:
        raise UsageError(f"the heuristic is '{heuristic}'; it must be one of {', '.join(WAYS)}")
    if heuristic is not None and reverse is None:
        raise UsageError("two directions are made one, but only one is there: give --reverse RUN2 with --symmetrise")
    if gold is not None and len(gold) != pairs:
        raise UsageError(f"there are gold links for {len(gold)} of {pairs} pairs: give them for each pair")
    if tune and gold is None:
        raise UsageError("--tune chooses by gold links: give --gold FILE with it")
    if tune < 0 or (tune and tune >= pairs):
        raise UsageError(f"--tune {tune} leaves no gold sentence to score of {pairs}: choose on 1 to {pairs - 1}")


def _check_directions(model: Model, reverse: Model) -> None:
    """Two runs from one language into the other agree well, and not because they align."""
    one, other = ((each.recipe.data.source_language, each.recipe.data.target_language) for each in (model, reverse))
    if None not in one and one == other:
        raise UsageError(
            f"{reverse.name} goes from {one[0]} to {one[1]} as {model.name} does: --reverse takes a run that goes back"
        )


def _way(models: Sequence[Model], heuristic: Symmetrise | None, wanted: Wanted) -> Symmetrise:
    """How two directions become one."""
    silent = [model.name for model in models if not model.network.says_which]
    # Of a lexicon alone, which does not know where the neighbours were said, the probabilities are too spread.
    sure = all(model.network.sums_alignments for model in models)
    if heuristic == "posterior" and silent:
        raise UsageError(
            f"{silent[0]} attends and does not say which source word said each: --symmetrise posterior is for "
            'kind = "hidden-markov", lexical = true and decoder = "exact-hard"'
        )
    if heuristic == "posterior" and wanted != Wanted():
        raise UsageError("posterior needs no layer, head or shift: leave them out, or take another --symmetrise")
    return heuristic or ("posterior" if sure and wanted == Wanted() else HEURISTIC)


def _choices(model: Model, wanted: Wanted) -> list[AlignmentChoice]:
    layers, heads = _shape(model)
    if model.network.says_which and wanted == Wanted():
        return [AlignmentChoice(layers - 1, None, "output")]  # it says itself which token said each
    return choices(
        layers, heads, wanted, guided_choice(model.recipe.training, layers) or default_choice(layers), model.name
    )


def _shape(model: Model) -> tuple[int, int]:
    """Layers and heads, as a look at the shortest pair shows them."""
    if not model.network.looks:
        raise UsageError(f"{model.name} has a fixed context and no attention to align by: give a run that has any")
    shortest = Side([0], [(0, 1)], 1)
    [(_, weights)] = forced_attention(model.network, [shortest], [shortest])
    return weights.shape[0], weights.shape[1]


def _chosen(
    among: list[list[AlignmentChoice]],
    first: Sequence[tuple[list[np.ndarray], list[str]]],
    gold: Sequence[Gold] | None,
) -> tuple[str, list[AlignmentChoice]]:
    """How the choice was made, and the choice of each direction."""
    default = [of[0] for of in among]
    if all(len(of) == 1 for of in among):
        return "set by hand", default
    there = [i for i, (tables, _) in enumerate(first) if tables]
    if not there:
        return "by default", default
    directions = [[first[i][0][number] for i in there] for number in range(len(among))]
    if gold:
        those = [gold[i] for i in there]
        best = [
            best_by_gold(tables, those, of, turned=bool(number))
            for number, (tables, of) in enumerate(zip(directions, among, strict=True))
        ]
        return f"lowest error on the first {len(first):,} gold pairs", best
    best = best_by_agreement(directions[0], directions[1], among[0], among[1])
    return f"where both directions agree most on {len(there):,} pairs", list(best)


def _tables(
    models: Sequence[Model], pairs: Sequence[tuple[str, str]], *, posterior: bool
) -> Iterator[tuple[list[np.ndarray], list[str]]]:
    """For each pair the links of every choice of every model, or with `posterior` what each model holds probable; or
    none of them and notes that say why."""
    letters = [_spelled(of, _turned(pairs, number)) for number, of in enumerate(models)]
    if len(letters) > 1 and letters[0] != letters[1][::-1]:
        raise UsageError(
            f"{models[0].name} and {models[1].name} count other words in these files, because only one of them "
            "spells: give two runs with the same tokenizers"
        )
    for start in range(0, len(pairs), READ_AHEAD):
        chunk = pairs[start : start + READ_AHEAD]
        read = [_sides(of, _turned(chunk, number), letters[number]) for number, of in enumerate(models)]
        notes = [_notes(models, [(s[i], t[i]) for s, t in read]) for i in range(len(chunk))]
        fit = [i for i in range(len(chunk)) if not notes[i]]
        found: list[dict[int, np.ndarray]] = []
        for of, (sources, targets) in zip(models, read, strict=True):
            sides = [sources[i] for i in fit], [targets[i] for i in fit]
            if posterior:
                found.append({fit[n]: chances for n, chances in forced_posteriors(of.network, *sides)})
                continue
            seen = forced_attention(of.network, *sides)
            found.append({fit[n]: link_table(*target_words(weights, targets[fit[n]])) for n, weights in seen})
        for i, said in enumerate(notes):
            yield [] if said else [tables[i] for tables in found], said


def _notes(models: Sequence[Model], read: Sequence[tuple[Side, Side]]) -> list[str]:
    """Why a pair, as each model reads it, has no links; empty where it has."""
    source, target = read[0]
    if not source.ids or not target.ids:
        which = (
            "both sides are" if not source.ids and not target.ids else f"the {'target' if source.ids else 'source'} is"
        )
        return [f"no links, because {which} empty"]
    return [
        f"no links, because {len(words.ids)} {what} tokens are more than data.max_length = {limit} of {of.name}; "
        "split the pair"
        for number, (of, sides) in enumerate(zip(models, read, strict=True))
        for what, words in zip(("target", "source") if number else ("source", "target"), sides, strict=True)
        if len(words.ids) > (limit := of.recipe.data.max_length)
    ]


def _sides(
    model: Model, pairs: Sequence[tuple[str, str]], letters: tuple[bool, bool] | None = None
) -> tuple[list[Side], list[Side]]:
    source, target = _spelled(model, pairs) if letters is None else letters
    return (
        [side(model.source_tokenizer, text, source) for text, _ in pairs],
        [side(model.target_tokenizer, text, target) for _, text in pairs],
    )


def _spelled(model: Model, pairs: Sequence[tuple[str, str]]) -> tuple[bool, bool]:
    return (
        spelled(model.source_tokenizer, [source for source, _ in pairs]),
        spelled(model.target_tokenizer, [target for _, target in pairs]),
    )


def _turned(pairs: Sequence[tuple[str, str]], number: int) -> Sequence[tuple[str, str]]:
    """The pairs as the model of that number reads them: the second goes from target to source."""
    return [(target, source) for source, target in pairs] if number else pairs
