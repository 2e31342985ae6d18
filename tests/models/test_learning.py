"""Every variant learns a small task: to say a sequence backwards, or forwards where it can only go forward. The bounds
are on sequences that were not trained on."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch

from regard import build
from regard.batch import BOS, EOS, Batch, rectangle
from regard.config import recipe_of
from regard.decoding import Constraints, greedy
from regard.models import EncoderDecoder
from regard.tasks.translation import loss
from regard.training.schedule import Schedule

SYMBOLS = range(4, 9)
RECURRENT: dict[str, Any] = {"kind": "recurrent", "embedding": 24, "hidden": 48, "dropout": 0.0}
TRANSFORMER: dict[str, Any] = {
    "kind": "transformer", "dim": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1, "decoder_layers": 2,
    "dropout": 0.0,
}  # fmt: skip
GENERAL = {"score": "general"}
# Variant, and the share of unseen sequences that it has to say without a mistake.
VARIANTS: dict[str, tuple[dict[str, Any], float]] = {
    "rnn-bahdanau": (RECURRENT | {"cell": "rnn"}, 0.9),
    "gru-bahdanau": (RECURRENT, 0.9),
    "lstm-bahdanau": (RECURRENT | {"cell": "lstm"}, 0.9),
    "gru-bahdanau-sparsemax": (RECURRENT | {"attention": {"normalize": "sparsemax"}}, 0.9),
    "luong-fed": (RECURRENT | {"decoder": "luong", "attention": GENERAL}, 0.9),
    "luong": (RECURRENT | {"decoder": "luong", "attention": GENERAL, "input_feeding": False}, 0.9),
    "luong-dot": (RECURRENT | {"decoder": "luong", "attention": {"score": "dot"}}, 0.9),
    # One vector has to hold the whole sequence, which it learns far more slowly.
    "fixed-initial": (RECURRENT | {"decoder": "fixed-initial"}, 0.5),
    "fixed-background": (RECURRENT | {"decoder": "fixed-background"}, 0.5),
    **{
        f"bahdanau-{name}": (RECURRENT | {"attention": part}, 0.9)
        for name, part in {
            "cosine": {"score": "cosine"},
            "distance": {"score": "distance"},
            "location": {"score": "location"},
            "location-sensitive": {"score": "location-sensitive"},
            "coverage": {"score": "coverage"},
            "entmax15": {"normalize": "entmax15"},
            "sigmoid": {"normalize": "sigmoid"},
            "top-k": {"normalize": "top-k", "top_k": 2},
            "hard-gumbel": {"normalize": "hard", "estimator": "gumbel"},
            "hard-reinforce": {"normalize": "hard"},
            "local-p": {"scope": {"kind": "local-predictive", "window": 2}},
            "forwards-local-m": {"scope": {"kind": "local-monotonic", "window": 1}},
            "forwards-monotonic": {"normalize": "monotonic"},
            "forwards-mocha": {"normalize": "mocha", "chunk": 2},
        }.items()
    },
    "transformer-pre": (TRANSFORMER, 0.9),
    "transformer-post": (TRANSFORMER | {"norm": "post"}, 0.9),
    "transformer-learned": (TRANSFORMER | {"positions": "learned"}, 0.9),
    "transformer-rotary": (TRANSFORMER | {"positions": "rotary"}, 0.9),
    "transformer-relative": (TRANSFORMER | {"positions": "relative"}, 0.9),
    "transformer-alibi": (TRANSFORMER | {"positions": "alibi", "heads": 8, "encoder_layers": 2}, 0.9),
    "transformer-multi-query": (TRANSFORMER | {"kv_heads": 1}, 0.9),
    "transformer-entmax15": (TRANSFORMER | {"attention": {"score": "cosine", "normalize": "entmax15"}}, 0.9),
    "transformer-local-p": (TRANSFORMER | {"cross_attention": {"scope": {"kind": "local-predictive"}}}, 0.9),
    "copying": (RECURRENT | {"copy_source": True}, 0.9),
    "transformer-copying": (TRANSFORMER | {"copy_source": True}, 0.9),
}


def batch_of(rows: list[tuple[int, ...]], step: int = -1) -> Batch:
    source, lengths = rectangle([[*row, EOS] for row in rows])
    target, target_lengths = rectangle([[BOS, *row[::step], EOS] for row in rows])
    return Batch(source, lengths, target, target_lengths, torch.arange(len(rows)))


def sequences() -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    every = [row for n in (2, 3, 4) for row in itertools.product(SYMBOLS, repeat=n)]
    random.Random(3).shuffle(every)
    return every[100:], every[:100]


def trained(part: dict[str, Any], direction: int, steps: int = 220) -> EncoderDecoder:
    torch.manual_seed(1)
    model = build.encoder_decoder(recipe_of({"model": part}).model, 9, 9, shared=True, max_length=20)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.0)
    draw, schedule = random.Random(5), Schedule("cosine", warmup=20)
    train, _ = sequences()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * schedule.factor(step, step / steps)
        found = loss(model.train(), batch_of(draw.sample(train, 64), direction), smoothing=0.0)
        optimizer.zero_grad()
        (found.total / found.tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("name", VARIANTS)
def test_it_learns_to_say_what_it_has_not_seen(name: str) -> None:
    part, bound = VARIANTS[name]
    direction = 1 if "forwards" in name else -1
    model = trained(part, direction)
    _, unseen = sequences()
    batch = batch_of(unseen)
    decoder: Any = model.decoder
    said = greedy(decoder, model.encode(batch.source, batch.source_lengths), Constraints(max_length=8))
    right = sum(tuple(h.ids) == row[::direction] for [h], row in zip(said, unseen, strict=True)) / len(unseen)
    assert right >= bound
