"""A score and how it was measured, and what every metric has to offer.

A metric is a sum of per-sentence statistics put through a formula: BLEU sums n-gram counts, an error rate sums
edits and lengths. Saying it so once gives confidence intervals, paired tests and scores by length to all of them,
because all three only add the same rows in another selection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Float

from regard.errors import UsageError

# sacreBLEU's own seed, so that its `bs:…|seed:12345` means the very same resamples here.
SEED = 12345
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Score:
    """A number as the field prints it (percent), its 95 % bootstrap confidence, and what was computed.

    `low` and `high` are None where no bootstrap was asked for.
    """

    FORMAT: ClassVar[str] = ".1f"  # in which numbers are printed

    name: str
    value: float
    low: float | None
    high: float | None
    signature: str

    def __str__(self) -> str:
        how, text = self.FORMAT, f"{self.name} {self.value:{self.FORMAT}}"
        return text if self.low is None or self.high is None else f"{text} [{self.low:{how}}, {self.high:{how}}]"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class FineScore(Score):
    """A number whose third decimal counts."""

    FORMAT = ".3f"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a metric found in N sentences, before it is one number.

    `statistics` has a row a sentence; `formula` turns R sums of rows into R values; `signature(fields)` says what
    was computed, with fields such as `{"bs": "1000"}` added.
    """

    statistics: Float[np.ndarray, "N K"]
    formula: Callable[[Float[np.ndarray, "R K"]], Float[np.ndarray, " R"]]
    signature: Callable[[dict[str, str]], str]

    def value(self) -> float:
        return float(self.formula(self.statistics.sum(0, keepdims=True))[0])


class Metric(Protocol):
    """A way to compare hypotheses with references, such as `Bleu()` or `TokenErrorRate()`."""

    higher_is_better: ClassVar[bool]

    @property
    def name(self) -> str: ...

    def measure(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measured: ...


def check_parallel(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuses what no metric can make sense of.

    Raises:
        UsageError: nothing to score, unequal counts, a sentence without a reference, or something not a string.
    """
    if isinstance(hypotheses, str):
        raise UsageError("hypotheses is one string; give a list with one string a sentence.")
    if isinstance(references, str):
        raise UsageError("references is one string; give a list with one list of references a sentence.")
    if not len(hypotheses):
        raise UsageError("There are no hypotheses to score; give at least one sentence.")
    if len(hypotheses) != len(references):
        raise UsageError(
            f"There are {len(hypotheses)} hypotheses but references for {len(references)} sentences; "
            "give one list of references for each hypothesis, in the same order."
        )
    for number, (hypothesis, those) in enumerate(zip(hypotheses, references, strict=True), start=1):
        if not isinstance(hypothesis, str):
            raise UsageError(f"Hypothesis {number} is {type(hypothesis).__name__}, not a string.")
        if isinstance(those, str):
            raise UsageError(f"The references of sentence {number} are one string; write ['…'] instead of '…'.")
        if not len(those):
            raise UsageError(f"Sentence {number} has no reference; give at least one, which may be an empty string.")
        for reference in those:
            if not isinstance(reference, str):
                raise UsageError(f"A reference of sentence {number} is {type(reference).__name__}, not a string.")
