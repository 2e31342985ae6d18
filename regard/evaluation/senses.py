"""Which sense a word has, told from its vector: by the nearest labelled one, the nearest mean, a logistic regression.

Loureiro et al. 2021 (https://arxiv.org/abs/2008.11608) compare language models so: what they know of a word in its
sentence is what a simple classifier reads off its vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, one_hot

from regard.errors import UsageError

How = Literal["nearest", "mean", "regression"]
METHODS: tuple[How, ...] = get_args(How)
_ALIKE = 1e-6  # cosines closer than that are equal: the same vector was rounded differently


def predicted(how: How, train: Float[Tensor, "N D"], senses: Sequence[str], test: Float[Tensor, "M D"]) -> list[str]:
    """The sense of each test vector, by vectors whose senses are known."""
    if not len(train) or len(train) != len(senses):
        raise UsageError(f"There are {len(senses)} senses for {len(train)} vectors; give one for each of at least one.")
    if train.shape[1] != test.shape[1]:
        raise UsageError(f"The vectors have {train.shape[1]} and {test.shape[1]} numbers; take both from one layer.")
    names = sorted(set(senses))
    labels = torch.tensor([names.index(sense) for sense in senses])
    match how:
        case "nearest":
            found = nearest(train, labels, test)
        case "mean":
            found = nearest_mean(train, labels, test)
        case "regression":
            found = LogisticRegression.fit(train, labels).predict(test)
    return [names[i] for i in found.tolist()]


def nearest(train: Float[Tensor, "N D"], labels: Int[Tensor, " N"], test: Float[Tensor, "M D"]) -> Int[Tensor, " M"]:
    """The label of the training vector with the largest cosine. Where several are as near, the commonest of theirs, so
    that vectors which are all alike give the commonest label of all."""
    known = normalize(train.double(), dim=1)
    votes = one_hot(labels).double()
    found = []
    for part in test.split(1024):
        cosines = normalize(part.double(), dim=1) @ known.T
        near = cosines >= cosines.amax(dim=1, keepdim=True) - _ALIKE
        found.append((near.double() @ votes).argmax(dim=1))
    return torch.cat(found) if found else labels[:0]


def nearest_mean(
    train: Float[Tensor, "N D"], labels: Int[Tensor, " N"], test: Float[Tensor, "M D"]
) -> Int[Tensor, " M"]:
    """The label whose mean training vector has the largest cosine: the 1-nearest-neighbour of Loureiro et al. Where
    means are as near, the commonest of their labels."""
    votes = one_hot(labels).double()
    count = votes.sum(dim=0)
    means = votes.T @ train.double() / count.clamp_min(1)[:, None]
    cosines = normalize(test.double(), dim=1) @ normalize(means, dim=1).T
    near = (cosines >= cosines.amax(dim=1, keepdim=True) - _ALIKE) & (count > 0)
    return (near.double() * count).argmax(dim=1)


class LogisticRegression:
    """`p(y | x) = softmax(W z + b)` where z is x with mean 0 and deviation 1 in each feature of the training vectors;
    fitted to `Σ_n -log p(y_n | x_n) + l2/2 ‖W‖²`, which has one minimum, by L-BFGS."""

    def __init__(
        self, weight: Float[Tensor, "C D"], bias: Float[Tensor, " C"], middle: Float[Tensor, " D"], width: Tensor
    ) -> None:
        self.weight, self.bias, self.middle, self.width = weight, bias, middle, width

    @classmethod
    def fit(cls, x: Float[Tensor, "N D"], y: Int[Tensor, " N"], *, l2: float = 1.0) -> LogisticRegression:
        if l2 <= 0:
            raise ValueError(f"l2 keeps the weights finite and is above 0, not {l2}")
        x = x.detach().cpu().double()
        middle, width = x.mean(dim=0), x.std(dim=0, unbiased=False)
        width = torch.where(width > 1e-6 * (1 + middle.abs()), width, 1.0)  # what never changes says nothing
        z = (x - middle) / width
        weight = torch.zeros(int(y.max()) + 1, x.shape[1], dtype=x.dtype, requires_grad=True)
        bias = torch.zeros(len(weight), dtype=x.dtype, requires_grad=True)
        solver = torch.optim.LBFGS(
            [weight, bias], max_iter=500, tolerance_grad=1e-6, tolerance_change=1e-12, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            solver.zero_grad()
            total = cross_entropy(z @ weight.T + bias, y, reduction="sum") + l2 / 2 * weight.square().sum()
            total.backward()
            return total

        solver.step(loss)  # type: ignore[arg-type]
        return cls(weight.detach(), bias.detach(), middle, width)

    def logits(self, x: Float[Tensor, "M D"]) -> Float[Tensor, "M C"]:
        return (x.cpu().double() - self.middle) / self.width @ self.weight.T + self.bias

    def predict(self, x: Float[Tensor, "M D"]) -> Int[Tensor, " M"]:
        return self.logits(x).argmax(dim=1)
