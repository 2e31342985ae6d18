"""What a model says about one input, and what it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from regard.batch import EOS, SPECIAL_TOKENS, Batch
from regard.data import Encoding, Tokenizer
from regard.decoding import BeamTree, Hypothesis
from regard.models import EncoderDecoder
from regard.run.translation.steering import Steering
from regard.view import AttentionMap, PageItem

END = SPECIAL_TOKENS[EOS]
AT_ONCE = 32  # hypotheses that are said once more together


@dataclass(frozen=True)
class Prediction:
    """`score` is the log-probability of the whole output, its end included; `tokens` are what it was said in.

    `attention` is there if it was asked for and the model has any; that of a line without a word has no row.
    `alternatives` are the n-best outputs, this one first, if more than one was asked for. `notes` says what about the
    input, or what the output must begin with, deserves a word. `tree` is what the search considered, and `steering` what
    edits did, if they were asked for. `ids` are the numbers of the tokens.
    """

    source: str
    text: str
    score: float
    tokens: list[str]
    log_probabilities: list[float]
    attention: AttentionMap | None = None
    alternatives: list[Prediction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tree: BeamTree | None = None
    steering: Steering | None = None
    ids: list[int] = field(default_factory=list, repr=False)

    def page_item(self, label: str | None = None) -> PageItem:
        """What a page shows of it."""
        return PageItem(
            self.source,
            self.text,
            self.score,
            self.attention,
            label,
            tree=None if self.tree is None else self.tree.to_json(),
            nbest=[PageItem(other.source, other.text, other.score, other.attention) for other in self.alternatives],
            log_probabilities=self.log_probabilities,
        )

    def to_json(self, nbest: bool = True) -> dict[str, Any]:
        """Plain values for a line of JSON."""
        row: dict[str, Any] = {"text": self.text, "score": self.score, "tokens": self.tokens}
        if self.attention is not None:
            row["alignment"] = [list(pair) for pair in self.attention.alignment()]
        if nbest and self.alternatives:
            row["nbest"] = [other.to_json(nbest=False) for other in self.alternatives]
        if self.tree is not None:
            row["tree"] = self.tree.to_json()
        if self.steering is not None:
            row["steering"] = self.steering.to_json()
        return row


def attention_weights(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    hypotheses: Sequence[Hypothesis],
    *,
    align: bool = False,
) -> list[Float[np.ndarray, "layers heads T S"]]:
    """What the model looks at while it says each hypothesis: one step per token and one for the end, if it came.

    The hypotheses are said once more, all steps at once, with the observer on. That is the same computation as
    when they were searched, whatever the search was. `align` adds the layer of `EncoderDecoder.aligned`, if it has one.
    """
    device = next(model.parameters()).device
    # The token after the last is never read, so it may be the end also of what did not end.
    batch = Batch.of(sources, [h.ids for h in hypotheses]).to(device)
    model.eval()
    stacked = (model.aligned(batch) if align else model.look(batch)).cpu().numpy()
    return [stacked[i, :, :, : len(h.ids) + h.finished, : len(sources[i]) + 1].copy() for i, h in enumerate(hypotheses)]


def looked_at(
    model: EncoderDecoder, sources: Sequence[Sequence[int]], hypotheses: Sequence[Hypothesis]
) -> list[Float[np.ndarray, "layers heads T S"]]:
    """`attention_weights` of any number of them, in batches of like length."""
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    found: dict[int, Float[np.ndarray, "layers heads T S"]] = {}
    for start in range(0, len(order), AT_ONCE):
        chosen = order[start : start + AT_ONCE]
        weights = attention_weights(model, [sources[i] for i in chosen], [hypotheses[i] for i in chosen])
        found |= dict(zip(chosen, weights, strict=True))
    return [found[i] for i in range(len(sources))]


def attention_map(
    weights: Float[np.ndarray, "layers heads T S"],
    encoding: Encoding,
    source_words: list[str],
    hypothesis: Hypothesis,
    target: Tokenizer,
) -> AttentionMap:
    """The weights with the tokens and words they belong to. The ends of both sides are words of their own."""
    words, word_of = target.words(hypothesis.ids)
    said = target.tokens(hypothesis.ids)
    if hypothesis.finished:
        said, word_of, words = [*said, END], [*word_of, len(words)], [*words, END]
    return AttentionMap(
        weights=weights,
        source=[*encoding.tokens, END],
        target=said,
        source_words=[*source_words, END],
        target_words=words,
        source_word_of=[*encoding.words, len(source_words)],
        target_word_of=word_of,
    )
