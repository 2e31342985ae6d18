"""Questions about pictures: one class, the answer, for each picture and question, and where the model looked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn.functional import cross_entropy

from regard.attention.dense_coattention import DenseSymmetricCoAttention, ModularCoAttention
from regard.data.labels import Labels
from regard.data.questions import QuestionBatch, QuestionBatches
from regard.evaluation import Metric, Score, score
from regard.evaluation.classification import Accuracy
from regard.models.visual_question import VisualQuestion
from regard.tasks.classification import Prediction
from regard.training.loop import Loss
from regard.wide import wide


@dataclass(frozen=True)
class Look:
    """`regions [L, rows, columns]` and `words [L, T]`: what each gave to the answer, in L looks. The last word is the
    end of the question. A side that the model does not look at has zeros. `between [T, rows, columns]` is what words and
    regions saw of each other in the last layer of a fusion that has layers: of a dense one how each word looks at the
    regions, which leaves to the slots what it lacks to 1; of a modular one how each region looks at the word."""

    regions: Float[np.ndarray, "L rows columns"]
    words: Float[np.ndarray, "L T"]
    between: Float[np.ndarray, "T rows columns"] | None = None


def loss(model: VisualQuestion, batch: QuestionBatch, *, smoothing: float = 0.0) -> Loss:
    """Label-smoothed cross-entropy (Szegedy et al. 2016), summed over the questions."""
    logits = wide(model(batch))
    total = cross_entropy(logits, batch.labels, reduction="sum", label_smoothing=smoothing)
    likelihood = cross_entropy(logits.detach(), batch.labels, reduction="sum")
    return Loss(total, likelihood, len(batch))


def predict(
    model: VisualQuestion,
    labels: Labels,
    pictures: UInt8[np.ndarray, "N H W C"],
    questions: Sequence[tuple[int, Sequence[int]]],
    *,
    batch: int = 256,
) -> list[Prediction]:
    """An answer, with the probability of each, for each question (number of the picture, ids without special
    tokens), in the order given."""
    found: list[Prediction] = []
    for each in _batched(model, pictures, questions, batch):
        with torch.inference_mode():
            # Rounded once at the end, the probabilities still sum to 1.
            rows = torch.softmax(model(each).double(), dim=-1).cpu().numpy()
        for probabilities in rows:
            best = int(probabilities.argmax())
            found.append(Prediction(labels.names[best], float(probabilities[best]), probabilities, labels))
    return found


def look(
    model: VisualQuestion,
    pictures: UInt8[np.ndarray, "N H W C"],
    questions: Sequence[tuple[int, Sequence[int]]],
    *,
    batch: int = 256,
) -> list[Look]:
    """Where the model looks for the answer to each question."""
    found: list[Look] = []
    for each in _batched(model, pictures, questions, batch):
        regions, words = (weights.cpu().numpy() for weights in model.weights(each))
        grid = model.grid(each.images)
        between = _between(model, each)
        for i, length in enumerate(each.source_lengths.tolist()):
            mutual = None if between is None else between[i, :length].reshape(length, *grid)
            found.append(Look(regions[i].reshape(-1, *grid), words[i, :, :length], mutual))
    return found


@torch.inference_mode()
def _between(model: VisualQuestion, batch: QuestionBatch) -> Float[np.ndarray, "B T N"] | None:
    coattention = getattr(model.fusion, "coattention", None)
    if not isinstance(coattention, DenseSymmetricCoAttention | ModularCoAttention):
        return None
    regions, words, mask = model.read(batch)
    over_regions, over_words = coattention.weights(regions, words, None, mask)
    if isinstance(coattention, ModularCoAttention):
        return over_words.mean(dim=1).transpose(1, 2).float().cpu().numpy()
    return over_regions[:, :, : regions.shape[1]].float().cpu().numpy()


def _batched(
    model: VisualQuestion,
    pictures: UInt8[np.ndarray, "N H W C"],
    questions: Sequence[tuple[int, Sequence[int]]],
    batch: int,
) -> Iterable[QuestionBatch]:
    model.eval()
    device = next(model.parameters()).device
    for each in QuestionBatches(pictures, questions, [0] * len(questions), batch, 0, shuffle=False).epoch(0):
        yield each.to(device)


def metrics() -> list[Metric]:
    """The metrics of the job, the one that chooses models first."""
    return [Accuracy()]


def by_kind(answers: Sequence[str], right: Sequence[str], kinds: Sequence[str], **options: int) -> dict[str, Score]:
    """The accuracy of each kind of question, the commonest kind first; `options` are those of `score`."""
    if not len(answers) == len(right) == len(kinds):
        raise ValueError(
            f"each question has one answer, one right answer and one kind: there are {len(answers)}, {len(right)} and "
            f"{len(kinds)}"
        )
    places: dict[str, list[int]] = {}
    for i, kind in enumerate(kinds):
        places.setdefault(kind, []).append(i)
    return {
        kind: score(Accuracy(), [answers[i] for i in those], [[right[i]] for i in those], **options)
        for kind, those in sorted(places.items(), key=lambda item: (-len(item[1]), item[0]))
    }
