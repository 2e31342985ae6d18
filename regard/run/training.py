"""`train`: from a recipe to a run folder that holds a model, its scores, and what is needed to go on."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from regard import build
from regard.config import read_toml, rooted
from regard.errors import RegardError, UsageError
from regard.run.beginning import alone, check_machine, leaving_nothing
from regard.run.corpus import Tree
from regard.run.crowding import crowded, load_before
from regard.run.folder import RunFolder
from regard.run.job import Job
from regard.run.jobs import begin
from regard.run.snapshots import Snapshots
from regard.run.terminable import terminable
from regard.training.checkpoint import load_parameters, parameters_of, write_text
from regard.training.loop import Budget, Progress, Trainer
from regard.training.reporting import MetricsFile, Several, Terminal
from regard.training.tensorboard import TensorBoard

# What the speed of a training is said in, where its batches count something else than the tokens that are said.
COUNTED = {
    "autoencoder": "pictures",
    "classification": "items",
    "forecasting": "forecast steps",
    "visual-question": "questions",
}


def train(tree: Tree, out: Path, console: Console, *, origin: str = "the command line", resume: bool = False) -> Any:
    """Trains by the recipe's tree into the folder `out`; with `resume`, goes on where the run there stopped. Returns
    what `regard.load` would."""
    folder = RunFolder(out)
    started = time.monotonic()
    load = load_before()  # before this training adds to it
    trainers: list[Trainer] = []

    if resume and folder.unbegun:
        resume = False
        console.print(f"the training in {out} was stopped before its first step: it begins anew", highlight=False)

    def begun() -> bool:
        return resume or folder.resumable or any(each.progress.best is not None for each in trainers)

    check_machine(tree)
    with alone(folder) if not resume or folder.path.is_dir() else nullcontext(), leaving_nothing(folder, begun):
        try:
            with terminable():
                job = begin(tree, folder, console, origin, resume)
        except KeyboardInterrupt:
            again = " with --resume" if folder.unbegun and folder.corpus.exists() else ""
            raise RegardError(
                f"stopped before the first step, while the data were prepared: run the same command{again} to begin anew"
            ) from None
        _announce(job, load, console)
        terminal = Terminal(console, lambda: trainers[0].spent(), counted=COUNTED.get(job.recipe.task, "tokens"))
        curves = TensorBoard(folder.tensorboard) if job.recipe.training.tensorboard else None
        metrics = MetricsFile(folder.metrics, curves=curves)
        snapshots = Snapshots(folder, job.recipe.training.average)
        trainer = _trainer(job, folder, Several([metrics, terminal]), snapshots)
        trainers.append(trainer)
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
            metrics.close()
    if reason == "interrupted":
        raise RegardError(
            f"stopped at step {trainer.progress.step}, and nothing is lost: run the same command with --resume to go on"
        )
    console.print(f"training ended: {reason}", highlight=False)
    try:
        with terminable():
            _choose(job, snapshots, folder, console)
            job.network.eval()
            _report(job, trainer.progress, reason, folder, console)
    except KeyboardInterrupt:
        raise RegardError(
            "stopped before the final scores, and nothing is lost: run the same command with --resume to have them"
        ) from None
    return job.model()


def train_by(recipe: str | Path | Mapping[str, Any], out: str | Path, *, resume: bool, quiet: bool) -> Any:
    """What `regard.train` does."""
    if isinstance(recipe, Mapping):
        tree, origin = rooted(recipe, Path.cwd()), "the recipe"
    elif isinstance(recipe, (str, Path)):
        tree, origin = rooted(read_toml(Path(recipe)), Path(recipe).resolve().parent), str(recipe)
    else:
        raise UsageError(f"a recipe is a file or a dict of its parts, not {type(recipe).__name__}")
    if not isinstance(out, (str, Path)):
        raise UsageError(
            f"out is the folder to make, not {type(out).__name__}: write regard.train(recipe, 'runs/mine')"
        )
    return train(tree, Path(out), Console(soft_wrap=True, markup=False, quiet=quiet), origin=origin, resume=resume)


def _announce(job: Job, load: float | None, console: Console) -> None:
    """What is trained on what; and that the machine is busy, if it is."""
    size = sum(p.numel() for p in parameters_of(job.network).values())
    console.print(f"{size:,} parameters, {job.items:,} {job.what}, {torch.get_num_threads()} threads", highlight=False)
    device = build.device(job.recipe.training.device)
    busy = crowded(load, torch.get_num_threads()) if device.type == "cpu" else None
    if busy is not None:
        console.print(busy, style="yellow", highlight=False)


def _trainer(job: Job, folder: RunFolder, observer: Several, snapshots: Snapshots) -> Trainer:
    training = job.recipe.training
    assert training.precision != "auto", "preparing has measured it"
    return Trainer(
        job.network,
        job.loss,
        job.batches,
        build.optimisation(training, job.network, training.precision),
        Budget(training.steps, training.minutes, training.epochs, training.patience),
        state=folder.state,
        observer=observer,
        save_every=training.save_every,
        validate_every=training.validate_every,
        validate=job.validate,
        criterion=job.criterion,
        larger_is_better=job.larger_is_better,
        keep=snapshots.keep,
    )


def _choose(job: Job, snapshots: Snapshots, folder: RunFolder, console: Console) -> None:
    """The best single snapshot, or the mean of the last ones where that is better (Vaswani et al. 2017, §6.1)."""
    best, average = snapshots.best(), snapshots.average()
    load_parameters(job.network, best, folder.weights)
    if average is None:
        return
    single = job.validate()[job.criterion]
    load_parameters(job.network, average, folder.weights)
    mean = job.validate()[job.criterion]
    better = mean > single if job.larger_is_better else mean < single
    name = job.criterion.removeprefix("valid_")
    console.print(f"{name} of the best snapshot {single:.4g}, of the mean of the last ones {mean:.4g}", highlight=False)
    if better:
        snapshots.write_best(average)
    else:
        load_parameters(job.network, best, folder.weights)


def _report(job: Job, progress: Progress, reason: str, folder: RunFolder, console: Console) -> None:
    scores = job.scores()
    facts: Mapping[str, Any] = {
        "scores": [score.to_json() for score in scores],
        **job.facts(),
        "steps": progress.step,
        "best_step": progress.best_step,
        "seconds": round(progress.seconds, 1),
        "target_tokens": progress.tokens,
        "ended": reason,
        "precision": job.recipe.training.precision,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "tokenizers", "sacrebleu")}
        | {"python": platform.python_version()},
    }
    write_text(folder.report, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    for each in scores:
        console.print(f"{each}", highlight=False)
