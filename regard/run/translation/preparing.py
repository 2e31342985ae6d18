"""What comes before the first step: a recipe without gaps, tokenizers, token files, a validation set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console

from regard.config import DecodingPart, Recipe, recipe_of, write_toml
from regard.config.recipe import ATTENTIONS, VECTORS
from regard.data import Corpus, Diagnosis, TextPairs, Tokenizer
from regard.errors import RegardError, UsageError
from regard.run.beginning import make, refuse_overwriting, with_precision
from regard.run.corpus import (
    Pairs,
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
from regard.run.resuming import resumed
from regard.run.translation.parent import Parent, strangeness
from regard.tasks import translation
from regard.training.checkpoint import write_text

VALIDATED_PAIRS = 1000  # more would cost minutes at each validation and change no choice


def prepare(
    tree: Tree, folder: RunFolder, console: Console, origin: str, resume: bool
) -> tuple[Recipe, ValidationSet, Corpus, tuple[Tokenizer, Tokenizer]]:
    parent = None if resume else Parent.of(tree)
    if resume:
        recipe = resumed(tree, folder, folder.read_recipe_of(Recipe), origin)
    else:
        refuse_overwriting(folder)
        tree = tree if parent is None else parent.fill(tree, origin)
        recipe = recipe_of(tree, origin)
    pairs = pairs_of(recipe.data)
    if pairs is None:
        raise UsageError(f"{origin} names no data: give --source FILE --target FILE, or --data FILE")
    diagnosis = examined(pairs, lambda sentence: console.print(sentence, highlight=False, style="yellow"))
    valid_pairs = pairs_of(recipe.data, valid=True)
    valid_diagnosis = None if valid_pairs is None else examined(valid_pairs, lambda sentence: None)
    make(folder)
    if not resume:
        recipe = resolve(tree, diagnosis, origin)

    apart = held_out(diagnosis.pairs, recipe.seed) if valid_pairs is None else (lambda _: False)

    def training_triples() -> Iterator[Triple]:
        return (triple for triple in kept(pairs, diagnosis) if not apart(triple[1]))

    if resume:
        tokenizers = folder.read_tokenizers(recipe)
    elif parent is not None:
        tokenizers = parent.tokenizers(folder)
    else:
        tokenizers = make_tokenizers(recipe, training_triples, folder)
    corpus = tokenised(pairs, training_triples(), tokenizers, recipe, folder, resume=resume)
    _leave_out(diagnosis, corpus, pairs, recipe, folder, console)
    if len(corpus) == 0:
        raise RegardError(
            f"{pairs.name}: no pair is within data.max_length = {recipe.data.max_length} tokens; raise it"
        )
    for sentence in strangeness(corpus, parent.folder.path) if parent is not None else ():
        console.print(sentence, highlight=False, style="yellow")
    if not resume:  # a run of before the key searches as it did
        recipe = recipe.model_copy(update={"decoding": _searching(recipe.decoding, corpus)})
    if valid_pairs is not None and valid_diagnosis is not None:
        rows = list(kept(valid_pairs, valid_diagnosis))
    else:
        rows = [triple for triple in kept(pairs, diagnosis) if apart(triple[1])]
        if not rows:
            raise RegardError(_too_few(pairs, diagnosis.pairs))
        console.print(
            f"no validation files were given: {len(rows):,} pair{'s are' if len(rows) > 1 else ' is'} kept from training "
            "for it",
            highlight=False,
        )
    valid = _validation_set(rows, tokenizers, valid_pairs is None, recipe)
    if not resume:
        recipe = with_precision(recipe, console)
        write_text(folder.recipe, write_toml(recipe.model_dump(mode="json")))
        _say_choices(recipe, console)
    return recipe, valid, corpus, tokenizers


def _searching(part: DecodingPart, corpus: Corpus) -> DecodingPart:
    """With nothing left open."""
    chosen = {"max_length_ratio": length_ratio(corpus), "unknown": "replace"}
    return part.model_copy(update={name: value for name, value in chosen.items() if getattr(part, name) is None})


def _too_few(pairs: Pairs, count: int) -> str:
    """That nothing is left for validation, and how files for it are given as these were."""
    options = "--valid-source FILE and --valid-target FILE" if isinstance(pairs, TextPairs) else "--valid-data FILE"
    return f"{pairs.has} {count:,} pair{'s' * (count > 1)}, too few to keep some for validation: give {options}"


def _leave_out(
    diagnosis: Diagnosis, corpus: Corpus, pairs: Pairs, recipe: Recipe, folder: RunFolder, console: Console
) -> None:
    """Writes down every pair that is not trained on, those among them that are too long."""
    limit = recipe.data.max_length
    name = str(pairs.source if isinstance(pairs, TextPairs) else pairs.data)
    long = [(name, line, f"longer than data.max_length = {limit} tokens") for line in corpus.too_long]
    replace(diagnosis, dropped=[*diagnosis.dropped, *long]).write_dropped(folder.dropped)
    if long:
        console.print(f"{len(long):,} pairs are longer than data.max_length = {limit} tokens; dropped", style="yellow")


def _validation_set(
    rows: list[Triple], tokenizers: tuple[Tokenizer, Tokenizer], held: bool, recipe: Recipe
) -> ValidationSet:
    spelled = translation.spells(recipe.data, *tokenizers)
    sources, references = grouped(rows, spelled)
    source, target = tokenizers
    some = [rows[i] for i in _spread(len(rows))]
    limit = recipe.data.max_length
    ids = zip(source.encode_batch([s for _, s, _ in some]), target.encode_batch([t for _, _, t in some]), strict=True)
    chosen = _spread(len(sources))
    return ValidationSet(
        [sources[i] for i in chosen],
        [references[i] for i in chosen],
        Corpus.in_memory([(s[:limit], t[:limit]) for s, t in ids]),
        held,
    )


def _spread(count: int) -> list[int]:
    """At most `VALIDATED_PAIRS` of so many lines, spread over the file, which may be sorted."""
    number = min(count, VALIDATED_PAIRS)
    return [i * count // number for i in range(number)]


def _say_choices(recipe: Recipe, console: Console) -> None:
    """What the presets have chosen, in a few lines; all of it is in recipe.toml."""
    model = recipe.model.model_dump(mode="json", exclude={"pretrained", *VECTORS, *ATTENTIONS})
    data = recipe.data.model_dump(
        mode="json",
        include={"source_tokenizer", "target_tokenizer", "vocabulary", "shared_vocabulary"},
    )
    for name, part in (("data", data), ("model", model)):
        said = ", ".join(f"{key} {value}" for key, value in part.items())
        console.print(f"{name}: {said}", highlight=False)
    attention = _attention(recipe)
    if attention:
        console.print(f"attention: {attention}", highlight=False)


def _attention(recipe: Recipe) -> str:
    """By which mechanisms a model looks, place by place where they differ; empty if it does not."""
    found = recipe.model.mechanisms
    said = {place: ", then ".join(dict.fromkeys(part.summary for part in parts)) for place, parts in found.items()}
    if len(set(said.values())) > 1:
        return "; ".join(f"{place}: {text}" for place, text in said.items())
    return next(iter(said.values()), "")
