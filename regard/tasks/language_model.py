"""Language models: what is minimised, how well a text is predicted, how one goes on, and what each layer makes of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from tokenizers import Regex, pre_tokenizers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regard.batch import BOS, EOS, UNK, within
from regard.data import Tokenizer
from regard.data.masking import MaskedBatch
from regard.data.text import TextBatch, TextCorpus, text_batch
from regard.decoding.bounds import check_drawing
from regard.decoding.constraints import Constraints, Rules
from regard.decoding.sampling import likely
from regard.errors import UsageError
from regard.models import TransformerEncoder
from regard.models.language_model import (
    LanguageModel,
    MaskedLanguageModel,
    RecurrentLanguageModel,
    TransformerLanguageModel,
    no_source,
)
from regard.training.loop import Loss
from regard.training.losses import SLICE_ELEMENTS, linear_cross_entropy
from regard.wide import wide

GRAPHEMES = pre_tokenizers.Split(Regex(r"\X"), "isolated")


def loss(model: LanguageModel, batch: TextBatch, *, smoothing: float = 0.0) -> Loss:
    """Cross-entropy of each next token."""
    features, labels = model.predict(batch)
    total, likelihood = linear_cross_entropy(features, model.output.weight, model.output.bias, labels, smoothing)
    return Loss(total, likelihood, labels.shape[0])


def masked_loss(model: MaskedLanguageModel, batch: MaskedBatch, *, smoothing: float = 0.0) -> Loss:
    """Cross-entropy of each hidden token."""
    features, labels = model.predict(batch)
    total, likelihood = linear_cross_entropy(features, model.weight, model.bias, labels, smoothing)
    return Loss(total, likelihood, labels.shape[0])


# --- how well a text is predicted -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Likelihood:
    """Of a text, summed. `unknown` are the tokens that stand for characters which the vocabulary lacks: they are easier
    to say than what they hide, so numbers of texts with many of them are too good. `pieces` has nats, tokens and
    characters of each document, or of each part of at most `context` tokens of a longer one: what is resampled. `parts` is
    how many of them each document has."""

    nats: float
    tokens: int
    characters: int
    unknown: int = 0
    pieces: Float[np.ndarray, "P 3"] = field(default_factory=lambda: np.zeros((0, 3)), compare=False, repr=False)
    parts: Int[np.ndarray, " D"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64), compare=False, repr=False)

    @property
    def documents(self) -> Float[np.ndarray, "D 3"]:
        """The pieces of each document together."""
        return np.add.reduceat(self.pieces, self.parts.cumsum() - self.parts)

    @property
    def perplexity(self) -> float:
        """`exp(nats / tokens)`: among how many equally likely tokens a model chooses."""
        mean = self.nats / self.tokens
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def bits_per_character(self) -> float:
        """Which, unlike perplexity, can be compared between tokenizers."""
        return self.nats / self.characters / math.log(2)


@torch.inference_mode()
def measure(
    model: LanguageModel, corpus: TextCorpus, *, context: int, stride: int | None = None, batch_tokens: int = 8192
) -> Likelihood:
    """The likelihood of a text, each token of it said once.

    Windows of `context` tokens are `stride` apart (a half of the context where none is given), and in each only what
    the one before has not said counts, so that but for the first window a token has at least `context - stride` tokens
    before it. 1 is exact and slow; `stride = context` is fast, and too high for the first tokens of each window.
    """
    stride = max(1, context // 2) if stride is None else stride
    if not 1 <= stride <= context:
        raise UsageError(f"stride is {stride}: write from 1 to {context}, the context")
    if corpus.said < 1:
        raise UsageError("there is no text to measure: give at least one line that is not blank")
    model.eval()
    device = model.output.weight.device
    ends = np.arange(min(context, corpus.said), corpus.said + stride, stride).clip(max=corpus.said)
    ends = np.unique(ends)
    begins = (ends - context).clip(min=0)
    fresh = np.diff(ends, prepend=0)  # how many tokens, the last ones, are said here for the first time
    nats, unknown = np.zeros(corpus.said), 0
    rows = max(1, batch_tokens // context)
    for part in range(0, len(ends), rows):
        chosen = slice(part, part + rows)
        batch = text_batch(corpus, begins[chosen], ends[chosen]).to(device)
        lengths, steps = batch.lengths - 1, batch.said.shape[1]
        known = lengths - torch.from_numpy(fresh[chosen]).to(device)
        new = within(lengths, steps) & ~within(known, steps)
        features, labels = model.teach(batch)[new], batch.said[new]
        # Row after row, what is new: together all from the end of the last batch to the end of this one.
        done = int(ends[part] - fresh[part])
        nats[done : done + len(labels)] = _nats(features, model.output, labels)
        unknown += int((labels == UNK).sum())
    sizes = np.diff(np.asarray(corpus.starts, dtype=np.int64))  # with the end
    parts = -(-sizes // context)
    pieces = _pieces_of(corpus, sizes, parts, nats)
    return Likelihood(float(nats.sum()), corpus.said, int(corpus.characters.sum()), unknown, pieces, parts)


def _nats(features: Float[Tensor, "P F"], output: nn.Linear, labels: Int[Tensor, " P"]) -> Float[np.ndarray, " P"]:
    """Of each token, in slices that hold few logits."""
    rows = max(64, SLICE_ELEMENTS // output.out_features)
    found = [
        cross_entropy(wide(output(each)), those, reduction="none")
        for each, those in zip(features.split(rows), labels.split(rows), strict=True)
    ]
    return torch.cat(found).double().cpu().numpy() if found else np.zeros(0)


def _pieces_of(
    corpus: TextCorpus, sizes: Int[np.ndarray, " D"], parts: Int[np.ndarray, " D"], nats: Float[np.ndarray, " S"]
) -> Float[np.ndarray, "P 3"]:
    """Nats, tokens and characters of each document of `sizes` tokens, in as many `parts`, which share its characters as
    they share its tokens."""
    document = np.repeat(np.arange(len(sizes)), parts)
    part = np.arange(len(document)) - np.repeat(parts.cumsum() - parts, parts)
    # The first mark of a stream is not said, so what is said begins one earlier than it stands.
    begins = corpus.starts[document] - 1 + part * sizes[document] // parts[document]
    tokens = np.diff(begins, append=corpus.said)
    characters = corpus.characters[document] * tokens / sizes[document]
    return np.stack([np.add.reduceat(nats, begins), tokens, characters], axis=1)


@dataclass(frozen=True)
class Restored:
    """How well hidden tokens are found again. `pieces` has nats, right ones and tokens of each sequence that was read:
    of a document, or a part of a long one."""

    nats: float
    right: int
    tokens: int
    pieces: Float[np.ndarray, "P 3"] = field(default_factory=lambda: np.zeros((0, 3)), compare=False, repr=False)

    @property
    def perplexity(self) -> float:
        mean = self.nats / self.tokens
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def accuracy(self) -> float:
        return self.right / self.tokens


@torch.inference_mode()
def restore(model: MaskedLanguageModel, batches: Iterable[MaskedBatch]) -> Restored:
    """Of batches that are masked the same way each time: those of `MaskedBatches(…, shuffle=False).epoch(0)`."""
    model.eval()
    found: list[np.ndarray] = [np.zeros((0, 3))]
    for batch in batches:
        features, labels = model.predict(batch.to(model.bias.device))
        logits = nn.functional.linear(features, model.weight, model.bias)
        nats = cross_entropy(wide(logits), labels, reduction="none").double().cpu().numpy()
        right = (logits.argmax(dim=-1) == labels).cpu().numpy()
        row = batch.places.nonzero()[:, 0].cpu().numpy()  # the order in which `predict` gives the places
        columns = [np.bincount(row, each, minlength=len(batch)) for each in (nats, right, np.ones_like(nats))]
        found.append(np.stack(columns, axis=1))
    pieces = np.concatenate(found)
    nats, right, tokens = pieces.sum(axis=0).tolist()
    if not tokens:
        raise UsageError("there is nothing to restore: the text has no token that can be masked")
    return Restored(nats, round(right), round(tokens), pieces)


# --- going on -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sampling:
    """As in `regard.decoding.sample`, whose draws these are."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1
    number: int = 0  # of the source, in `sample`
    no_repeat_ngram: int = 0
    allow_unknown: bool = False

    def __post_init__(self) -> None:
        check_drawing(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, seed=self.seed)


def continue_text(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    length: int = 256,
    context: int | None = None,
    sampling: Sampling | None = None,
) -> Iterator[str]:
    """What comes after `prompt`, piece by piece while it is drawn; the pieces joined are all of it.

    A piece is never less than a whole character as a reader sees it: the last one waits for what may still join it.
    It ends at the end of the document or after `length` tokens. A model that has read `context` tokens (or as many as
    it can) goes on from the last half of them. The same seed gives the same text.
    """
    if length < 1:
        raise UsageError(f"length is {length}: write how many tokens to say, at least 1")
    reach = min((limit for limit in (context, model.reach) if limit is not None), default=None)
    if reach is not None and reach < 2:
        raise UsageError(f"context is {reach}: a text goes on from at least 2 tokens")
    ids = tokenizer.encode_batch([prompt])[0]
    return _pieces(model, tokenizer, ids, length, reach, sampling or Sampling())


def _pieces(
    model: LanguageModel, tokenizer: Tokenizer, ids: list[int], length: int, reach: int | None, how: Sampling
) -> Iterator[str]:
    shown = len(tokenizer.decode(ids))
    text = tokenizer.decode(ids)
    for token in _tokens(model, ids, length, reach, how):
        ids = [*ids, token]
        text = tokenizer.decode(ids)
        # Half a character of a tokenizer of bytes decodes to U+FFFD; a mark may yet join the last character.
        whole = text.rstrip("�")
        settled = max(shown, _last_grapheme(whole, shown))
        if settled > shown:
            yield text[shown:settled]
            shown = settled
    if text[shown:]:
        yield text[shown:]


def _last_grapheme(text: str, after: int) -> int:
    """Where the last grapheme of a text begins, if it begins behind `after`."""
    parts = GRAPHEMES.pre_tokenize_str(text[after:])
    return after + (parts[-1][1][0] if parts else 0)


@torch.inference_mode()
def _next_logits(model: LanguageModel, tokens: list[int], state: Any, memory: Any) -> tuple[Tensor, Any]:
    """For the token after the last one; of the others only the state is needed."""
    ids = torch.tensor([tokens], device=model.output.weight.device)
    features, state = model.features(ids, state, memory)
    return model.output(features[:, -1]), state


def _tokens(model: LanguageModel, ids: list[int], length: int, reach: int | None, how: Sampling) -> Iterator[int]:
    """The tokens that `regard.decoding.sample` draws after a prompt, one by one, without the end."""
    model.eval()
    device = model.output.weight.device
    limits = Constraints(len(ids) + length, no_repeat_ngram=how.no_repeat_ngram, allow_unknown=how.allow_unknown)
    rules, owner = Rules(limits, 1, None, device), torch.zeros(1, dtype=torch.long, device=device)
    size, generator = (
        model.output.out_features,
        torch.Generator().manual_seed(hash((how.seed, 0, how.number)) & (2**63 - 1)),
    )
    for _ in ids if how.temperature else []:
        torch.rand(size, generator=generator)  # a search draws for what its prefix forces, too
    memory = no_source(1, device)
    said, unread, state, read = list(ids), [BOS, *ids], model.start(memory), 0
    while True:
        if reach is not None and read + len(unread) > reach:
            # A document that is longer than the model reads goes on from its nearer half.
            unread, state, read = [BOS, *said][-max(1, reach // 2) :], model.start(memory), 0
        logits, state = _next_logits(model, unread, state, memory)
        read += len(unread)
        with torch.inference_mode():
            values, _ = rules.apply(logits, torch.tensor([said], dtype=torch.long, device=device), owner)
            if how.temperature:
                allowed = likely(values / how.temperature, how.top_k, how.top_p)
                noise = torch.rand(size, generator=generator)
                values = allowed - (-noise.clamp_min(1e-20).log()).log().to(device)
            token = int(values.argmax(dim=-1))
        if token == EOS:
            return
        yield token
        said.append(token)
        unread = [token]


# --- what each layer makes of it ------------------------------------------------------------------------------------


@torch.no_grad()
def contextual(
    model: LanguageModel | MaskedLanguageModel | TransformerEncoder,
    ids: Int[Tensor, "B S"],
    lengths: Int[Tensor, " B"] | None = None,
) -> list[Float[Tensor, "B S D"]]:
    """The vectors of each token: the static embedding, then what each layer has made of it in its context, the last of
    them as the output reads it. `ids` are as the model was trained to read them: of a masked model with EOS at their
    end, of one that reads forwards with BOS before them. Beyond a length (None: all are whole) they have no meaning.
    """
    model.eval()
    body = model.encoder if isinstance(model, MaskedLanguageModel) else model
    parts: list[nn.Module] = [body.embedding, *_layers(body)]
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, out: Any) -> None:
        seen.append(out[0] if isinstance(out, tuple) else out)

    handles = [part.register_forward_hook(keep) for part in parts]
    try:
        if isinstance(body, TransformerEncoder):
            sizes = torch.full((len(ids),), ids.shape[1], device=ids.device) if lengths is None else lengths
            body(ids, sizes)
        else:
            body.features(ids, body.start(no_source(len(ids), ids.device)))
    finally:
        for handle in handles:
            handle.remove()
    if isinstance(body, TransformerEncoder | TransformerLanguageModel):
        seen[-1] = body.norm(seen[-1])
    return seen


def _layers(body: nn.Module) -> list[nn.Module]:
    if isinstance(body, RecurrentLanguageModel):
        return list(body.layers.layers)
    return list(body.layers)  # type: ignore[arg-type]
