"""Language models speak the one decoder call without a source; nothing they say depends on what comes after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from regard.attention import Alibi, Attend, MultiHead, Relative, Rotary, StatefulAttend, capture
from regard.attention.normalizers import entmax15
from regard.attention.scopes import Causal, Window
from regard.attention.scores import Additive, Coverage, General, ScaledDot
from regard.batch import EOS, PAD
from regard.data.masking import MaskedBatch
from regard.data.text import TextBatch
from regard.decoding import Constraints, beam_search, greedy, sample
from regard.layers import (
    Embedding,
    EncoderLayer,
    FeedForward,
    Learned,
    NoPositions,
    Recurrent,
    Sinusoidal,
)
from regard.layers.causal import CausalLayer
from regard.models import TransformerEncoder
from regard.models.language_model import (
    LanguageModel,
    MaskedLanguageModel,
    RecurrentLanguageModel,
    TransformerLanguageModel,
    no_source,
)

V, D, HEADS, REACH = 13, 12, 3, 19


def output(embedding: Embedding) -> nn.Linear:
    layer = nn.Linear(embedding.dim, V)
    layer.weight = embedding.weight
    return layer


def transformer(positions: str = "learned", *, pre: bool = True, **options: Any) -> TransformerLanguageModel:
    embedding = Embedding(V, D)
    size = D // HEADS
    added = {"learned": Learned(D, REACH), "sinusoidal": Sinusoidal(D)}.get(positions, NoPositions())

    def layer() -> CausalLayer:
        bias = {"alibi": Alibi(HEADS), "relative": Relative(size, 3)}.get(positions)
        scope = Window(2, 0) if positions == "window" else Causal()
        attend = Attend(ScaledDot(), scope=scope, bias=bias, **options)
        heads = MultiHead(D, HEADS, attend, rotary=Rotary(size) if positions == "rotary" else None)
        return CausalLayer(D, heads, FeedForward(D, 20), dropout=0.1, pre_norm=pre)

    return TransformerLanguageModel(embedding, added, [layer(), layer()], output(embedding), dropout=0.1, pre_norm=pre)


def recurrent(cell: Any = "gru", attend: Attend | None = None, layers: int = 2) -> RecurrentLanguageModel:
    embedding = Embedding(V, D)
    return RecurrentLanguageModel(
        embedding, Recurrent(cell, D, 10, layers), output(embedding), dropout=0.1, attend=attend
    )


MODELS: dict[str, Callable[[], LanguageModel]] = {
    **{p: lambda p=p: transformer(p) for p in ("learned", "sinusoidal", "rotary", "alibi", "relative", "window")},
    "post": lambda: transformer(pre=False),
    "entmax15": lambda: transformer("rotary", normalize=entmax15),
    **{cell: lambda cell=cell: recurrent(cell) for cell in ("rnn", "gru", "lstm")},
    "gru-dot": lambda: recurrent(attend=Attend(ScaledDot(), scope=Causal())),
    "lstm-additive": lambda: recurrent("lstm", Attend(Additive(10, 10, 7), scope=Causal())),
    "gru-window": lambda: recurrent(attend=Attend(General(10, 10), scope=Window(2, 0)), layers=1),
}
models = pytest.mark.parametrize("name", MODELS)
TOKENS = torch.randint(4, V, (3, 11), generator=torch.Generator().manual_seed(1))


def made(name: str) -> LanguageModel:
    torch.manual_seed(4)
    model = MODELS[name]().double().eval()
    for parameter in model.parameters():  # zero biases would hide a bias that is left out
        if parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.3)
    return model


def whole(model: LanguageModel, tokens: torch.Tensor) -> torch.Tensor:
    return model(tokens, model.start(no_source(len(tokens))))[0].detach()


@models
@pytest.mark.parametrize("sizes", [[1] * 11, [4, 1, 6], [10, 1]])
def test_cached_steps_equal_all_at_once(name: str, sizes: list[int]) -> None:
    model = made(name)
    state, logits = model.start(no_source(3)), []
    for part in TOKENS.split(sizes, dim=1):
        step, state = model(part, state)
        logits.append(step)
    torch.testing.assert_close(torch.cat(logits, dim=1), whole(model, TOKENS))


@models
def test_nothing_depends_on_what_comes_after_it(name: str) -> None:
    model = made(name)
    before = whole(model, TOKENS)
    for place in (1, 5, 10):
        changed = TOKENS.clone()
        changed[:, place] = (changed[:, place] - 3) % (V - 4) + 4
        after = whole(model, changed)
        assert after[:, :place].equal(before[:, :place])
        assert not torch.isclose(after[:, place], before[:, place]).all()


@models
def test_a_state_moves_with_its_rows(name: str) -> None:
    model = made(name)
    _, state = model(TOKENS[:, :6], model.start(no_source(3)))
    rows = torch.tensor([2, 0, 2, 1])
    found, _ = model(TOKENS[rows][:, 6:], state.select(rows))
    torch.testing.assert_close(found, whole(model, TOKENS)[rows][:, 6:])


@models
def test_every_search_works_on_it(name: str) -> None:
    model, limits = made(name), Constraints(max_length=9)
    prompts = [[5, 6, 7], [], [8]]
    with torch.inference_mode():
        for found in (
            greedy(model, no_source(3), limits, prefix=prompts),
            sample(model, no_source(3), limits, prefix=prompts, seed=7),
            beam_search(model, no_source(3), limits, prefix=prompts, beam=4),
        ):
            for prompt, [best] in zip(prompts, found, strict=True):
                assert best.ids[: len(prompt)] == prompt and len(best.ids) <= 9
                ids = torch.tensor([[2, *best.ids]])
                log_p = whole(model, ids).log_softmax(-1)[0]
                said = torch.tensor([*best.ids, EOS])
                scores = log_p.gather(1, said[:, None])[: len(best.log_probabilities), 0]
                assert best.log_probabilities == pytest.approx(scores.tolist(), rel=1e-4)
        first = sample(model, no_source(3), limits, seed=7)
        assert [h.ids for [h] in first] == [h.ids for [h] in sample(model, no_source(3), limits, seed=7)]
        assert [h.ids for [h] in first] != [h.ids for [h] in sample(model, no_source(3), limits, seed=8)]


@models
def test_what_fills_the_rectangle_has_no_meaning(name: str) -> None:
    model = made(name)
    lengths = torch.tensor([11, 4, 2])
    filled = TOKENS.clone()
    for row, length in enumerate(lengths.tolist()):
        filled[row, length:] = PAD
    found = [model.predict(TextBatch(t, lengths, torch.arange(3))) for t in (TOKENS, filled)]
    torch.testing.assert_close(found[0][0], found[1][0])
    assert found[0][1].equal(found[1][1])
    assert found[0][1].tolist() == [*TOKENS[0, 1:].tolist(), *TOKENS[1, 1:4].tolist(), int(TOKENS[2, 1])]
    alone = model.teach(TextBatch(TOKENS[1:2, :4], lengths[1:2], torch.arange(1)))[0]
    torch.testing.assert_close(found[0][0][10:13], alone)


@pytest.mark.parametrize("name", ["learned", "relative", "gru-dot", "lstm-additive"])
def test_looking_changes_nothing(name: str) -> None:
    model = made(name)
    before = whole(model, TOKENS)
    with capture(model) as seen:
        assert whole(model, TOKENS).equal(before)
    assert len(seen) == (1 if isinstance(model, RecurrentLanguageModel) else 2)
    for weights in seen.values():
        assert weights[0].shape[-2:] == (11, 11)
        assert weights[0].triu(1).abs().max() == 0
        torch.testing.assert_close(weights[0].sum(-1), torch.ones(weights[0].shape[:-1], dtype=torch.double))


@pytest.mark.parametrize("name", ["rotary", "gru", "lstm-additive"])
def test_it_trains_in_bfloat16(name: str) -> None:
    torch.manual_seed(4)
    model = MODELS[name]().train()
    with torch.autocast("cpu", torch.bfloat16):
        features, _ = model.predict(TextBatch(TOKENS, torch.tensor([11, 4, 2]), torch.arange(3)))
    features.float().square().sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    assert model.embedding.weight.grad is not None


def test_learned_positions_limit_how_much_is_read() -> None:
    assert made("learned").reach == REACH and made("rotary").reach is None and made("gru").reach is None
    with pytest.raises(ValueError, match="reach 19 tokens"):
        whole(made("learned"), torch.full((1, REACH + 1), 5))


def test_what_would_see_the_future_is_refused() -> None:
    for scope in (None, Window(2, 1)):
        with pytest.raises(ValueError, match="must not see what it has yet to say"):
            recurrent(attend=Attend(ScaledDot(), scope=scope))
        with pytest.raises(ValueError, match="must not see what it has yet to say"):
            heads = MultiHead(D, HEADS, Attend(ScaledDot(), scope=scope))
            CausalLayer(D, heads, FeedForward(D, 20), dropout=0.0, pre_norm=True)
    with pytest.raises(ValueError, match="not a StatefulAttend"):
        recurrent(attend=StatefulAttend(Coverage(10, 10, 5), scope=Causal()))
    with pytest.raises(ValueError, match="bidirectional=False"):
        embedding = Embedding(V, D)
        both = Recurrent("gru", D, 10, bidirectional=True)
        RecurrentLanguageModel(embedding, both, output(embedding), dropout=0.0)


# --- masked -----------------------------------------------------------------------------------------------------------


def masked_model() -> MaskedLanguageModel:
    torch.manual_seed(4)
    layers = [EncoderLayer(D, MultiHead(D, HEADS), FeedForward(D, 20), dropout=0.1, pre_norm=True) for _ in range(2)]
    encoder = TransformerEncoder(Embedding(V + 1, D), Sinusoidal(D), layers, dropout=0.1, pre_norm=True)
    return MaskedLanguageModel(encoder).double().eval()


def test_a_masked_model_says_what_is_hidden_from_both_sides() -> None:
    model = masked_model()
    assert model.vocabulary == V
    tokens = TOKENS.clone()
    tokens[0, 3] = tokens[1, 0] = V
    places = torch.zeros_like(tokens, dtype=torch.bool)
    places[0, 3] = places[1, 0] = places[1, 2] = True
    batch = MaskedBatch(tokens, torch.tensor([11, 5, 2]), TOKENS, places, torch.arange(3))
    features, labels = model.predict(batch)
    assert labels.tolist() == [TOKENS[0, 3], TOKENS[1, 0], TOKENS[1, 2]]
    logits = model(tokens, batch.lengths)
    assert logits.shape == (3, 11, V)
    torch.testing.assert_close(features @ model.encoder.embedding.weight[:V].t() + model.bias, logits[places])
    for place, reaches in ((10, True), (1, True)):  # behind and before the hidden one
        other = tokens.clone()
        other[0, place] = (other[0, place] - 3) % (V - 4) + 4
        assert torch.isclose(model(other, batch.lengths)[0, 3], logits[0, 3]).all() != reaches
    other = tokens.clone()
    other[1, 5:] = 7  # beyond its length
    torch.testing.assert_close(model(other, batch.lengths)[1, :5], logits[1, :5])


def test_the_mask_is_learned_and_the_output_is_the_embedding() -> None:
    model = masked_model()
    tokens = torch.full((1, 5), V)
    model(tokens, torch.tensor([5])).log_softmax(-1)[0, :, 6].sum().backward()
    gradient = model.encoder.embedding.weight.grad
    assert gradient is not None and (gradient.abs().sum(-1) > 0).all()  # the mask as it is read, the others as said
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in model.encoder.parameters()) + (
        D * D + D + 2 * D + V
    )
