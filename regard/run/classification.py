"""The job of classification, and its finished model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console

from regard import build
from regard.build.classifier import classifier
from regard.config import write_toml
from regard.config.classification import ClassificationRecipe, LabelledDataPart
from regard.config.reading import recipe_of
from regard.data import TextPairs, Tokenizer
from regard.data.labels import (
    ClassificationBatch,
    ClassificationBatches,
    Labelled,
    LabelledTable,
    Labels,
    held_out,
    labelled_corpus,
    read_labelled,
)
from regard.errors import RegardError, UsageError
from regard.evaluation import PairedResult, Score, paired_test, score
from regard.evaluation.classification import Accuracy, Confusion, MacroF1, calibration_error, confusions
from regard.models.classifier import Classifier
from regard.run.beginning import make, refuse_overwriting, with_precision
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.lines import answered, check_lines, cut_note, length_note, unknown_note
from regard.run.pretrained import Pretrained, Thawing
from regard.run.resuming import resumed
from regard.tasks import classification
from regard.tasks.classification import Prediction
from regard.training.checkpoint import load_parameters, load_tensors, parameters_of, save_tensors, write_text
from regard.training.loop import Loss
from regard.view import AttentionMap, PageItem, draw, page

HELD_OUT = 0.1  # of each class, where no validation files are given
READ_AHEAD = 512


@dataclass
class ClassificationJob:
    recipe: ClassificationRecipe
    network: Classifier
    batches: Thawing
    valid: ClassificationBatches
    gold: Labelled
    finished: ClassifierModel
    folder: RunFolder
    items: int
    apart: bool
    what: str = "texts"
    criterion: str = "valid_accuracy"
    larger_is_better: bool = True

    @classmethod
    def begin(cls, tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool) -> Self:
        recipe = _recipe(tree, folder, origin, resume)
        begun = None if recipe.model.pretrained is None or folder.resumable else Pretrained(recipe.model.pretrained)
        if begun is not None and not resume:
            recipe = begun.fill(recipe)
        data = recipe.data
        items = _read(data, "")
        if items is None:
            raise UsageError(f"{origin} names no data: give --source FILE --target FILE, or --data FILE")
        labels = Labels.load(_labels(folder)) if resume else Labels.of(items)
        valid = _read(data, "valid_")
        given = valid is not None
        if valid is None:
            items, valid = held_out(items, HELD_OUT, recipe.seed)
            console.print(f"no validation files were given: {len(valid.rows):,} texts are kept from training for it")
        if not valid.rows:
            raise RegardError(f"{items.name} has too few texts to keep some for validation: give --valid-data FILE")
        make(folder)
        if resume:
            tokenizer = _side(folder)
        else:
            tokenizer = begun.tokenizer() if begun is not None else _new_tokenizer(data, items)
            tokenizer.save(folder.tokenizer("source", True))
            labels.save(_labels(folder))
        corpus, apart = (labelled_corpus(of, tokenizer, labels, max_length=data.max_length) for of in (items, valid))
        _write_dropped(folder, items, corpus.too_long, data.max_length, console)
        if not resume:
            recipe = with_precision(recipe, console)
            write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        console.print(f"{labels.size} classes, {tokenizer.size:,} {tokenizer.kind} in the vocabulary", highlight=False)
        torch.manual_seed(recipe.seed)
        network = classifier(recipe.model, tokenizer.size, labels.size)
        if begun is not None:
            begun.load_into(network.encoder)
            console.print(f"the encoder is that of {begun.folder.path}", highlight=False)
        network.to(build.device(recipe.training.device))
        size = recipe.training.batch_tokens
        return cls(
            recipe,
            network,
            Thawing(ClassificationBatches(corpus, size, recipe.seed), network.encoder, recipe.model.frozen_epochs),
            ClassificationBatches(apart, size, 0, shuffle=False),
            valid,
            ClassifierModel(network, tokenizer, labels, recipe, folder.path.name),
            folder,
            len(corpus),
            not given,
        )

    def loss(self, batch: ClassificationBatch) -> Loss:
        training = self.recipe.training
        self.batches.set()
        return classification.loss(
            self.network,
            batch,
            smoothing=training.label_smoothing,
            penalty=self.recipe.model.penalty,
            r_drop=training.r_drop,
        )

    def validate(self) -> dict[str, float]:
        logits, labels, _ = classification.logits_of(self.network, self.valid.epoch(0))
        loss = float(torch.nn.functional.cross_entropy(logits, labels))
        right = float((logits.argmax(dim=-1) == labels).float().mean())
        return {"valid_loss": loss, "valid_accuracy": 100 * right}

    def scores(self) -> list[Score]:
        """With probabilities that were made honest on the same texts, as there are no others."""
        classification.calibrated(self.network, self.valid.epoch(0))
        save_tensors(self.folder.weights, parameters_of(self.network), {"format": "regard 1"})
        return self.finished.scores(self.gold)[0]

    def facts(self) -> Mapping[str, Any]:
        return {
            "scored_on": "held out from training" if self.apart else "validation set",
            "sentences": len(self.gold.rows),
            "classes": self.finished.labels.size,
            "temperature": float(self.network.temperature),
        }

    def model(self) -> ClassifierModel:
        return self.finished


class ClassifierModel:
    """A trained classifier: `predict(texts)` gives a `Prediction` each, with `label`, `probability` and `top(n)`."""

    def __init__(
        self, network: Classifier, tokenizer: Tokenizer, labels: Labels, recipe: ClassificationRecipe, name: str
    ) -> None:
        self.network, self.tokenizer, self.labels = network, tokenizer, labels
        self.recipe, self.name = recipe, name

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> ClassifierModel:
        folder = RunFolder(Path(run))
        recipe = folder.read_recipe()
        if not isinstance(recipe, ClassificationRecipe):
            raise UsageError(f"{folder.path} is a run of {recipe.task}, and this needs one of classification")
        tokenizer, labels = _side(folder), Labels.load(_labels(folder))
        network = classifier(recipe.model, tokenizer.size, labels.size)
        if not folder.weights.exists():
            raise UsageError(f"{folder.path} has no model.safetensors yet: wait for its first validation")
        load_parameters(network, load_tensors(folder.weights), folder.weights)
        return cls(network.to(build.device(device)).eval(), tokenizer, labels, recipe, folder.path.name)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One class for each text, in order. A text of nothing is classified by its end alone; `said` has none for it."""
        check_lines(texts, "texts")
        return classification.predict(self.network, self.labels, self._ids(texts))

    def predict_stream(self, lines: Iterator[str]) -> Iterator[Prediction]:
        """`predict` for any number of lines, a few hundred at a time, in order."""
        while chunk := list(islice(lines, READ_AHEAD)):
            yield from self.predict(chunk)

    def attention(self, text: str) -> AttentionMap:
        """How much each word gives to each look of the pooling."""
        [ids] = self._ids([text])
        [weights] = classification.look(self.network, [ids])
        encoding = self.tokenizer.encode(text).first(len(ids))
        words = self.tokenizer.split_words(text)
        names = [f"look {number}" for number in range(1, len(weights) + 1)]
        return AttentionMap(
            weights[None, None],
            [*encoding.tokens, "</s>"],
            names,
            [*words, "</s>"],
            names,
            [*encoding.words, len(words)],
            list(range(len(names))),
        )

    def scores(self, items: Labelled) -> tuple[list[Score], list[Confusion]]:
        """Accuracy, macro-F1 and calibration error, and the pairs of classes that are taken for each other most."""
        self.labels.ids(items)  # each class has to be known
        found = self.predict([text for _, text, _ in items.rows])
        gold = [label for _, _, label in items.rows]
        said = [each.label for each in found]
        right = [a == b for a, b in zip(said, gold, strict=True)]
        scores = [score(metric, said, [[label] for label in gold]) for metric in (Accuracy(), MacroF1())]
        scores.append(calibration_error([each.probability for each in found], right))
        return scores, confusions(said, gold, 5)

    def said(self, lines: Iterator[str], *, jsonl: bool) -> Iterator[str]:
        """What `regard predict` prints for each line: its class, or with `jsonl` the likeliest ones. A blank line gives a
        blank class."""
        rest = enumerate(lines, start=1)
        while chunk := list(islice(rest, READ_AHEAD)):
            texts = {number: line for number, line in chunk if line.strip()}
            found = dict(zip(texts, self.predict(list(texts.values())), strict=True)) if texts else {}
            for number, line in chunk:
                if number not in found:
                    yield json.dumps({"label": "", "probability": 0.0, "top": {}}) if jsonl else ""
                    continue
                each = found[number]
                row = {"label": each.label, "probability": each.probability, "top": dict(each.top())}
                row = answered(number, row, self.notes(line))
                yield json.dumps(row, ensure_ascii=False) if jsonl else each.label.replace("\n", " ")

    def notes(self, text: str) -> list[str]:
        """What about a text deserves a word: that the model does not know some of it, or that it is too long."""
        ids, limit = self.tokenizer.encode(text).ids, self.recipe.data.max_length
        return [*unknown_note(ids), *length_note(len(ids), limit, "shorten the text")]

    def shown(self, text: str, width: int, color: bool) -> str:
        """What `regard show` prints: the likeliest classes and what each word gave."""
        [found] = self.predict([text])
        rows = [f"{share:6.1%}  {label}".replace("\n", " ") for label, share in found.top()]
        return "\n".join([*rows, "", draw(self.attention(text), width=width, color=color), *self.notes(text)])

    def save_page(self, text: str, path: Path) -> None:
        """Writes a page with the class and what each word gave, which opens offline."""
        [found] = self.predict([text])
        said = ", ".join(f"{label} {share:.1%}" for label, share in found.top())
        write_text(path, page([PageItem(text, said, None, self.attention(text))], self.name))

    def evaluated(
        self,
        source: Path | None,
        target: Path | None,
        data: Path | None,
        as_json: bool,
        against: ClassifierModel | None = None,
    ) -> str:
        """What `regard evaluate` prints. `against` is tested on the same texts."""
        items = labelled_of(source, target, data)
        read = self.tokenizer.encode_batch([text for _, text, _ in items.rows])
        for sentence in [*items.left_out(), *cut_note(read, self.recipe.data.max_length, "texts")]:
            print(sentence, file=sys.stderr)
        scores, confused = self.scores(items)
        paired = [] if against is None else self.compared(against, items)
        if as_json:
            facts = {"run": self.name, "sentences": len(items.rows), "scores": [s.to_json() for s in scores]}
            facts |= {"confusions": [c.to_json() for c in confused], "paired": [p.to_json() for p in paired]}
            return json.dumps(facts, ensure_ascii=False, indent=1)
        lines = [f"{self.name}: {len(items.rows):,} texts, {self.labels.size} classes"]
        lines += [f"  {each}    {each.signature}" for each in scores]
        return "\n".join([*lines, *(f"  {each}" for each in confused), *(f"{p}    {p.signature}" for p in paired)])

    def compared(self, other: ClassifierModel, items: Labelled) -> list[PairedResult]:
        """Whether this classifier and another differ by more than chance: accuracy and macro-F1 of the same texts."""
        texts, gold = [text for _, text, _ in items.rows], [[label] for _, _, label in items.rows]
        a, b = ([each.label for each in model.predict(texts)] for model in (self, other))
        return [paired_test(a, b, gold, metric) for metric in classification.metrics()]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [ids[: self.recipe.data.max_length] for ids in self.tokenizer.encode_batch(list(texts))]


def labelled_of(source: Path | None, target: Path | None, data: Path | None) -> Labelled:
    """The texts and classes that a command names."""
    if data is not None:
        return read_labelled(LabelledTable(data))
    if source is None or target is None:
        raise UsageError("give --source FILE (texts) and --target FILE (classes), or --data FILE")
    return read_labelled(TextPairs(source, target))


def _recipe(tree: Tree, folder: RunFolder, origin: str, resume: bool) -> ClassificationRecipe:
    if not resume:
        refuse_overwriting(folder)
        return recipe_of(tree, origin, ClassificationRecipe)
    recipe = folder.read_recipe()
    assert isinstance(recipe, ClassificationRecipe)
    return resumed(tree, folder, recipe, origin)


def _read(data: LabelledDataPart, which: str) -> Labelled | None:
    source, target, table = (getattr(data, which + name) for name in ("source", "target", "data"))
    if source is not None and target is not None:
        return read_labelled(TextPairs(Path(source), Path(target)))
    return None if table is None else read_labelled(LabelledTable(Path(table)))


def _new_tokenizer(data: LabelledDataPart, items: Labelled) -> Tokenizer:
    return Tokenizer.train(data.tokenizer, (text for _, text, _ in items.rows), data.vocabulary)


def _labels(folder: RunFolder) -> Path:
    return folder.path / "labels.json"


def _side(folder: RunFolder) -> Tokenizer:
    path = folder.tokenizer("source", True)
    if not path.exists():
        raise UsageError(f"{path} is missing: the run was not finished or not copied whole; train it again")
    return Tokenizer.load(path)


def _write_dropped(folder: RunFolder, items: Labelled, long: Sequence[int], limit: int, console: Console) -> None:
    """Every line that is not trained on as it stands."""
    rows = [*items.dropped, *((items.name, line, f"cut after data.max_length = {limit} tokens") for line in long)]
    text = "file\tline\treason\n" + "".join(f"{file}\t{line}\t{why}\n" for file, line, why in rows)
    write_text(folder.dropped, text)
    if rows:
        console.print(f"{len(rows):,} lines are dropped or cut: see {folder.dropped}", style="yellow", highlight=False)
