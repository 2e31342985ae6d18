"""`evaluate` and `doctor`: how good a run is, and whether a corpus is fit to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regard.data import Diagnosis, TablePairs, TextPairs, examine, kept
from regard.data.reader import PipedPairs, is_pipe
from regard.errors import UsageError
from regard.evaluation import Bleu, LengthBucket, PairedResult, Score, TokenizedBleu, by_length, paired_test, score
from regard.evaluation.moses import moses_language
from regard.run.corpus import Pairs, grouped
from regard.run.lines import cut_note
from regard.run.translation.model import Model
from regard.tasks import translation


@dataclass(frozen=True)
class Evaluation:
    """What `regard evaluate` says."""

    run: str
    sentences: int
    beam: int
    scores: list[Score]
    lengths: list[LengthBucket]
    paired: list[PairedResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # sentences about what was not scored, or not read whole

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "sentences": self.sentences,
            "beam": self.beam,
            "scores": [s.to_json() for s in self.scores],
            "by_source_length": [b.to_json() for b in self.lengths],
            "paired": [p.to_json() for p in self.paired],
        }

    def __str__(self) -> str:
        lines = [f"{self.run}: {self.sentences:,} inputs, beam {self.beam}"]
        lines += [f"  {s}    {s.signature}" for s in self.scores]
        filled = [b for b in self.lengths if b.score is not None]
        if len(filled) > 1:
            lines.append("by source length in words:")
            lines += [f"  {b.label:>7}  {b.count:>6} inputs  {b.score}" for b in filled]
        lines += [f"{p}    {p.signature}" for p in self.paired]
        return "\n".join(lines)


def evaluation_pairs(source: Path | None, target: Path | None, data: Path | None) -> Pairs:
    """The pairs a command names; UsageError where it names none or too many."""
    if data is not None and (source is not None or target is not None):
        raise UsageError("give --source and --target, or --data, not both")
    if data is not None:
        return TablePairs(data)
    if source is None or target is None:
        raise UsageError("give --source FILE and --target FILE, or --data FILE")
    return (PipedPairs if is_pipe(source) or is_pipe(target) else TextPairs)(source, target)


def evaluate(
    model: Model,
    pairs: Pairs,
    *,
    beam: int | None = None,
    against: Model | None = None,
    lowercase: str | None = None,
    tokenize: str | None = None,
) -> Evaluation:
    """Scores the model's outputs for the pairs. `lowercase` names the targets' language, to score them lower-cased
    and tokenised too, as much of the literature does. Where inputs are judged as wholes, the targets of a repeated source
    are references of one input. `against` is tested on the same inputs. `tokenize` is how sacreBLEU cuts words for BLEU;
    None: as the target language or its script has them."""
    way = model.recipe.data, model.source_tokenizer, model.target_tokenizer
    together = translation.spells(*way)
    if tokenize is not None:
        _check(tokenize, together, model.name)
    if lowercase is not None:
        moses_language(lowercase)
    diagnosis = examine(pairs)
    for finding in diagnosis.findings:
        if finding.fatal:
            raise UsageError(finding.sentence)
    sources, references = grouped(kept(pairs, diagnosis), together)
    if not sources:
        raise UsageError(f"{pairs.has} no pair to score: see what 'regard doctor' says of it")
    said = _said(model, sources, beam)
    headers = [finding.sentence for finding in diagnosis.findings if finding.kind == "header"]
    read = model.source_tokenizer.encode_batch(sources)
    metrics = translation.metrics(*way, references, tokenize)
    if lowercase is not None:
        metrics.append(TokenizedBleu(lowercase))
    tests = []
    if against is not None:
        other = _said(against, sources, beam)
        tests = [paired_test(said, other, references, metric) for metric in metrics[:2]]
    return Evaluation(
        run=model.name,
        sentences=len(sources),
        beam=beam or model.recipe.decoding.beam,
        scores=[score(metric, said, references) for metric in metrics],
        lengths=by_length(said, references, sources, metrics[0], bootstrap=0),
        paired=tests,
        notes=[*headers, *diagnosis.left_out(), *cut_note(read, model.recipe.data.max_length, "sources")],
    )


def _check(tokenize: str, together: bool, name: str) -> None:
    """Says at once what would be found out after all outputs were made."""
    if together:
        raise UsageError(
            f"--tokenize is of runs that are scored by BLEU, and {name} is judged by the words that it gets wrong: leave it out"
        )
    Bleu(tokenize=tokenize).library()


def _said(model: Model, sources: Sequence[str], beam: int | None) -> list[str]:
    return [prediction.text for prediction in model.predict_stream(sources, beam=beam)]


def diagnose(source: Path | None, target: Path | None, data: Path | None) -> Diagnosis:
    """The doctor's opinion of a corpus."""
    return examine(evaluation_pairs(source, target, data))
