"""`steer`: changes what a model attends to while it runs, and only that.

Inside the block the chosen `Attend`s compute by the plain formula and edit what they would have looked at; all others
keep their path. `capture` inside `steer` shows the edited weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from regard.attention.capture import attends, refuse_compiled
from regard.attention.edit import Edit, Where
from regard.attention.multihead import MultiHead
from regard.attention.scopes import Global
from regard.errors import UsageError
from regard.state import State


def places(model: nn.Module) -> dict[Where, list[str]]:
    """The names of a model's `Attend`s by what they look at, from the lowest layer up: a decoder at the source
    ("cross"), an encoder at the source ("encoder"), a decoder at what was said ("decoder")."""
    looking = {id(attend) for attend in getattr(model, "looking", [])}
    found: dict[Where, list[str]] = {"cross": [], "encoder": [], "decoder": []}
    for name, attend in attends(model).items():
        parts = name.split(".")
        if id(attend) in looking:
            found["cross"].append(name)
        elif "encoder" in parts:
            found["encoder"].append(name)
        else:
            found["decoder" if "attention" in parts else "cross"].append(name)
    return found


def heads_of(model: nn.Module) -> dict[str, int]:
    """How many heads each `Attend` has, by its name: 0 where it stands alone, without an axis of heads."""
    owned = {id(module.attend): module.heads for module in model.modules() if isinstance(module, MultiHead)}
    return {name: owned.get(id(attend), 0) for name, attend in attends(model).items()}


@contextmanager
def steer(model: nn.Module, edits: Sequence[Edit]) -> Iterator[None]:
    """`with steer(model, [Edit("forbid", source=[3])]):` changes where the model looks while it runs.

    Every search, and teaching all steps at once, are changed in the same way. `bias` and `forbid` act on what goes
    into the normalizer, then `force`, `flatten`, `freeze` and `drop` on what comes out, each in the order given. What
    padding and causality hide stays hidden: a `force` of nothing else leaves the row as it is. What a stateful
    mechanism remembers is what it was made to look at.

    Raises:
        UsageError: a place, layer, head or position that the model lacks; `source_words`, which only a model with a
            tokenizer can tell; a compiled model.
    """
    refuse_compiled(model, "steer", "steered")
    named, heads = attends(model), heads_of(model)
    chosen: dict[str, list[Edit]] = {}
    there = places(model)
    for edit in edits:
        for name in _names(model, there, heads, edit):
            chosen.setdefault(name, []).append(edit)
    before = [(named[name], named[name].editor, named[name].scope) for name in chosen]
    editors = []
    handles: list[Any] = []
    try:
        for (attend, outer, scope), (name, those) in zip(before, chosen.items(), strict=True):
            editor = Editor(those, heads[name], outer)
            attend.editor = editor
            if scope is None:
                attend.scope = Global()  # what has a scope keeps its queries in their places, where steps are counted
            editors.append(editor)
        if any(edit.action == "freeze" for edit in edits):
            handles = [handle for decoder in _decoders(model) for handle in _following(decoder, editors)]
        yield
    finally:
        for handle in handles:
            handle.remove()
        for attend, outer, scope in before:
            attend.editor, attend.scope = outer, scope


class Editor:
    """The edits of one `Attend`. `heads` is 0 where its weights have no axis of heads; `outer` goes first."""

    def __init__(self, edits: Sequence[Edit], heads: int, outer: Any = None) -> None:
        self.edits = edits
        self.heads = heads
        self.outer = outer
        self.kept: dict[int, Tensor] = {}  # by number of the edit: the weights [N, (H), S] that it freezes

    def scores(
        self, scores: Float[Tensor, "... T S"], seen: Bool[Tensor, "..."] | None, start: int
    ) -> tuple[Float[Tensor, "... T S"], Bool[Tensor, "..."] | None]:
        """What the normalizer shall read: `bias` and `forbid`."""
        if self.outer is not None:
            scores, seen = self.outer.scores(scores, seen, start)
        for edit in self.edits:
            if edit.strength is not None and edit.action == "bias":
                places = self._positions(edit, scores) & self._chosen(edit, scores, start)
                scores = scores + edit.strength * places.to(scores.dtype)
        return scores, self._unforbidden(seen, scores, start)

    def weights(
        self, weights: Float[Tensor, "... T S"], allowed: Bool[Tensor, "..."] | None, start: int
    ) -> Float[Tensor, "... T S"]:
        """What the values shall be mixed by. `allowed` are the keys that are there, whatever a window sees of them."""
        if self.outer is not None:
            weights = self.outer.weights(weights, allowed, start)
        allowed = self._unforbidden(allowed, weights, start)
        may = torch.ones_like(weights, dtype=torch.bool) if allowed is None else allowed.expand_as(weights)
        for number, edit in enumerate(self.edits):
            rows = self._chosen(edit, weights, start)
            if edit.action == "force":
                changed = _forced(weights, may & self._positions(edit, weights))
            elif edit.action == "flatten":
                changed = _even(may, weights.dtype)
            elif edit.action == "drop":
                changed = torch.zeros_like(weights)
            elif edit.action == "freeze":
                changed = self._frozen(number, edit, weights, start, bool(rows.any()))
            else:
                continue
            weights = torch.where(rows, changed, weights)
        return weights

    def _unforbidden(self, seen: Tensor | None, like: Tensor, start: int) -> Tensor | None:
        for edit in self.edits:
            if edit.action == "forbid":
                left = ~(self._positions(edit, like) & self._chosen(edit, like, start))
                seen = left if seen is None else seen & left
        return seen

    def _chosen(self, edit: Edit, like: Float[Tensor, "... T S"], start: int) -> Bool[Tensor, "... T 1"]:
        """Which rows an edit is about: [T, 1], or [H, T, 1] where there are heads."""
        steps = range(start, start + like.shape[-2])
        first = 1 if edit.action == "freeze" else 0
        about = [step >= first if edit.steps is None else step in edit.steps for step in steps]
        rows = torch.tensor(about, device=like.device)[:, None]
        if not self.heads:
            return rows
        mine = [edit.heads is None or head in edit.heads for head in range(self.heads)]
        return torch.tensor(mine, device=like.device)[:, None, None] & rows

    def _positions(self, edit: Edit, like: Float[Tensor, "... T S"]) -> Bool[Tensor, " S"]:
        size = like.shape[-1]
        if edit.where != "decoder" and max(edit.source) >= size:
            raise UsageError(
                f"there is no source position {max(edit.source)} to {edit.action}: the source has {size}, 0 to "
                f"{size - 1}, its end among them"
            )
        places = torch.zeros(size, dtype=torch.bool, device=like.device)
        places[[place for place in edit.source if place < size]] = True  # of what was said, some is still to come
        return places

    def _frozen(self, number: int, edit: Edit, weights: Tensor, start: int, wanted: bool) -> Float[Tensor, "... T S"]:
        first = 1 if edit.steps is None else min(edit.steps)
        steps, keys = weights.shape[-2:]
        lead = weights.shape[: -3 if self.heads else -2]
        inner = weights.shape[len(lead) : -2]
        if start <= first - 1 < start + steps:
            self.kept[number] = weights[..., first - 1 - start, :].reshape(-1, *inner, keys).detach()
        if not wanted:
            return weights
        kept = self.kept.get(number)
        if kept is None or kept.shape[0] != lead.numel():
            raise UsageError(
                f"the weights of step {first - 1}, to be kept, were not seen of each row: run the model from its "
                "first step on inside the steer block"
            )
        kept = nn.functional.pad(kept, (0, keys - kept.shape[-1]))  # what was said since then gets nothing
        return kept.reshape(*lead, *inner, 1, keys).to(weights.dtype)


def _forced(weights: Float[Tensor, "... T S"], targets: Bool[Tensor, "... T S"]) -> Float[Tensor, "... T S"]:
    inside = weights.masked_fill(~targets, 0.0)
    total = inside.sum(dim=-1, keepdim=True)
    shared = torch.where(total > 0, inside / total.masked_fill(total == 0, 1.0), _even(targets, weights.dtype))
    return torch.where(targets.any(dim=-1, keepdim=True), shared, weights)


def _even(allowed: Bool[Tensor, "... T S"], dtype: torch.dtype) -> Float[Tensor, "... T S"]:
    many = allowed.sum(dim=-1, keepdim=True).clamp_min(1)
    return allowed.to(dtype) / many.to(dtype)


def _names(model: nn.Module, there: dict[Where, list[str]], heads: dict[str, int], edit: Edit) -> list[str]:
    """The `Attend`s that an edit is about."""
    if edit.source_words:
        raise UsageError(
            "source_words are told by a model with its tokenizer: write model.predict(lines, steer=[…]), or give source"
        )
    names = there[edit.where]
    what = {"cross": "attention to a source", "encoder": "self-attention in an encoder", "decoder": "self-attention"}
    if not names:
        others = [where for where, found in there.items() if found]
        advice = f"; there is {' and '.join(others)}" if others else ", so nothing can be steered"
        raise UsageError(f'{type(model).__name__} has no {what[edit.where]} (where = "{edit.where}"){advice}')
    for layer in edit.layers or ():
        if layer >= len(names):
            raise UsageError(f"there is no layer {layer} of {edit.where}: there are layers 0 to {len(names) - 1}")
    chosen = [name for layer, name in enumerate(names) if edit.layers is None or layer in edit.layers]
    for head in edit.heads or ():
        most = min(max(heads[name], 1) for name in chosen)
        if head >= most:
            raise UsageError(f"there is no head {head} of {edit.where}: there are heads 0 to {most - 1}")
    return chosen


# --- freezing while a search moves hypotheses from row to row -----------------------------------------------------------


@dataclass(frozen=True)
class Following(State):
    """A decoder's state with the weights that are kept of each row, which so go wherever a search moves the row."""

    inner: Any
    kept: tuple[Float[Tensor, "N ..."] | None, ...]


def _decoders(model: nn.Module) -> list[nn.Module]:
    """Those modules that speak `regard.state.Decoder`, the outermost where one wraps another."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") or not outer for outer in found)
        if not inside and callable(getattr(module, "start", None)):
            found[name] = module
    return list(found.values())


def _following(decoder: nn.Module, editors: Sequence[Editor]) -> list[Any]:
    """Hooks that take what is kept out of a state before the decoder reads it, and put it into the next."""
    slots = [
        (editor, number) for editor in editors for number, edit in enumerate(editor.edits) if edit.action == "freeze"
    ]

    def unwrap(value: Any) -> Any:
        if not isinstance(value, Following):
            return value
        for (editor, number), kept in zip(slots, value.kept, strict=True):
            if kept is not None:
                editor.kept[number] = kept
        return value.inner

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for editor, number in slots:
            editor.kept.pop(number, None)
        return tuple(unwrap(value) for value in args), {name: unwrap(value) for name, value in kwargs.items()}

    def after(_: nn.Module, args: tuple[Any, ...], output: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        logits, state = output
        return logits, Following(state, tuple(editor.kept.get(number) for editor, number in slots))

    # Of nested blocks the inner one has wrapped last, and has to unwrap first.
    return [
        decoder.register_forward_pre_hook(before, with_kwargs=True, prepend=True),
        decoder.register_forward_hook(after),
    ]
