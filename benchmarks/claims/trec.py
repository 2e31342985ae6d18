"""How well are the kinds of questions of TREC-6 told, where the test set of the papers is not at hand?

    python benchmarks/claims/trec.py [--only cnn,recurrent,convolutional,pretrained] [--run runs/english-masked] [--folds 10]
        [--seeds 1,2,3] [--vectors english.vec]

Each tenth of the training questions is asked once, by models that learned from the other nine; of these every model keeps a
tenth for itself, to choose its snapshot. `cnn` is CNN-rand of Kim (2014) by its paper, which has 91.2 on the test set, so
that others can be placed beside it; `convolutional` is recipes/trec.toml, `recurrent` the same with a GRU, both of which
--vectors lets begin with vectors of words, and `pretrained` recipes/clinc150-pretrained.toml on a run of
recipes/english-masked.toml. With several seeds, and with several of Regard's models, the mean of their probabilities answers too.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import claims
from pretraining import Items, items_of, write

WAYS = {
    "cnn": "CNN-rand (Kim 2014), vectors of its own",
    "recurrent": "GRU with attention pooling",
    "convolutional": "convolutions with attention pooling",
    "pretrained": "Transformer that has read English before",
}
RECIPES = {"recurrent": "trec.toml", "convolutional": "trec.toml", "pretrained": "clinc150-pretrained.toml"}
GRU = {"data.vocabulary": 4000, "model.encoder": "recurrent", "model.embedding": 160, "model.word_dropout": 0.15}
Answers = list[dict[str, float]]  # the probability of each class, for each question


def main() -> None:
    parser = claims.parser(__doc__, "trec", None)
    parser.add_argument("--run", type=Path, metavar="RUN", help="a run of masked-language-model")
    parser.add_argument("--folds", type=int, default=10, help="parts, each asked once (10)")
    parser.add_argument("--only", default=",".join(WAYS), help=f"of {','.join(WAYS)}")
    parser.add_argument("--seeds", default="1", metavar="A,B,…", help="a model for each, and all of them together (1)")
    parser.add_argument(
        "--vectors", type=Path, metavar="FILE", help="vectors of words to begin with (recipes/vectors.py)"
    )
    claims.settable(parser)
    options = parser.parse_args()
    ways, seeds = options.only.split(","), options.seeds.split(",")
    for way in ways:
        if way not in WAYS:
            raise claims.Refused(f"--only {way}: write them as {','.join(WAYS)}")
    if not all(seed.isdecimal() for seed in seeds):
        raise claims.Refused(f"--seeds {options.seeds} is no list of numbers: write them as 1,2,3")
    if options.folds < 2:
        raise claims.Refused(f"--folds {options.folds}: questions that are asked cannot be learned from; at least 2")
    if "pretrained" in ways and (options.run is None or not claims.finished(options.run)):
        raise claims.Refused("--run names no finished run; make one by recipes/english-masked.toml")
    options.task = "trec"
    learned, kept = items_of(options)
    items = [*kept, *learned]
    truth = [label for fold in range(options.folds) for _, label in asked_in(items, fold, options.folds)]
    rows: list[list[str]] = []
    own: list[Answers] = []
    for way in ways:
        found = {seed: [answers(options, items, fold, way, seed) for fold in range(options.folds)] for seed in seeds}
        single = [[answer for fold in folds for answer in fold] for folds in found.values()]
        for seed, said in zip(seeds, single, strict=True):
            rows.append([WAYS[way], seed, *scores(said, truth)])
        if len(single) > 1:
            rows.append([WAYS[way], "all together", *scores(together(single), truth)])
        own += [] if way == "cnn" else single
    if len({*ways} - {"cnn"}) > 1:
        rows.append(["all of Regard's", "all together", *scores(together(own), truth)])
    facts = [
        f"{len(items):,} different questions in {options.folds} parts; each part was asked of models that saw nothing of it.",
        "[low, high]: 95 % bootstrap confidence.",
    ]
    claims.write_table(["model", "seed", "accuracy", "macro-F1"], rows, facts)


def asked_in(items: Items, fold: int, folds: int) -> Items:
    return items[fold::folds]


def answers(options: argparse.Namespace, items: Items, fold: int, way: str, seed: str) -> Answers:
    """What a model that learned from the other parts says of this one."""
    asked = asked_in(items, fold, options.folds)
    train = [item for i, item in enumerate(items) if i % options.folds != fold]
    place = options.out / f"{way}-{fold}-{seed}"
    if way == "cnn":
        return convolutional(train, asked, int(seed), place.with_suffix(".json"))
    begun: dict[str, object] = {**GRU} if way == "recurrent" else {}
    if way == "pretrained":
        begun["model.pretrained"] = options.run.resolve()
    elif options.vectors is not None:
        begun |= {"model.vectors": options.vectors.resolve(), "model.embedding": width(options.vectors)}
    recipe = claims.ROOT / "recipes" / RECIPES[way]
    table = write(options.out / f"train-{fold}.tsv", train)
    texts = options.out / f"asked-{fold}.txt"
    texts.write_text("".join(f"{text}\n" for text, _ in asked), encoding="utf-8")
    own = [word for each in options.settings for word in ("--set", each)]
    run = claims.trained(place, recipe, "--data", table, *claims.setting(begun), "--set", f"seed={seed}", *own)
    said = claims.kept(place.with_suffix(".jsonl"), [run], "predict", run, texts, "--jsonl")
    return [json.loads(line)["top"] for line in said.splitlines()]  # the five likeliest of six classes


def together(models: Sequence[Answers]) -> Answers:
    """The mean of what several models say of the same questions."""
    found = []
    for each in zip(*models, strict=True):
        labels = sorted({label for one in each for label in one})
        found.append({label: sum(one.get(label, 0.0) for one in each) / len(each) for label in labels})
    return found


def width(vectors: Path) -> int:
    """How many numbers a line of vectors has behind its word."""
    with vectors.open(encoding="utf-8") as file:
        first, second = (file.readline().split() for _ in range(2))
    return int(first[1]) if len(first) == 2 else len(second) - 1


def scores(said: Answers, truth: Sequence[str]) -> list[str]:
    from regard.evaluation import score
    from regard.evaluation.classification import Accuracy, MacroF1

    best = [max(one, key=lambda label: one[label]) for one in said]
    return [
        claims.said(score(metric, best, [[label] for label in truth]).to_json()) for metric in (Accuracy(), MacroF1())
    ]


def convolutional(train: Items, asked: Items, seed: int, kept: Path) -> Answers:
    """Kim (2014): 300-dimensional vectors from nothing, 100 filters each of 3, 4 and 5 words, the greatest of each over the
    sentence, half of them dropped, a row of the output no longer than 3; Adadelta, 50 questions at a time."""
    if kept.is_file():
        return json.loads(kept.read_text("utf-8"))
    import torch
    from torch import nn

    torch.manual_seed(seed)
    draw = random.Random(seed)
    mixed = draw.sample(train, len(train))
    held, learned = mixed[: len(mixed) // 10], mixed[len(mixed) // 10 :]
    labels = sorted({label for _, label in train})
    words = {word: i + 2 for i, word in enumerate(sorted({w for text, _ in learned for w in text.split()}))}

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(len(words) + 2, 300, padding_idx=0)
            nn.init.uniform_(self.embedding.weight, -0.25, 0.25)
            self.filters = nn.ModuleList(nn.Conv1d(300, 100, width, padding=4) for width in (3, 4, 5))
            self.output = nn.Linear(300, len(labels))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.embedding(ids).transpose(1, 2)
            found = torch.cat([layer(x).relu().amax(dim=2) for layer in self.filters], dim=1)
            return self.output(nn.functional.dropout(found, 0.5, self.training))

    def rectangle(items: Items) -> torch.Tensor:
        rows = [torch.tensor([words.get(word, 1) for word in text.split()]) for text, _ in items]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    @torch.inference_mode()
    def probabilities(items: Items) -> torch.Tensor:
        network.eval()
        return torch.softmax(network(rectangle(items)), dim=1)

    network = Network()
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0, rho=0.95, eps=1e-6)
    best, weights = -1.0, network.state_dict()
    for _ in range(25):
        draw.shuffle(learned)
        for start in range(0, len(learned), 50):
            some = learned[start : start + 50]
            network.train()
            wanted = torch.tensor([labels.index(label) for _, label in some])
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(rectangle(some)), wanted).backward()
            optimizer.step()
            with torch.no_grad():
                network.output.weight.renorm_(2, 0, 3.0)
        right = sum(labels[i] == label for i, (_, label) in zip(probabilities(held).argmax(1), held, strict=True))
        if right / len(held) > best:
            best, weights = right / len(held), copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)
    found: Any = [dict(zip(labels, row, strict=True)) for row in probabilities(asked).tolist()]
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


if __name__ == "__main__":
    sys.exit(claims.ended(main))
