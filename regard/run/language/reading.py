"""What comes before the first step of a language model: a recipe without gaps, a tokenizer, a stream of tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console

from regard.config import merge, recipe_of, write_toml
from regard.config.budget import training_under
from regard.config.language import Files, TextRecipe, text_preset
from regard.data import Tokenizer, fingerprint
from regard.data.text import TextCorpus, Unit, build_text, documents, text_made_of
from regard.errors import RegardError, UsageError
from regard.run.beginning import make, refuse_overwriting, with_precision
from regard.run.corpus import Tree
from regard.run.folder import RunFolder
from regard.run.resuming import resumed
from regard.training.checkpoint import write_text

VALIDATED = 200_000  # characters; more would cost minutes at each validation and change no choice

R = TypeVar("R", bound=TextRecipe)


@dataclass(frozen=True)
class Texts:
    """Documents in files."""

    paths: tuple[Path, ...]
    unit: Unit

    @classmethod
    def of(cls, files: Files, unit: Unit) -> Texts | None:
        if not files:
            return None
        return cls(tuple(Path(file) for file in ([files] if isinstance(files, str) else files)), unit)

    def __iter__(self) -> Iterator[str]:
        return documents(self.paths, self.unit)

    @property
    def name(self) -> str:
        return ", ".join(str(path) for path in self.paths)

    def size(self) -> tuple[int, int]:
        """How many documents and characters there are."""
        count = characters = 0
        for text in self:
            count, characters = count + 1, characters + len(text)
        if not count:
            raise UsageError(f"{self.name} holds no text: every line is blank")
        return count, characters


@dataclass(frozen=True)
class Prepared(Generic[R]):
    recipe: R
    tokenizer: Tokenizer
    corpus: TextCorpus
    valid: TextCorpus
    held_out: bool

    @property
    def context(self) -> int:
        assert self.recipe.data.context is not None
        return self.recipe.data.context


def prepare_text(
    kind: type[R], tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool
) -> Prepared[R]:
    if resume:
        recipe = resumed(tree, folder, folder.read_recipe_of(kind), origin)
    else:
        refuse_overwriting(folder)
        recipe = recipe_of(tree, origin, kind)
    unit = recipe.data.unit
    texts, valid_texts = Texts.of(recipe.data.data, unit), Texts.of(recipe.data.valid_data, unit)
    if texts is None:
        raise UsageError(f'{origin} names no text: give --data FILE, or data = ["FILE", …] under [data]')
    count, characters = texts.size()
    valid_size = None if valid_texts is None else valid_texts.size()[1]
    make(folder)
    if not resume:
        recipe = _resolve(tree, characters, origin, kind)

    share = min(recipe.data.held_out, VALIDATED / max(1, characters))
    apart = _apart(share, recipe.seed) if valid_texts is None else (lambda _: False)

    def training_texts() -> Iterator[str]:
        return (text for text in texts if not apart(text))

    rest = [text for text in texts if apart(text)] if valid_texts is None else _some(valid_texts, valid_size or 0)
    if not rest or (valid_texts is None and len(rest) == count):
        raise RegardError(
            f"{texts.name} has {count} {unit}, too few to keep some for validation: give --valid-data FILE, or "
            "cut the text smaller with data.unit"
        )
    if valid_texts is None:
        console.print(
            f"no validation text was given: {len(rest):,} {unit} are kept from training for it", highlight=False
        )
    tokenizer = read_tokenizer(folder) if resume else _new_tokenizer(recipe, training_texts, folder)
    corpus = _tokenised(texts, training_texts(), tokenizer, recipe, folder, resume=resume)
    valid = TextCorpus.of(rest, tokenizer)
    if not resume:
        recipe = with_precision(recipe, console)
        write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        _say_choices(recipe, console)
    return Prepared(recipe, tokenizer, corpus, valid, valid_texts is None)


def read_tokenizer(folder: RunFolder) -> Tokenizer:
    return Tokenizer.load(folder.tokenizer("text", True))


def _resolve(tree: Tree, characters: int, origin: str, kind: type[R]) -> R:
    """The recipe with every gap filled by what follows from the text."""
    chosen = recipe_of(tree, origin, kind)
    below = text_preset(
        characters,
        masked=hasattr(chosen, "masking"),
        recurrent=getattr(chosen, "model").kind == "recurrent",  # noqa: B009 - each kind has a model of its own
        tokenizer=chosen.data.tokenizer,
    )
    below["training"] = training_under(below["training"], tree.get("training", {}))
    return recipe_of(merge(below, tree), origin, kind)


def _new_tokenizer(recipe: TextRecipe, texts: Callable[[], Iterator[str]], folder: RunFolder) -> Tokenizer:
    data = recipe.data
    assert data.tokenizer is not None and data.vocabulary is not None
    tokenizer = Tokenizer.train(data.tokenizer, texts(), data.vocabulary)
    tokenizer.save(folder.tokenizer("text", True))
    return tokenizer


def _tokenised(
    texts: Texts, training: Iterator[str], tokenizer: Tokenizer, recipe: TextRecipe, folder: RunFolder, *, resume: bool
) -> TextCorpus:
    """The training text as token files, made once. UsageError where a run would go on with another text."""
    data = recipe.data
    mark = fingerprint(
        [*texts.paths, folder.tokenizer("text", True)], recipe.seed, texts.unit, data.held_out, bool(data.valid_data)
    )
    before = text_made_of(folder.corpus)
    if resume and before is not None and before != mark:
        raise UsageError(
            f"{texts.name} changed since the run in {folder.path} began, so it cannot go on as if nothing had happened: "
            "put the old text back, or train into another folder"
        )
    return build_text(training, tokenizer, folder.corpus, fingerprint=mark)


def _apart(share: float, seed: int) -> Callable[[str], bool]:
    """Which documents are kept from training. Equal ones go to the same side, and no order matters."""

    def chosen(text: str) -> bool:
        digest = hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(8, "little")).digest()
        return int.from_bytes(digest, "little") < share * 2**64

    return chosen


def _some(texts: Texts, characters: int) -> Sequence[str]:
    """Documents from all over a text that is too long to be read at every validation."""
    step = -(-characters // VALIDATED)
    return [text for number, text in enumerate(texts) if number % step == 0]


def _say_choices(recipe: TextRecipe, console: Console) -> None:
    """What the presets have chosen, in two lines; all of it is in recipe.toml."""
    tree = recipe.model_dump(mode="json", exclude={"model": {"attention"}})
    data = {key: tree["data"][key] for key in ("unit", "tokenizer", "vocabulary", "context")}
    for name, part in (("data", data), ("model", tree["model"])):
        said = ", ".join(f"{key} {value}" for key, value in part.items() if value is not None)
        console.print(f"{name}: {said}", highlight=False)
