"""`train`: from a recipe to a run folder that holds a model, its scores, and what is needed to go on."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from regard import build
from regard.batch import Batch
from regard.config import Recipe, recipe_of, write_toml
from regard.data import Batches, Corpus, Tokenizer
from regard.errors import RegardError, UsageError
from regard.evaluation import RESAMPLES, Metric, Score, score
from regard.models import EncoderDecoder
from regard.run.corpus import (
    Tree,
    Triple,
    ValidationSet,
    examined,
    grouped,
    held_out,
    kept,
    length_ratio,
    make_tokenizers,
    pairs_of,
    resolve,
    tokenised,
)
from regard.run.folder import RunFolder
from regard.run.model import Model, new_network
from regard.run.snapshots import Snapshots
from regard.tasks import translation
from regard.tasks.translation import Search
from regard.training.checkpoint import load_parameters, parameters_of, write_text
from regard.training.loop import Budget, Progress, Trainer
from regard.training.precision import Precision, measure
from regard.training.reporting import MetricsFile, Several, Terminal

VALIDATED_PAIRS = 1000  # more would cost minutes at each validation and change no choice


def train(tree: Tree, out: Path, console: Console, *, origin: str = "the command line", resume: bool = False) -> Model:
    """Trains by the recipe's tree into the folder `out`; with `resume`, goes on where the run there stopped."""
    folder = RunFolder(out)
    started = time.monotonic()
    recipe, valid, corpus, tokenizers = _prepare(tree, folder, console, origin, resume)
    torch.manual_seed(recipe.seed)
    device = build.device(recipe.training.device)
    network = new_network(recipe, *tokenizers).to(device)
    precision = recipe.training.precision
    if precision == "auto":
        speeds = measure(device)
        precision = speeds.faster
        console.print(f"{speeds}: training in {precision}", highlight=False)
    size = sum(p.numel() for p in parameters_of(network).values())
    console.print(f"{size:,} parameters, {len(corpus):,} pairs, {torch.get_num_threads()} threads", highlight=False)

    validator = Validator(network, tokenizers, valid, recipe, precision)
    training = recipe.training
    trainer_box: list[Trainer] = []
    terminal = Terminal(console, lambda: trainer_box[0].spent())
    metrics = MetricsFile(folder.metrics)
    snapshots = Snapshots(folder, training.average)
    trainer = Trainer(
        network,
        lambda batch: translation.loss(network, batch, smoothing=training.label_smoothing, r_drop=training.r_drop),
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
        progress = trainer.resume()
        metrics.resume_at(progress.step)
        snapshots.forget_after(progress.step)
        console.print(f"going on from step {progress.step}, epoch {progress.epoch + 1}", highlight=False)
    else:
        trainer.progress.seconds = time.monotonic() - started  # preparing counts in the budget of minutes
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


def _prepare(
    tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool
) -> tuple[Recipe, ValidationSet, Corpus, tuple[Tokenizer, Tokenizer]]:
    if resume:
        recipe = _resumed(tree, folder, origin)
    else:
        _refuse_overwriting(folder)
        recipe = recipe_of(tree, origin)
    pairs = pairs_of(recipe.data)
    if pairs is None:
        raise UsageError(f"{origin} names no data: give --source FILE --target FILE, or --data FILE")
    diagnosis = examined(pairs, lambda sentence: console.print(sentence, highlight=False, style="yellow"))
    valid_pairs = pairs_of(recipe.data, valid=True)
    valid_diagnosis = None if valid_pairs is None else examined(valid_pairs, lambda sentence: None)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder.path} cannot be made ({error.strerror}): choose another folder with --out"
        ) from error
    diagnosis.write_dropped(folder.dropped)
    if not resume:
        recipe = resolve(tree, diagnosis, origin)

    apart = held_out(diagnosis.pairs, recipe.seed) if valid_pairs is None else (lambda _: False)

    def training_triples() -> Iterator[Triple]:
        return (triple for triple in kept(pairs, diagnosis) if not apart(triple[1]))

    tokenizers = folder.read_tokenizers(recipe) if resume else make_tokenizers(recipe, training_triples, folder)
    corpus = tokenised(pairs, training_triples(), tokenizers, recipe, folder)
    if len(corpus) == 0:
        raise RegardError(
            f"{pairs.name}: no pair is within data.max_length = {recipe.data.max_length} tokens; raise it"
        )
    if recipe.decoding.max_length_ratio is None:
        decoding = recipe.decoding.model_copy(update={"max_length_ratio": length_ratio(corpus)})
        recipe = recipe.model_copy(update={"decoding": decoding})
    if valid_pairs is not None and valid_diagnosis is not None:
        rows = list(kept(valid_pairs, valid_diagnosis))
    else:
        rows = [triple for triple in kept(pairs, diagnosis) if apart(triple[1])]
        console.print(
            f"no validation files were given: {len(rows):,} pairs are kept from training for it", highlight=False
        )
    if not rows:
        raise RegardError(
            f"{pairs.name} has too few pairs to keep some for validation: give --valid-source and --valid-target"
        )
    valid = _validation_set(rows, tokenizers, valid_pairs is None, recipe)
    if not resume:
        write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        _say_choices(recipe, console)
    return recipe, valid, corpus, tokenizers


def _resumed(tree: Tree, folder: RunFolder, origin: str) -> Recipe:
    """The run's own recipe. Only its budget may be changed on the way."""
    recipe = folder.read_recipe()
    if not folder.resumable:
        raise UsageError(f"{folder.path} holds no state to resume from: train it anew into another folder")
    new = {
        name: value
        for name, value in tree.get("training", {}).items()
        if name in ("steps", "minutes", "epochs", "patience") and value is not None
    }
    if new:
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=new)})
        write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
    return recipe


def _refuse_overwriting(folder: RunFolder) -> None:
    if folder.path.exists() and not folder.path.is_dir():
        raise UsageError(f"{folder.path} is a file: choose another folder with --out")
    if folder.recipe.exists():
        raise UsageError(
            f"{folder.path} already holds a run: add --resume to go on with it, or choose another folder with --out"
        )


def _validation_set(
    rows: list[Triple], tokenizers: tuple[Tokenizer, Tokenizer], held: bool, recipe: Recipe
) -> ValidationSet:
    spelled = translation.spells(*tokenizers)
    sources, references = grouped(rows, spelled)
    step = max(1, -(-len(sources) // VALIDATED_PAIRS))  # spread over the file, which may be sorted
    source, target = tokenizers
    some = rows[:: max(1, -(-len(rows) // VALIDATED_PAIRS))]
    limit = recipe.data.max_length
    ids = zip(source.encode_batch([s for _, s, _ in some]), target.encode_batch([t for _, _, t in some]), strict=True)
    return ValidationSet(
        sources[::step], references[::step], Corpus.in_memory([(s[:limit], t[:limit]) for s, t in ids]), held
    )


class Validator:
    """Loss and the task's metrics on a validation set."""

    def __init__(
        self,
        network: EncoderDecoder,
        tokenizers: tuple[Tokenizer, Tokenizer],
        valid: ValidationSet,
        recipe: Recipe,
        precision: Precision,
    ) -> None:
        self.network, self.tokenizers, self.valid = network, tokenizers, valid
        self.precision = precision
        self.metrics = translation.metrics(*tokenizers)
        self.batches = Batches(valid.corpus, recipe.training.batch_tokens, 0, shuffle=False)
        self.how = Search.of(recipe.decoding, recipe.data.max_length)
        self.ids = [ids[: recipe.data.max_length] for ids in tokenizers[0].encode_batch(valid.sources)]
        few = len(valid.sources) < 50  # too few for a rate to choose by
        self.criterion = "valid_loss" if few else _key(self.metrics[0].name)
        self.larger_is_better = not few and self.metrics[0].higher_is_better

    def __call__(self) -> dict[str, float]:
        """By greedy search, and without confidence: quick, and good enough to choose by."""
        self.network.eval()
        return {"valid_loss": self._loss()} | {_key(s.name): s.value for s in self.scores(1, self.metrics[:2], 0)}

    def scores(self, beam: int, metrics: Sequence[Metric], bootstrap: int = RESAMPLES) -> list[Score]:
        found = translation.search(self.network, self.ids, replace(self.how, beam=beam))
        said = [self.tokenizers[1].decode(hypotheses[0].ids) for hypotheses in found]
        return [score(metric, said, self.valid.references, bootstrap=bootstrap) for metric in metrics]

    def _loss(self) -> float:
        device = next(self.network.parameters()).device
        likelihood = tokens = 0.0
        low = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=low):
            for batch in self.batches.epoch(0):
                loss = translation.loss(self.network, _on(batch, device), smoothing=0.0)
                likelihood += float(loss.likelihood)
                tokens += loss.tokens
        return likelihood / tokens


def _on(batch: Batch, device: torch.device) -> Batch:
    return batch if device.type == "cpu" else batch.to(device)


def _key(name: str) -> str:
    return "valid_" + name.lower().replace(" ", "_").replace("-", "_")


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


def _say_choices(recipe: Recipe, console: Console) -> None:
    """What the presets have chosen, in two lines; all of it is in recipe.toml."""
    model = recipe.model.model_dump(mode="json", exclude={"attention"})
    data = recipe.data.model_dump(
        mode="json",
        include={"source_tokenizer", "target_tokenizer", "vocabulary", "shared_vocabulary", "bpe_dropout"},
    )
    for name, part in (("data", data), ("model", model)):
        said = ", ".join(f"{key} {value}" for key, value in part.items())
        console.print(f"{name}: {said}", highlight=False)


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
