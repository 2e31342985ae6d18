"""The loss against its formulas, predictions that keep the order, and a small task that is learned by every pooling."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from regard.attention import Attend, MultiHead, scores
from regard.attention.pooling import AttentivePooling, HierarchicalPooling, SelfAttentivePooling
from regard.batch import EOS, rectangle
from regard.data import Corpus
from regard.data.labels import ClassificationBatch, ClassificationBatches, Labels
from regard.errors import UsageError
from regard.evaluation import score
from regard.layers import Embedding, EncoderLayer, FeedForward, Recurrent, Sinusoidal
from regard.models import RecurrentEncoder, TransformerEncoder
from regard.models.classifier import Classifier, HierarchicalClassifier, JoinedPooling, MaxPooling, QueryPooling
from regard.tasks.classification import Model, calibrated, logits_of, look, loss, metrics, predict
from regard.training.checkpoint import load_parameters, parameters_of

SIZE, CLASSES = 20, 3
LABELS = Labels(["zero", "one", "two"])
SOURCES = [[4, 5, 6, 7], [8], [], [9, 4, 4], [5, 5], [6, 7, 8, 9, 4, 5]]


def recurrent(hops: int = 2, dropout: float = 0.0) -> Classifier:
    torch.manual_seed(4)
    encoder = RecurrentEncoder(Embedding(SIZE, 8), Recurrent("gru", 8, 7, bidirectional=True), dropout=dropout)
    return Classifier(encoder, SelfAttentivePooling(14, 5, hops), nn.Linear(14 * hops, CLASSES), dropout=dropout)


def transformer() -> Classifier:
    torch.manual_seed(4)
    layer = EncoderLayer(
        12, MultiHead(12, 3, Attend(scores.ScaledDot())), FeedForward(12, 16), dropout=0.0, pre_norm=True
    )
    encoder = TransformerEncoder(Embedding(SIZE, 12, 12**0.5), Sinusoidal(12), [layer], dropout=0.0, pre_norm=True)
    pooling = JoinedPooling([MaxPooling(), QueryPooling(Attend(scores.General(12, 12)), 12)])
    return Classifier(encoder, pooling, nn.Linear(24, CLASSES))


def hierarchical() -> HierarchicalClassifier:
    torch.manual_seed(4)

    def encoder(dim: int) -> Callable[[Tensor, Tensor | None], Tensor]:
        layers = Recurrent("gru", dim, 6, bidirectional=True)
        return _Masked(layers)

    pooling = HierarchicalPooling(encoder(8), AttentivePooling(12, 5), encoder(12), AttentivePooling(12, 5))
    return HierarchicalClassifier(Embedding(SIZE, 8), pooling, nn.Linear(12, CLASSES), ends=[9])


class _Masked(nn.Module):
    def __init__(self, layers: Recurrent) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        lengths = None if mask is None else mask.sum(dim=-1)
        return self.layers(x, lengths=lengths)[0]


MODELS: dict[str, Callable[[], Model]] = {
    "recurrent": recurrent,
    "transformer": transformer,
    "hierarchical": hierarchical,
}
models = pytest.mark.parametrize("name", MODELS)


def batch() -> ClassificationBatch:
    source, lengths = rectangle([[*s, EOS] for s in SOURCES])
    return ClassificationBatch(source, lengths, torch.tensor([0, 1, 2, 2, 1, 0]), torch.arange(len(SOURCES)))


@models
def test_the_loss_is_pytorchs(name: str) -> None:
    model, texts = MODELS[name]().train(), batch()
    logits = model(texts).detach()
    found = loss(model, texts, smoothing=0.1)
    expected = sum(
        cross_entropy(z[None], y[None], label_smoothing=0.1) for z, y in zip(logits, texts.labels, strict=True)
    )
    assert float(found.total.detach()) == pytest.approx(float(expected), rel=1e-5)
    assert float(found.likelihood) == pytest.approx(
        float(cross_entropy(logits, texts.labels, reduction="sum")), rel=1e-5
    )
    assert found.tokens == len(texts) == texts.target_tokens == len(SOURCES) and not found.likelihood.requires_grad


def test_the_penalty_counts_in_training_alone() -> None:
    model, texts = recurrent(3), batch()
    weights = model.eval().weights(texts)
    apart = 0.0
    for A in weights:
        apart += float((A @ A.T - torch.eye(3)).square().sum())
    plain, held = loss(model, texts), loss(model, texts, penalty=0.3)
    assert torch.equal(plain.total, held.total)
    held = loss(model.train(), texts, penalty=0.3)
    assert float((held.total - plain.total).detach()) == pytest.approx(0.3 * apart, rel=1e-4)
    assert float(held.likelihood) == pytest.approx(float(plain.likelihood), rel=1e-6)
    held.total.backward()
    assert isinstance(model.pooling, SelfAttentivePooling)
    assert model.pooling.w_2.grad is not None and model.pooling.w_2.grad.abs().sum() > 0
    for other in (transformer(), hierarchical()):
        with pytest.raises(UsageError, match="this pooling looks once"):
            loss(other.train(), texts, penalty=0.3)


def test_r_drop_is_the_mean_loss_and_a_quarter_alpha_of_both_divergences() -> None:
    model, texts = recurrent(dropout=0.4).train(), batch()
    torch.manual_seed(9)
    found = loss(model, texts, r_drop=3.0)
    torch.manual_seed(9)
    first, second = (model(texts).log_softmax(-1) for _ in range(2))
    apart = kl_div(first, second, log_target=True, reduction="sum") + kl_div(
        second, first, log_target=True, reduction="sum"
    )
    mean = 0.5 * sum(-side.gather(1, texts.labels[:, None]).sum() for side in (first, second))
    assert float(found.total.detach()) == pytest.approx(float((mean + 0.75 * apart).detach()), rel=1e-4)
    assert float(apart.detach()) > 0
    model.eval()
    assert torch.equal(loss(model, texts, r_drop=3.0).total, loss(model, texts).total)


@models
@pytest.mark.parametrize("budget", [1, 7, 4096])
def test_predictions_keep_their_order_whatever_the_batches(name: str, budget: int) -> None:
    model = MODELS[name]()
    found = predict(model, LABELS, SOURCES, batch_tokens=budget)
    assert len(found) == len(SOURCES)
    for source, one in zip(SOURCES, found, strict=True):
        [alone] = predict(model, LABELS, [source])
        np.testing.assert_allclose(one.probabilities, alone.probabilities, rtol=1e-5)
        assert one.probabilities.sum() == pytest.approx(1, abs=1e-12)
        assert one.top(1) == [(one.label, one.probability)] and one.probability == one.probabilities.max()
        assert [p for _, p in one.top(9)] == sorted(one.probabilities.tolist(), reverse=True)
    for source, weights in zip(SOURCES, look(model, SOURCES, batch_tokens=budget), strict=True):
        assert weights.shape == ({"hierarchical": 1}.get(name, 2), len(source) + 1)
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert predict(model, LABELS, []) == [] and look(model, []) == []


def test_the_temperature_is_fitted_and_kept(tmp_path: Path) -> None:
    model = recurrent()
    texts = batch()
    before = predict(model, LABELS, SOURCES)
    logits, labels, rows = logits_of(model, [texts])
    assert rows.tolist() == list(range(len(SOURCES))) and torch.equal(labels, texts.labels)
    temperature = calibrated(model, iter([texts]))
    after = predict(model, LABELS, SOURCES)
    assert temperature != 1.0 and float(model.temperature) == pytest.approx(temperature, rel=1e-6)
    for old, new, row in zip(before, after, logits, strict=True):
        assert old.label == new.label
        np.testing.assert_allclose(new.probabilities, torch.softmax(row / temperature, -1).numpy(), rtol=1e-4)
    other = recurrent()
    load_parameters(other, parameters_of(model), tmp_path)
    assert torch.equal(other.temperature, model.temperature)
    with pytest.raises(UsageError, match="no items to validate with"):
        calibrated(model, [])


def task(count: int, seed: int) -> tuple[list[list[int]], list[int]]:
    """The class is what token comes right after the mark 8, wherever that stands."""
    choose = random.Random(seed)
    texts, labels = [], []
    for _ in range(count):
        text = choose.choices(range(9, SIZE), k=choose.randint(3, 9))
        label = choose.randrange(CLASSES)
        place = choose.randrange(len(text))
        noise = choose.randrange(CLASSES)
        texts.append([4 + noise, *text[:place], 8, 4 + label, *text[place:]])
        labels.append(label)
    return texts, labels


@models
def test_a_small_task_is_learned(name: str) -> None:
    model = MODELS[name]().train()
    texts, labels = task(600, 1)
    batches = ClassificationBatches(Corpus.in_memory([(t, [y]) for t, y in zip(texts, labels, strict=True)]), 400, 1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    penalty = 0.01 if name == "recurrent" else 0.0
    for epoch in range(8):
        for these in batches.epoch(epoch):
            found = loss(model, these, smoothing=0.05, penalty=penalty)
            optimizer.zero_grad()
            (found.total / found.tokens).backward()
            optimizer.step()
    texts, labels = task(211, 2)
    said = [p.label for p in predict(model, LABELS, texts)]
    for metric in metrics():
        assert score(metric, said, [[LABELS.names[y]] for y in labels], bootstrap=0).value >= 97
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss(model, next(iter(batches.epoch(0))), penalty=penalty).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
