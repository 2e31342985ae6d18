"""A training that is stopped anywhere and resumed ends in the same weights, bit by bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from regard.batch import BOS, EOS, Batch, rectangle
from regard.dropout import Dropout
from regard.errors import RegardError, UsageError
from regard.training.checkpoint import load_parameters, load_state, parameters_of, save_state, save_tensors, write_text
from regard.training.loop import Budget, Loss, Optimisation, Progress, Trainer
from regard.training.muon import Stacked
from regard.training.schedule import Schedule


class SomeBatches:
    """Seven small batches an epoch, in an order that the epoch's number decides."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        order = torch.randperm(7, generator=torch.Generator().manual_seed(number)).tolist()
        for i in order[start:]:
            draw = torch.Generator().manual_seed(i)
            rows = [torch.randint(4, 20, (n,), generator=draw).tolist() for n in (3, 5, 2)]
            source, lengths = rectangle([[*r, EOS] for r in rows])
            target, target_lengths = rectangle([[BOS, *r[::-1], EOS] for r in rows])
            yield Batch(source, lengths, target, target_lengths, torch.arange(3))

    def count(self, number: int) -> int:
        return 7


class NoBatches:
    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        return iter(())

    def count(self, number: int) -> int:
        return 0


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.dropout = Dropout(0.5)
        self.map = nn.Linear(8, 8)
        self.output = nn.Linear(8, 20)
        self.output.weight = self.embedding.weight  # tied, as in real models

    def forward(self, batch: Batch) -> Loss:
        logits = self.output(self.dropout(self.map(self.embedding(batch.target[:, :-1]))))
        real = torch.arange(logits.shape[1]) < (batch.target_lengths - 1)[:, None]
        total = nn.functional.cross_entropy(logits[real], batch.target[:, 1:][real], reduction="sum")
        return Loss(total, total.detach(), int(real.sum()))


class Log:
    def __init__(self) -> None:
        self.steps: list[tuple[int, float]] = []
        self.validations: list[tuple[int, float, bool]] = []
        self.at: dict[int, Any] = {}

    def step(self, progress: Progress, facts: Mapping[str, float]) -> None:
        self.steps.append((progress.step, facts["loss"]))
        if progress.step in self.at:
            self.at[progress.step]()

    def validated(self, progress: Progress, facts: Mapping[str, float], best: bool) -> None:
        self.validations.append((progress.step, facts["valid_loss"], best))


def trainer(folder: Path, log: Log, *, budget: Budget | None = None, muon: bool = False, **changes: Any) -> Trainer:
    torch.manual_seed(11)
    model = Tiny()
    matrices = (Stacked(model.map.weight, [3, 5]),) if muon else ()

    def validate() -> dict[str, float]:
        with torch.no_grad():
            losses = [model(batch) for batch in SomeBatches().epoch(0)]
        return {"valid_loss": sum(float(each.total) for each in losses) / sum(each.tokens for each in losses)}

    options: dict[str, Any] = {
        "optimisation": Optimisation(
            0.05, Schedule("cosine", warmup=3), weight_decay=0.01, accumulate=2, matrices=matrices
        ),
        "save_every": 4,
        "validate_every": 3,
    } | changes
    return Trainer(
        model, model, SomeBatches(), budget=budget or Budget(steps=13), state=folder / "state", observer=log,
        validate=validate, now=lambda: 0.0, **options,
    )  # fmt: skip


def finished(folder: Path, muon: bool = False) -> tuple[Trainer, Log]:
    log = Log()
    whole = trainer(folder, log, muon=muon)
    assert whole.train() == "13 steps are done"
    return whole, log


@pytest.mark.parametrize("muon", [False, True], ids=["adamw", "muon"])
@pytest.mark.parametrize("stop_at", [1, 3, 4, 7, 12])
def test_interrupted_and_resumed_equals_never_interrupted(tmp_path: Path, stop_at: int, muon: bool) -> None:
    whole, whole_log = finished(tmp_path / "whole", muon)
    log = Log()
    first = trainer(tmp_path / "cut", log, muon=muon)
    log.at[stop_at] = lambda: os.kill(os.getpid(), signal.SIGINT)
    assert first.train() == "interrupted"
    assert first.progress.step == stop_at
    torch.manual_seed(999)
    second = trainer(tmp_path / "cut", log, muon=muon)
    second.resume()
    assert second.train() == "13 steps are done"
    for name, tensor in parameters_of(whole.model).items():
        assert torch.equal(tensor, parameters_of(second.model)[name]), name
    assert log.steps == whole_log.steps
    assert log.validations == whole_log.validations
    assert second.progress == whole.progress


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stop_at", [3, 6, 13])
def test_a_validation_is_broken_off_and_made_up_for(tmp_path: Path, stop_at: int, number: int) -> None:
    """The thirteenth step is the last one: its validation is made up for, too, and is not left out."""
    whole, whole_log = finished(tmp_path / "whole")
    log = Log()
    first = trainer(tmp_path / "cut", log)
    real, reached = first.validate, []

    def validate() -> Mapping[str, float]:
        assert real is not None
        if first.progress.step == stop_at:
            torch.rand(5)  # what is broken off may have drawn
            os.kill(os.getpid(), number)
            reached.append("after the signal")
        return real()

    first.validate = validate
    assert first.train() == "interrupted"
    assert first.progress.step == stop_at and first.progress.due and not reached
    assert [step for step, *_ in log.validations] == [step for step, *_ in whole_log.validations if step < stop_at]
    second = trainer(tmp_path / "cut", log)
    second.resume()
    assert second.train() == "13 steps are done"
    assert log.validations == whole_log.validations and log.steps == whole_log.steps
    assert second.progress == whole.progress


def test_a_second_interrupt_ends_a_validation_made_up_for_at_once(tmp_path: Path) -> None:
    first = trainer(tmp_path, Log())

    def asked_twice() -> Mapping[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("it was broken off")

    first.validate = asked_twice
    assert first.train() == "interrupted"
    with pytest.raises(KeyboardInterrupt):
        first.stop.ask()


def test_killed_without_warning_it_goes_on_from_the_last_state(tmp_path: Path) -> None:
    whole, _ = finished(tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    log = Log()
    log.at[10] = kill
    with pytest.raises(Killed):
        trainer(tmp_path / "cut", log).train()
    second = trainer(tmp_path / "cut", Log())
    assert second.resume().step == 8
    second.train()
    for name, tensor in parameters_of(whole.model).items():
        assert torch.equal(tensor, parameters_of(second.model)[name]), name


def test_a_resumed_run_that_was_done_does_nothing_and_a_longer_budget_goes_on(tmp_path: Path) -> None:
    finished(tmp_path)
    again = trainer(tmp_path, Log())
    again.resume()
    assert again.train() == "13 steps are done"
    assert again.progress.step == 13
    longer = trainer(tmp_path, Log(), budget=Budget(steps=15))
    longer.resume()
    longer.train()
    assert longer.progress.step == 15
    shorter = trainer(tmp_path, Log(), budget=Budget(steps=4))
    shorter.resume()
    assert shorter.train() == "15 steps are done, and the budget is 4"


def test_it_learns_validates_and_keeps_the_best(tmp_path: Path) -> None:
    kept: list[tuple[int, bool]] = []
    log = Log()
    t = trainer(tmp_path, log, budget=Budget(epochs=12), keep=lambda tensors, p, best: kept.append((p.step, best)))
    assert t.train() == "12 epochs are done"
    assert t.progress.step == 12 * 4  # seven batches, two at a time
    assert log.validations[-1][1] < 0.8 * log.validations[0][1]
    assert [step for step, _ in kept] == [step for step, _, _ in log.validations]
    best = min(log.validations, key=lambda v: v[1])
    assert (t.progress.best_step, t.progress.best) == best[:2]


def test_patience_and_minutes_end_a_training(tmp_path: Path) -> None:
    still = Optimisation(1e-12)
    t = trainer(tmp_path / "a", Log(), budget=Budget(steps=500, patience=2), optimisation=still)
    t.validate = lambda: {"valid_loss": 1.0}
    assert t.train() == "2 validations brought no gain"
    assert t.progress.step == 9  # the first is the best, two more bring nothing
    clock = iter(range(100_000))
    t = trainer(tmp_path / "b", Log(), budget=Budget(minutes=1.0))
    t.now = lambda: float(next(clock))
    assert t.train() == "1 minutes are over"
    assert t.progress.seconds >= 60


def test_a_loss_that_is_lost_ends_with_a_sentence_and_keeps_the_last_state(tmp_path: Path) -> None:
    t = trainer(tmp_path, Log())
    t.loss = lambda batch: Loss(
        t.model(batch).total * (float("nan") if t.progress.step == 6 else 1.0), torch.tensor(1.0), 10
    )
    with pytest.raises(RegardError, match=r"at step 6: lower training\.learning_rate"):
        t.train()
    assert load_state(tmp_path / "state")[1]["progress"]["step"] == 4
    exploding = trainer(tmp_path / "x", Log(), budget=Budget(steps=99))
    exploding.loss = lambda batch: Loss(
        exploding.model(batch).total, torch.tensor(10.0 if exploding.progress.step == 1 else 1e4), 10
    )
    with pytest.raises(RegardError, match="the loss exploded"):
        exploding.train()


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    t = trainer(tmp_path, Log())
    t.batches = NoBatches()
    with pytest.raises(RegardError, match="nothing to train on"):
        t.train()


def test_states_are_whole_or_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    save_state(folder, {"a": torch.ones(3)}, {"n": 1})
    save_state(folder, {"a": torch.zeros(3)}, {"n": 2})
    tensors, facts = load_state(folder)
    assert facts == {"n": 2} and tensors["a"].tolist() == [0, 0, 0]
    folder.rename(tmp_path / "state.old")  # killed between the two renames
    assert load_state(folder)[1] == {"n": 2}
    with pytest.raises(UsageError, match="no state to resume from"):
        load_state(tmp_path / "nothing")
    broken = tmp_path / "broken"
    save_state(broken, {"a": torch.ones(300)}, {})
    whole = (broken / "tensors.safetensors").read_bytes()
    (broken / "tensors.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="was cut off or is another file"):
        load_state(broken)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_weights_are_as_open_as_every_other_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        save_tensors(tmp_path / "model.safetensors", {"a": torch.ones(2)})
        write_text(tmp_path / "report.json", "{}")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~umask}


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RegardError, match=r"model\.safetensors cannot be written \(No space left on device\)"):
        save_tensors(tmp_path / "model.safetensors", {"a": torch.ones(2)})
    with pytest.raises(RegardError, match="No space left"):
        write_text(tmp_path / "report.json", "{}")
    assert not list(tmp_path.glob("*.safetensors"))


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    model = Tiny()
    with pytest.raises(UsageError, match=r"'output\.bias' is \[3\] there and \[20\] by the recipe"):
        load_parameters(model, parameters_of(model) | {"output.bias": torch.ones(3)}, tmp_path)
    with pytest.raises(UsageError, match=r"lacks 'map\.bias'"):
        load_parameters(model, {"embedding.weight": torch.ones(20, 8)}, tmp_path)


def test_a_budget_that_preparing_has_spent_still_buys_a_step_and_a_model(tmp_path: Path) -> None:
    kept: list[int] = []
    t = trainer(tmp_path, Log(), budget=Budget(minutes=0.5), keep=lambda tensors, p, best: kept.append(p.step))
    t.progress.seconds = 99.0
    assert t.train() == "0.5 minutes are over"
    assert kept == [1]
