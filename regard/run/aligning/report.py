"""What an alignment of pairs says about itself: how the links were read, and how good they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from regard.evaluation import AlignmentScores, Heuristic
from regard.run.aligning.choosing import AlignmentChoice

Symmetrise = Heuristic | Literal["posterior"]
WAYS: tuple[Symmetrise, ...] = (*get_args(Heuristic), "posterior")
HEURISTIC: Heuristic = "grow-diag-final-and"


@dataclass(frozen=True)
class AlignmentReport:
    """How the links were read, and how good they are. `scores` leave out the first `tuned` pairs."""

    run: str
    choice: AlignmentChoice
    chosen: str
    sentences: int
    reverse: str | None = None
    reverse_choice: AlignmentChoice | None = None
    heuristic: Symmetrise | None = None
    tuned: int = 0
    scores: AlignmentScores | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "choice": self.choice.to_json(),
            "reverse": self.reverse,
            "reverse_choice": None if self.reverse_choice is None else self.reverse_choice.to_json(),
            "chosen": self.chosen,
            "symmetrise": self.heuristic,
            "sentences": self.sentences,
            "tuned": self.tuned,
            "scores": None if self.scores is None else self.scores.to_json(),
        }

    def __str__(self) -> str:
        lines = [f"{self.run}: {self.sentences:,} pairs, {self.choice} ({self.chosen})"]
        if self.heuristic == "posterior":
            lines = [
                f"{self.run} and {self.reverse}: {self.sentences:,} pairs, linked where the mean of both probabilities is "
                "above one half"
            ]
        elif self.reverse is not None:
            lines.append(f"{self.reverse}: {self.reverse_choice}; both made one by {self.heuristic}")
        if self.scores is not None:
            left_out = f", without the {self.tuned:,} chosen on" if self.tuned else ""
            lines.append(f"against {self.scores.sentences:,} gold sentences{left_out}:")
            parts = (self.scores.aer, self.scores.precision, self.scores.recall, self.scores.f)
            lines += [f"  {score}    {score.signature}" for score in parts]
        return "\n".join(lines)
