"""Translation, and every other transduction of one line into another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from regard.attention import Hard, Record, record
from regard.batch import BOS, EOS, Batch, rectangle, within
from regard.config import DataPart, DecodingPart, TrainingPart, Unknown
from regard.data import Tokenizer
from regard.decoding import (
    Constraints,
    Hypothesis,
    Steps,
    Trees,
    beam_steps,
    check_beam,
    check_count,
    check_length_penalty,
    check_number,
    check_sampling,
    drain,
    greedy_steps,
    sample_steps,
)
from regard.errors import UsageError
from regard.evaluation import (
    CharacterErrorRate,
    Chrf,
    ExactMatch,
    ItemErrorRate,
    Metric,
    TokenErrorRate,
    bleu_for,
    script_of_language,
    ter_for,
)
from regard.models import EncoderDecoder
from regard.models.encoder_decoder import Targets
from regard.training.attention_losses import (
    coverage_loss,
    doubly_stochastic,
    guided_alignment,
    leave_one_out,
    reinforce,
    returns,
)
from regard.training.loop import Loss
from regard.training.losses import linear_cross_entropy
from regard.training.r_drop import apart, linear_r_drop

Guide = Callable[[Any], Float[Tensor, "B T S"]]
"""What each target step should look at: rows that have links sum to 1."""


@dataclass(frozen=True)
class Looking:
    """What a training asks of the weights beside the likelihood; each number is how much that counts.

    `coverage` (See et al. 2017) and `doubly_stochastic` (Xu et al. 2015) of every layer, the mean of its heads; `guided`
    of the first head of layer `guided_layer` (Garg et al. 2019), where `guide` says what to look at. `reward` and
    `entropy` are λ_r and λ_e of hard attention that is trained by REINFORCE (Xu et al. 2015, §4.1), which reads each
    pair `samples` times and counts what comes later by `discount` a step.
    """

    coverage: float = 0.0
    doubly_stochastic: float = 0.0
    reward: float = 1.0
    entropy: float = 0.01
    samples: int = 1
    discount: float = 1.0
    guided: float = 0.0
    guided_layer: int | None = None
    guide: Guide | None = None

    @classmethod
    def of(cls, part: TrainingPart, guide: Guide | None) -> Looking:
        return cls(
            part.coverage,
            part.doubly_stochastic,
            part.reward,
            part.entropy,
            part.samples,
            part.discount,
            part.guided if guide is not None else 0.0,
            part.guided_layer,
            guide,
        )

    @property
    def asks(self) -> bool:
        return bool(self.coverage or self.doubly_stochastic or self.guided)

    def check(self, model: EncoderDecoder) -> None:
        """UsageError where something is asked of the weights of a model that has none."""
        if self.asks and not model.looking:
            raise UsageError(
                "training.coverage, doubly_stochastic and guided are losses of the weights of attention, and this model has "
                "none (a fixed context, or one that sums over what it may look at): leave them out"
            )


def loss(
    model: EncoderDecoder, batch: Targets, *, smoothing: float, r_drop: float = 0.0, looking: Looking | None = None
) -> Loss:
    """Label-smoothed cross-entropy of the targets. With `r_drop`, each pair is read twice under different dropout
    and the two distributions are drawn together (Liang et al. 2021, with `r_drop` their α). `looking` adds what is
    asked of the weights, in training alone."""
    looking = Looking() if looking is None else looking
    attends = model.looking
    looking.check(model)
    chooses = any(isinstance(a.normalize, Hard) and a.normalize.estimator == "reinforce" for a in attends)
    if not model.training or not (looking.asks or chooses):
        return (
            _r_drop(model, batch, smoothing, r_drop) if r_drop and model.training else _plain(model, batch, smoothing)
        )
    if r_drop:
        raise UsageError(
            "training.r_drop reads each pair twice, which losses of the weights do not: set r_drop = 0, or leave out "
            "coverage, doubly_stochastic, guided and hard attention"
        )
    if chooses:
        return _choosing(model, batch, smoothing, looking)
    with record(attends) as records:
        found = _plain(model, batch, smoothing)
    total = found.total + _of_weights(looking, records, batch, model.read(batch))
    return Loss(total, found.likelihood, found.tokens)


def _choosing(model: EncoderDecoder, batch: Targets, smoothing: float, looking: Looking) -> Loss:
    """The loss of hard attention whose choices are drawn, the mean of `looking.samples` readings. One reading is
    compared with the moving average of a token's log-probability, several with each other."""
    readings: list[tuple[Tensor, list[Record]]] = []
    total = likelihood = batch.target.new_zeros((), dtype=torch.float32)
    tokens = 0
    for _ in range(looking.samples):
        with record(model.looking) as records:
            log_p, labels = model.log_probabilities(batch)
        gained = log_p.gather(1, labels[:, None])[:, 0]
        total = total - (1 - smoothing) * gained.sum() - smoothing * log_p.mean(dim=-1).sum()
        likelihood, tokens = likelihood - gained.detach().sum(), labels.shape[0]
        readings.append((gained.detach(), records))
        if looking.asks:
            total = total + _of_weights(looking, records, batch, model.read(batch))
    said = within(batch.target_lengths - 1, batch.target.shape[1] - 1)
    rewards = torch.stack([torch.zeros(said.shape, device=said.device).masked_scatter(said, g) for g, _ in readings])
    gained = returns(rewards, said, looking.discount)
    for attend, *looks in zip(model.looking, *(records for _, records in readings), strict=True):
        choices = [look.choice() for look in looks]
        made = torch.stack([c.log_probability for c in choices if c is not None])
        entropy = torch.stack([c.entropy for c in choices if c is not None])
        if len(readings) > 1:
            expected = leave_one_out(gained)
        else:
            assert isinstance(attend.normalize, Hard), "it drew what to look at"
            mean, ahead = readings[0][0].mean(), returns(said.to(gained.dtype)[None], said, looking.discount)
            expected = attend.normalize.follow(mean) * ahead
        total = total + looking.reward * reinforce(made, gained, expected, said)
        total = total - looking.entropy * (entropy * said).sum()
    return Loss(total / len(readings), likelihood / len(readings), tokens)


def _plain(model: EncoderDecoder, batch: Targets, smoothing: float) -> Loss:
    if model.copies and not smoothing:
        gained = model.likelihood(batch)
        return Loss(-gained.sum(), -gained.detach().sum(), gained.shape[0])
    if model.copies:
        return _smoothed(*model.log_probabilities(batch), smoothing)
    features, labels = model.features(batch)
    output = model.output
    total, likelihood = linear_cross_entropy(features, output.weight, output.bias, labels, smoothing)
    return Loss(total, likelihood, labels.shape[0])


def _smoothed(log_p: Float[Tensor, "P V"], labels: Int[Tensor, " P"], smoothing: float) -> Loss:
    likelihood = -log_p.gather(1, labels[:, None]).sum()
    total = (1 - smoothing) * likelihood - smoothing * log_p.mean(dim=-1).sum()
    return Loss(total, likelihood.detach(), labels.shape[0])


def _of_weights(looking: Looking, records: Sequence[Record], batch: Targets, read: Bool[Tensor, "B S"]) -> Tensor:
    said = within(batch.target_lengths - 1, batch.target.shape[1] - 1)
    layers = [each.weights().float() for each in records]
    total = layers[0].new_zeros(())
    for weights in layers:
        mean = weights.mean(dim=1) if weights.ndim == 4 else weights
        if looking.coverage:
            total = total + looking.coverage * coverage_loss(mean, said)
        if looking.doubly_stochastic:
            total = total + looking.doubly_stochastic * doubly_stochastic(mean, said, read)
    if looking.guided and looking.guide is not None:
        chosen = max(0, len(layers) - 2) if looking.guided_layer is None else looking.guided_layer
        if chosen >= len(layers):
            raise UsageError(f"training.guided_layer is {chosen}: the decoder looks in layers 0 to {len(layers) - 1}")
        weights = layers[chosen]
        head = weights[:, 0] if weights.ndim == 4 else weights
        total = total + looking.guided * guided_alignment(head, looking.guide(batch))
    return total


def _r_drop(model: EncoderDecoder, batch: Targets, smoothing: float, alpha: float) -> Loss:
    if model.copies:  # what they say is no linear layer's: the plain formula
        (p, labels), (q, _) = model.log_probabilities(batch), model.log_probabilities(batch)
        first, second = (_smoothed(log_p, labels, smoothing) for log_p in (p, q))
        total = 0.5 * (first.total + second.total) + 0.25 * alpha * apart(p, q)
        return Loss(total, 0.5 * (first.likelihood + second.likelihood), labels.shape[0])
    output = model.output
    (first, labels), (second, _) = model.features(batch), model.features(batch)
    total, likelihood = linear_r_drop(first, second, output.weight, output.bias, labels, smoothing, alpha)
    return Loss(total, likelihood, labels.shape[0])


@dataclass(frozen=True)
class Search:
    """How to look for an output; `count` is how many to return per source."""

    beam: int = 5
    count: int = 1
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    no_repeat_ngram: int = 0
    min_length_ratio: float = 0.0
    max_length_ratio: float = 2.0
    max_length_extra: int = 10
    max_length: int = 256
    unknown: Unknown = "keep"  # what becomes of unknown tokens: "replace" by what was looked at, "forbid" them
    batch_tokens: int = 4096
    sampling: Mapping[str, Any] | None = None  # temperature, top_k, top_p, seed; None means beam search

    def __post_init__(self) -> None:
        check_beam(self.beam, self.count)
        check_sampling(self.sampling)
        check_length_penalty(self.length_penalty)
        check_number("coverage_penalty", self.coverage_penalty, "a number from 0, which is none")
        check_count("no_repeat_ngram", self.no_repeat_ngram, 0, "0 (off) or the length that may not recur")
        least, most = (f"how many tokens an output {verb} have for each of the source's" for verb in ("must", "may"))
        check_number("min_length_ratio", self.min_length_ratio, f"{least}, from 0")
        check_number("max_length_ratio", self.max_length_ratio, f"{most}, above 0", above=True)
        if self.unknown not in get_args(Unknown):
            raise UsageError(f"unknown is {self.unknown!r}: write {', '.join(get_args(Unknown))}")

    @classmethod
    def of(cls, part: DecodingPart, max_length: int) -> Search:
        return cls(
            beam=part.beam,
            length_penalty=part.length_penalty,
            coverage_penalty=part.coverage_penalty,
            no_repeat_ngram=part.no_repeat_ngram,
            min_length_ratio=part.min_length_ratio,
            max_length_ratio=part.max_length_ratio if part.max_length_ratio is not None else 2.0,
            max_length_extra=part.max_length_extra,
            max_length=max_length,
            unknown=part.unknown or "keep",
            batch_tokens=part.batch_tokens,
        )


def search(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    how: Search,
    prefixes: Sequence[Sequence[int]] | None = None,
    trees: Trees | None = None,
) -> list[list[Hypothesis]]:
    """Hypotheses for each source (ids without special tokens), best first, in the order given. `trees` take down
    what was considered for each.

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
        steps = _search_steps(model, ids.to(device), lengths.to(device), how, prefix, chosen)
        for i, hypotheses in zip(chosen, drain(steps, None if trees is None else trees.of(chosen)), strict=True):
            found[i] = hypotheses
    return found


def search_steps(model: EncoderDecoder, source: Sequence[int], how: Search, prefix: Sequence[int] = ()) -> Steps:
    """`search` for one source, step by step."""
    model.eval()
    device = next(model.parameters()).device
    ids, lengths = rectangle([[*source, EOS]])
    return _search_steps(model, ids.to(device), lengths.to(device), how, [list(prefix)], [0])


@torch.inference_mode()
def _search_steps(
    model: EncoderDecoder, ids: Tensor, lengths: Tensor, how: Search, prefix: list[list[int]] | None, numbers: list[int]
) -> Steps:
    longest, shortest = (
        (lengths * ratio).clamp(max=how.max_length)  # before it is too large for a whole number
        for ratio in (how.max_length_ratio, how.min_length_ratio)
    )
    limits = Constraints(
        max_length=(longest.ceil().long() + how.max_length_extra).clamp(max=how.max_length),
        min_length=shortest.floor().long(),
        no_repeat_ngram=how.no_repeat_ngram,
        allow_unknown=how.unknown != "forbid",
    )
    memory = model.encode(ids, lengths)
    decoder: Any = model.decoder
    if how.sampling is not None:
        return (
            yield from sample_steps(
                decoder, memory, limits, prefix=prefix, count=how.count, numbers=numbers, **how.sampling
            )
        )
    if how.beam == 1 and how.count == 1:
        return (yield from greedy_steps(decoder, memory, limits, prefix=prefix))
    penalised = bool(how.coverage_penalty and model.looking)
    found = yield from beam_steps(
        decoder,
        memory,
        limits,
        prefix=prefix,
        beam=how.beam,
        nbest=how.beam if penalised else how.count,
        length_penalty=how.length_penalty,
    )
    return _covering(model, ids, lengths, found, how) if penalised else found


def _covering(
    model: EncoderDecoder, ids: Tensor, lengths: Tensor, found: list[list[Hypothesis]], how: Search
) -> list[list[Hypothesis]]:
    """Hypotheses in a new order: `score / n^length_penalty + β Σ_s log min(Σ_t α_ts, 1)` (Wu et al. 2016, equation 14),
    with the mean of layers and heads for α, and every source token but the end for s."""
    flat = [h for hypotheses in found for h in hypotheses]
    rows = torch.tensor([i for i, hypotheses in enumerate(found) for _ in hypotheses], device=ids.device)
    target, target_lengths = rectangle([[BOS, *h.ids, EOS] for h in flat])
    batch = Batch(ids[rows], lengths[rows], target.to(ids.device), target_lengths.to(ids.device), rows)
    said = within(batch.target_lengths - 1, target.shape[1] - 1)
    covered = (model.look(batch).mean(dim=(1, 2)) * said[..., None]).sum(dim=1)
    read = within(batch.source_lengths - 1, ids.shape[1])
    penalty = (covered.clamp(1e-6, 1.0).log() * read).sum(dim=1).tolist()
    ranked: list[list[tuple[float, Hypothesis]]] = [[] for _ in found]
    for row, h, cost in zip(rows.tolist(), flat, penalty, strict=True):
        # As the search ranks: n counts the tokens and the end.
        rank = h.score / (len(h.ids) + 1) ** how.length_penalty + how.coverage_penalty * cost
        ranked[row].append((rank, h))
    return [[h for _, h in sorted(each, key=lambda pair: -pair[0])[: how.count]] for each in ranked]


def spells(data: DataPart, source: Tokenizer, target: Tokenizer) -> bool:
    """Whether outputs are judged as wholes, right or wrong: spellings, pronunciations, inflected forms.

    The corpus has told when the run began; of older runs their tokenizers tell.
    """
    return "characters" in (source.kind, target.kind) if data.spelling is None else data.spelling


def metrics(
    data: DataPart,
    source: Tokenizer,
    target: Tokenizer,
    references: Sequence[Sequence[str]],
    tokenize: str | None = None,
) -> list[Metric]:
    """The metrics of the job, the one that chooses models first.

    A pronunciation lexicon is judged by the share of words that equal none of their references (its "WER") and by
    edits in phonemes ("PER"). Text is scored in words as its language has them; `tokenize` is another way for BLEU.
    """
    if not spells(data, source, target):
        return _of_text(data, target, references, tokenize)
    if tokenize is not None:
        raise UsageError("tokenize is of runs that are scored by BLEU, and this one is judged by words that are wrong")
    return _of_spelling(data, target)


def metrics_by_name(
    data: DataPart, source: Tokenizer, target: Tokenizer, references: Sequence[Sequence[str]]
) -> dict[str, Metric]:
    """What a snapshot may be chosen by, those that are scored anyway first: spellings have the scores of text too."""
    every = metrics(data, source, target, references)
    if spells(data, source, target):
        every += _of_text(data, target, references)
    names = {metric.name: metric for metric in reversed(every)}  # the first of a name is taken
    return {
        "chrf" if name == "chrF2" else name.lower().replace(" ", "-"): names[name]
        for name in dict.fromkeys(metric.name for metric in every)
    }


def _of_text(
    data: DataPart, target: Tokenizer, references: Sequence[Sequence[str]], tokenize: str | None = None
) -> list[Metric]:
    script = script_of_language(data.target_language, (text for those in references for text in those))
    ter = ter_for(script)
    found: list[Metric] = [bleu_for(script, tokenize), Chrf(), *([] if ter is None else [ter]), ExactMatch()]
    return [*found, CharacterErrorRate()] if ter is None or target.kind == "characters" else found


def _of_spelling(data: DataPart, target: Tokenizer) -> list[Metric]:
    letters = target.kind == "characters" or (data.spelling and target.kind != "words")
    return [ItemErrorRate(name="WER"), CharacterErrorRate() if letters else TokenErrorRate(name="PER")]
