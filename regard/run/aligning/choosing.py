"""Which layer and head of a model aligns, and whether a target word is looked up when it is said or when it is read.

Letters: L layers, H heads, W target words, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from regard.config.recipe import TrainingPart
from regard.errors import UsageError
from regard.evaluation import AlignmentErrorRate, Gold, Links

Shift = Literal["output", "input"]
SHIFTS: tuple[Shift, Shift] = ("output", "input")

# For each target word the number of the source word it looks at most, or -1: first by shift (output, input), then by
# layer, then by head, of which number 0 is the mean of all.
LinkTable = Int[np.ndarray, "2 L H+1 W"]


@dataclass(frozen=True, slots=True)
class AlignmentChoice:
    """`layer` and `head` count from 0; no head is the mean of all.

    With shift `output` a target word's links are read from the step that says it; with `input` from the next, in
    which the decoder reads it (Chen et al. 2020, "Accurate Word Alignment Induction from Neural Machine
    Translation", https://aclanthology.org/2020.emnlp-main.42: Shift-Att).
    """

    layer: int
    head: int | None
    shift: Shift

    def __str__(self) -> str:
        head = "the mean of all heads" if self.head is None else f"head {self.head}"
        return f"layer {self.layer}, {head}, shift {self.shift}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a choice is set by hand. None leaves it open; the head may be "mean"."""

    layer: int | None = None
    head: int | Literal["mean"] | None = None
    shift: Shift | None = None

    def __post_init__(self) -> None:
        if self.shift not in (None, *SHIFTS):
            raise UsageError(f"the shift is '{self.shift}'; it must be output or input")


def link_table(said: Float[np.ndarray, "L H W S"], read: Float[np.ndarray, "L H W S"]) -> LinkTable:
    """The links of every choice at once. A word that looks at nothing has none."""
    rows = np.stack([np.concatenate((w.mean(1, keepdims=True), w), axis=1) for w in (said, read)])
    if not rows.shape[-1]:
        return np.full(rows.shape[:-1], -1)
    return np.where(rows.max(-1) > 0, rows.argmax(-1), -1)


def links_of(table: LinkTable, choice: AlignmentChoice) -> Links:
    """(source word, target word) of one choice."""
    return frozenset((int(source), target) for target, source in enumerate(_row(table, choice)) if source >= 0)


def links_of_posteriors(forward: Float[np.ndarray, "W S"], backward: Float[np.ndarray, "S W"]) -> Links:
    """(source word, target word) where the mean of what both directions hold probable is above one half: one of them is
    sure and the other doubts, or both rather believe it than not (Liang, Taskar & Klein 2006 take the product)."""
    targets, sources = np.nonzero((forward + backward.T) / 2 > 0.5)
    return frozenset(zip(sources.tolist(), targets.tolist(), strict=True))


def default_choice(layers: int) -> AlignmentChoice:
    """Where nothing can be compared: the mean of all heads in the layer below the last, at the output; of one or two
    layers, in the last.

    It is where Garg et al. 2019 (https://arxiv.org/abs/1909.02074) found Transformers to align best by all heads.
    At the input single heads of the lowest layers can be much better and all others are much worse, so that needs
    something to choose by.
    """
    return AlignmentChoice(layers - 2 if layers > 2 else layers - 1, None, "output")


def guided_choice(training: TrainingPart, layers: int) -> AlignmentChoice | None:
    """The head that learned to align from given links (`training.guided`), and the step it learned to do so at."""
    if not training.guided:
        return None
    layer = max(0, layers - 2) if training.guided_layer is None else training.guided_layer
    return AlignmentChoice(layer, 0, training.guided_row)


def choices(layers: int, heads: int, wanted: Wanted, default: AlignmentChoice, run: str) -> list[AlignmentChoice]:
    """All that agree with what is wanted; the one nearest to the default comes first, and wins where all are equal.

    Raises:
        UsageError: a layer or head that the model lacks.
    """
    for number, size, what in ((wanted.layer, layers, "layer"), (wanted.head, heads, "head")):
        if isinstance(number, int) and not 0 <= number < size:
            raise UsageError(f"there is no {what} {number} in {run}: it has {what}s 0 to {size - 1}")
    found = [
        AlignmentChoice(layer, head, shift)
        for layer in range(layers)
        for head in (None, *range(heads))
        for shift in SHIFTS
        if wanted.layer in (None, layer)
        and (wanted.head is None or wanted.head == ("mean" if head is None else head))
        and wanted.shift in (None, shift)
    ]

    def distance(choice: AlignmentChoice) -> tuple[bool, bool, int]:
        return choice.shift != default.shift, choice.head != default.head, abs(choice.layer - default.layer)

    return sorted(found, key=distance)


def best_by_gold(
    links: Sequence[LinkTable], gold: Sequence[Gold], among: Sequence[AlignmentChoice], turned: bool = False
) -> AlignmentChoice:
    """The choice with the lowest alignment error rate. `turned` tables are of the model from target to source."""

    def error(choice: AlignmentChoice) -> float:
        hypotheses = [turn(links_of(table, choice)) if turned else links_of(table, choice) for table in links]
        return AlignmentErrorRate().measure(hypotheses, gold).value()

    return min(among, key=error)


def best_by_agreement(
    forward: Sequence[LinkTable],
    backward: Sequence[LinkTable],
    among: Sequence[AlignmentChoice],
    among_backward: Sequence[AlignmentChoice],
) -> tuple[AlignmentChoice, AlignmentChoice]:
    """The choices of both directions whose links overlap most: the largest 2|A∩B| / (|A| + |B|) over all sentences.

    Chen et al. 2020 choose layers so, without gold links: two models agree only by chance where they do not align.
    The shift is the same for both, because models that are both one word late agree as well, if one of them looks
    too late at its output and the other too early at its input.
    """
    common = np.zeros((len(among), len(among_backward)))
    sizes, sizes_backward = np.zeros(len(among)), np.zeros(len(among_backward))
    for table, other in zip(forward, backward, strict=True):
        there = np.stack([_row(table, choice) for choice in among])
        # One more word, which none looks at, for those that look at nothing.
        back = np.stack([np.append(_row(other, choice), -1) for choice in among_backward])
        words = np.arange(there.shape[1])
        for number, looked in enumerate(there):
            common[number] += (back[:, looked] == words).sum(1)
        sizes += (there >= 0).sum(1)
        sizes_backward += (back >= 0).sum(1)
    overlap = 2 * common / np.maximum(sizes[:, None] + sizes_backward, 1)
    overlap[np.array([[a.shift != b.shift for b in among_backward] for a in among])] = -1
    best, best_backward = divmod(int(np.argmax(overlap)), len(among_backward))
    return among[best], among_backward[best_backward]


def turn(links: Links) -> Links:
    """(source word, target word) of the other direction."""
    return frozenset((target, source) for source, target in links)


def _row(table: LinkTable, choice: AlignmentChoice) -> Int[np.ndarray, " W"]:
    return table[SHIFTS.index(choice.shift), choice.layer, 0 if choice.head is None else choice.head + 1]
