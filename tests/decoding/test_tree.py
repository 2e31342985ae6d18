"""A search that is looked at: the same outputs, and a tree that is what was considered, said again by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from regard.batch import BOS, EOS, PAD
from regard.decoding import (
    BeamTree,
    Constraints,
    Hypothesis,
    Step,
    Trees,
    beam_search,
    beam_steps,
    drain,
    greedy,
    greedy_steps,
    sample,
    sample_steps,
)
from tests.decoding.test_search import Table, forced, sources

NUMBERS = (1, 2, 3, 4, 5)
LIMITS = Constraints(torch.tensor([5, 1, 3, 7, 2]), torch.tensor([2, 0, 0, 3, 1]), no_repeat_ngram=2)
PREFIX = [[], [5], [], [6, 4], []]
SEARCHES: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
    "greedy": (greedy, greedy_steps, {}),
    "beam": (beam_search, beam_steps, {"beam": 3, "nbest": 2}),
    "exact": (beam_search, beam_steps, {"beam": 2, "exact": True, "length_penalty": 0.0}),
    "sample": (sample, sample_steps, {"count": 2, "seed": 5, "temperature": 0.7}),
}
searches = pytest.mark.parametrize("name", SEARCHES)


def observed(name: str, limits: Constraints, **more: Any) -> tuple[list[list[Hypothesis]], list[BeamTree]]:
    call, _, options = SEARCHES[name]
    trees = Trees(len(NUMBERS))
    found = call(Table(), sources(*NUMBERS), limits, observe=trees.of(range(len(NUMBERS))), **options, **more)
    return found, [growing.tree(h[0]) for growing, h in zip(trees.growing, found, strict=True)]


@searches
@pytest.mark.parametrize("prefix", [None, PREFIX])
def test_looking_changes_nothing(name: str, prefix: Any) -> None:
    """Sources of different lengths end at different steps; what goes on must go on as if nobody looked."""
    call, steps, options = SEARCHES[name]
    for limits in (LIMITS, Constraints(6)):
        alone = call(Table(), sources(*NUMBERS), limits, prefix=prefix, **options)
        assert observed(name, limits, prefix=prefix)[0] == alone
        assert drain(steps(Table(), sources(*NUMBERS), limits, prefix=prefix, **options)) == alone
        assert len({len(h[0].ids) for h in alone}) > 1


@searches
def test_every_path_has_the_scores_of_saying_it_and_the_best_is_the_output(name: str) -> None:
    found, trees = observed(name, LIMITS)
    for source, hypotheses, tree in zip(NUMBERS, found, trees, strict=True):
        for place, node in enumerate(tree.nodes):
            path = tree.path(node.id)
            assert node.id == place and [n.step for n in path] == list(range(len(path)))
            ids = [n.token for n in path if n.token != EOS]
            expected = forced(Table(), source, ids)[: len(path)]
            assert [n.log_probability for n in path] == pytest.approx(expected, abs=1e-5)
            assert node.score == pytest.approx(sum(expected), abs=1e-5)
            assert EOS not in [n.token for n in path[:-1]]
            assert node.token == EOS or node.state != "finished"
        assert [n.token for n in tree.best] == [*hypotheses[0].ids, EOS]
        assert [n.log_probability for n in tree.best] == hypotheses[0].log_probabilities
        assert tree.best[-1].score == hypotheses[0].score
        assert all(n.state == "best" for n in tree.best)
        assert sum(n.state == "best" for n in tree.nodes) == len(tree.best)
        ends = [[n.token for n in tree.path(n.id)] for n in tree.nodes if n.token == EOS and n.state != "pruned"]
        assert all([*h.ids, EOS] in ends for h in hypotheses)


@pytest.mark.parametrize("beam", [1, 2, 3])
def test_the_tree_is_that_of_a_beam_search_in_plain_python(beam: int) -> None:
    """All continuations of all that is alive, sorted; the best 2·beam are seen, and of them the best `beam` that are no
    ends go on, while an end counts if it is among the `beam` best. After `beam` ends nothing goes on but what would be
    the best if it ended at once."""
    longest = 4
    trees = Trees(len(NUMBERS))
    beam_search(Table(), sources(*NUMBERS), Constraints(longest), beam=beam, observe=trees.of(range(len(NUMBERS))))
    for source, growing in zip(NUMBERS, trees.growing, strict=True):
        expected: dict[tuple[int, ...], str] = {}
        alive: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
        ends: list[float] = []  # by token, of which the best counts, as one hypothesis is asked for
        while alive and (len(ends) < beam or alive[0][0] / (len(alive[0][1]) + 1) > max(ends)):
            every = []
            for score, ids in alive:
                log_p = torch.log_softmax(Table().logits(source, (BOS, *ids)), -1).tolist()
                tokens = [EOS] if len(ids) == longest else [t for t in range(len(log_p)) if t not in (PAD, BOS)]
                every += [(score + log_p[token], (*ids, token)) for token in tokens]
            seen = sorted(every, reverse=True)[: 2 * beam]
            alive = [(score, ids) for score, ids in seen if ids[-1] != EOS][:beam]
            for place, (score, ids) in enumerate(seen):
                counts = ids[-1] == EOS and place < beam
                ends += [score / len(ids)] * counts
                expected[ids] = "finished" if counts else "kept" if (score, ids) in alive else "pruned"
        plain = BeamTree(growing.nodes)
        got = {tuple(n.token for n in plain.path(node.id)): node.state for node in plain.nodes}
        assert got == expected
        assert len(got) == len(plain.nodes)
        assert max(sum(n.step == step for n in plain.nodes) for step in range(longest + 1)) <= 2 * beam


def test_as_json() -> None:
    [tree] = observed("beam", Constraints(3))[1][:1]
    row = BeamTree(tree.nodes, "_^$#abc".__getitem__).to_json()
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert list(row) == ["nodes"]
    for node, said in zip(tree.nodes, row["nodes"], strict=True):
        assert list(said) == ["id", "parent", "step", "token", "log_probability", "score", "state"]
        assert said["token"] == "_^$#abc"[node.token]
        assert (said["parent"] is None) == (node.step == 0)


@searches
def test_a_search_goes_only_as_far_as_it_is_asked(name: str) -> None:
    class Counting(Table):
        calls = 0

        def __call__(self, *arguments: Any) -> Any:
            self.calls += 1
            return super().__call__(*arguments)

    decoder = Counting()
    _, steps, options = SEARCHES[name]
    search = steps(decoder, sources(*NUMBERS), Constraints(5, 3), **options)
    assert decoder.calls == 0
    for expected in range(3):
        step: Step = next(search)
        assert step.number == expected and decoder.calls == expected + 1
        assert not torch.is_inference_mode_enabled()
    search.close()
    assert decoder.calls == 3
