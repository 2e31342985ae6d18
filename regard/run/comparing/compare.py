"""`regard compare`: several attention mechanisms, trained with one recipe, one budget and the same seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from regard import build
from regard.config import Recipe, mechanism, merge, read_toml, recipe_of, with_mechanism, write_toml
from regard.data import examine
from regard.errors import RegardError, UsageError
from regard.evaluation import paired_test
from regard.run.comparing.alone import train_alone
from regard.run.comparing.comparison import Comparison, Row
from regard.run.comparing.measuring import GoldFile, ScoredSet, measured
from regard.run.corpus import Pairs, Tree, pairs_of
from regard.run.folder import RunFolder
from regard.run.terminable import terminable
from regard.run.translation.model import Model
from regard.training.checkpoint import write_text
from regard.training.precision import measure
from regard.view import page

BASE = "comparison.toml"  # what all trainings of a comparison share
UNFINISHED = "not finished: run the same command to go on"


@dataclass(frozen=True)
class Job:
    """One training: the mechanism, its seed, the recipe's tree, and where it goes."""

    row: Row
    seed: int
    tree: Tree
    folder: RunFolder

    def __str__(self) -> str:
        return f"{self.row.name}, seed {self.seed}"

    @property
    def finished(self) -> bool:
        return self.folder.report.exists() and self.folder.weights.exists()


def compare(
    tree: Tree,
    names: Sequence[str],
    minutes: float | None,
    seeds: Sequence[int],
    out: Path,
    console: Console,
    pairs: Pairs | None = None,
    gold: GoldFile | None = None,
    *,
    origin: str = "the recipe",
    command: str = "",
) -> Comparison:
    """Trains each mechanism with each seed into `out`/NAME-SEED, one after the other and each in a process of its own;
    then scores all of them on `pairs` (None: the recipe's validation files) and writes `comparison.md`, `.json` and
    `.html`. `gold` are the set's alignments by hand. Runs that are finished are not trained again, and those that were stopped go on.
    Mechanisms that `out` holds from before keep their rows.

    A mechanism that fails is a row with the sentence that says why.

    Raises:
        UsageError: a name that is no mechanism or stands twice; no data or no budget; an `out` with runs of another
            recipe.
        RegardError: nothing could be trained; stopped by Ctrl-C or a TERM signal, after what is finished was scored.
    """
    tree = _shared(tree, minutes, seeds, out, console, origin)
    recipe = recipe_of(tree, origin)
    pairs = pairs if pairs is not None else pairs_of(recipe.data, valid=True)
    if pairs is None:
        raise UsageError(f"{origin} names no validation files to score on: give --source FILE --target FILE")
    if gold is not None and not gold.path.is_file():
        raise UsageError(f"{gold.path} is no file: give gold alignments, a line of links for each pair")
    rows, jobs = _plan(tree, names, seeds, out, origin)
    diagnosis = examine(pairs)
    for finding in diagnosis.findings:
        if finding.fatal:
            raise UsageError(finding.sentence)
        console.print(finding.sentence, highlight=False, style="yellow")
    if diagnosis.pairs == 0:
        raise UsageError(f"{pairs.has} no pair to score: see what 'regard doctor' says of it")
    if gold is not None:
        gold.check(pairs)
    if jobs:
        _begin(tree, out)
    with terminable():
        trained, interrupted = _train_all(jobs, console)
        inputs, stopped = _score_all(rows, trained, pairs, recipe.training.device, gold, console)
    for row in rows:
        row.runs.sort(key=lambda run: seeds.index(run.seed))
        for seed in seeds:
            if seed not in row.failures and seed not in [run.seed for run in row.runs]:
                row.failures[seed] = UNFINISHED
    comparison = Comparison(
        rows=rows,
        command=command,
        origin=origin,
        data=pairs.name,
        sentences=inputs,
        beam=recipe.decoding.beam,
        seeds=list(seeds),
        budget=_budget(recipe),
        precision=recipe.training.precision,
    )
    if out.is_dir():
        _write(comparison, out, console)
    if interrupted or stopped:
        raise RegardError("stopped before the comparison was whole; nothing is lost: run the same command to go on")
    if comparison.first is None:
        raise RegardError(f"no mechanism has come to its end; {rows[0].name}: {rows[0].remark}")
    return comparison


# --- before ---------------------------------------------------------------------------------------------------------


def _shared(tree: Tree, minutes: float | None, seeds: Sequence[int], out: Path, console: Console, origin: str) -> Tree:
    """What all trainings have in common. It is kept in `out`, so that no later call can mix two budgets in a table."""
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UsageError("seeds are different whole numbers from 0, such as --seeds 1,2,3")
    tree = {key: value for key, value in tree.items() if key != "seed"}
    if minutes is not None:
        recipe_of({"training": {"minutes": minutes}}, "the command line")  # a wrong one is not the recipe's fault
        tree = merge(tree, {"training": {"minutes": minutes}})
    recipe = recipe_of(tree, origin)
    tree = merge(tree, {"model": {"kind": recipe.model.kind}})
    if pairs_of(recipe.data) is None:
        raise UsageError(
            f"{origin} names no data to train on: add --set data.source=FILE and --set data.target=FILE, "
            "or --set data.data=FILE (--source and --target are what is scored)"
        )
    if not _budget(recipe):
        raise UsageError("say how long each mechanism may train, such as --minutes 5")
    base = out / BASE
    before = recipe_of(read_toml(base), str(base)) if base.exists() else None
    if recipe.training.precision == "auto":
        if before is not None:
            precision = before.training.precision
        else:
            # Measured once for all, lest two mechanisms differ in it by chance.
            speeds = measure(build.device(recipe.training.device))
            console.print(f"{speeds}: training in {speeds.faster}", highlight=False)
            precision = speeds.faster
        tree = merge(tree, {"training": {"precision": precision}})
    if before is not None:
        change = _difference(before.model_dump(), recipe_of(tree, origin).model_dump())
        if change is not None:
            key, old, new = change
            raise UsageError(
                f"{out} holds a comparison with {key} = {old}, not {new}, and the two cannot stand in one table: "
                "choose another folder with --out"
            )
    return tree


def _budget(recipe: Recipe) -> str:
    """What each training may take, in words; empty where nothing was said."""
    training = recipe.training
    parts = [(training.minutes, "minutes"), (training.steps, "steps"), (training.epochs, "epochs")]
    return " or ".join(f"{amount:g} {what}" for amount, what in parts if amount is not None)


def _difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first key whose values differ, and both values."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return None if old == new else (key, old, new)
    for name in dict.fromkeys((*old, *new)):
        found = _difference(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
        if found is not None:
            return found
    return None


def _plan(
    tree: Tree, names: Sequence[str], seeds: Sequence[int], out: Path, origin: str
) -> tuple[list[Row], list[Job]]:
    """A row for each mechanism, those of before among them, and what to train: all with the first seed, then all with
    the next. What is finished comes before, so that it is scored even if the rest is interrupted."""
    names = ["+".join(part.strip().lower() for part in name.split("+")) for name in names]
    if not names:
        raise UsageError("name the mechanisms to compare, such as --attention additive,dot,none")
    for name in names:
        mechanism(name)  # a misspelt name is said at once, and not as a row
    rows: list[Row] = []
    trees: dict[str, Tree] = {}
    for name in names:
        rows.append(Row(name))
        try:
            changed = with_mechanism(tree, name, origin)
        except UsageError as error:
            rows[-1].failures = dict.fromkeys(seeds, str(error))
            continue
        for other, those in trees.items():
            if recipe_of(those, origin).model == recipe_of(changed, origin).model:
                raise UsageError(f"{other} and {name} are the same model with this recipe: leave one out")
        trees[name] = changed
    jobs = [_job(row, seed, trees[row.name], out) for seed in seeds for row in rows if row.name in trees]
    earlier = _compared(out)
    kept: list[Row] = []
    for name in earlier:
        if name not in names:
            row, done = _kept(tree, name, seeds, out, origin, trees, earlier[name])
            jobs += done
            kept += [] if row is None else [row]
    return _ordered(list(earlier), rows, kept), sorted(jobs, key=lambda job: not job.finished)


def _job(row: Row, seed: int, tree: Tree, out: Path) -> Job:
    folder = RunFolder(out / f"{row.name.replace(':', '-')}-{seed}")  # Windows has no colon in names
    return Job(row, seed, {**tree, "seed": seed}, folder)


def _compared(out: Path) -> dict[str, dict[int, str]]:
    """The mechanisms of the table that is in `out`, if there is one, each with what became of the seeds that failed."""
    try:
        found = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
        return {
            str(row["attention"]): {int(each["seed"]): str(each["error"]) for each in row["failures"]}
            for row in found["rows"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _kept(
    tree: Tree,
    name: str,
    seeds: Sequence[int],
    out: Path,
    origin: str,
    trees: dict[str, Tree],
    failures: Mapping[int, str],
) -> tuple[Row | None, list[Job]]:
    """The row of a mechanism that was asked for before, and its finished runs. None of one that goes by another name now,
    could never be trained, or of which nothing is known."""
    row = Row(name)
    try:
        changed = with_mechanism(tree, name, origin)
    except UsageError:
        return None, []
    model = recipe_of(changed, origin).model
    if any(recipe_of(those, origin).model == model for those in trees.values()):
        return None, []
    jobs = [job for job in (_job(row, seed, changed, out) for seed in seeds) if job.finished]
    missing = [seed for seed in seeds if seed not in [job.seed for job in jobs]]
    untrained = f"not trained with this seed: name {name} in --attention, too"
    known = {seed: said for seed, said in failures.items() if said != UNFINISHED}
    row.failures = {seed: known.get(seed, untrained) for seed in missing}
    return (row if jobs or any(seed in known for seed in seeds) else None), jobs


def _ordered(earlier: Sequence[str], rows: Sequence[Row], kept: Sequence[Row]) -> list[Row]:
    """As they were first asked for; those that are asked for again take each other's places, in the order of now."""
    stay = {row.name: row for row in kept}
    again = iter([row for row in rows if row.name in earlier])
    repeated = {row.name for row in rows}
    before = [next(again) if name in repeated else stay[name] for name in earlier if name in repeated | stay.keys()]
    return [*before, *again, *(row for row in rows if row.name not in earlier)]


def _begin(tree: Tree, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out} cannot be made ({error.strerror}): choose another folder with --out") from error
    write_text(out / BASE, write_toml(tree))


# --- the work -------------------------------------------------------------------------------------------------------


def _train_all(jobs: Sequence[Job], console: Console) -> tuple[list[Job], bool]:
    """Those that came to their end, and whether it was interrupted."""
    trained = []
    try:
        for number, job in enumerate(jobs, start=1):
            console.print(f"[{number} of {len(jobs)}] {job}", style="bold", highlight=False)
            path = job.folder.path
            if job.finished:
                console.print(f"  already trained in {path}", highlight=False)
                trained.append(job)
                continue
            recipe = path.with_name(path.name + ".toml")
            write_text(recipe, write_toml(job.tree))
            wrong = train_alone(recipe, path, console)
            if wrong is None:
                trained.append(job)
            else:
                job.row.failures[job.seed] = wrong
                console.print(f"  {wrong}", style="red", highlight=False)
    except KeyboardInterrupt:
        console.print("stopped; what is trained is scored now, and Ctrl-C again leaves that too", style="yellow")
        return trained, True
    return trained, False


def _score_all(
    rows: Sequence[Row], jobs: Sequence[Job], pairs: Pairs, device: str, gold: GoldFile | None, console: Console
) -> tuple[int, bool]:
    """Measures the finished runs, one after the other while nothing else computes, and tests each against the first.
    Returns how many inputs were scored, and whether it was interrupted."""
    said: dict[tuple[str, int], list[str]] = {}
    test: ScoredSet | None = None
    try:
        for job in jobs:
            console.print(f"scoring {job}", highlight=False)
            try:
                model = Model.load(job.folder.path, device)
                test = test or ScoredSet.of(pairs, model)
                found, said[job.row.name, job.seed] = measured(model, job.folder, test, gold)
            except Exception as error:  # whatever is wrong with one, the others keep their rows
                why = str(error) if isinstance(error, RegardError) else f"{type(error).__name__}: {error}"
                job.row.failures[job.seed] = f"trained, but not scored: {why}"
                console.print(f"  {job.row.failures[job.seed]}", style="red", highlight=False)
                continue
            job.row.runs.append(found)
        if test is not None:
            _test_all(rows, said, test)
    except KeyboardInterrupt:
        return len(test.sources) if test is not None else 0, True
    return len(test.sources) if test is not None else 0, False


def _test_all(rows: Sequence[Row], said: dict[tuple[str, int], list[str]], test: ScoredSet) -> None:
    """Adds to each run how sure its difference from the first mechanism with the same seed is."""
    finished = [row for row in rows if row.runs]
    for row in finished[1:]:
        for number, run in enumerate(row.runs):
            against = said.get((finished[0].name, run.seed))
            if against is not None:
                own = said[row.name, run.seed]
                row.runs[number] = replace(run, paired=paired_test(own, against, test.references, test.metrics[0]))


def _write(comparison: Comparison, out: Path, console: Console) -> None:
    shown = [(row.name, row.runs[0].examples) for row in comparison.rows if row.runs]
    several = zip(*(examples for _, examples in shown), strict=True)  # the same input by every mechanism
    items = [p.page_item(name) for same in several for (name, _), p in zip(shown, same, strict=True)]
    title = f"Attention compared: {', '.join(name for name, _ in shown)}"
    files = {
        "comparison.md": comparison.markdown(),
        "comparison.json": json.dumps(comparison.to_json(), ensure_ascii=False, indent=1) + "\n",
        "comparison.html": page(items, title, comparison.tables(), [*comparison.facts(), comparison.command]),
    }
    console.print(f"\n{comparison}\n", highlight=False)
    for name, text in files.items():
        write_text(out / name, text)
        console.print(f"wrote {out / name}", highlight=False)
