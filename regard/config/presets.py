"""What follows from a corpus: sizes, regularisation, tokenizer and schedule that learn on as much data as there is.

The figures behind each choice are in docs/results/presets.md. Whatever the user says counts more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Tree = dict[str, Any]

# Below these budgets a training is better off with many steps of small batches: large ones have hardly begun.
SHORT = 20.0, 2000  # minutes, steps
# And below these, words that are read as nothing cost more than they bring.
MIDDLING = 60.0, 4000


@dataclass(frozen=True)
class Corpus:
    """What presets need to know of a corpus."""

    pairs: int
    source_words: float  # mean per line
    target_words: float
    source_types: int  # distinct words
    target_types: int

    source_unspaced: bool = False  # text in a script that puts no space between words
    target_unspaced: bool = False

    @property
    def spells_source(self) -> bool:
        """One word a line, as in a lexicon: its letters are the sequence."""
        return self.source_words < 1.5 and not self.source_unspaced

    @property
    def spells_target(self) -> bool:
        return self.target_words < 1.5 and not self.target_unspaced

    @property
    def symbols_in_target(self) -> bool:
        """A small closed set of space-separated symbols: phonemes, tags, actions."""
        return (
            not self.spells_target
            and not self.target_unspaced
            and self.target_types <= 300
            and self.target_types * 20 <= self.pairs * self.target_words
        )

    @property
    def symbols_in_source(self) -> bool:
        return (
            not self.spells_source
            and not self.source_unspaced
            and self.source_types <= 300
            and self.source_types * 20 <= self.pairs * self.source_words
        )


def preset(
    corpus: Corpus,
    kind: Literal["recurrent", "transformer", "hidden-markov"] | None = None,
    *,
    minutes: float | None = None,
    steps: int | None = None,
) -> Tree:
    """A recipe's tree for a corpus and, if they were chosen, a family of models and a budget."""
    short, middling = (
        (minutes is not None and minutes < limit[0]) or (steps is not None and steps < limit[1])
        for limit in (SHORT, MIDDLING)
    )
    spelled = corpus.spells_source or corpus.symbols_in_source
    data = _spelling_data(corpus) if spelled else _text_data(corpus)
    data["spelling"] = corpus.spells_source or corpus.spells_target
    if kind == "recurrent":
        return {"data": data, **_recurrent(corpus, spelled)}
    if kind == "hidden-markov":
        return {"data": data, **_hidden_markov(corpus)}
    return {"data": data, **_transformer(corpus, spelled, short, middling)}


def _spelling_data(corpus: Corpus) -> Tree:
    source = "words" if corpus.symbols_in_source else "characters"
    target = "words" if corpus.symbols_in_target else "characters"
    return {
        "tokenizer": source,
        "source_tokenizer": source,
        "target_tokenizer": target,
        "vocabulary": 2000,
        "shared_vocabulary": False,
    }


def _text_data(corpus: Corpus) -> Tree:
    target = "words" if corpus.symbols_in_target else "bpe"
    sizes = ((3_000, 1_000), (15_000, 2_000), (80_000, 8_000), (500_000, 16_000))
    vocabulary = next((size for limit, size in sizes if corpus.pairs < limit), 32_000)
    return {
        "tokenizer": "bpe",
        "source_tokenizer": "bpe",
        "target_tokenizer": target,
        "vocabulary": vocabulary,
        "shared_vocabulary": target == "bpe",
    }


def _transformer(corpus: Corpus, spelled: bool, short: bool, middling: bool) -> Tree:
    layers = {"encoder_layers": 4, "decoder_layers": 4}
    if spelled and corpus.pairs < 30_000:
        model = {"dim": 128, "heads": 4, "feed_forward": 256, "encoder_layers": 3, "decoder_layers": 3, "dropout": 0.3}
        training: Tree = {"learning_rate": 3e-3, "warmup": 400, "batch_tokens": 2048}
    elif spelled:
        model = {"dim": 256, "heads": 4, "feed_forward": 512, "encoder_layers": 3, "decoder_layers": 3, "dropout": 0.1}
        training = {"learning_rate": 1.5e-3, "warmup": 400, "batch_tokens": 2048}
    elif corpus.pairs < 15_000 or (corpus.pairs < 80_000 and short):
        model = {"dim": 128, "heads": 4, "feed_forward": 256, **layers, "dropout": 0.3}
        training = {"learning_rate": 4e-3, "warmup": 300, "batch_tokens": 2048}
    elif corpus.pairs < 80_000:
        model = {"dim": 128, "heads": 4, "feed_forward": 256, **layers, "norm": "post", "dropout": 0.3}
        if not middling:
            model["word_dropout"] = 0.1
        training = {"learning_rate": 4e-3, "warmup": 400, "batch_tokens": 8192, "average": 8}
        training |= {"validate_every": 200, "save_every": 200}
    elif corpus.pairs < 500_000:
        model = {"dim": 256, "heads": 4, "feed_forward": 1024, **layers, "dropout": 0.2}
        training = {"learning_rate": 3e-3, "warmup": 500, "batch_tokens": 4096}
    else:
        model = {"dim": 512, "heads": 8, "feed_forward": 2048, "encoder_layers": 6, "decoder_layers": 6, "dropout": 0.1}
        training = {"learning_rate": 1e-3, "warmup": 2000, "batch_tokens": 8192}
    # A step of Muon costs the same however few tokens it learned from: with wide layers and short batches AdamW, which
    # makes more steps meanwhile, comes as far.
    optimizer = "adamw" if spelled else "muon"
    return {
        "model": {"kind": "transformer", **model},
        "training": {"optimizer": optimizer, **_budget(corpus), **training},
    }


def _recurrent(corpus: Corpus, spelled: bool) -> Tree:
    small = spelled or corpus.pairs < 15_000
    model = {
        "kind": "recurrent",
        "embedding": 128 if small else 256,
        "hidden": 256 if small else 512,
        "dropout": 0.2 if corpus.pairs >= 80_000 else 0.4,
    }
    training = {"learning_rate": 2e-3, "warmup": 200, "batch_tokens": 2048}
    return {"model": model, "training": {**training, **_budget(corpus)}}


def _hidden_markov(corpus: Corpus) -> Tree:
    """What is sure is sure: smoothing would spread each word over the whole lexicon."""
    training = {"learning_rate": 4e-3, "warmup": 100, "batch_tokens": 4096, "label_smoothing": 0.0}
    return {"model": {"kind": "hidden-markov"}, "training": {**training, **_budget(corpus), "average": 1}}


def _budget(corpus: Corpus) -> Tree:
    """Enough passes to have learned, given up early when nothing improves; a budget of the user's own replaces it."""
    epochs = 100 if corpus.pairs < 15_000 else 60 if corpus.pairs < 80_000 else 20 if corpus.pairs < 500_000 else 8
    every = 100 if corpus.pairs < 5_000 else 500 if corpus.pairs < 500_000 else 2000
    return {"epochs": epochs, "patience": 10, "validate_every": every, "save_every": every}
