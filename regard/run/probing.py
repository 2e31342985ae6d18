"""`probe`: what each head of a run is worth, by taking it away (Michel et al. 2019, https://arxiv.org/abs/1905.10650;
Voita et al. 2019, https://aclanthology.org/P19-1580)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from regard.attention import Edit, capture, steer
from regard.attention.edit import Where
from regard.attention.reading import entropy
from regard.attention.steer import heads_of, places
from regard.batch import Batch, within
from regard.errors import UsageError
from regard.evaluation import AlignmentErrorRate, Gold
from regard.models import EncoderDecoder
from regard.run.aligning.alignments import given_pairs
from regard.run.aligning.choosing import SHIFTS, AlignmentChoice, LinkTable, link_table, links_of
from regard.run.aligning.forcing import forced_attention, side, spelled, target_words
from regard.run.corpus import Pairs, examined, held_out, kept, pairs_of
from regard.run.translation.model import Model

PAIRS = 200  # more would change few digits
ROWS = 32
Errors = Mapping[tuple[int, int], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Head:
    """`loss_change` is what its absence costs, in nats a token; `entropy` the mean of its rows, in nats. The error
    rates, in percent, are of links from the step that says a word and from the step that reads it."""

    where: Where
    layer: int
    head: int
    loss_change: float
    entropy: float
    aer_said: float | None = None
    aer_read: float | None = None


@dataclass(frozen=True)
class Probe:
    """The heads of a run from the lowest layer up, on `sentences` pairs whose `tokens` it says with `loss` nats each."""

    run: str
    sentences: int
    left_out: int
    tokens: int
    loss: float
    heads: list[Head]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        left_out = f" ({self.left_out:,} empty or too long left out)" if self.left_out else ""
        lines = [
            f"{self.run}: {self.sentences:,} pairs{left_out}, {self.tokens:,} tokens, loss {self.loss:.4f} a token "
            "(losses and entropies in nats)"
        ]
        gold = any(head.aer_said is not None for head in self.heads)
        lines.append("where    layer  head   loss without   entropy" + ("   AER said   AER read" if gold else ""))
        for head in self.heads:
            row = f"{head.where:<8} {head.layer:>5} {head.head:>5}   {head.loss_change:>+12.4f}   {head.entropy:>7.3f}"
            if head.aer_said is not None and head.aer_read is not None:
                row += f"   {head.aer_said:>8.2f}   {head.aer_read:>8.2f}"
            lines.append(row)
        return "\n".join(lines)


def probe(
    model: Model, pairs: Sequence[tuple[str, str]], *, count: int = PAIRS, gold: Sequence[Gold] | None = None
) -> Probe:
    """Every head of the model without it, on at most `count` pairs, evenly over all. `gold` are links of each pair, in
    the words that `regard align` counts; with them the links of each head that looks at the source are scored.

    Raises:
        UsageError: a model without attention; nothing to say; gold links for other pairs.
    """
    if not any(places(model.network).values()):
        why = "sums over all it could look at" if model.network.looks else "has a fixed context"
        raise UsageError(f"{model.name} {why} and has no heads to probe: give a run that has any")
    if gold is not None and len(gold) != len(pairs):
        raise UsageError(f"there are gold links for {len(gold)} of {len(pairs)} pairs: give them for each pair")
    limit = model.recipe.data.max_length
    few = min(count, len(pairs))
    chosen, ids = [], []
    for number in (place * len(pairs) // few for place in range(few)):
        source, target = (
            tokenizer.encode(text).ids
            for tokenizer, text in zip((model.source_tokenizer, model.target_tokenizer), pairs[number], strict=True)
        )
        if source and target and len(source) <= limit and len(target) <= limit:
            chosen.append(number)
            ids.append((source, target))
    if not chosen:
        raise UsageError(f"no pair to probe with has two sides of 1 to {limit} tokens: give other files")
    device = next(model.network.parameters()).device
    batches = [batch.to(device) for batch in _batches(ids)]
    tokens = sum(batch.target_tokens for batch in batches)
    loss = _loss(model.network, batches) / tokens
    errors: Errors = {}
    if gold is not None:
        errors = _errors(model, [pairs[n] for n in chosen], [gold[n] for n in chosen])
    spread = _entropies(model.network, batches)
    heads = []
    for where in get_args(Where):
        for layer, name in enumerate(places(model.network)[where]):
            for head in range(max(1, heads_of(model.network)[name])):
                with steer(model.network, [Edit("drop", where=where, layers=[layer], heads=[head])]):
                    without = _loss(model.network, batches) / tokens
                rates = errors.get((layer, head), (None, None)) if where == "cross" else (None, None)
                heads.append(Head(where, layer, head, without - loss, spread[name][head], *rates))
    return Probe(model.name, len(chosen), few - len(chosen), tokens, loss, heads)


def validation_pairs(model: Model) -> list[tuple[str, str]]:
    """The pairs that the training validated on: those of its files, or those it kept from training."""
    data = model.recipe.data
    valid = pairs_of(data, valid=True)
    pairs = valid if valid is not None else pairs_of(data)
    if pairs is None:
        raise UsageError(f"{model.name} names no pairs to probe with: give --source FILE and --target FILE")
    try:
        diagnosis = examined(pairs, lambda sentence: None)
    except UsageError as error:
        raise UsageError(
            f"the pairs that {model.name} was validated on cannot be read ({error}); give --source FILE and --target FILE"
        ) from error
    apart = held_out(diagnosis.pairs, model.recipe.seed) if valid is None else (lambda _: True)
    return [(source, target) for _, source, target in kept(pairs, diagnosis) if apart(source)]


def probed_pairs(pairs: Pairs) -> list[tuple[str, str]]:
    """Pairs of given files, none left out."""
    found = given_pairs(pairs)
    if not found:
        raise UsageError(f"{pairs.name} holds no pair: give files with one line for each pair")
    return found


def _batches(ids: Sequence[tuple[list[int], list[int]]]) -> Iterator[Batch]:
    """Pairs of like length together."""
    order = sorted(range(len(ids)), key=lambda n: (len(ids[n][1]), len(ids[n][0])))
    for start in range(0, len(order), ROWS):
        sources, targets = zip(*(ids[n] for n in order[start : start + ROWS]), strict=True)
        yield Batch.of(sources, targets)


def _loss(network: EncoderDecoder, batches: Sequence[Batch]) -> float:
    network.eval()
    with torch.inference_mode():
        return -sum(float(network.likelihood(batch).double().sum()) for batch in batches)


def _entropies(network: EncoderDecoder, batches: Sequence[Batch]) -> dict[str, list[float]]:
    """Of each head of each `Attend`: the mean over its real rows."""
    sums: dict[str, Tensor] = {}
    rows: dict[str, int] = {}
    encoders = set(places(network)["encoder"])
    for batch in batches:
        with torch.inference_mode(), capture(network) as seen:
            network(batch)
        for name in seen:
            weights = seen.steps(name).float()
            weights = weights if weights.ndim == 4 else weights[:, None]
            lengths = batch.source_lengths if name in encoders else batch.target_lengths - 1
            real = within(lengths, weights.shape[-2])
            found = torch.from_numpy(entropy(weights.cpu().numpy())) * real.cpu()[:, None]
            sums[name] = sums.get(name, torch.zeros(())) + found.double().sum(dim=(0, 2))
            rows[name] = rows.get(name, 0) + int(real.sum())
    return {name: (total / rows[name]).tolist() for name, total in sums.items()}


def _errors(model: Model, pairs: Sequence[tuple[str, str]], gold: Sequence[Gold]) -> Errors:
    """Of each layer and head that looks at the source: the error rates of its links, said and read."""
    letters = [
        spelled(tokenizer, [pair[number] for pair in pairs])
        for number, tokenizer in enumerate((model.source_tokenizer, model.target_tokenizer))
    ]
    sources = [side(model.source_tokenizer, source, letters[0]) for source, _ in pairs]
    targets = [side(model.target_tokenizer, target, letters[1]) for _, target in pairs]
    found: dict[int, LinkTable] = {
        number: link_table(*target_words(weights, targets[number]))
        for number, weights in forced_attention(model.network, sources, targets)
    }
    tables = [found[number] for number in range(len(pairs))]
    layers, heads = tables[0].shape[1], tables[0].shape[2] - 1  # of which the first is the mean of all
    rates: dict[tuple[int, int], tuple[float, float]] = {}
    for layer in range(layers):
        for head in range(heads):
            said, read = (
                AlignmentErrorRate()
                .measure([links_of(table, AlignmentChoice(layer, head, shift)) for table in tables], gold)
                .value()
                for shift in SHIFTS
            )
            rates[layer, head] = float(said), float(read)
    return rates
