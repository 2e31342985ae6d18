"""Classification: one class for each text, or picture, with a probability that can be believed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regard.batch import EOS, rectangle
from regard.data.labels import ClassificationBatch, Labels
from regard.data.picture_labels import LabelledPictureBatch, LabelledPictureBatches
from regard.errors import UsageError
from regard.evaluation.classification import Accuracy, MacroF1
from regard.evaluation.score import Metric
from regard.models.classifier import Classifier, HierarchicalClassifier
from regard.training.loop import Loss
from regard.training.r_drop import apart
from regard.wide import wide

Model = Classifier | HierarchicalClassifier
Labelled = ClassificationBatch | LabelledPictureBatch


@dataclass(frozen=True)
class Prediction:
    """`probabilities [C]`, in the order of `labels.names`, sum to 1; `label` is the likeliest class, of `probability`."""

    label: str
    probability: float
    probabilities: Float[np.ndarray, " C"]
    labels: Labels

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The likeliest classes and their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.labels.names[i], float(self.probabilities[i])) for i in order]


def loss(model: Model, batch: Labelled, *, smoothing: float = 0.0, penalty: float = 0.0, r_drop: float = 0.0) -> Loss:
    """Label-smoothed cross-entropy (Szegedy et al. 2016), summed over the items.

    In training alone `penalty` times `‖A Aᵀ − I‖_F²` is added, which keeps the looks of a self-attentive pooling apart
    (Lin et al. 2017); and with `r_drop` each item is read twice under different dropout and the two distributions are
    drawn together (Liang et al. 2021, with `r_drop` their α). UsageError where there is no such pooling to penalise.
    """
    passes = 2 if r_drop and model.training else 1
    read = [_read(model, batch, penalty) for _ in range(passes)]
    total = torch.stack([_smoothed(logits, batch.labels, smoothing) + extra for logits, extra in read]).mean()
    if passes == 2:
        first, second = (torch.log_softmax(logits, dim=-1) for logits, _ in read)
        total = total + 0.25 * r_drop * apart(first, second)
    likelihood = cross_entropy(read[0][0].detach(), batch.labels, reduction="sum")
    return Loss(total, likelihood, len(batch))


def _read(model: Model, batch: Labelled, penalty: float) -> tuple[Float[Tensor, "B C"], Tensor]:
    """Logits, and what is asked beside the likelihood."""
    nothing = torch.zeros((), device=batch.labels.device)
    if not penalty or not model.training:
        return wide(model(batch)), nothing
    if isinstance(model, Classifier):
        memory = model.read(batch)
        found = model.penalty(memory)
        if found is not None:
            return wide(model.classify(memory)), penalty * found.sum()
    raise UsageError(
        "training.penalty keeps several looks apart, and this pooling looks once: use a self-attentive pooling, or set "
        "penalty = 0"
    )


def _smoothed(logits: Float[Tensor, "B C"], labels: Int[Tensor, " B"], smoothing: float) -> Tensor:
    return cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)


def logits_of(
    model: nn.Module, batches: Iterable[Any], what: str = "items"
) -> tuple[Float[Tensor, "N C"], Int[Tensor, " N"], Int[Tensor, " N"]]:
    """Logits, right classes and rows of all items, in the order of the batches, on the CPU. Batches have `labels` and
    `rows`, and the model classifies them."""
    model.eval()
    device = next(model.parameters()).device
    found, labels, rows = [], [], []
    with torch.inference_mode():
        for batch in batches:
            found.append(wide(model(batch.to(device))).cpu())
            labels.append(batch.labels.cpu())
            rows.append(batch.rows.cpu())
    if not found:
        raise UsageError(f"there are no {what} to validate with: give at least one")
    return torch.cat(found), torch.cat(labels), torch.cat(rows)


def calibrated(model: Model, batches: Iterable[Labelled]) -> float:
    """Fits the model's temperature to items that were not trained on (Guo et al. 2017), and returns it."""
    logits, labels, _ = logits_of(model, batches)
    return model.calibrate(logits, labels)


def predict(
    model: Model, labels: Labels, sources: Sequence[Sequence[int]], *, batch_tokens: int = 4096
) -> list[Prediction]:
    """A prediction for each source (ids without special tokens), in the order given."""
    found: list[Prediction | None] = [None] * len(sources)
    for chosen, batch in _batched(model, sources, batch_tokens):
        for i, prediction in zip(chosen, _predictions(model, labels, batch), strict=True):
            found[i] = prediction
    return [each for each in found if each is not None]


def together(answers: Sequence[Sequence[Prediction]]) -> list[Prediction]:
    """What several models say as one of the same items: the mean of their probabilities, in the order of the first's
    classes. Each knows the same ones."""
    found = []
    for each in zip(*answers, strict=True):
        labels = each[0].labels
        known = [{name: i for i, name in enumerate(one.labels.names)} for one in each]
        rows = [one.probabilities[[ids[name] for name in labels.names]] for one, ids in zip(each, known, strict=True)]
        found.append(_answer(np.mean(rows, axis=0), labels))
    return found


def _answer(probabilities: Float[np.ndarray, " C"], labels: Labels) -> Prediction:
    best = int(probabilities.argmax())
    return Prediction(labels.names[best], float(probabilities[best]), probabilities, labels)


def predict_pictures(
    model: Classifier, labels: Labels, pictures: UInt8[np.ndarray, "N H W C"], *, batch: int = 256
) -> list[Prediction]:
    """A prediction for each picture, in the order given."""
    return [each for some in _pictures(model, pictures, batch) for each in _predictions(model, labels, some)]


def _predictions(model: Model, labels: Labels, batch: Labelled) -> Iterable[Prediction]:
    with torch.inference_mode():
        # Rounded once at the end, the probabilities of a thousand classes still sum to 1.
        rows = model.probabilities(model(batch).double()).cpu().numpy()
    for probabilities in rows:
        yield _answer(probabilities, labels)


def look(
    model: Model, sources: Sequence[Sequence[int]], *, batch_tokens: int = 4096
) -> list[Float[np.ndarray, "hops S"]]:
    """What each token of each source gives to its class, hop by hop. The last token is the end of the text."""
    found: list[np.ndarray] = [np.zeros((0, 0))] * len(sources)
    for chosen, batch in _batched(model, sources, batch_tokens):
        weights = model.weights(batch).cpu().numpy()
        for i, row in zip(chosen, weights, strict=True):
            found[i] = row[:, : len(sources[i]) + 1]
    return found


def look_at_pictures(
    model: Classifier, pictures: UInt8[np.ndarray, "N H W C"], *, batch: int = 256
) -> Float[np.ndarray, "N hops rows columns"]:
    """What each place of each picture gives to its class, hop by hop."""
    grid = model.encoder.vision.grid(*pictures.shape[1:3])  # type: ignore[operator, union-attr]
    found = [model.weights(some).cpu().numpy() for some in _pictures(model, pictures, batch)]
    weights = np.concatenate(found)
    return weights.reshape(*weights.shape[:2], *grid)


def levels(
    model: HierarchicalClassifier, source: Sequence[int]
) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " N"], Int[np.ndarray, " S"]]:
    """Of one source: the weight of each token in its sentence, that of each sentence in the text, and the number of
    each token's sentence, from 0."""
    [(_, batch)] = _batched(model, [source], 1)
    words, sentences, number = (each[0].cpu().numpy() for each in model.levels(batch))
    return words, sentences, number


def _pictures(model: Model, pictures: UInt8[np.ndarray, "N H W C"], batch: int) -> Iterable[LabelledPictureBatch]:
    model.eval()
    device = next(model.parameters()).device
    if not len(pictures):
        return
    for each in LabelledPictureBatches(pictures, [0] * len(pictures), batch, 0, shuffle=False).epoch(0):
        yield each.to(device)


def _batched(
    model: Model, sources: Sequence[Sequence[int]], batch_tokens: int
) -> Iterable[tuple[list[int], ClassificationBatch]]:
    """Sources of like length together, with their numbers."""
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]), reverse=True)
    while order:
        rows = max(1, batch_tokens // (len(sources[order[0]]) + 1))
        chosen, order = order[:rows], order[rows:]
        ids, lengths = rectangle([[*sources[i], EOS] for i in chosen])
        numbers = torch.tensor(chosen)
        yield chosen, ClassificationBatch(ids, lengths, torch.zeros_like(numbers), numbers).to(device)


def metrics() -> list[Metric]:
    """The metrics of the job, the one that chooses models first."""
    return [Accuracy(), MacroF1()]
