"""What a training of a classifier of texts reads: texts with a class each, and a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from rich.console import Console

from regard.config.classification import ClassificationRecipe, LabelledDataPart
from regard.data import TextPairs, Tokenizer
from regard.data.labels import Labelled, LabelledTable, read_labelled
from regard.data.stops import SentenceTokenizer, sentences_of
from regard.errors import UsageError
from regard.run.folder import RunFolder
from regard.training.checkpoint import write_text


def labelled_of(source: Path | None, target: Path | None, data: Path | None) -> Labelled:
    """The texts and classes that a command names."""
    if data is not None:
        return read_labelled(LabelledTable(data))
    if source is None or target is None:
        raise UsageError("give --source FILE (texts) and --target FILE (classes), or --data FILE")
    return read_labelled(TextPairs(source, target))


def read(data: LabelledDataPart, which: str) -> Labelled | None:
    """The texts to train on, or with "valid_" those to validate with; None where the recipe names none."""
    source, target, table = (getattr(data, which + name) for name in ("source", "target", "data"))
    if source is not None and target is not None:
        return read_labelled(TextPairs(Path(source), Path(target)))
    return None if table is None else read_labelled(LabelledTable(Path(table)))


def new_tokenizer(recipe: ClassificationRecipe, items: Labelled) -> Tokenizer:
    texts = (text for _, text, _ in items.rows)
    if recipe.model.pooling == "hierarchical":  # it learns from what it will read
        texts = chain.from_iterable(map(sentences_of, texts))
    return Tokenizer.train(recipe.data.tokenizer, texts, recipe.data.vocabulary)


def read_tokenizer(folder: RunFolder) -> Tokenizer:
    path = folder.tokenizer("source", True)
    if not path.exists():
        raise UsageError(f"{path} is missing: the run was not finished or not copied whole; train it again")
    return Tokenizer.load(path)


def reader(recipe: ClassificationRecipe, tokenizer: Tokenizer) -> Tokenizer | SentenceTokenizer:
    """What makes tokens of a text: with marks between its sentences, if they are looked at one by one."""
    return SentenceTokenizer(tokenizer) if recipe.model.pooling == "hierarchical" else tokenizer


def labels_of(folder: RunFolder) -> Path:
    return folder.path / "labels.json"


def write_dropped(folder: RunFolder, items: Labelled, long: Sequence[int], limit: int, console: Console) -> None:
    """Every line that is not trained on as it stands."""
    rows = [*items.dropped, *((items.name, line, f"cut after data.max_length = {limit} tokens") for line in long)]
    text = "file\tline\treason\n" + "".join(f"{file}\t{line}\t{why}\n" for file, line, why in rows)
    write_text(folder.dropped, text)
    if rows:
        console.print(f"{len(rows):,} lines are dropped or cut: see {folder.dropped}", style="yellow", highlight=False)
