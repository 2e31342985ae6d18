"""Translation, and every other transduction of one line into another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regard.batch import EOS, Batch, rectangle
from regard.config import DecodingPart
from regard.data import Tokenizer
from regard.decoding import Constraints, Hypothesis, beam_search, greedy, sample
from regard.evaluation import Bleu, CharacterErrorRate, Chrf, ExactMatch, ItemErrorRate, Metric, Ter, TokenErrorRate
from regard.models import EncoderDecoder
from regard.training.loop import Loss
from regard.training.losses import linear_cross_entropy


def loss(model: EncoderDecoder, batch: Batch, *, smoothing: float, r_drop: float = 0.0) -> Loss:
    """Label-smoothed cross-entropy of the targets. With `r_drop`, each pair is read twice under different dropout
    and the two distributions are drawn together (Liang et al. 2021, with `r_drop` their α)."""
    if r_drop and model.training:
        return _r_drop(model, batch, smoothing, r_drop)
    features, labels = model.features(batch)
    output = model.output
    total, likelihood = linear_cross_entropy(features, output.weight, output.bias, labels, smoothing)
    return Loss(total, likelihood, labels.shape[0])


def _r_drop(model: EncoderDecoder, batch: Batch, smoothing: float, alpha: float) -> Loss:
    output = model.output
    passes = [model.features(batch) for _ in range(2)]
    labels = passes[0][1]
    pairs = [linear_cross_entropy(f, output.weight, output.bias, labels, smoothing) for f, _ in passes]
    first, second = (torch.log_softmax(output(f).float(), dim=-1) for f, _ in passes)
    # KL(p‖q) + KL(q‖p) = Σ (p - q)(log p - log q)
    apart = ((first.exp() - second.exp()) * (first - second)).sum()
    total = 0.5 * (pairs[0][0] + pairs[1][0]) + 0.25 * alpha * apart
    return Loss(total, 0.5 * (pairs[0][1] + pairs[1][1]), labels.shape[0])


@dataclass(frozen=True)
class Search:
    """How to look for an output; `count` is how many to return per source."""

    beam: int = 5
    count: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0
    min_length_ratio: float = 0.0
    max_length_ratio: float = 2.0
    max_length_extra: int = 10
    max_length: int = 256
    batch_tokens: int = 4096
    sampling: Mapping[str, Any] | None = None  # temperature, top_k, top_p, seed; None means beam search

    @classmethod
    def of(cls, part: DecodingPart, max_length: int) -> Search:
        return cls(
            beam=part.beam,
            length_penalty=part.length_penalty,
            no_repeat_ngram=part.no_repeat_ngram,
            min_length_ratio=part.min_length_ratio,
            max_length_ratio=part.max_length_ratio if part.max_length_ratio is not None else 2.0,
            max_length_extra=part.max_length_extra,
            max_length=max_length,
            batch_tokens=part.batch_tokens,
        )


def search(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    how: Search,
    prefixes: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    """Hypotheses for each source (ids without special tokens), best first, in the order given.

    Sources of like length go together, so that nothing waits for the longest of all.
    """
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]), reverse=True)
    found: list[list[Hypothesis]] = [[] for _ in sources]
    while order:
        rows = max(
            1, how.batch_tokens // ((len(sources[order[0]]) + 1) * max(1, how.beam if how.sampling is None else 1))
        )
        chosen, order = order[:rows], order[rows:]
        ids, lengths = rectangle([[*sources[i], EOS] for i in chosen])
        prefix = None if prefixes is None else [list(prefixes[i]) for i in chosen]
        for i, hypotheses in zip(
            chosen, _search(model, ids.to(device), lengths.to(device), how, prefix, chosen), strict=True
        ):
            found[i] = hypotheses
    return found


def _search(
    model: EncoderDecoder, ids: Tensor, lengths: Tensor, how: Search, prefix: list[list[int]] | None, numbers: list[int]
) -> list[list[Hypothesis]]:
    longest = (lengths * how.max_length_ratio).ceil().long() + how.max_length_extra
    shortest = (lengths * how.min_length_ratio).floor().long()
    limits = Constraints(
        max_length=longest.clamp(max=how.max_length),
        min_length=shortest.clamp(max=how.max_length),
        no_repeat_ngram=how.no_repeat_ngram,
    )
    with torch.inference_mode():
        memory = model.encode(ids, lengths)
        decoder: Any = model.decoder
        if how.sampling is not None:
            return sample(decoder, memory, limits, prefix=prefix, count=how.count, numbers=numbers, **how.sampling)
        if how.beam == 1 and how.count == 1:
            return greedy(decoder, memory, limits, prefix=prefix)
        return beam_search(
            decoder, memory, limits, prefix=prefix, beam=how.beam, nbest=how.count, length_penalty=how.length_penalty
        )


def spells(source: Tokenizer, target: Tokenizer) -> bool:
    """Whether outputs are judged as wholes, right or wrong: spellings, pronunciations, inflected forms."""
    return source.kind == "characters" or target.kind == "characters"


def metrics(source: Tokenizer, target: Tokenizer) -> list[Metric]:
    """The metrics of the job, the one that chooses models first.

    A pronunciation lexicon is judged by the share of words that equal none of their references (its "WER") and by
    edits in phonemes ("PER").
    """
    if not spells(source, target):
        return [Bleu(), Chrf(), Ter(), ExactMatch()]
    wrong = ItemErrorRate(name="WER")
    return [wrong, CharacterErrorRate()] if target.kind == "characters" else [wrong, TokenErrorRate(name="PER")]
