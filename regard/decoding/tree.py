"""The tree of all that a search considered: what it kept, what it let go, and where its output lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from regard.batch import EOS
from regard.decoding.hypothesis import Hypothesis
from regard.decoding.observing import Observer, Step


@dataclass(frozen=True, slots=True)
class Node:
    """A token said after its parent (None: at the beginning), in step `step` from 0.

    `score` is the sum of the log-probabilities from the beginning. `state`: "kept" went on, or was alive when the
    search was over; "pruned" was considered and let go; "finished" is an end that counted; "best" is any node on the
    way to the output.
    """

    id: int
    parent: int | None
    step: int
    token: int
    log_probability: float
    score: float
    state: Literal["kept", "pruned", "finished", "best"]


@dataclass(frozen=True)
class BeamTree:
    """The nodes of one search, parents first; the number of a node is its place.

    A beam search considers the 2·beam best continuations at each step, which bounds the nodes of a step; a greedy
    search and a draw consider one, so that theirs is a line, and several draws are as many lines. `names` spells the
    tokens.
    """

    nodes: Sequence[Node]
    names: Callable[[int], str] = str

    def path(self, node: int | None) -> list[Node]:
        """From the beginning to a node, which is the last."""
        found = []
        while node is not None:
            found.append(self.nodes[node])
            node = found[-1].parent
        return found[::-1]

    @property
    def best(self) -> list[Node]:
        """The way to the output, its end included."""
        return self.path(max((node.id for node in self.nodes if node.state == "best"), default=None))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a line of JSON."""
        return {
            "nodes": [
                {
                    "id": node.id,
                    "parent": node.parent,
                    "step": node.step,
                    "token": self.names(node.token),
                    "log_probability": node.log_probability,
                    "score": node.score,
                    "state": node.state,
                }
                for node in self.nodes
            ]
        }


class Growing:
    """The tree of one source while it is searched. `alive` are the nodes that go on, one for each row of the next step
    (None: a row without a hypothesis; before the first step, the beginning); `finished` are the ends so far."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.finished: list[int] = []
        self.alive: list[int | None] = [None]

    def add(self, step: Step, row: int) -> None:
        """Takes down what was considered for this source, which is row `row` of the step."""
        kept = set(step.kept[row].tolist())
        places: dict[int, int] = {}
        candidates = zip(
            step.parents[row].tolist(),
            step.tokens[row].tolist(),
            step.gains[row].tolist(),
            step.ended[row].tolist(),
            strict=True,
        )
        for place, (slot, token, gain, ended) in enumerate(candidates):
            parent = self.alive[slot] if step.number else None
            if gain == float("-inf") or (step.number and parent is None):
                continue
            before = 0.0 if parent is None else self.nodes[parent].score
            state = "finished" if ended else "kept" if place in kept else "pruned"
            places[place] = len(self.nodes)
            self.nodes.append(Node(len(self.nodes), parent, step.number, token, gain, before + gain, state))
            if ended:
                self.finished.append(places[place])
        self.alive = [
            places[place] if place in places and self.nodes[places[place]].state == "kept" else None
            for place in step.kept[row].tolist()
        ]

    def tree(self, best: Hypothesis, names: Callable[[int], str] = str) -> BeamTree:
        """The whole, when the search is over and this is what it said."""
        nodes = list(self.nodes)
        plain = BeamTree(nodes)
        for end in self.finished:
            if nodes[end].step == len(best.ids):
                way = plain.path(end)
                if [node.token for node in way] == [*best.ids, EOS]:
                    for node in way:
                        nodes[node.id] = replace(node, state="best")
                    break
        return BeamTree(nodes, names)


class Trees:
    """The trees of many sources, which may be searched in any number of batches: `of` observes one."""

    def __init__(self, sources: int) -> None:
        self.growing = [Growing() for _ in range(sources)]

    def of(self, numbers: Sequence[int]) -> Observer:
        """The observer of a search over the sources of those numbers."""

        def observe(step: Step) -> None:
            for row, source in enumerate(step.sources.tolist()):
                self.growing[numbers[source]].add(step, row)

        return observe
