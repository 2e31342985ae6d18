"""Captioning: searching for what a picture shows, and where each word looked. Its loss is that of `translation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from regard.batch import BOS, EOS, rectangle
from regard.config.captioning import CaptionDecodingPart
from regard.data.captions import CaptionBatch
from regard.decoding import (
    Constraints,
    Hypothesis,
    beam_search,
    check_beam,
    check_count,
    check_length_penalty,
    check_sampling,
    greedy,
    sample,
)
from regard.evaluation import Metric
from regard.evaluation.captions import ORDERS, CaptionBleu, CiderD
from regard.models.captioning import ImageCaptioner


@dataclass(frozen=True)
class Search:
    """How to look for captions, whose lengths count tokens; `count` is how many to return per picture."""

    beam: int = 5
    count: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0
    min_length: int = 1
    max_length: int = 30
    batch_pictures: int = 64
    sampling: Mapping[str, Any] | None = None  # temperature, top_k, top_p, seed; None means beam search

    def __post_init__(self) -> None:
        check_beam(self.beam, self.count)
        check_sampling(self.sampling)
        check_length_penalty(self.length_penalty)
        check_count("no_repeat_ngram", self.no_repeat_ngram, 0, "0 (off) or the length that may not recur")
        check_count("max_length", self.max_length, 1, "how many tokens a caption may have, at least 1")

    @classmethod
    def of(cls, part: CaptionDecodingPart) -> Search:
        return cls(
            beam=part.beam,
            length_penalty=part.length_penalty,
            no_repeat_ngram=part.no_repeat_ngram,
            min_length=part.min_length,
            max_length=part.max_length,
            batch_pictures=part.batch_pictures,
        )


def search(
    model: ImageCaptioner,
    pictures: UInt8[np.ndarray, "N H W C"],
    how: Search,
    prefix: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Hypotheses for each picture, best first, in the order given. `prefix` are the ids each of them begins with."""
    model.eval()
    device, decoder = next(model.parameters()).device, model.decoder
    found: list[list[Hypothesis]] = []
    limits = Constraints(how.max_length, how.min_length, how.no_repeat_ngram, allow_unknown=False)
    for start in range(0, len(pictures), how.batch_pictures):
        some = np.array(pictures[start : start + how.batch_pictures])
        begin = None if prefix is None else [list(prefix)] * len(some)
        with torch.inference_mode():
            memory: Any = model.encode(torch.from_numpy(some).to(device))
            if how.sampling is not None:
                numbers = range(start, start + len(some))
                found += sample(decoder, memory, limits, prefix=begin, count=how.count, numbers=numbers, **how.sampling)  # type: ignore[arg-type]
            elif how.beam == 1 and how.count == 1:
                found += greedy(decoder, memory, limits, prefix=begin)  # type: ignore[arg-type]
            else:
                found += beam_search(
                    decoder,  # type: ignore[arg-type]
                    memory,
                    limits,
                    prefix=begin,
                    beam=how.beam,
                    nbest=how.count,
                    length_penalty=how.length_penalty,
                )
    return found


def look(
    model: ImageCaptioner, picture: UInt8[np.ndarray, "H W C"], hypothesis: Hypothesis
) -> Float[np.ndarray, "layers heads T S"]:
    """Where the model looks while it says each token of a caption, in a picture whose S places are row after row."""
    target, lengths = rectangle([[BOS, *hypothesis.ids, EOS]])
    only = torch.zeros(1, dtype=torch.long)
    batch = CaptionBatch(torch.from_numpy(np.array(picture))[None], only, target, lengths, only)
    model.eval()
    weights = model.look(batch.to(next(model.parameters()).device))
    return weights[0, :, :, : len(hypothesis.ids)].cpu().numpy()


def metrics() -> list[Metric]:
    """BLEU-1 to BLEU-4 and, last, CIDEr-D, which chooses models."""
    return [*(CaptionBleu(order) for order in range(1, ORDERS + 1)), CiderD()]
