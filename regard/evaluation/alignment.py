"""Word alignments: their two file formats, two directions made one, and their error rate against a gold standard.

A hypothesis is written in Pharaoh's format, a line of `source-target` pairs for each sentence, counted from 0. A
gold standard also knows links that only may be there: `3-5` is sure, `3p5` is possible, often counted from 1.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float

from regard.errors import UsageError
from regard.evaluation.advice import Setting, SettingError
from regard.evaluation.resampling import check_sampling, score_of
from regard.evaluation.score import RESAMPLES, SEED, Measured, Score

# (source word, target word), counted from 0.
Links = frozenset[tuple[int, int]]
Lengths = tuple[int, int]
Heuristic = Literal["intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and"]

# Nine digits are more words than any sentence has, and fewer than Python refuses to read.
_LINK = re.compile(r"(-?[0-9]{1,9})([-p])(-?[0-9]{1,9})")
# (target, source), in the order in which Moses visits them.
_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True, slots=True)
class Gold:
    """The links of one sentence by human judgement; `possible` contains the sure ones too (Och & Ney 2003)."""

    sure: Links
    possible: Links

    def __post_init__(self) -> None:
        if not self.sure <= self.possible:
            raise ValueError(
                f"The sure links {write_links(self.sure - self.possible)} are missing from the possible ones; "
                "give possible=sure | possible."
            )


def parse_links(
    line: str, name: str, number: int, *, offset: int = 0, reverse: bool = False, lengths: Lengths | None = None
) -> Links:
    """The links of a Pharaoh line such as `0-0 1-2`.

    `offset` is what the file counts from (0 or 1); with `reverse` its pairs have the target word first; `lengths`
    are the words of the source and of the target sentence.

    Raises:
        UsageError: names the file (`name`) and line (`number`) of a token that is not a sure link, or of an index
            that is negative or past the end of its sentence. Where an argument may mend it, it is a `SettingError`.
    """
    tokens = _tokens(line, name, number)
    for left, kind, right in tokens:
        if kind == "p":
            raise UsageError(
                f"{name}, line {number}: '{left}p{right}' is a possible link, which only a gold standard has; "
                f"write {left}-{right} or leave it out."
            )
    return frozenset(_link(token, name, number, offset, reverse, lengths) for token in tokens)


def parse_gold(
    line: str, name: str, number: int, *, offset: int = 0, reverse: bool = False, lengths: Lengths | None = None
) -> Gold:
    """The sure (`3-5`) and possible (`3p5`) links of a line; one that is both is sure. Otherwise as `parse_links`."""
    sure, possible = set(), set()
    for token in _tokens(line, name, number):
        link = _link(token, name, number, offset, reverse, lengths)
        possible.add(link)
        if token[1] == "-":
            sure.add(link)
    return Gold(frozenset(sure), frozenset(possible))


def read_links(
    path: Path | str, lengths: Sequence[Lengths] | None = None, *, one_based: bool = False, reverse: bool = False
) -> list[Links]:
    """The links of every sentence of a Pharaoh file ("-": standard input), checked against `lengths` where given.

    Raises:
        UsageError: see `parse_links`; a file that is missing, empty or not UTF-8; another number of lines than
            sentences.
    """
    name, lines = _lines(path, lengths)
    words = [None] * len(lines) if lengths is None else lengths
    return [
        parse_links(line, name, number, offset=int(one_based), reverse=reverse, lengths=those)
        for number, (line, those) in enumerate(zip(lines, words, strict=True), start=1)
    ]


def read_gold(
    path: Path | str, lengths: Sequence[Lengths], *, one_based: bool | None = None, reverse: bool = False
) -> list[Gold]:
    """The gold links of every sentence; `lengths` are the words of each source and target sentence.

    Where `one_based` is None, the file tells: an index 0 says that it counts from 0, one that equals the length of its
    sentence that it counts from 1, and the more frequent of the two is believed. Where neither occurs it would be a
    guess that shifts every link, so that it is asked for.

    Raises:
        UsageError: see `read_links`; and a `SettingError` where the file does not tell what it counts from.
    """
    name, lines = _lines(path, lengths)
    if one_based is None:
        one_based = _counts_from_one(name, lines, lengths, reverse)
    return [
        parse_gold(line, name, number, offset=int(one_based), reverse=reverse, lengths=those)
        for number, (line, those) in enumerate(zip(lines, lengths, strict=True), start=1)
    ]


def write_links(links: Links) -> str:
    """A Pharaoh line: `0-0 1-2`, sorted by source word and then by target word."""
    return " ".join(f"{source}-{target}" for source, target in sorted(links))


def intersection(forward: Links, backward: Links) -> Links:
    """The links both directions agree on: few, and nearly all right."""
    return forward & backward


def union(forward: Links, backward: Links) -> Links:
    """The links either direction has."""
    return forward | backward


def grow_diag(forward: Links, backward: Links) -> Links:
    """The intersection, and from it step by step the union's links that touch one and reach a word without any.

    Neighbours are the eight around a link. Koehn 2005, https://aclanthology.org/2005.iwslt-1.8, in the order of
    Moses (by target word, then by source word), because the order decides in rare cases; fast_align's `atools`
    visits in another.
    """
    either = forward | backward
    grown = set(forward & backward)
    sources, targets = {source for source, _ in grown}, {target for _, target in grown}
    added = True
    while added:
        added = False
        ahead = sorted((target, source) for source, target in grown)
        while ahead:
            here = heapq.heappop(ahead)
            for down, right in _NEIGHBOURS:
                target, source = here[0] + down, here[1] + right
                if (source, target) in either and (source not in sources or target not in targets):
                    grown.add((source, target))
                    sources.add(source)
                    targets.add(target)
                    added = True
                    # What lies behind is visited in the next round.
                    if (target, source) > here:
                        heapq.heappush(ahead, (target, source))
    return frozenset(grown)


def grow_diag_final(forward: Links, backward: Links) -> Links:
    """`grow_diag`, then the links of forward and those of backward that reach a word without any."""
    return _finished(grow_diag(forward, backward), forward, backward, both=False)


def grow_diag_final_and(forward: Links, backward: Links) -> Links:
    """`grow_diag`, then the links of forward and those of backward between two words without any."""
    return _finished(grow_diag(forward, backward), forward, backward, both=True)


_HEURISTICS: dict[str, Callable[[Links, Links], Links]] = {
    "intersection": intersection,
    "union": union,
    "grow-diag": grow_diag,
    "grow-diag-final": grow_diag_final,
    "grow-diag-final-and": grow_diag_final_and,
}


def symmetrise(forward: Links, backward: Links, heuristic: Heuristic = "grow-diag-final-and") -> Links:
    """One alignment of two: of the model from source to target, and of the model from target to source.

    Both are (source word, target word); turn the pairs of the second model round first.

    Raises:
        UsageError: an unknown heuristic.
    """
    if heuristic not in _HEURISTICS:
        raise UsageError(f"The heuristic is '{heuristic}'; it must be one of {', '.join(get_args(Heuristic))}.")
    return _HEURISTICS[heuristic](forward, backward)


@dataclass(frozen=True, slots=True)
class AlignmentErrorRate:
    """AER = 1 - (|A∩S| + |A∩P|) / (|A| + |S|) in percent (Och & Ney 2003, https://aclanthology.org/J03-1002).

    A are the links of all hypotheses, S the sure and P the possible links. It is 0 where A holds all of S and
    nothing outside P.
    """

    name: str = "AER"
    higher_is_better: ClassVar[bool] = False

    def measure(self, hypotheses: Sequence[Links], gold: Sequence[Gold]) -> Measured:
        return _measured("aer", _error_rate, hypotheses, gold)


@dataclass(frozen=True, slots=True)
class AlignmentScores:
    """`alignment_scores` of so many sentences; each score in percent with its confidence."""

    aer: Score
    precision: Score
    recall: Score
    f: Score
    sentences: int

    def __str__(self) -> str:
        return f"{self.aer}, {self.precision}, {self.recall}, {self.f} ({self.sentences} sentences)"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def alignment_scores(
    hypotheses: Sequence[Links], gold: Sequence[Gold], bootstrap: int = RESAMPLES, seed: int = SEED
) -> AlignmentScores:
    """AER, precision |A∩P| / |A|, recall |A∩S| / |S| and their harmonic mean F (Fraser & Marcu 2007) of N sentences.

    Where there is nothing to divide by, nothing is wrong: precision without any link is 100, and so is recall
    without any sure link.

    Raises:
        UsageError: unequal counts, nothing to score, `bootstrap` or `seed` negative.
    """
    if not len(hypotheses):
        raise UsageError("There are no alignments to score; give at least one sentence.")
    if len(hypotheses) != len(gold):
        raise UsageError(
            f"There are alignments for {len(hypotheses)} sentences but gold links for {len(gold)}; "
            "give one for each sentence, in the same order."
        )
    check_sampling(bootstrap, seed)
    aer = AlignmentErrorRate()
    scored = partial(score_of, bootstrap=bootstrap, seed=seed)
    return AlignmentScores(
        scored(aer.name, aer.measure(hypotheses, gold)),
        scored("precision", _measured("precision", _precision, hypotheses, gold)),
        scored("recall", _measured("recall", _recall, hypotheses, gold)),
        scored("F1", _measured("f1", _harmonic_mean, hypotheses, gold)),
        len(hypotheses),
    )


def _lines(path: Path | str, lengths: Sequence[Lengths] | None) -> tuple[str, list[str]]:
    # Its package imports torch, which scores do without.
    from regard.data.reader import read_lines

    name = "standard input" if path == "-" else str(path)
    lines = list(read_lines(path))
    if not lines:
        raise UsageError(f"{name} is empty: give one line of links for each sentence.")
    if lengths is not None and len(lines) != len(lengths):
        raise UsageError(
            f"The lines of links in {name} are {len(lines)}, but the sentences are {len(lengths)}; "
            "give one line for each sentence, empty where it has no link."
        )
    return name, lines


def _tokens(line: str, name: str, number: int) -> list[tuple[int, str, int]]:
    tokens = []
    for token in line.split():
        found = _LINK.fullmatch(token)
        if found is None:
            raise UsageError(
                f"{name}, line {number}: '{token[:40]}' is not a link; write the numbers of two words, such as 3-5 "
                "(in a gold standard also 3p5, for a possible link), with spaces between links."
            )
        tokens.append((int(found[1]), found[2], int(found[3])))
    return tokens


def _link(
    token: tuple[int, str, int], name: str, number: int, offset: int, reverse: bool, lengths: Lengths | None
) -> tuple[int, int]:
    left, kind, right = token
    link = (right - offset, left - offset) if reverse else (left - offset, right - offset)
    for index, side, length in zip(link, ("source", "target"), lengths or (None, None), strict=True):
        written = f"{name}, line {number}: '{left}{kind}{right}' names {side} word {index + offset}"
        if index < 0 and not offset:
            raise UsageError(f"{written}, but the file counts from 0; write 0 or more.")
        if index < 0:
            raise SettingError(
                f"{written}, but the file counts from {offset}; say that it counts from 0 if it does (",
                Setting("one_based", False),
                ").",
            )
        if length is not None and index >= length:
            last = f"the last word of that sentence is {length - 1 + offset}" if length else "that sentence is empty"
            raise SettingError(
                f"{written}, but {last}; give the sentences these links were made for, or say that the file counts from "
                f"{1 - offset} (",
                Setting("one_based", not offset),
                f") or has the {'source' if reverse else 'target'} word first (",
                Setting("reverse", not reverse),
                ").",
            )
    return link


def _counts_from_one(name: str, lines: Sequence[str], lengths: Sequence[Lengths], reverse: bool) -> bool:
    links = zeros = lasts = 0
    for number, (line, (source, target)) in enumerate(zip(lines, lengths, strict=True), start=1):
        first, second = (target, source) if reverse else (source, target)
        for left, _, right in _tokens(line, name, number):
            links += 1
            zeros += 0 in (left, right)
            lasts += left == first or right == second
    if links and not zeros and not lasts:
        raise SettingError(
            f"{name} does not tell whether it counts words from 0 or from 1, because no link has a 0 or the last word of a "
            "sentence; say which (",
            Setting("one_based", False),
            " or ",
            Setting("one_based", True),
            ").",
        )
    return lasts > zeros  # where both occur, the few are mistakes, and their lines are named


def _finished(grown: Links, *directions: Links, both: bool) -> Links:
    """Koehn's FINAL (one end without a link suffices) or, with `both`, FINAL-AND."""
    links = set(grown)
    sources, targets = {source for source, _ in links}, {target for _, target in links}
    for direction in directions:
        for source, target in sorted(direction):
            free = (source not in sources, target not in targets)
            if all(free) if both else any(free):
                links.add((source, target))
                sources.add(source)
                targets.add(target)
    return frozenset(links)


def _error_rate(sums: Float[np.ndarray, "R 4"]) -> Float[np.ndarray, " R"]:
    links, sure, both_sure, both_possible = sums.T
    return 100 - 100 * _share(both_sure + both_possible, links + sure)


def _precision(sums: Float[np.ndarray, "R 4"]) -> Float[np.ndarray, " R"]:
    return 100 * _share(sums[:, 3], sums[:, 0])


def _recall(sums: Float[np.ndarray, "R 4"]) -> Float[np.ndarray, " R"]:
    return 100 * _share(sums[:, 2], sums[:, 1])


def _harmonic_mean(sums: Float[np.ndarray, "R 4"]) -> Float[np.ndarray, " R"]:
    precision, recall = _precision(sums), _recall(sums)
    total = precision + recall
    return 2 * precision * recall / np.where(total > 0, total, 1)


def _share(part: Float[np.ndarray, " R"], whole: Float[np.ndarray, " R"]) -> Float[np.ndarray, " R"]:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 1.0)


def _measured(
    what: str,
    formula: Callable[[Float[np.ndarray, "R 4"]], Float[np.ndarray, " R"]],
    hypotheses: Sequence[Links],
    gold: Sequence[Gold],
) -> Measured:
    """A row a sentence: |A|, |S|, |A∩S|, |A∩P|."""
    statistics = np.array(
        [
            (len(links), len(those.sure), len(links & those.sure), len(links & those.possible))
            for links, those in zip(hypotheses, gold, strict=True)
        ],
        dtype=np.float64,
    )
    kinds = "sure+possible" if any(those.sure != those.possible for those in gold) else "sure"

    def signature(fields: dict[str, str]) -> str:
        said = {"measure": what, "links": kinds, **fields}
        return "|".join(f"{key}:{value}" for key, value in said.items())

    return Measured(statistics, formula, signature)
