"""From files to what a training reads: the doctor's look, presets, tokenizers, token files, a validation set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regard.config import Corpus as CorpusFacts
from regard.config import DataPart, Recipe, merge, preset, recipe_of
from regard.config.budget import training_under
from regard.config.languages import languages_of_files
from regard.data import (
    Corpus,
    Diagnosis,
    Guide,
    TablePairs,
    TextPairs,
    Tokenizer,
    build_corpus,
    examine,
    fingerprint,
    kept,
    made_of,
)
from regard.errors import RegardError, UsageError
from regard.run.folder import RunFolder

Tree = dict[str, Any]
Pairs = TextPairs | TablePairs
Triple = tuple[int, str, str]

HELD_OUT = 1000  # pairs at most, and at most a twentieth


@dataclass(frozen=True)
class ValidationSet:
    """Sources with all their references, and the pairs as a corpus for the loss."""

    sources: list[str]
    references: list[list[str]]
    corpus: Corpus
    held_out: bool


def pairs_of(data: DataPart, *, valid: bool = False) -> Pairs | None:
    source, target, table = (
        (data.valid_source, data.valid_target, data.valid_data) if valid else (data.source, data.target, data.data)
    )
    if source is not None and target is not None:
        return TextPairs(Path(source), Path(target))
    return TablePairs(Path(table)) if table is not None else None


def examined(pairs: Pairs, say: Callable[[str], None]) -> Diagnosis:
    """The doctor's findings, said; RegardError where a training would be wrong."""
    diagnosis = examine(pairs)
    for finding in diagnosis.findings:
        if not finding.fatal:
            say(finding.sentence)
    for finding in diagnosis.findings:
        if finding.fatal:
            raise RegardError(finding.sentence)
    if diagnosis.pairs == 0:
        raise RegardError(f"{pairs.has} no pair left to train on: see what 'regard doctor' says of it")
    return diagnosis


def resolve(tree: Tree, diagnosis: Diagnosis, origin: str) -> Recipe:
    """The recipe with every gap filled by what follows from the corpus."""
    facts = diagnosis.statistics
    corpus = CorpusFacts(
        pairs=diagnosis.pairs,
        source_words=facts.source.mean_words,
        target_words=facts.target.mean_words,
        source_types=facts.source.distinct_words,
        target_types=facts.target.distinct_words,
        source_unspaced=facts.source.unspaced_text,
        target_unspaced=facts.target.unspaced_text,
    )
    given = recipe_of(tree, origin)
    chosen = given.model.kind if tree.get("model") else None
    below = preset(corpus, chosen, minutes=given.training.minutes, steps=given.training.steps)
    below["training"] = training_under(below["training"], tree.get("training", {}))
    data = tree.get("data", {})
    if data.get("tokenizer") is not None:  # one choice for both sides, unless a side says otherwise
        both = data["tokenizer"]
        below["data"] |= {"source_tokenizer": both, "target_tokenizer": both}
    languages = languages_of_files(data.get("source"), data.get("target"))
    below["data"] |= dict(zip(("source_language", "target_language"), languages or (), strict=False))
    full = recipe_of(merge(below, tree), origin)
    kinds = (full.data.source_tokenizer, full.data.target_tokenizer)
    if full.data.bpe_dropout and "bpe" not in kinds:
        raise UsageError(
            f"{origin}: data.bpe_dropout undoes merges of BPE, and the tokenizers are {kinds[0]} and {kinds[1]}; "
            'set data.tokenizer = "bpe" or leave it out'
        )
    if full.data.shared_vocabulary and full.data.source_tokenizer != full.data.target_tokenizer:
        if data.get("shared_vocabulary"):
            raise UsageError(
                f"{origin}: data.shared_vocabulary needs one tokenizer for both sides, not "
                f"{full.data.source_tokenizer} and {full.data.target_tokenizer}; set data.tokenizer"
            )
        return full.model_copy(update={"data": full.data.model_copy(update={"shared_vocabulary": False})})
    return full


def make_tokenizers(
    recipe: Recipe, triples: Callable[[], Iterator[Triple]], folder: RunFolder
) -> tuple[Tokenizer, Tokenizer]:
    """Trains and saves them; the same object twice where the vocabulary is shared."""
    data = recipe.data
    assert data.source_tokenizer is not None and data.target_tokenizer is not None and data.vocabulary is not None
    if data.shared_vocabulary:
        lines = (text for _, source, target in triples() for text in (source, target))
        shared = Tokenizer.train(data.source_tokenizer, lines, data.vocabulary)
        shared.save(folder.tokenizer("source", True))
        return shared, shared
    source = Tokenizer.train(data.source_tokenizer, (s for _, s, _ in triples()), data.vocabulary)
    target = Tokenizer.train(data.target_tokenizer, (t for _, _, t in triples()), data.vocabulary)
    source.save(folder.tokenizer("source", False))
    target.save(folder.tokenizer("target", False))
    return source, target


def held_out(pairs: int, seed: int) -> Callable[[str], bool]:
    """Which sources are kept from training. All pairs of one source go to the same side, and no order matters."""
    share = min(HELD_OUT, pairs // 20) / max(pairs, 1)

    def chosen(source: str) -> bool:
        digest = hashlib.blake2b(source.encode(), digest_size=8, salt=seed.to_bytes(8, "little")).digest()
        return int.from_bytes(digest, "little") < share * 2**64

    return chosen


def grouped(triples: Iterable[Triple], together: bool) -> tuple[list[str], list[list[str]]]:
    """Sources and their references. `together` joins the references of sources that occur several times."""
    if not together:
        rows = [(source, [target]) for _, source, target in triples]
        return [source for source, _ in rows], [targets for _, targets in rows]
    found: dict[str, list[str]] = {}
    for _, source, target in triples:
        found.setdefault(source, []).append(target)
    return list(found), list(found.values())


def tokenised(
    pairs: Pairs,
    triples: Iterator[Triple],
    tokenizers: tuple[Tokenizer, Tokenizer],
    recipe: Recipe,
    folder: RunFolder,
    *,
    resume: bool,
) -> Corpus:
    """The training pairs as token files, made once. UsageError where a run would go on with other files."""
    paths = [pairs.source, pairs.target] if isinstance(pairs, TextPairs) else [pairs.data]
    shared = bool(recipe.data.shared_vocabulary)
    marks = [folder.tokenizer(side, shared) for side in (("source",) if shared else ("source", "target"))]
    mark = fingerprint([*paths, *marks], recipe.seed, recipe.data.max_length)
    before = made_of(folder.corpus)
    if resume and before is not None and before != mark:
        raise UsageError(
            f"{pairs.name} changed since the run in {folder.path} began, so it cannot go on as if nothing had happened: "
            "put the old files back, or train into another folder"
        )
    return build_corpus(triples, *tokenizers, folder.corpus, fingerprint=mark, max_length=recipe.data.max_length)


def guide_of(recipe: Recipe, corpus: Corpus, tokenizers: tuple[Tokenizer, Tokenizer]) -> Guide | None:
    """What guides the attention while training; None where nothing does. Its links are those of the corpus' lines."""
    data, training = recipe.data, recipe.training
    if not training.guided:
        if data.alignment is not None:
            raise UsageError(
                "data.alignment guides the attention where training.guided is above 0: set training.guided=1, or leave "
                "alignment out"
            )
        return None
    if data.alignment is None:
        raise UsageError(
            "training.guided needs word alignments: set data.alignment to a file with a line such as '0-0 1-2' per pair"
        )
    pairs, kept = pairs_of(data), int(corpus.rows.max()) + 1 if len(corpus) else 0
    whole = isinstance(pairs, TextPairs)  # a table may have a header, and cells of several lines
    lines = sum(1 for _ in pairs) if whole else kept
    guide = Guide.read(Path(data.alignment), lines, tokenizers, training.guided_row, exactly=whole)
    guide.check(corpus)
    return guide


def length_ratio(corpus: Corpus) -> float:
    """How much longer than its source an output may be: what covers all but one in a thousand pairs, and a fifth."""
    ratios = (np.asarray(corpus.target_lengths) + 1) / (np.asarray(corpus.source_lengths) + 1)
    return float(np.ceil(np.quantile(ratios, 0.999) * 12) / 10)


__all__ = [
    "Pairs",
    "Triple",
    "ValidationSet",
    "examined",
    "grouped",
    "guide_of",
    "held_out",
    "kept",
    "length_ratio",
    "make_tokenizers",
    "pairs_of",
    "resolve",
    "tokenised",
]
