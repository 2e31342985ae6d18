"""Exact hard attention against an enumeration of every alignment."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.batch import BOS, EOS, Batch, rectangle
from regard.build import encoder_decoder
from regard.config import recipe_of
from regard.errors import UsageError
from regard.models import EncoderDecoder
from regard.tasks import translation

SOURCES = [[4, 5, 6], [7], [5, 5]]
TARGETS = [[4, 6], [5, 7, 4], [8]]
TRANSITIONS = ("monotonic", "first-order", "zeroth-order")
REACH = 2
SAME = [-1, -1, -1, EOS, 6, 4, -1, 10, -1]  # what copies each source token


def model(transition: str, **changes: Any) -> EncoderDecoder:
    torch.manual_seed(3)
    settings = {"kind": "recurrent", "decoder": "exact-hard", "transition": transition, "reach": REACH}
    part = recipe_of({"model": settings | {"hidden": 6, "embedding": 5, "dropout": 0.0} | changes}).model
    network = encoder_decoder(part, 9, 11, shared=False, max_length=20, same=SAME).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return network


def batch(sources: list[list[int]] = SOURCES, targets: list[list[int]] = TARGETS) -> Batch:
    source, lengths = rectangle([[*s, EOS] for s in sources])
    target, target_lengths = rectangle([[BOS, *t, EOS] for t in targets])
    return Batch(source, lengths, target, target_lengths, torch.arange(len(sources)))


@torch.no_grad()
def paths(network: EncoderDecoder, source: list[int], target: list[int]) -> dict[tuple[int, ...], float]:
    """The probability of a target together with each alignment, word for word from the formula."""
    decoder: Any = network.decoder
    memory = network.encode(torch.tensor([source]), torch.tensor([len(source)]))
    s, _ = decoder.layers(decoder.embedding(torch.tensor([[BOS, *target[:-1]]])), decoder.bridge(memory.final))
    fit = decoder.score(s, memory.values)[0]

    def said_by(step: int, place: int) -> Tensor:
        heard = torch.tanh(decoder.state_part(s[0, step]) + decoder.source_part(memory.values[0, place]))
        chances = torch.softmax(decoder.output(heard), dim=-1)
        if decoder.copying is not None:
            copy = torch.sigmoid(decoder.copying(heard))
            if SAME[source[place]] >= 0:
                chances = (1 - copy) * chances
                chances[SAME[source[place]]] += copy[0]
        return chances

    says = [[said_by(t, i) for i in range(len(source))] for t in range(len(target))]

    def follows(step: int, place: int, before: int) -> float:
        def weight(i: int) -> float:
            if decoder.jump is None:
                return float(fit[step, i].exp())
            if decoder.monotonic and i < before:
                return 0.0
            jump = decoder.jump(s[0, step])[max(-REACH, min(REACH, i - before)) + REACH]
            return float((fit[step, i] + jump).exp())

        return weight(place) / sum(weight(i) for i in range(len(source)))

    found = {}
    for way in product(range(len(source)), repeat=len(target)):
        chance, before = 1.0, 0
        for step, (place, word) in enumerate(zip(way, target, strict=True)):
            chance *= follows(step, place, before) * float(says[step][place][word])
            before = place
        found[way] = chance
    return found


def of_rows(flat: Tensor) -> list[Tensor]:
    return list(flat.split([len(t) + 1 for t in TARGETS]))


@pytest.mark.parametrize("copy_source", [False, True])
@pytest.mark.parametrize("transition", TRANSITIONS)
def test_the_likelihood_is_the_sum_over_every_alignment(transition: str, copy_source: bool) -> None:
    network = model(transition, copy_source=copy_source)
    for source, target, gained in zip(SOURCES, TARGETS, of_rows(network.likelihood(batch())), strict=True):
        for said in range(1, len(target) + 2):  # of every beginning too
            total = sum(paths(network, [*source, EOS], [*target, EOS][:said]).values())
            assert gained[:said].sum().item() == pytest.approx(torch.tensor(total).log().item(), abs=1e-5)


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_the_posterior_is_the_share_of_the_alignments_that_go_through_a_position(transition: str) -> None:
    network = model(transition)
    seen = network.look(batch())
    assert seen.shape == (3, 1, 1, 4, 4)
    torch.testing.assert_close(network.aligned(batch()), seen)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        every = paths(network, [*source, EOS], [*target, EOS])
        total = sum(every.values())
        for step, place in product(range(len(target) + 1), range(len(source) + 1)):
            share = sum(chance for way, chance in every.items() if way[step] == place) / total
            assert float(seen[row, 0, 0, step, place]) == pytest.approx(share, abs=1e-5)
        assert (seen[row, 0, 0, len(target) + 1 :] == 0).all() and (seen[row, ..., len(source) + 1 :] == 0).all()


def test_a_monotonic_model_never_goes_back() -> None:
    every = paths(model("monotonic"), [4, 5, 6, EOS], [4, 6, 8])
    back = [chance for way, chance in every.items() if list(way) != sorted(way)]
    assert back and not any(back)
    freely = paths(model("first-order"), [4, 5, 6, EOS], [4, 6, 8])
    assert all(chance > 0 for chance in freely.values())


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_one_token_at_a_time_equals_the_recursion_for_several_hypotheses(transition: str) -> None:
    network = model(transition)
    source, lengths = rectangle([[*s, EOS] for s in SOURCES])
    memory = network.encode(source, lengths)
    decoder: Any = network.decoder
    state = decoder.start(memory).select(torch.arange(3).repeat_interleave(2))
    tokens = torch.tensor([[BOS, 4, 6], [BOS, 7, 7], [BOS, 5, 7], [BOS, 8, 4], [BOS, 8, EOS], [BOS, 4, 4]])
    whole, _ = decoder(tokens, state, memory)
    steps = []
    for column in tokens.split(1, dim=1):
        out, state = decoder(column, state, memory)
        steps.append(out)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(6, 3, dtype=torch.float64))
    for row in (0, 4):  # the target of the pairs above, of which the last token has not been read
        said = [*TARGETS[row // 2], EOS, 0][:3]
        gained = of_rows(network.likelihood(batch()))[row // 2]
        found = whole[row].gather(1, torch.tensor(said)[:, None])[: len(gained), 0]
        torch.testing.assert_close(found, gained[:3])


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_the_gradient_is_that_of_the_enumeration(transition: str) -> None:
    """By differences: a step along the gradient changes the enumerated likelihood as the gradient says."""
    network = model(transition)
    network.likelihood(batch(SOURCES[:1], TARGETS[:1])).sum().backward()
    along = {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }
    expected = sum(float((grad**2).sum()) for grad in along.values())

    def moved(by: float) -> float:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name in along:
                    parameter += by * along[name]
        total = sum(paths(network, [*SOURCES[0], EOS], [*TARGETS[0], EOS]).values())
        return float(torch.tensor(total, dtype=torch.float64).log())

    up, down = moved(1e-5), moved(-2e-5)
    assert (up - down) / 2e-5 == pytest.approx(expected, rel=1e-4)


def test_smoothing_takes_the_same_likelihood() -> None:
    network = model("monotonic").train()
    plain, smoothed = (translation.loss(network, batch(), smoothing=rate) for rate in (0.0, 0.1))
    torch.testing.assert_close(plain.likelihood, smoothed.likelihood)
    log_p, _ = network.log_probabilities(batch())
    torch.testing.assert_close(smoothed.total, 0.9 * plain.total - 0.1 * log_p.mean(dim=-1).sum())


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
def test_it_learns_to_spell_a_letter_by_none_one_or_two(score: str) -> None:
    """Letters 4 to 9 are silent, 10 to 15 are said by one token and 16 to 21 by two. Posteriors point at who said it."""
    torch.manual_seed(1)
    settings = {"kind": "recurrent", "decoder": "exact-hard", "hidden": 32, "embedding": 16, "dropout": 0.0}
    part = recipe_of({"model": settings | {"attention": {"score": score}}}).model
    network = encoder_decoder(part, 22, 22, shared=False, max_length=20)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    draw = torch.Generator().manual_seed(2)

    def pairs() -> tuple[Batch, list[list[int]]]:
        sources, targets, places = [], [], []
        for _ in range(32):
            letters = (torch.randperm(18, generator=draw)[:6] + 4).tolist()
            said = [(place, letter) for place, letter in enumerate(letters) for _ in range(max(0, (letter - 4) // 6))]
            sources.append(letters)
            targets.append([letter for _, letter in said])
            places.append([place for place, _ in said])
        return batch(sources, targets), places

    for _ in range(300):
        optimizer.zero_grad()
        (-network.likelihood(pairs()[0]).mean()).backward()
        optimizer.step()
    given, right = pairs()
    found = network.look(given)[:, 0, 0].argmax(-1)
    hits = [int(found[row, step]) == place for row, places in enumerate(right) for step, place in enumerate(places)]
    assert sum(hits) > 0.9 * len(hits)  # by chance one in seven; the states of neighbours know each other


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"attention": {"normalize": "sparsemax"}}, "sums over every source position"),
        ({"attention": {"scope": {"kind": "window", "left": 1, "right": 1}}}, "sums over every source position"),
        ({"attention": {"score": "coverage"}}, "remembers nothing"),
        ({"lexical": True}, "do not go together"),
        ({"transition": "second-order"}, "transition"),
        ({"reach": 0}, "reach"),
    ],
)
def test_what_does_not_fit_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        recipe_of({"model": {"kind": "recurrent", "decoder": "exact-hard"} | changes})
