"""`train`: from a recipe to a run folder that holds a model, its scores, and what is needed to go on."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from regard import build
from regard.data import Batches
from regard.errors import RegardError
from regard.models import EncoderDecoder
from regard.run.corpus import Tree, ValidationSet, guide_of
from regard.run.folder import RunFolder
from regard.run.model import Model, new_network
from regard.run.preparing import prepare
from regard.run.snapshots import Snapshots
from regard.run.validation import Validator
from regard.tasks import translation
from regard.training.checkpoint import load_parameters, parameters_of, write_text
from regard.training.loop import Budget, Progress, Trainer
from regard.training.reporting import MetricsFile, Several, Terminal


def train(tree: Tree, out: Path, console: Console, *, origin: str = "the command line", resume: bool = False) -> Model:
    """Trains by the recipe's tree into the folder `out`; with `resume`, goes on where the run there stopped."""
    folder = RunFolder(out)
    started = time.monotonic()
    recipe, valid, corpus, tokenizers = prepare(tree, folder, console, origin, resume)
    torch.manual_seed(recipe.seed)
    device = build.device(recipe.training.device)
    network = new_network(recipe, *tokenizers).to(device)
    precision = recipe.training.precision
    assert precision != "auto", "preparing has measured it"
    size = sum(p.numel() for p in parameters_of(network).values())
    console.print(f"{size:,} parameters, {len(corpus):,} pairs, {torch.get_num_threads()} threads", highlight=False)

    validator = Validator(network, tokenizers, valid, recipe, precision)
    training = recipe.training
    trainer_box: list[Trainer] = []
    terminal = Terminal(console, lambda: trainer_box[0].spent())
    metrics = MetricsFile(folder.metrics)
    snapshots = Snapshots(folder, training.average)
    looking = translation.Looking.of(training, guide_of(recipe, corpus, tokenizers))
    trainer = Trainer(
        network,
        lambda batch: translation.loss(
            network, batch, smoothing=training.label_smoothing, r_drop=training.r_drop, looking=looking
        ),
        Batches(corpus, training.batch_tokens, recipe.seed),
        build.optimisation(training, precision),
        Budget(training.steps, training.minutes, training.epochs, training.patience),
        state=folder.state,
        observer=Several([metrics, terminal]),
        save_every=training.save_every,
        validate_every=training.validate_every,
        validate=validator,
        criterion=validator.criterion,
        larger_is_better=validator.larger_is_better,
        keep=snapshots.keep,
    )
    trainer_box.append(trainer)
    if resume and folder.resumable:
        trainer.resume()
        console.print(
            f"going on from step {trainer.progress.step}, epoch {trainer.progress.epoch + 1}", highlight=False
        )
    else:
        trainer.progress.seconds = time.monotonic() - started  # preparing counts in the budget of minutes
    # A run that was killed before its first state begins anew, and leaves nothing of its first try.
    metrics.resume_at(trainer.progress.step)
    snapshots.forget_after(trainer.progress.step)
    try:
        reason = trainer.train()
    finally:
        terminal.close()
    if reason == "interrupted":
        raise RegardError(
            f"stopped at step {trainer.progress.step}, and nothing is lost: run the same command with --resume to go on"
        )
    console.print(f"training ended: {reason}", highlight=False)
    _choose(network, validator, snapshots, folder, console)
    model = Model(network.eval(), *tokenizers, recipe, folder.path.name)
    _report(model, valid, trainer.progress, reason, precision, folder, console)
    return model


def _choose(
    network: EncoderDecoder, validator: Validator, snapshots: Snapshots, folder: RunFolder, console: Console
) -> None:
    """The best single snapshot, or the mean of the last ones where that is better (Vaswani et al. 2017, §6.1)."""
    best, average = snapshots.best(), snapshots.average()
    load_parameters(network, best, folder.weights)
    if average is None:
        return
    single = validator()[validator.criterion]
    load_parameters(network, average, folder.weights)
    mean = validator()[validator.criterion]
    better = mean > single if validator.larger_is_better else mean < single
    name = validator.criterion.removeprefix("valid_")
    console.print(f"{name} of the best snapshot {single:.4g}, of the mean of the last ones {mean:.4g}", highlight=False)
    if better:
        snapshots.write_best(average)
    else:
        load_parameters(network, best, folder.weights)


def _report(
    model: Model,
    valid: ValidationSet,
    progress: Progress,
    reason: str,
    precision: str,
    folder: RunFolder,
    console: Console,
) -> None:
    validator = Validator(model.network, (model.source_tokenizer, model.target_tokenizer), valid, model.recipe, "fp32")
    beam = model.recipe.decoding.beam
    scores = validator.scores(beam, validator.metrics)
    facts: Mapping[str, Any] = {
        "scores": [score.to_json() for score in scores],
        "scored_on": "held out from training" if valid.held_out else "validation set",
        "sentences": len(valid.sources),
        "beam": beam,
        "steps": progress.step,
        "best_step": progress.best_step,
        "seconds": round(progress.seconds, 1),
        "target_tokens": progress.tokens,
        "ended": reason,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "tokenizers", "sacrebleu")}
        | {"python": platform.python_version()},
    }
    write_text(folder.report, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    for each in scores:
        console.print(f"{each}", highlight=False)
