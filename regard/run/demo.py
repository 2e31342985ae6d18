"""`regard demo`: the main job on data that comes with the package, from training to attention."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text

from regard.data import TablePairs
from regard.embedded import english_french, pronunciations
from regard.errors import UsageError
from regard.run.crowding import crowded, load_before
from regard.run.evaluating import evaluate
from regard.run.folder import RunFolder
from regard.run.training import train
from regard.run.translation.model import Model
from regard.training.checkpoint import write_text
from regard.view import draw, page

SENTENCE = "They are watching."
EXAMPLES = ("attention", "knowledge", "translate", "beautiful", "physics")


def demonstrate(out: Path, minutes: float, console: Console, *, again: bool = False) -> None:
    """Trains spelling → pronunciation on CMUdict, scores it on words that were kept apart, and shows five."""
    folder = RunFolder(out)
    train_words = pronunciations("train")
    dev_words = pronunciations("dev")
    apart = {word for word, _ in dev_words} | set(EXAMPLES)
    learned = [(word, said) for word, said in train_words if word not in apart]
    if folder.recipe.exists() and again:
        folder.read_recipe()  # nothing is removed that is not a run
        shutil.rmtree(out)
    if folder.recipe.exists():
        if not folder.report.exists():
            raise UsageError(f"{out} holds an unfinished run: add --again to train it anew, or choose another --out")
        console.print(f"{out} is trained already (--again trains it anew).", highlight=False)
        model = Model.load(out)
    else:
        console.print(
            f"Learning to pronounce English: {len(learned):,} words of CMUdict, {minutes:g} minutes.\n"
            f"{len(dev_words):,} other words are kept for the test, and so are the five examples.\n",
            highlight=False,
        )
        data = out / "cmudict"  # a name that nobody else's files have
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{out} cannot be made ({error.strerror}): choose another folder with --out") from error
        _write_pairs(data / "train.tsv", learned)
        _write_pairs(data / "dev.tsv", dev_words)
        tree = {
            "data": {"data": str((data / "train.tsv").resolve()), "valid_data": str((data / "dev.tsv").resolve())},
            # Hard attention that goes forward learns to spell fastest (docs/results/cmudict.md).
            "model": {
                "kind": "recurrent",
                "decoder": "exact-hard",
                "transition": "monotonic",
                "attention": {"score": "general"},
            },
            "training": {"minutes": minutes, "warmup": 100, "batch_tokens": 512},  # many steps in the time there is
        }
        _make_way(console)
        model = train(tree, out, console, origin="regard demo")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "dev.tsv"
        _write_pairs(path, dev_words)
        report = evaluate(model, TablePairs(path))
    console.print(f"\nOn {report.sentences:,} words that it never saw:", highlight=False)
    for score in report.scores:
        console.print(f"  {score}", highlight=False, style="bold")
    _show(model, out, console)


def _write_pairs(path: Path, words: list[tuple[str, list[str]]]) -> None:
    write_text(path, "".join(f"{word}\t{said}\n" for word, several in words for said in several))


def _translate(console: Console) -> None:
    """What the model that comes with the package says, and looks at."""
    console.print("\nAnd a model that was trained before, from English to French:", highlight=False)
    [prediction] = Model.load(english_french(), "cpu").predict([SENTENCE], attention=True)
    console.print(Text.assemble(f"\n{prediction.source} → ", (prediction.text, "bold")))
    assert prediction.attention is not None
    print(draw(prediction.attention, width=console.width, color=console.is_terminal))


def _make_way(console: Console) -> None:
    """One thread where other programs are at work: two that wait for each other among them learn next to nothing in so
    few minutes. A training of the user's own keeps its threads, lest it resume to other weights."""
    if crowded(load_before(), torch.get_num_threads()) is not None:
        console.print("Other programs keep this machine busy: learning with one thread, and less.\n", highlight=False)
        torch.set_num_threads(1)


def _show(model: Model, out: Path, console: Console) -> None:
    console.print("\nFive more words that it never saw, and which letters each sound looked at:", highlight=False)
    predictions = model.predict(list(EXAMPLES), attention=True)
    for prediction in predictions:
        console.print(Text.assemble(f"\n{prediction.source} → ", (prediction.text, "bold")))
        if prediction.attention is not None:
            print(draw(prediction.attention, width=console.width, color=console.is_terminal))
    _translate(console)
    html = out / "attention.html"
    write_text(html, page([p.page_item() for p in predictions], "regard demo"))
    console.print(
        f"\nThe sounds again, to click on: {html}\n\nNext, try a word of your own, the page, or your own data:\n"
        f"  regard show {out} tyrannosaurus\n"
        "  regard serve --demo\n"
        "  regard train --source train.en --target train.de --out runs/en-de --minutes 30",
        highlight=False,
    )
