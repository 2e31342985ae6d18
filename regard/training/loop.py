"""The training loop: one model, one loss, a budget; it can be stopped at any step and goes on as if it had not been."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from regard.errors import RegardError
from regard.training.checkpoint import load_parameters, load_state, parameters_of, save_state
from regard.training.muon import Muon, Stacked
from regard.training.precision import Precision
from regard.training.schedule import Schedule


class Batches(Protocol):
    """Batches in an order that the number of the epoch decides alone. What a batch is, a task says: it has `to(device)`
    and `target_tokens`."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]: ...

    def count(self, number: int) -> int: ...


@dataclass(frozen=True)
class Loss:
    """Summed over a batch: what is minimised, the negative log-likelihood, and over how many tokens."""

    total: Tensor
    likelihood: Tensor
    tokens: int


@dataclass(frozen=True)
class Budget:
    """Training ends at whichever comes first; None is no limit. `patience` counts validations without a gain."""

    steps: int | None = None
    minutes: float | None = None
    epochs: int | None = None
    patience: int | None = None


@dataclass(frozen=True)
class Optimisation:
    learning_rate: float
    schedule: Schedule = field(default_factory=Schedule)
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.0
    clip: float = 1.0
    accumulate: int = 1
    precision: Precision = "fp32"
    matrices: Sequence[Stacked] = ()  # moved by Muon; what is not among them, by AdamW


@dataclass
class Progress:
    """Where a training stands; all of it is in `state/`."""

    step: int = 0
    epoch: int = 0
    index: int = 0  # of the next batch within the epoch
    seconds: float = 0.0
    tokens: int = 0
    best: float | None = None
    best_step: int = 0
    since_best: int = 0
    first_loss: float | None = None
    bad_steps: int = 0
    due: bool = False  # the validation of this step was broken off, or not begun


class Observer(Protocol):
    """Who is told. The loop knows no file name and no terminal."""

    def step(self, progress: Progress, facts: Mapping[str, float]) -> None: ...

    def validated(self, progress: Progress, facts: Mapping[str, float], best: bool) -> None: ...


class BrokenOff(BaseException):
    """What was done could be broken off, and a training was asked to stop."""


class Stop:
    """Asked to stop by Ctrl-C or a TERM signal, a training ends after its step and saves itself; a validation is broken
    off, and is made when the training goes on. A second Ctrl-C ends it at once; a second TERM does not, for whoever
    ends a group of processes may have asked the first time, too."""

    def __init__(self) -> None:
        self.asked = False
        self._breakable = False

    def ask(self, number: int = signal.SIGINT, *_: Any) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        if self._breakable:
            raise BrokenOff

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """What is done within ends by BrokenOff as soon as it is asked to."""
        self._breakable = True
        try:
            yield
        finally:
            self._breakable = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals reach the main thread alone
            return
        before = {number: signal.signal(number, self.ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Trainer:
    """Minimises `loss(batch)` per token over `batches`.

    `validate()` returns facts by name, of which `criterion` is made as good as possible (`larger_is_better`);
    `keep(model_parameters, progress, best)` is called
    with each validated model. `state` is the folder to resume from.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any], Loss],
        batches: Batches,
        optimisation: Optimisation,
        budget: Budget,
        *,
        state: Path,
        observer: Observer,
        save_every: int,
        validate_every: int,
        validate: Callable[[], Mapping[str, float]] | None = None,
        criterion: str = "valid_loss",
        larger_is_better: bool = False,
        keep: Callable[[Mapping[str, Tensor], Progress, bool], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.loss, self.batches = model, loss, batches
        self.optimisation, self.budget = optimisation, budget
        self.state, self.observer = state, observer
        self.save_every, self.validate_every = save_every, validate_every
        self.validate, self.criterion, self.larger_is_better = validate, criterion, larger_is_better
        self.keep, self.now = keep, now
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.optimizers = _optimizers(self.parameters, optimisation)
        self.progress = Progress()
        self.stop = Stop()
        self._clock = now()

    # --- the loop -----------------------------------------------------------------------------------------------

    def train(self) -> str:
        """Trains to the end of the budget; returns in a few words why it ended."""
        self._clock = self.now()
        with self.stop.listening():
            reason = self._train()
        self.save()
        return reason

    def _train(self) -> str:
        if self.progress.due and not self._validate():
            return "interrupted"
        if self.progress.step and (reason := self._ended()) is not None:
            return reason  # resumed after its end
        while True:
            window: list[Any] = []
            last = self.batches.count(self.progress.epoch) - 1
            first = self.progress.index
            if last < 0:
                raise RegardError("there is nothing to train on: nothing of the data fits")
            for index, batch in enumerate(self.batches.epoch(self.progress.epoch, first), start=first):
                window.append(batch)
                if len(window) < self.optimisation.accumulate and index < last:
                    continue
                self.progress.index = index + 1
                self._step(window)
                window = []
                if (reason := self._after_step()) is not None:
                    return reason
            self.progress.epoch += 1
            self.progress.index = 0

    def _step(self, window: list[Any]) -> None:
        progress, optimisation = self.progress, self.optimisation
        self.model.train()
        progress.step += 1
        rate = optimisation.learning_rate * optimisation.schedule.factor(progress.step, self.spent())
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        before = progress.seconds
        tokens = sum(batch.target_tokens for batch in window)
        likelihood = 0.0
        for batch in window:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=optimisation.precision == "bf16"):
                loss = self.loss(batch.to(self.device))
            (loss.total / tokens).backward()
            likelihood += float(loss.likelihood)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, optimisation.clip or math.inf, foreach=True))
        self._watch(likelihood / max(tokens, 1), norm)
        for optimizer in self.optimizers:
            optimizer.step()
        progress.tokens += tokens
        self._tick()
        facts = {"loss": likelihood / max(tokens, 1), "lr": rate, "gradient_norm": norm}
        # The clock last ticked after the step before, so making the batch counts as work of this one.
        facts |= {"tokens": tokens, "seconds": progress.seconds - before}
        self.observer.step(progress, facts)

    def _ended(self) -> str | None:
        """Why the budget is spent, if it is."""
        progress, budget = self.progress, self.budget
        if budget.steps is not None and progress.step >= budget.steps:
            more = f", and the budget is {budget.steps}" if progress.step > budget.steps else ""
            return f"{progress.step} steps are done{more}"
        if budget.epochs is not None and self._epochs() >= budget.epochs:
            return f"{budget.epochs} epochs are done"
        if budget.minutes is not None and progress.seconds >= budget.minutes * 60:
            return f"{budget.minutes:g} minutes are over"
        if budget.patience is not None and progress.since_best >= budget.patience:
            return f"{progress.since_best} validations brought no gain"
        return None

    def _after_step(self) -> str | None:
        """Validates and saves where it is time to; an interrupted run has done the same as one that goes on."""
        progress = self.progress
        reason = self._ended()
        if progress.step % self.validate_every == 0 or reason is not None:
            if not self._validate():
                return "interrupted"
            reason = reason or self._ended()
        if reason is None and progress.step % self.save_every == 0:
            self.save()
        return reason or ("interrupted" if self.stop.asked else None)

    def _epochs(self) -> float:
        return self.progress.epoch + self.progress.index / max(1, self.batches.count(self.progress.epoch))

    def spent(self) -> float:
        """The share of the budget that is spent, from 0 to 1: of steps, of epochs or of time, whichever is furthest."""
        progress, budget = self.progress, self.budget
        shares = [0.0]
        if budget.steps is not None:
            shares.append(progress.step / budget.steps)
        if budget.epochs is not None:
            shares.append(self._epochs() / budget.epochs)
        if budget.minutes is not None:
            shares.append(progress.seconds / (budget.minutes * 60))
        return min(1.0, max(shares))

    def _validate(self) -> bool:
        """False where it was broken off: then it is due, and chance stands where it stood."""
        if self.validate is None:
            return True
        progress, chance = self.progress, self._chance()
        progress.due = True
        if self.stop.asked:
            return False
        self.model.eval()
        try:
            with self.stop.breaking():
                facts = self.validate()
        except BrokenOff:
            self._set_chance(chance)
            return False
        finally:
            self._tick()
        progress.due = False
        value = facts[self.criterion]
        gain = progress.best is None or (value > progress.best if self.larger_is_better else value < progress.best)
        if gain:
            progress.best, progress.best_step, progress.since_best = value, progress.step, 0
        else:
            progress.since_best += 1
        if self.keep is not None:
            self.keep(parameters_of(self.model), progress, gain)
        self.observer.validated(progress, facts, gain)
        return True

    def _tick(self) -> None:
        """Counts the time since it was last asked; time while the program is not running is not counted."""
        now = self.now()
        self.progress.seconds += now - self._clock
        self._clock = now

    def _watch(self, loss: float, norm: float) -> None:
        """Ends a training that has lost its way, before it overwrites anything good."""
        progress = self.progress
        kept = "" if progress.best is None else "; the best model so far is kept"
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise RegardError(
                f"the loss became {loss} (gradient norm {norm}) at step {progress.step}: lower training.learning_rate "
                f'or set training.precision = "fp32"{kept}'
            )
        if progress.first_loss is None:
            progress.first_loss = loss
        progress.bad_steps = progress.bad_steps + 1 if loss > 2.0 * progress.first_loss + 1.0 else 0
        if progress.bad_steps >= 20:
            raise RegardError(
                f"the loss exploded: {loss:.1f} per token at step {progress.step}, {progress.first_loss:.1f} at the "
                f"start; lower training.learning_rate or raise training.warmup{kept}"
            )

    # --- state --------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Writes all that `resume` needs to go on to the same weights, bit by bit."""
        tensors = {f"model/{name}": tensor for name, tensor in parameters_of(self.model).items()}
        for index, (parameter, optimizer) in enumerate(self._ordered()):
            for name, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{index}/{name}"] = value
        tensors |= self._chance()
        save_state(self.state, tensors, {"progress": asdict(self.progress)})

    def resume(self) -> Progress:
        """Goes back to what `save` wrote."""
        tensors, facts = load_state(self.state)
        model = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
        load_parameters(self.model, model, self.state / "tensors.safetensors")
        for index, (parameter, optimizer) in enumerate(self._ordered()):
            start = f"optimizer/{index}/"
            values = {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
            if values:
                optimizer.state[parameter] = {
                    name: t if name == "step" else t.to(self.device) for name, t in values.items()
                }
        self._set_chance(tensors)
        self.progress = Progress(**facts["progress"])
        self._clock = self.now()
        return self.progress

    def _chance(self) -> dict[str, Tensor]:
        """The states of the generators that a training draws from."""
        states = {"random/cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["random/cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _set_chance(self, states: Mapping[str, Tensor]) -> None:
        torch.set_rng_state(states["random/cpu"])
        if self.device.type == "cuda" and "random/cuda" in states:
            torch.cuda.set_rng_state(states["random/cuda"], self.device)

    def _ordered(self) -> list[tuple[nn.Parameter, torch.optim.Optimizer]]:
        return [
            (parameter, optimizer)
            for optimizer in self.optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]


def _optimizers(parameters: Sequence[nn.Parameter], how: Optimisation) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon if it has matrices."""
    apart = {id(each.weight) for each in how.matrices}
    rest = [p for p in parameters if id(p) not in apart]
    adamw = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": how.weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=how.learning_rate,
        betas=how.betas,
        eps=1e-9,
        fused=True,
    )
    if not how.matrices:
        return [adamw]
    bf16 = how.precision == "bf16"
    return [adamw, Muon(how.matrices, how.learning_rate, weight_decay=how.weight_decay, bf16=bf16)]
