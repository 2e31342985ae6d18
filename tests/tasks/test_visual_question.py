"""The loss against its formula, answers with probabilities, looks in the shape of the picture, accuracy by kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from regard.data.labels import Labels
from regard.data.questions import QuestionBatches
from regard.errors import UsageError
from regard.layers import Embedding, Recurrent
from regard.layers.vision import ConvGrid, SinusoidalGrid
from regard.models import RecurrentEncoder
from regard.models.captioning import GridEncoder
from regard.models.visual_question import VisualQuestion, fusion
from regard.tasks import visual_question
from regard.tasks.classification import logits_of

LABELS = Labels(["no", "two", "yes"])
DRAW = np.random.default_rng(0)
PICTURES = DRAW.integers(0, 256, (5, 6, 10, 1), dtype=np.uint8)
ASKED = [(int(DRAW.integers(0, 5)), DRAW.integers(4, 11, n).tolist()) for n in (3, 0, 7, 1, 2, 5, 4)]
ANSWERS = [0, 2, 1, 1, 0, 2, 2]


def model(dropout: float = 0.0) -> VisualQuestion:
    return VisualQuestion(
        GridEncoder(ConvGrid(1, [8], 8, groups=2, positions=SinusoidalGrid(8)), 8),
        RecurrentEncoder(Embedding(11, 5), Recurrent("gru", 5, 4, bidirectional=True), dropout=0.0),
        fusion("parallel", 8, 6),
        nn.Linear(24, 3),
        dropout=dropout,
    )


def batches(size: int = 3) -> QuestionBatches:
    return QuestionBatches(PICTURES, ASKED, ANSWERS, size, seed=1)


def test_the_loss_is_smoothed_cross_entropy_summed() -> None:
    network = model().eval()
    batch = next(batches(7).epoch(0))
    found = visual_question.loss(network, batch, smoothing=0.3)
    total = likelihood = 0.0
    for logits, label in zip(network(batch).tolist(), batch.labels.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(z) for z in logits))
        surprise = [log_sum - z for z in logits]
        likelihood += surprise[label]
        total += 0.7 * surprise[label] + 0.3 * sum(surprise) / 3
    assert found.total.item() == pytest.approx(total, rel=1e-5)
    assert found.likelihood.item() == pytest.approx(likelihood, rel=1e-5)
    assert found.tokens == 7 and found.total.requires_grad and not found.likelihood.requires_grad


def test_a_few_questions_are_learned_by_heart() -> None:
    network = model()
    steps = torch.optim.Adam(network.parameters(), 2e-2)
    for epoch in range(25):
        for batch in batches().epoch(epoch):
            steps.zero_grad()
            visual_question.loss(network, batch).total.backward()
            steps.step()
    said = visual_question.predict(network, LABELS, PICTURES, ASKED, batch=2)
    assert [each.label for each in said] == [LABELS.names[i] for i in ANSWERS]


def test_predictions_are_in_order_and_their_probabilities_sum_to_one() -> None:
    network = model(dropout=0.5).double()
    found = visual_question.predict(network, LABELS, PICTURES, ASKED, batch=3)
    assert len(found) == 7 and not network.training
    logits, labels, rows = logits_of(network, batches().epoch(0))
    assert sorted(rows.tolist()) == list(range(7)) != rows.tolist()
    for scores, label, row in zip(logits.exp().numpy(), labels.tolist(), rows.tolist(), strict=True):
        assert label == ANSWERS[row]
        np.testing.assert_allclose(found[row].probabilities, scores / scores.sum(), rtol=1e-9)
        assert found[row].probability == found[row].probabilities.max()
        assert found[row].top(1) == [(found[row].label, found[row].probability)]
    assert visual_question.predict(network, LABELS, PICTURES, []) == []


def test_looks_have_the_shape_of_the_picture_and_of_the_question() -> None:
    network = model()
    for each, (_, ids) in zip(visual_question.look(network, PICTURES, ASKED, batch=3), ASKED, strict=True):
        assert each.regions.shape == (1, 3, 5) and each.words.shape == (1, len(ids) + 1)
        assert each.regions.sum() == pytest.approx(1, abs=1e-5) and each.words.sum() == pytest.approx(1, abs=1e-5)


def test_accuracy_by_kind_by_hand() -> None:
    found = visual_question.by_kind(
        ["yes", "no", "2", "yes", "red"], ["yes", "yes", "2", "yes", "blue"], ["b", "b", "a", "b", "c"], bootstrap=0
    )
    assert [(kind, round(score.value, 4)) for kind, score in found.items()] == [("b", 66.6667), ("a", 100), ("c", 0)]
    with pytest.raises(ValueError, match="there are 1, 1 and 0"):
        visual_question.by_kind(["yes"], ["no"], [])


def test_nothing_to_validate_with_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="no questions to validate with: give at least one"):
        logits_of(model(), [], "questions")
