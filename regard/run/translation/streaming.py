"""What a model says, while it says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from regard.attention import Edit, capture, steer
from regard.batch import EOS, UNK
from regard.data import Tokenizer
from regard.decoding import BeamTree, Growing, Hypothesis, Node
from regard.models import EncoderDecoder
from regard.models.ensemble import joined
from regard.run.translation.prediction import Prediction
from regard.tasks.translation import Search, search_steps

Looked = Float[np.ndarray, "layers heads T S"]
Conclude = Callable[[list[Hypothesis], Looked | None], Prediction]


@dataclass(frozen=True)
class Partial:
    """The best output so far, ended or not, after step `step` of the search, from 0.

    `log_probability` is that of its last token, or of its end if it has ended; `score` is their sum. Of a beam the
    best may be another one in the next step: `settled` is the beginning of the text that can change no more.
    `attention` is what was looked at to say the last token, `weights` the same of each token so far, if asked for.
    The last one is `finished` and has the whole `prediction`, of which it says what `predict` says.
    """

    step: int
    tokens: list[str]
    text: str
    log_probability: float
    score: float
    finished: bool
    settled: str = ""
    attention: Float[np.ndarray, "layers heads S"] | None = None
    weights: Looked | None = None
    prediction: Prediction | None = None


def partials(
    network: EncoderDecoder,
    source: Sequence[int],
    target: Tokenizer,
    how: Search,
    conclude: Conclude,
    *,
    prefix: Sequence[int] = (),
    attention: bool = False,
    edits: Sequence[Edit] = (),
) -> Iterator[Partial]:
    """Searches step by step. The hooks that look and steer are there only while a step is made, so that what others do
    with the model in between is their own, and nothing is left behind by who stops early."""
    names = network.sights() if attention else []
    steps = search_steps(network, source, how, prefix)
    seen = _Seen(how, all_ends=bool(how.coverage_penalty))
    while True:
        with ExitStack() as inside:
            if edits:
                inside.enter_context(steer(network, edits))
            looked = inside.enter_context(capture(network, names)) if names else None
            try:
                step = next(steps)
            except StopIteration as end:
                found: list[Hypothesis] = end.value[0]
                break
        if looked is not None:
            seen.look([looked[name][-1] for name in names], step.width)
        seen.growing.add(step, 0)
        if not bool(step.done.all()):
            yield seen.partial(target)
    way = seen.growing.tree(found[0]).best
    weights = seen.weights(way)
    said = conclude(found, weights)
    yield Partial(
        step=seen.growing.nodes[-1].step,
        tokens=said.tokens,
        text=said.text,
        log_probability=said.log_probabilities[-1],
        score=said.score,
        finished=True,
        settled=said.text,
        attention=None if weights is None else weights[:, :, -1],
        weights=weights,
        prediction=said,
    )


class _Seen:
    """What has been seen of a search: the tree so far, and at which node the model looked where."""

    def __init__(self, how: Search, *, all_ends: bool) -> None:
        # A draw and a greedy search have one hypothesis, which no length can make another.
        self.length_penalty = how.length_penalty
        self.all_ends = all_ends
        self.replaces = how.unknown == "replace"
        self.growing = Growing()
        self.rows: dict[int | None, Float[np.ndarray, "layers heads S"]] = {}

    def look(self, layers: list[Tensor], width: int) -> None:
        """Takes down the weights of one step: those with which what follows each living node is said."""
        apart = [_apart(weights, width)[None, :, :, None].float() for weights in layers]  # [1, K, H, 1, S] of a layer
        stacked = joined(apart, dim=0)[:, :, :, 0].cpu().numpy()
        for place, node in enumerate(self.growing.alive):
            if node is not None or not self.growing.nodes:
                self.rows[node] = stacked[:, place]

    def weights(self, way: list[Node]) -> Looked | None:
        return np.stack([self.rows[node.parent] for node in way], axis=2) if self.rows else None

    def partial(self, target: Tokenizer) -> Partial:
        tree = BeamTree(self.growing.nodes)
        ends = sorted(self.growing.finished, key=self._rank, reverse=True)
        # What is alive may still win, and of what has ended the best; if ends are ranked anew, any.
        open_ = [node for node in self.growing.alive if node is not None] + ends[: None if self.all_ends else 1]
        ways = [tree.path(node) for node in open_]
        way = max(ways, key=lambda way: self._rank(way[-1].id))
        ids = [node.token for node in way if node.token != EOS]
        settled = 0
        while settled < len(ids) and all(len(w) > settled and w[settled].id == way[settled].id for w in ways):
            if ids[settled] == UNK and self.replaces:  # by what, only the end says
                break
            settled += 1
        weights = self.weights(way)
        return Partial(
            step=tree.nodes[-1].step,
            tokens=target.tokens(ids),
            text=target.decode(ids),
            log_probability=way[-1].log_probability,
            score=way[-1].score,
            finished=False,
            settled=target.decode(ids[:settled]),
            attention=None if weights is None else weights[:, :, -1],
            weights=weights,
        )

    def _rank(self, node: int) -> float:
        """As the search ranks what has ended: by score and length."""
        return self.growing.nodes[node].score / (self.growing.nodes[node].step + 1) ** self.length_penalty


def _apart(weights: Tensor, width: int) -> Float[Tensor, "K H S"]:
    """The weights of one step of one source, a row for each of `width` hypotheses. Multi-head attention gives
    [1, H, K, S] or [1, K, H, 1, S], and one head [1, K, S] or [1, K, 1, S]."""
    rows = weights[0]
    if rows.ndim == 2:
        return rows[:, None]
    if rows.ndim == 4:
        return rows[:, :, 0]
    return rows if width > 1 and rows.shape[1] == 1 else rows.transpose(0, 1)
