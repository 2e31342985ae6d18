"""What finished language models of both kinds share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from regard.attention import capture
from regard.data import Tokenizer
from regard.data.text import TextCorpus, Unit
from regard.errors import UsageError
from regard.evaluation import RESAMPLES, SEED, PairedResult, Score
from regard.evaluation.resampling import bootstrap_sums, interval
from regard.run.language.reading import Texts

N = TypeVar("N", bound=nn.Module)


def with_confidence(
    score: Score, pieces: Float[np.ndarray, "P 3"], formula: Callable[[Float[np.ndarray, "R 3"]], np.ndarray]
) -> Score:
    """A score with the 95 % of resampled documents, or parts of long ones; one piece alone tells nothing of others.
    What a formula makes of the pieces' sum is the score."""
    if len(pieces) < 2:
        return score
    (sums,) = bootstrap_sums(pieces, samples=RESAMPLES, seed=SEED)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        values = formula(sums)
    if np.isnan(values).any():  # a resample of pieces without a token
        return score
    low, high = interval(values)
    signature = f"{score.signature}|pieces:{len(pieces)}|bs:{RESAMPLES}|seed:{SEED}"
    return replace(score, low=low, high=high, signature=signature)


@dataclass(frozen=True)
class TextEvaluation:
    """What `regard evaluate` says of a language model. `notes` is what deserves a word about the text."""

    run: str
    documents: int
    scores: list[Score]
    notes: list[str] = field(default_factory=list)
    paired: list[PairedResult] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        scores, paired = ([each.to_json() for each in found] for found in (self.scores, self.paired))
        return {"run": self.run, "documents": self.documents, "scores": scores, "paired": paired}

    def said(self, as_json: bool) -> str:
        return json.dumps(self.to_json(), ensure_ascii=False, indent=1) if as_json else str(self)

    def __str__(self) -> str:
        lines = [f"{self.run}: {self.documents:,} documents"]
        lines += [f"  {s}    {s.signature}" for s in self.scores]
        return "\n".join([*lines, *(f"{each}    {each.signature}" for each in self.paired)])


def text_named(
    source: Path | None, target: Path | None, data: Path | None, unit: Unit, tokenizer: Tokenizer
) -> TextCorpus:
    """The text that a command names."""
    if data is None or source is not None or target is not None:
        raise UsageError("a language model is evaluated on text: give --data FILE alone")
    return TextCorpus.of(Texts((data,), unit), tokenizer)


def seen_weights(network: nn.Module, run: Callable[[], object]) -> Float[np.ndarray, "L H T S"]:
    """The weights of all layers while the network reads one text."""
    network.eval()
    with torch.inference_mode(), capture(network) as seen:
        run()
        layers: list[Tensor] = [seen.steps(name)[0].float() for name in seen]
    # A recurrent network has one head, and says nothing of it.
    return torch.stack([w if w.ndim == 3 else w[None] for w in layers]).cpu().numpy()
