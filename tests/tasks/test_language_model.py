"""Losses against PyTorch's, measures against plain loops, text that goes on as a search would, models that learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regard.attention import Attend, MultiHead, Rotary
from regard.attention.scopes import Causal
from regard.attention.scores import ScaledDot
from regard.batch import BOS, EOS, UNK
from regard.data import Tokenizer
from regard.data.masking import MaskedBatches
from regard.data.text import TextBatches, TextCorpus
from regard.decoding import Constraints, sample
from regard.errors import UsageError
from regard.layers import Embedding, EncoderLayer, FeedForward, Learned, NoPositions, Recurrent, Sinusoidal
from regard.layers.causal import CausalLayer
from regard.models import TransformerEncoder
from regard.models.language_model import (
    LanguageModel,
    MaskedLanguageModel,
    RecurrentLanguageModel,
    TransformerLanguageModel,
    no_source,
)
from regard.tasks.language_model import (
    Likelihood,
    Sampling,
    contextual,
    continue_text,
    loss,
    masked_loss,
    measure,
    restore,
)
from regard.training.schedule import Schedule

V, REACH = 17, 23
DRAW = np.random.default_rng(2)
CORPUS = TextCorpus.in_memory([DRAW.integers(4, V, n).tolist() for n in (5, 1, 13, 0, 29, 7)])


def transformer(
    vocabulary: int = V, dim: int = 12, layers: int = 2, *, rotary: bool = False
) -> TransformerLanguageModel:
    torch.manual_seed(3)
    embedding, output = Embedding(vocabulary, dim), nn.Linear(dim, vocabulary)
    output.weight = embedding.weight

    def layer() -> CausalLayer:
        heads = MultiHead(dim, 2, Attend(ScaledDot(), scope=Causal()), rotary=Rotary(dim // 2) if rotary else None)
        return CausalLayer(dim, heads, FeedForward(dim, 2 * dim), dropout=0.0, pre_norm=True)

    places = NoPositions() if rotary else Learned(dim, REACH)
    return TransformerLanguageModel(embedding, places, [layer() for _ in range(layers)], output, dropout=0.0)


def recurrent(vocabulary: int = V, looks: bool = False) -> RecurrentLanguageModel:
    torch.manual_seed(3)
    attend = Attend(ScaledDot(), scope=Causal()) if looks else None
    output = nn.Linear(12, vocabulary)
    return RecurrentLanguageModel(
        Embedding(vocabulary, 12), Recurrent("gru", 12, 24, 1), output, dropout=0.0, attend=attend
    )


def masked_model(vocabulary: int = V, dim: int = 12) -> MaskedLanguageModel:
    torch.manual_seed(3)
    layers = [
        EncoderLayer(dim, MultiHead(dim, 2), FeedForward(dim, 2 * dim), dropout=0.0, pre_norm=True) for _ in range(2)
    ]
    embedding = Embedding(vocabulary + 1, dim, math.sqrt(dim))
    return MaskedLanguageModel(TransformerEncoder(embedding, Sinusoidal(dim), layers, dropout=0.0, pre_norm=True))


def uniform(model: Any) -> Any:
    """Says everything with the same probability."""
    nn.init.zeros_(model.output.weight)
    nn.init.zeros_(model.output.bias)
    return model


# --- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [transformer, recurrent])
def test_the_loss_is_pytorchs_over_real_positions(make: Callable[[], LanguageModel]) -> None:
    model = make().eval()
    batch = list(TextBatches(CORPUS, 11, 99, 1).epoch(0))[-1]
    assert batch.lengths.min() < batch.tokens.shape[1]
    total = likelihood = 0.0
    for row, length in zip(batch.tokens, batch.lengths.tolist(), strict=True):
        read = torch.tensor([[BOS if i == EOS else i for i in row[: length - 1].tolist()]])
        logits = model(read, model.start(no_source(1)))[0][0].detach()
        total += float(cross_entropy(logits, row[1:length], reduction="sum", label_smoothing=0.1))
        likelihood += float(cross_entropy(logits, row[1:length], reduction="sum"))
    found = loss(model, batch, smoothing=0.1)
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-5)
    assert float(found.likelihood) == pytest.approx(likelihood, rel=1e-5)
    assert found.tokens == batch.target_tokens == int((batch.lengths - 1).sum())


def test_the_masked_loss_is_pytorchs_over_the_places() -> None:
    model = masked_model().eval()
    [batch] = MaskedBatches(CORPUS, 31, 999, 1, vocabulary=V, rate=0.4).epoch(0)
    logits = model(batch.tokens, batch.lengths).detach()
    found = masked_loss(model, batch, smoothing=0.1)
    for smoothing, value in ((0.1, found.total.detach()), (0.0, found.likelihood)):
        expected = cross_entropy(
            logits[batch.places], batch.labels[batch.places], reduction="sum", label_smoothing=smoothing
        )
        assert float(value) == pytest.approx(float(expected), rel=1e-5)
    assert found.tokens == batch.target_tokens == batch.places.sum()


# --- measures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_a_uniform_model_chooses_among_the_whole_vocabulary(stride: int) -> None:
    found = measure(uniform(transformer()), CORPUS, context=7, stride=stride)
    assert found.tokens == CORPUS.said == 55 + 6
    assert found.perplexity == pytest.approx(V, rel=1e-5)
    # A token is a character here, and so is each end.
    assert found.bits_per_character == pytest.approx(math.log2(V), rel=1e-5)
    [*batches] = MaskedBatches(CORPUS, 31, 40, 1, vocabulary=V).epoch(0)
    masked = masked_model()
    nn.init.zeros_(masked.encoder.embedding.weight)
    assert restore(masked, batches).perplexity == pytest.approx(V, rel=1e-5)


@pytest.mark.parametrize("rows", [1, 4, 1000])
@pytest.mark.parametrize(("context", "stride"), [(7, 1), (7, 3), (7, 7), (11, None), (200, None)])
def test_windows_slide_over_the_text(context: int, stride: int | None, rows: int) -> None:
    """By a plain loop over windows, of which each adds the tokens that no window before it has said."""
    model = transformer(rotary=True).double().eval()
    stream = torch.tensor(CORPUS.ids)
    step = max(1, context // 2) if stride is None else stride
    nats, said, end = [], 0, min(context, len(stream) - 1)
    while True:
        begin = max(0, end - context)
        window = stream[begin : end + 1]
        read = window[:-1].masked_fill(window[:-1] == EOS, BOS)
        log_p = model(read[None], model.start(no_source(1)))[0][0].log_softmax(-1)
        for place in range(said, end):
            nats.append(-float(log_p[place - begin, stream[place + 1]].detach()))
        said = end
        if end == len(stream) - 1:
            break
        end = min(end + step, len(stream) - 1)
    found = measure(model, CORPUS, context=context, stride=stride, batch_tokens=rows * context)
    assert found.nats == pytest.approx(sum(nats), rel=1e-9) and found.tokens == CORPUS.said
    assert found.pieces.sum(axis=0) == pytest.approx([sum(nats), CORPUS.said, CORPUS.said])
    begin = 0
    for of_piece, tokens, characters in found.pieces.tolist():
        assert 1 <= tokens == characters <= context
        assert of_piece == pytest.approx(sum(nats[begin : begin + int(tokens)]), rel=1e-9)
        begin += int(tokens)


def test_what_is_resampled_are_documents_and_equal_parts_of_longer_ones() -> None:
    # With their ends documents have 6, 2, 14, 1, 30 and 8 tokens, of which 7 go into a part.
    found = measure(uniform(transformer()), CORPUS, context=7).pieces
    assert found[:, 1].tolist() == [6, 2, 7, 7, 1, 6, 6, 6, 6, 6, 4, 4]
    assert found[:, 0] == pytest.approx(found[:, 1] * math.log(V), rel=1e-5)
    # Four tokens of 10 characters, their end among them, in parts of 3 and 2: each has its share of the 11.
    corpus = TextCorpus.in_memory([[4, 5, 6, 7], [4]], [11, 3])
    assert measure(uniform(transformer()), corpus, context=3).pieces[:, 1:] == pytest.approx(
        np.array([[2, 4.4], [3, 6.6], [2, 3]])
    )


def test_bits_are_counted_in_characters_of_the_text() -> None:
    texts = ["the cat sat on the mat", " the dog sat ", "zebra!"]
    tokenizer = Tokenizer.train("words", texts[:2], 50)
    corpus = TextCorpus.of(texts, tokenizer)
    model = uniform(transformer(tokenizer.size))
    found = measure(model, corpus, context=5)
    assert found.characters == 22 + 1 + 11 + 1 + 6 + 1 and found.tokens == 6 + 1 + 3 + 1 + 1 + 1
    assert found.unknown == 1
    assert found.bits_per_character == pytest.approx(12 / 42 * math.log2(tokenizer.size) * 13 / 12, rel=1e-5)
    assert Likelihood(1e9, 2, 3).perplexity == math.inf


def test_what_cannot_be_measured_is_said() -> None:
    for stride in (0, 8):
        with pytest.raises(UsageError, match="write from 1 to 7"):
            measure(transformer(), CORPUS, context=7, stride=stride)
    with pytest.raises(UsageError, match="no text to measure"):
        measure(transformer(), TextCorpus.in_memory([]), context=7)
    with pytest.raises(UsageError, match="nothing to restore"):
        restore(masked_model(), [])


# --- going on ---------------------------------------------------------------------------------------------------------

ACCENTED = ["cafe\u0301 noe\u0308l", "e\u0301te\u0301 a\u0308b \U0001f468\u200d\U0001f469\u200d\U0001f467 x"] * 3


@pytest.mark.parametrize("how", [Sampling(seed=3), Sampling(temperature=0.7, top_k=5, top_p=0.9, seed=4)])
@pytest.mark.parametrize("prompt", ["", "ca no"])
@pytest.mark.parametrize("make", [transformer, recurrent, lambda v: recurrent(v, looks=True)])
def test_it_goes_on_as_a_search_draws(make: Callable[[int], LanguageModel], prompt: str, how: Sampling) -> None:
    tokenizer = Tokenizer.train("bpe", ACCENTED, 60)
    model = make(tokenizer.size).double().eval()
    ids = tokenizer.encode(prompt).ids
    [[found]] = sample(
        model,
        no_source(1),
        Constraints(len(ids) + 9, allow_unknown=False),
        prefix=[ids],
        temperature=how.temperature,
        top_k=how.top_k,
        top_p=how.top_p,
        seed=how.seed,
    )
    pieces = list(continue_text(model, tokenizer, prompt, length=9, sampling=how))
    assert tokenizer.decode(ids) + "".join(pieces) == tokenizer.decode(found.ids)
    assert pieces == list(continue_text(model, tokenizer, prompt, length=9, sampling=how))
    others = [list(continue_text(model, tokenizer, prompt, length=9, sampling=replace(how, seed=s))) for s in (5, 6, 7)]
    assert any(other != pieces for other in others)


class Scripted(LanguageModel):
    """Says given tokens whatever it reads."""

    def __init__(self, vocabulary: int, script: list[int]) -> None:
        super().__init__(Embedding(vocabulary, vocabulary), nn.Linear(vocabulary, vocabulary), dropout=0.0)
        nn.init.eye_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.script, self.reads = script, []

    def start(self, memory: Any) -> Any:
        return 0

    def features(self, tokens: Tensor, state: Any, memory: Any = None) -> tuple[Tensor, Any]:
        self.reads.append(tokens[0].tolist())
        done = len(self.reads) - 1
        out = torch.zeros(1, tokens.shape[1], self.output.out_features)
        out[0, -1, [*self.script, EOS][done]] = 9.0
        return out, state


GREEDY = Sampling(temperature=0.0)


def pieces_of(tokenizer: Any, text: str, prompt: str = "") -> list[str]:
    script = tokenizer.encode_batch([text])[0]
    model = Scripted(tokenizer.size, script)
    return list(continue_text(model, tokenizer, prompt, length=100, sampling=GREEDY))


@pytest.mark.parametrize("kind", ["bpe", "unigram", "characters", "words"])
def test_a_piece_is_whole_characters(kind: Any) -> None:
    tokenizer = Tokenizer.train(kind, ACCENTED, 40)
    for text in ACCENTED[:2]:
        pieces = pieces_of(tokenizer, text)
        assert "".join(pieces) == text and len(pieces) > 1
        for piece in pieces:
            assert piece and piece[0] not in "\u0301\u0308\u200d\U0001f469\U0001f467" and piece[-1] != "\u200d"


class Bytes:
    """A tokenizer that cuts characters into their bytes."""

    size = 260

    def encode_batch(self, lines: list[str]) -> list[list[int]]:
        return [[byte + 4 for byte in line.encode()] for line in lines]

    def decode(self, ids: list[int]) -> str:
        return bytes(i - 4 for i in ids).decode("utf-8", "replace").strip()


def test_half_a_character_of_bytes_waits() -> None:
    for text in ("é€😀x", "naïve ½\u0301 日本語", "😀"):
        pieces = pieces_of(Bytes(), text)
        assert "".join(pieces) == text and not any("�" in piece for piece in pieces)


def test_pieces_come_while_it_is_drawn_and_the_prompt_is_read_at_once() -> None:
    tokenizer = Tokenizer.train("characters", ["abcde"] * 2, 20)
    ids = tokenizer.encode("abcde").ids
    model = Scripted(tokenizer.size, ids[2:])
    going = continue_text(model, tokenizer, "ab", length=9, sampling=GREEDY)
    assert isinstance(going, Iterator) and model.reads == []
    assert next(going) == "c"
    assert model.reads == [[BOS, *ids[:2]], [ids[2]]]  # c was settled by d
    assert list(going) == ["d", "e"]
    stopped = continue_text(Scripted(tokenizer.size, ids), tokenizer, length=3, sampling=GREEDY)
    assert "".join(stopped) == "abc"


def test_a_full_context_goes_on_from_its_last_half() -> None:
    tokenizer = Tokenizer.train("characters", ["abcde"] * 2, 20)
    ids = tokenizer.encode("abcdeabcde").ids
    model = Scripted(tokenizer.size, ids)
    assert "".join(continue_text(model, tokenizer, length=9, context=4, sampling=GREEDY)) == "abcdeabcd"
    assert model.reads[:8] == [[BOS], ids[:1], ids[1:2], ids[2:3], ids[2:4], ids[4:5], ids[5:6], ids[5:7]]
    model = transformer(tokenizer.size)  # which reads no more than 23
    text = "".join(continue_text(model, tokenizer, "abc" * 10, length=40, sampling=Sampling(seed=2)))
    assert text == "".join(continue_text(model, tokenizer, "abc" * 10, length=40, sampling=Sampling(seed=2)))


def test_unknown_tokens_are_said_on_demand() -> None:
    tokenizer = Tokenizer.train("words", ["a b", "a b"], 20)
    a = tokenizer.encode("a").ids[0]
    model = Scripted(tokenizer.size, [a, UNK, a])
    allowed = replace(GREEDY, allow_unknown=True)
    assert "".join(continue_text(model, tokenizer, length=9, sampling=allowed)) == "a <unk> a"
    model = Scripted(tokenizer.size, [a, UNK, a])
    assert "<unk>" not in "".join(continue_text(model, tokenizer, length=9, sampling=GREEDY))


def test_wrong_wishes_are_said() -> None:
    tokenizer = Tokenizer.train("words", ["a b", "a b"], 20)
    for options, sentence in (
        ({"temperature": -1.0}, "temperature is -1"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 0.0}, "top_p is 0"),
    ):
        with pytest.raises(UsageError, match=sentence):
            Sampling(**options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="length is 0"):
        continue_text(transformer(tokenizer.size), tokenizer, length=0)
    with pytest.raises(UsageError, match="context is 1"):
        continue_text(transformer(tokenizer.size), tokenizer, context=1)


# --- layers -----------------------------------------------------------------------------------------------------------


def test_the_first_layer_is_static_and_the_last_is_what_the_output_reads() -> None:
    ids = torch.randint(4, V, (3, 7), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([7, 5, 2])
    masked, causal, network = masked_model().eval(), transformer().eval(), recurrent().eval()
    found = contextual(masked, ids, lengths)
    assert [v.shape for v in found] == [(3, 7, 12)] * 3
    assert found[0].equal(masked.encoder.embedding(ids).detach())
    assert found[-1].equal(masked.encoder(ids, lengths).values.detach())
    alone = contextual(masked.encoder, ids[1:2, :5])
    for layer, other in zip(found, alone, strict=True):
        torch.testing.assert_close(layer[1:2, :5], other)
    for model, layers in ((causal, 2), (network, 1)):
        each = contextual(model, ids)
        assert len(each) == layers + 1 and each[0].equal(model.embedding(ids).detach())
        features, _ = model.features(ids, model.start(no_source(3)))  # type: ignore[operator]
        read = each[-1] if model is causal else torch.tanh(network.readout(each[-1]))
        assert read.detach().equal(features.detach())
    assert not any(layer.requires_grad for layer in found)


def test_context_moves_a_word_and_its_static_vector_stays() -> None:
    ids = torch.tensor([[5, 6, 7, EOS], [8, 6, 9, EOS]])
    static, *layers = contextual(masked_model(), ids)
    assert static[0, 1].equal(static[1, 1])
    assert not any(torch.isclose(layer[0, 1], layer[1, 1]).all() for layer in layers)


# --- learning ---------------------------------------------------------------------------------------------------------


def train(model: Any, batches: Any, objective: Any, steps: int, rate: float = 0.01) -> Any:
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    model.train()
    schedule, step, epoch = Schedule("cosine", warmup=10), 0, 0
    while step < steps:
        for batch in batches.epoch(epoch):
            found = objective(model, batch)
            optimizer.zero_grad()
            (found.total / found.tokens).backward()
            for group in optimizer.param_groups:
                group["lr"] = rate * schedule.factor(step + 1, (step + 1) / steps)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
        epoch += 1
    return model.eval()


@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (lambda v: transformer(v, 24, rotary=True), 100),
        (recurrent, 260),
        (lambda v: recurrent(v, looks=True), 260),
    ],
)
def test_a_periodic_text_costs_nearly_nothing(make: Callable[[int], LanguageModel], steps: int) -> None:
    text = "abcabd " * 28
    tokenizer = Tokenizer.train("characters", [text], 20)
    model = train(make(tokenizer.size), TextBatches(TextCorpus.of([text] * 13, tokenizer), 24, 480, 1), loss, steps)
    bits = measure(model, TextCorpus.of([text], tokenizer), context=24, stride=8).bits_per_character
    # That one d in 28 is the last cannot be foreseen in a context of 24: 28 · H(1/28) = 6.2 bits of 196 characters.
    assert 0.03 < bits < 0.08
    said = "".join(continue_text(model, tokenizer, "abca", length=11, context=24, sampling=GREEDY))
    assert said == "bd abcabd a"


def test_hidden_tokens_that_follow_from_the_others_are_found() -> None:
    """Each document says one token again and again: what is hidden is what is shown, but where chance put another."""
    corpus = TextCorpus.in_memory([[token] * length for token in range(4, V) for length in (5, 7, 9)] * 8)
    batches = MaskedBatches(corpus, 16, 1024, 1, vocabulary=V, rate=0.2)
    model = train(masked_model(dim=24), batches, masked_loss, 80)
    fixed = MaskedBatches(corpus, 16, 1024, 2, vocabulary=V, rate=0.2, shuffle=False)
    found = restore(model, fixed.epoch(0))
    assert found.accuracy > 0.97 and found.perplexity < 1.1
    # A fifth of 5, of 7 and of 9 tokens, rounded, of 13 · 8 documents each.
    assert sorted(found.pieces[:, 2].tolist()) == 208 * [1] + 104 * [2]
    assert found.pieces.sum(axis=0) == pytest.approx([found.nats, found.right, found.tokens])
    assert (found.pieces[:, 1] <= found.pieces[:, 2]).all()
