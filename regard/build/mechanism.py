"""A mechanism of attention as a recipe composes it: its score, normalizer and scope as modules."""

from __future__ import annotations

from typing import assert_never

from regard.attention import Attend, Hard, MoChA, Monotonic, StatefulAttend
from regard.attention.normalizers import Normalizer, entmax15, sigmoid, softmax, sparsemax, top_k
from regard.attention.scopes import Causal, LocalMonotonic, LocalPredictive, Scope, Window
from regard.attention.scores import (
    Additive,
    Cosine,
    Coverage,
    Distance,
    Dot,
    General,
    Location,
    LocationSensitive,
    ScaledDot,
    Score,
)
from regard.config import AttentionPart, ScopePart
from regard.config.recipe import CausalScope, GlobalScope, LocalMonotonicScope, LocalPredictiveScope, WindowScope
from regard.errors import UsageError


def score(part: AttentionPart, query_dim: int, key_dim: int, hidden: int, max_length: int) -> Score:
    inner = part.hidden or hidden
    match part.score:
        case "dot":
            return Dot()
        case "scaled-dot":
            return ScaledDot()
        case "general":
            return General(query_dim, key_dim)
        case "additive":
            return Additive(query_dim, key_dim, inner)
        case "cosine":
            return Cosine()
        case "distance":
            return Distance()
        case "location":
            return Location(query_dim, max_length + 1)  # and the end of the source
        case "location-sensitive":
            return LocationSensitive(query_dim, key_dim, inner, part.filters, part.width)
        case "coverage":
            return Coverage(query_dim, key_dim, inner)
        case never:
            assert_never(never)


def normalizer(part: AttentionPart) -> Normalizer:
    match part.normalize:
        case "softmax":
            return softmax
        case "sparsemax":
            return sparsemax
        case "entmax15":
            return entmax15
        case "sigmoid":
            return sigmoid
        case "top-k":
            return top_k(part.top_k)
        case "hard":
            return Hard(part.estimator, temperature=part.temperature)
        case "monotonic" | "mocha":
            raise ValueError(f"{part.normalize} goes from step to step: `attend` makes it")
        case never:
            assert_never(never)


def scope(part: ScopePart, query_dim: int) -> Scope | LocalPredictive | None:
    match part:
        case GlobalScope():
            return None
        case CausalScope():
            return Causal()
        case WindowScope():
            return Window(part.left, part.right)
        case LocalMonotonicScope():
            return LocalMonotonic(part.window)
        case LocalPredictiveScope():
            return LocalPredictive(query_dim, part.window, renormalise=part.renormalise)
        case never:
            assert_never(never)


def backward_only(part: ScopePart) -> Scope:
    """The scope within what a decoder has said so far."""
    match part:
        case GlobalScope() | CausalScope():
            return Causal()
        case WindowScope():
            return Window(part.left, 0)
        case LocalMonotonicScope():
            return Window(part.window, 0)
        case LocalPredictiveScope():
            raise UsageError(
                'scope = "local-predictive" asks for the length of what it looks at, which a decoder does not know of its '
                "own output: give it to model.encoder_attention or model.cross_attention"
            )
        case never:
            assert_never(never)


def attend(part: AttentionPart, query_dim: int, key_dim: int, hidden: int, max_length: int) -> Attend:
    """A mechanism for a recurrent decoder."""

    def new_score() -> Score:
        return score(part, query_dim, key_dim, hidden, max_length)

    match part.normalize:
        case "monotonic":
            return StatefulAttend(new_score(), Monotonic())
        case "mocha":
            return MoChA(new_score(), Additive(query_dim, key_dim, part.hidden or hidden), part.chunk)
        case _:
            kind = StatefulAttend if part.remembers else Attend
            return kind(new_score(), normalizer(part), scope(part.scope, query_dim))
