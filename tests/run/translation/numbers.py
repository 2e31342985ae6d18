"""Numbers in words, from one language to another: a corpus that is learned in seconds, and the commands on it."""

from __future__ import annotations

import random
from pathlib import Path

from regard.cli import main

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "六": "sechs", "سبعة": "sieben"}
SHARED = [
    "data.tokenizer=words", "model.dropout=0.0", "training.warmup=10", "training.batch_tokens=400",
    "training.precision=fp32", "training.device=cpu",
]  # fmt: skip
RECURRENT = [
    *SHARED, "model.kind=recurrent", "model.hidden=48", "model.embedding=32", "training.learning_rate=0.01",
    "training.validate_every=100",
]  # fmt: skip
TRANSFORMER = [
    *SHARED, "model.dim=32", "model.heads=2", "model.feed_forward=64", "model.encoder_layers=1",
    "model.decoder_layers=3", "training.learning_rate=0.005", "training.save_every=7", "training.validate_every=15",
]  # fmt: skip


def settings(keys: list[str]) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


def write_corpus(folder: Path, name: str, count: int, seed: int) -> None:
    draw = random.Random(seed)
    lines = [[draw.choice(list(WORDS)) for _ in range(draw.randint(1, 6))] for _ in range(count)]
    (folder / f"{name}.src").write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    (folder / f"{name}.tgt").write_text(
        "".join(" ".join(WORDS[w] for w in line) + "\n" for line in lines), encoding="utf-8"
    )


def files(folder: Path, name: str, start: str = "") -> list[str]:
    return [f"--{start}source", str(folder / f"{name}.src"), f"--{start}target", str(folder / f"{name}.tgt")]


def train(corpus: Path, out: Path, *more: str) -> int:
    return main(["train", *files(corpus, "train"), *files(corpus, "valid", "valid-"), "--out", str(out), *more])
