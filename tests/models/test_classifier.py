"""Poolings against plain loops, sentences cut by hand, temperatures against another optimiser."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from regard.attention import Attend, MultiHead, capture, scores
from regard.attention.pooling import AttentivePooling, HierarchicalPooling, SelfAttentivePooling
from regard.batch import EOS, UNK, rectangle
from regard.data.labels import ClassificationBatch
from regard.layers import Embedding, EncoderLayer, FeedForward, Recurrent, Sinusoidal
from regard.layers.vision import ConvGrid
from regard.models import RecurrentEncoder, TransformerEncoder
from regard.models.classifier import (
    Classifier,
    Context,
    HierarchicalClassifier,
    JoinedPooling,
    MaxPooling,
    MeanPooling,
    PlaceEncoder,
    QueryPooling,
    calibrate,
    looks_of,
    sentences,
)
from regard.state import Memory

B, S, D, V, C = 3, 7, 5, 13, 4
LENGTHS = [7, 1, 4]
TEXTS = [[4, 5, 6, 7, 8, 9], [], [4, 4, 10]]


def batch() -> ClassificationBatch:
    source, lengths = rectangle([[*text, EOS] for text in TEXTS])
    return ClassificationBatch(source, lengths, torch.tensor([0, 3, 1]), torch.arange(B))


def encoder(kind: str) -> nn.Module:
    if kind == "recurrent":
        return RecurrentEncoder(Embedding(V, 6), Recurrent("gru", 6, 3, bidirectional=True), dropout=0.0)
    layer = EncoderLayer(6, MultiHead(6, 2, Attend(scores.ScaledDot())), FeedForward(6, 7), dropout=0.0, pre_norm=True)
    return TransformerEncoder(Embedding(V, 6), Sinusoidal(6), [layer], dropout=0.0, pre_norm=True)


def poolings(dim: int) -> dict[str, nn.Module]:
    def query() -> nn.Module:
        return QueryPooling(Attend(scores.Additive(2, dim, 3)), 2, hops=2)

    return {
        "mean": MeanPooling(),
        "max": MaxPooling(),
        "query": query(),
        "hops": SelfAttentivePooling(dim, 4, 3),
        "attentive": AttentivePooling(dim, 4),
        "joined": JoinedPooling([MaxPooling(), query(), AttentivePooling(dim, 3)]),
    }


NAMES = list(poolings(D))
HOPS = {"query": 2, "hops": 3, "joined": 4}
named = pytest.mark.parametrize("name", NAMES)


@named
def test_garbage_beyond_a_length_changes_nothing(name: str) -> None:
    pooling = poolings(D)[name].double()
    H = torch.randn(B, S, D, dtype=torch.float64)
    mask = torch.arange(S) < torch.tensor(LENGTHS)[:, None]
    out, weights = pooling(H, mask), pooling.weights(H, mask)  # type: ignore[operator]
    poisoned = H.masked_fill(~mask[..., None], math.nan).requires_grad_()
    torch.testing.assert_close(pooling(poisoned, mask), out)
    pooling(poisoned, mask).sum().backward()
    assert poisoned.grad is not None and poisoned.grad.isfinite().all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    for row, length in enumerate(LENGTHS):
        alone = H[row : row + 1, :length]
        torch.testing.assert_close(out[row], pooling(alone)[0])
        torch.testing.assert_close(weights[row, ..., :length], pooling.weights(alone)[0])  # type: ignore[operator]
        assert (weights[row, ..., length:] == 0).all()
    nothing = pooling(H, torch.zeros_like(mask))
    assert (nothing == 0).all()


def test_mean_and_max_by_hand() -> None:
    H = torch.tensor([[[1.0, -5.0, 2.0], [3.0, -6.0, 1.0], [9.0, 9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    assert MeanPooling()(H, mask).tolist() == [[2.0, -5.5, 1.5]]
    assert MaxPooling()(H, mask).tolist() == [[3.0, -5.0, 2.0]]
    # Two of the three features come from the first position.
    torch.testing.assert_close(MaxPooling().weights(H, mask), torch.tensor([[2 / 3, 1 / 3, 0.0]]))


def test_capture_sees_the_learned_queries() -> None:
    pooling = QueryPooling(Attend(scores.General(2, 6)), 2, hops=3)
    model = Classifier(encoder("transformer"), pooling, nn.Linear(18, C)).eval()
    with capture(model) as seen:
        model(batch())
    assert set(seen) == {"encoder.layers.0.attention.attend", "pooling.attend"}
    torch.testing.assert_close(seen.steps("pooling.attend"), model.weights(batch()))
    with pytest.raises(ValueError, match="once or more"):
        QueryPooling(Attend(scores.General(2, 6)), 2, hops=0)


@named
@pytest.mark.parametrize("kind", ["recurrent", "transformer"])
def test_a_batch_says_what_each_text_alone_does(kind: str, name: str) -> None:
    hops = HOPS.get(name, 1)
    model = Classifier(encoder(kind), poolings(6)[name], nn.Linear(6 * hops, C)).double().eval()
    together, weights = model(batch()), model.weights(batch())
    assert together.shape == (B, C) and weights.shape == (B, hops, S)
    for row, text in enumerate(TEXTS):
        source, lengths = rectangle([[*text, EOS]])
        alone = ClassificationBatch(source, lengths, torch.zeros(1).long(), torch.zeros(1).long())
        torch.testing.assert_close(together[row], model(alone)[0])
        torch.testing.assert_close(weights[row, :, : len(text) + 1], model.weights(alone)[0])
        assert (weights[row, :, len(text) + 1 :] == 0).all()


def test_the_logits_are_the_formula_of_lin() -> None:
    """softmax(W_2 tanh(W_1 Hᵀ)) H, row by row, flattened into a linear layer; and the penalty ‖A Aᵀ − I‖²."""
    pooling = SelfAttentivePooling(6, 4, 2)
    model = Classifier(encoder("recurrent"), pooling, nn.Linear(12, C)).double().eval()
    memory = model.read(batch())
    penalty = model.penalty(memory)
    assert penalty is not None
    for row, length in enumerate(LENGTHS):
        H = memory.values[row, :length]
        A = torch.softmax(pooling.w_2 @ torch.tanh(pooling.w_1 @ H.T), dim=-1)
        assert isinstance(model.output, nn.Linear)
        expected = model.output.weight @ (A @ H).reshape(-1) + model.output.bias
        torch.testing.assert_close(model(batch())[row], expected)
        apart = sum((float((A[i] @ A[j]).detach()) - (i == j)) ** 2 for i in range(2) for j in range(2))
        assert float(penalty[row].detach()) == pytest.approx(apart, rel=1e-5)
    assert Classifier(encoder("recurrent"), MeanPooling(), nn.Linear(6, C)).penalty(memory) is None


def test_regions_of_pictures_are_classified_too() -> None:
    class Regions(nn.Module):
        def forward(self, pictures: Tensor, lengths: Tensor) -> Memory:
            return Memory(pictures.float().flatten(2).transpose(1, 2), lengths)

    model = Classifier(Regions(), SelfAttentivePooling(2, 3, 2), nn.Linear(4, C), word_dropout=0.5).train()
    pictures = ClassificationBatch(
        torch.randint(255, (3, 2, 5, 7), dtype=torch.uint8),
        torch.full((3,), 35),
        torch.zeros(3).long(),
        torch.arange(3),
    )
    assert model(pictures).shape == (3, C) and model.weights(pictures).shape == (3, 2, 35)


def test_word_dropout_forgets_words_in_training_alone() -> None:
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, source: Tensor, lengths: Tensor) -> Memory:
            seen.append(source)
            return Memory(torch.zeros(*source.shape, 2), lengths, source)

    model = Classifier(Spy(), MeanPooling(), nn.Linear(2, 2), word_dropout=0.25)
    source, lengths = rectangle([[5] * 999 + [EOS], [6] * 499 + [EOS]])
    texts = ClassificationBatch(source, lengths, torch.zeros(2).long(), torch.arange(2))
    model.eval()(texts)
    model.train()(texts)
    assert torch.equal(seen[0], source)
    lost = seen[1] == UNK
    assert not torch.equal(seen[1], source) and torch.equal(seen[1][~lost], source[~lost])
    assert 200 < int(lost[0].sum()) < 300 and 90 < int(lost[1].sum()) < 160
    assert seen[1][0, 999] == EOS and seen[1][1, 499] == EOS and not lost[1, 500:].any()
    with pytest.raises(ValueError, match="lies in"):
        Classifier(Spy(), MeanPooling(), nn.Linear(2, 2), word_dropout=1.0)


def test_sentences_by_hand() -> None:
    ids = torch.tensor([[4, 9, 5, 6, 8, 9, 7, 3], [9, 9, 4, 4, 4, 4, 4, 4]])
    number, place = sentences(ids, torch.tensor([3, 8, 9]), 4)
    assert number.tolist() == [[0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 1, 1, 1, 1, 2, 2]]
    assert place.tolist() == [[0, 1, 0, 1, 2, 3, 0, 1], [0, 1, 0, 1, 2, 3, 0, 1]]


def hierarchical() -> HierarchicalClassifier:
    def into(module: nn.Module):
        return lambda x, mask: module(x)

    torch.manual_seed(3)
    words, over = nn.Linear(6, 5), nn.Linear(5, 4)
    pooling = HierarchicalPooling(into(words), AttentivePooling(5, 3), into(over), AttentivePooling(4, 2))
    return HierarchicalClassifier(Embedding(V, 6), pooling, nn.Linear(4, C), ends=[9, 10], longest=3).double()


def test_a_hierarchy_of_sentences_is_the_formula() -> None:
    torch.manual_seed(3)
    words, over = nn.Linear(6, 5).double(), nn.Linear(5, 4).double()
    model = hierarchical().eval()
    model.pooling.word_encoder = lambda x, mask: words(x)
    model.pooling.sentence_encoder = lambda x, mask: over(x)
    texts = [[4, 5, 9, 6, 7], [8], [4, 5, 6, 7, 8, 10, 4]]
    cut = [[[4, 5, 9], [6, 7, EOS]], [[8, EOS]], [[4, 5, 6], [7, 8, 10], [4, EOS]]]
    source, lengths = rectangle([[*text, EOS] for text in texts])
    source[source == 0] = 9  # what lies beyond a length has no meaning
    these = ClassificationBatch(source, lengths, torch.zeros(3).long(), torch.arange(3))
    found, weights = model(these), model.weights(these)
    for row, parts in enumerate(cut):
        encoded = [words(model.embedding(torch.tensor([part]))) for part in parts]
        pooled = torch.stack([model.pooling.word_pooling(H)[0] for H in encoded])[None]
        context = over(pooled)
        torch.testing.assert_close(found[row], model.output(model.pooling.sentence_pooling(context))[0])
        outer = model.pooling.sentence_pooling.weights(context)[0]
        expected = torch.cat(
            [w * model.pooling.word_pooling.weights(H)[0] for w, H in zip(outer, encoded, strict=True)]
        )
        torch.testing.assert_close(weights[row, 0, : len(expected)].double(), expected, rtol=1e-5, atol=1e-6)
        assert (weights[row, 0, len(expected) :] == 0).all()
        assert float(weights[row].sum()) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="a word or more"):
        HierarchicalClassifier(Embedding(V, 6), model.pooling, nn.Linear(4, C), [9], longest=0)


def test_levels_are_the_two_factors_of_the_weights() -> None:
    model = hierarchical().float().eval()
    source, lengths = rectangle([[4, 5, 9, 6, EOS, 7, EOS], [8, EOS]])
    these = ClassificationBatch(source, lengths, torch.zeros(2).long(), torch.zeros(2).long())
    words, over, number = model.levels(these)
    assert number[0].tolist() == [0, 0, 0, 1, 1, 2, 2] and number[1, :2].tolist() == [0, 0]
    torch.testing.assert_close(model.weights(these)[:, 0], words * over.gather(1, number))
    torch.testing.assert_close(over.sum(-1), torch.ones(2))
    assert over[1].tolist() == [1.0, 0.0, 0.0] and not words[1, 2:].any()
    for i, parts in enumerate(([(0, 3), (3, 5), (5, 7)], [(0, 2)])):
        for begin, end in parts:
            assert float(words[i, begin:end].sum()) == pytest.approx(1, abs=1e-6)


def test_a_context_reads_each_row_to_its_end() -> None:
    context = Context(Recurrent("gru", 3, 2, bidirectional=True), dropout=0.0).double()
    x = torch.randn(3, 4, 3, dtype=torch.float64)
    mask = torch.arange(4) < torch.tensor([4, 1, 3])[:, None]
    found = context(x, mask)
    for row, length in enumerate((4, 1, 3)):
        torch.testing.assert_close(found[row, :length], context(x[row : row + 1, :length], None)[0])
        assert (found[row, length:] == 0).all()


def test_word_dropout_leaves_the_ends_of_sentences() -> None:
    model = hierarchical().train()
    model.word_dropout = 0.9
    source, lengths = rectangle([[4, EOS] * 200])
    these = ClassificationBatch(source, lengths, torch.zeros(1).long(), torch.zeros(1).long())
    read = model._ids(these)
    assert (read[0, 1::2] == EOS).all() and (read[0, ::2] == UNK).sum() > 150


def test_a_picture_is_read_in_places() -> None:
    encoder = PlaceEncoder(ConvGrid(1, [8, 8], 6), 6).eval()
    images = torch.randint(255, (2, 9, 13, 1), dtype=torch.uint8)
    memory = encoder(images, torch.tensor([9, 9]))
    assert memory.values.shape == (2, 3 * 4, 6) and memory.lengths.tolist() == [12, 12]
    torch.testing.assert_close(encoder(images).values, memory.values)
    model = Classifier(encoder, MeanPooling(), nn.Linear(6, C))
    pictures = ClassificationBatch(images, torch.full((2,), 9), torch.zeros(2).long(), torch.arange(2))
    torch.testing.assert_close(model(pictures), model.output(memory.values.mean(dim=1)))


def test_the_temperature_is_the_one_that_another_optimiser_finds() -> None:
    torch.manual_seed(1)
    labels = torch.randint(C, (211,))
    logits = torch.randn(211, C) * 3
    logits[torch.arange(211), labels] += 2.0

    def likelihood(t: float) -> float:
        return float(nn.functional.cross_entropy(logits.double() / t, labels))

    found = calibrate(logits, labels)
    expected = minimize_scalar(likelihood, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(float(expected.x), rel=1e-5)  # type: ignore[attr-defined]
    assert calibrate(3 * logits, labels) == pytest.approx(3 * found, rel=1e-6)


def test_a_temperature_that_is_known() -> None:
    """Of two classes with logits (z, 0), right 3 times in 4: z / T = log 3."""
    logits = torch.tensor([[2.0, 0.0]] * 4)
    labels = torch.tensor([0, 0, 1, 0])
    assert calibrate(logits, labels) == pytest.approx(2 / math.log(3), rel=1e-9)
    model = Classifier(encoder("recurrent"), MeanPooling(), nn.Linear(6, 2))
    assert float(model.temperature) == 1.0 and "temperature" in model.state_dict()
    model.calibrate(logits, labels)
    torch.testing.assert_close(model.probabilities(logits), torch.tensor([[0.75, 0.25]] * 4))


def test_a_temperature_has_bounds() -> None:
    sure = torch.eye(3)
    assert calibrate(sure, torch.arange(3)) == pytest.approx(0.05)  # all right: never sure enough
    assert calibrate(sure, torch.tensor([1, 2, 0])) == pytest.approx(20.0)  # all wrong
    for logits, labels in ((torch.zeros(0, 3), torch.zeros(0)), (sure, torch.zeros(2))):
        with pytest.raises(ValueError, match="a label for each"):
            calibrate(logits, labels.long())


@pytest.mark.parametrize(
    ("poolings", "count", "names"),
    [
        ([MaxPooling(), SelfAttentivePooling(4, 3, 2)], 3, ["largest", "look 1", "look 2"]),
        (
            [SelfAttentivePooling(4, 3, 2), AttentivePooling(4, 3), MeanPooling()],
            4,
            ["look 1", "look 2", "look 3", "mean"],
        ),
        ([MaxPooling(), MeanPooling()], 2, ["largest", "mean"]),
    ],
)
def test_each_row_of_a_poolings_weights_is_named(poolings: list[nn.Module], count: int, names: list[str]) -> None:
    joined = JoinedPooling(poolings)
    assert joined.weights(torch.randn(2, 5, 4)).shape[1] == count
    assert looks_of(joined, count) == names
    assert looks_of(MaxPooling(), 1) == ["largest"] and looks_of(AttentivePooling(4, 3), 1) == ["look 1"]
