"""`capture`: sees what a model attends to, without changing what it does.

Each `Attend` that was asked for gets a hook, which computes the weights from the call's own inputs, without
gradient. The output stays bit-identical and the fast path stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from regard.attention.attend import Attend
from regard.errors import UsageError

Choice = Collection[str] | Callable[[str, Attend], bool]


class Seen(Mapping[str, list[Tensor]]):
    """The weights of each call of each captured `Attend`, by the name of the module, in the order of the calls."""

    def __init__(self, names: Collection[str]) -> None:
        self._weights: dict[str, list[Tensor]] = {name: [] for name in names}

    def __getitem__(self, name: str) -> list[Tensor]:
        return self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def steps(self, name: str) -> Float[Tensor, "... T S"]:
        """All calls of one `Attend` on one source, one target step after the other."""
        if not self._weights[name]:
            raise UsageError(f"nothing was captured of '{name}': run the model inside the capture block first")
        return torch.cat(self._weights[name], dim=-2)

    def clear(self) -> None:
        """Forgets what was seen, to look at another call."""
        for weights in self._weights.values():
            weights.clear()


def refuse_compiled(model: nn.Module, doing: str, done: str) -> None:
    """UsageError where hooks would never fire. What is being done stands in the sentence twice."""
    if any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    ):
        raise UsageError(f"a compiled model cannot be {done}: {doing} the module from before torch.compile")


def attends(model: nn.Module) -> dict[str, Attend]:
    """Every `Attend` of a model by its name. One that is used in several places appears once."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Attend)}


@contextmanager
def capture(model: nn.Module, which: Choice | None = None) -> Iterator[Seen]:
    """`with capture(model) as seen:` records weights [..., T, S] while the model runs.

    `which` chooses by name (a collection of names from `attends(model)`, or a predicate of name and module); None
    means all. Dropped weights are shown undropped. Raises UsageError for an unknown name, for a model without
    attention, and for a compiled model, in which hooks never fire.
    """
    refuse_compiled(model, "capture", "looked into")
    found = attends(model)
    if not found:
        raise UsageError(
            f"{type(model).__name__} has no attention to capture: its decoder has a fixed context, or "
            "sums over all it could look at"
        )
    if which is None:
        chosen = found
    elif callable(which):
        chosen = {name: attend for name, attend in found.items() if which(name, attend)}
    else:
        unknown = [name for name in which if name not in found]
        if unknown:
            raise UsageError(f"no attention is called '{unknown[0]}'; there are: {', '.join(found)}")
        chosen = {name: found[name] for name in found if name in which}
    seen = Seen(chosen)

    def hook_of(name: str) -> Callable[..., None]:
        def hook(attend: Attend, args: tuple[Any, ...], kwargs: dict[str, Any], _: Any) -> None:
            with torch.no_grad():
                seen[name].append(_weights(attend, *args, **kwargs))

        return hook

    handles = [attend.register_forward_hook(hook_of(name), with_kwargs=True) for name, attend in chosen.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _weights(
    attend: Attend, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **options: Any
) -> Float[Tensor, "... T S"]:
    """The weights of a call with the arguments of `Attend.forward`, of which the values play no part."""
    return attend.weights(q, k, mask, **options)
