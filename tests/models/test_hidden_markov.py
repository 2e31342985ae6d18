"""The hidden Markov model against an enumeration of every alignment."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.batch import BOS, EOS, Batch, rectangle
from regard.build import encoder_decoder
from regard.config import recipe_of
from regard.models import EncoderDecoder

SOURCES = [[4, 5, 6], [7], [5, 5]]
TARGETS = [[4, 6], [5, 7, 4], [8]]


@pytest.fixture(params=["shared", "lexical"], autouse=True)
def transitions(request: pytest.FixtureRequest) -> str:
    """Every test is of both."""
    return request.param


def model(transitions: str, **changes: Any) -> EncoderDecoder:
    torch.manual_seed(3)
    part = recipe_of(
        {"model": {"kind": "hidden-markov", "dim": 5, "reach": 2, "transitions": transitions} | changes}
    ).model
    network = encoder_decoder(part, 9, 11, shared=False, max_length=20).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return network


def batch() -> Batch:
    source, lengths = rectangle([[*s, EOS] for s in SOURCES])
    target, target_lengths = rectangle([[BOS, *t, EOS] for t in TARGETS])
    return Batch(source, lengths, target, target_lengths, torch.arange(len(SOURCES)))


@torch.no_grad()
def paths(network: EncoderDecoder, source: list[int], target: list[int]) -> dict[tuple[tuple[int, bool], ...], float]:
    """The probability of a target together with each alignment: at each step a place, and whether its word speaks."""
    decoder: Any = network.decoder
    logits = decoder.table(torch.cat((decoder.words(torch.tensor(source)), decoder.nowhere[None])))
    logits[:, EOS] = float("-inf")  # no word says the end, and the end says nothing else
    lexicon = torch.softmax(logits, dim=-1)
    lexicon[source.index(EOS)] = torch.nn.functional.one_hot(torch.tensor(EOS), 11).double()
    nothing = lexicon[-1]

    def jump(place: int) -> Tensor:
        if decoder.turn is None:
            return decoder.jump
        return decoder.jump + decoder.turn.weight @ decoder.words(torch.tensor(source[place]))

    first = [float(decoder.first[min(i, 2)].exp()) for i in range(len(source))]
    found = {}
    for way in product(product(range(len(source)), (True, False)), repeat=len(target)):
        chance, before = 1.0, None
        for (place, speaks), word in zip(way, target, strict=True):
            if before is None:
                chance *= first[place] / sum(first) * (0.8 if speaks else 0.2)
            elif speaks:
                apart = [max(-2, min(2, i - before)) + 2 for i in range(len(source))]
                jumps = [float(jump(before)[d].exp()) for d in apart]
                chance *= 0.8 * jumps[place] / sum(jumps)
            else:
                chance *= 0.2 * (place == before)
            chance *= float(lexicon[place, word] if speaks else nothing[word])
            before = place
        found[way] = chance
    return found


def of_rows(flat: Tensor) -> list[Tensor]:
    return list(flat.split([len(t) + 1 for t in TARGETS]))


def test_the_likelihood_is_the_sum_over_every_alignment(transitions: str) -> None:
    network = model(transitions)
    for source, target, gained in zip(SOURCES, TARGETS, of_rows(network.likelihood(batch())), strict=True):
        for said in range(1, len(target) + 2):  # of every beginning too
            total = sum(paths(network, [*source, EOS], [*target, EOS][:said]).values())
            assert gained[:said].sum().item() == pytest.approx(torch.tensor(total).log().item(), abs=1e-5)


def test_the_posterior_is_the_share_of_the_alignments_that_go_through_a_word(transitions: str) -> None:
    network = model(transitions)
    seen, aligned = network.look(batch()), network.aligned(batch())
    assert seen.shape == (3, 1, 1, 4, 4)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        every = paths(network, [*source, EOS], [*target, EOS])
        total = sum(every.values())
        for step, place in product(range(len(target) + 1), range(len(source) + 1)):
            share = sum(chance for way, chance in every.items() if way[step] == (place, True)) / total
            assert float(seen[row, 0, 0, step, place]) == pytest.approx(share, abs=1e-5)
        end = seen[row, 0, 0, : len(target) + 1, len(source)]  # the end says the end, and no word does
        torch.testing.assert_close(end, (torch.arange(len(target) + 1) == len(target)).to(end.dtype))
        for step in range(len(target) + 1):  # said by no word, if that is likelier than any one word
            nothing = sum(chance for way, chance in every.items() if not way[step][1]) / total
            words = seen[row, 0, 0, step]
            expected = words if float(words.max()) > nothing else torch.zeros_like(words)
            torch.testing.assert_close(aligned[row, 0, 0, step], expected)
        assert (seen[row, 0, 0, len(target) + 1 :] == 0).all() and (seen[row, ..., len(source) + 1 :] == 0).all()


def test_the_posterior_is_the_gradient_of_the_likelihood(transitions: str) -> None:
    """Of the lexical scores: an identity that a forward-backward recursion must keep."""
    network = model(transitions)
    decoder: Any = network.decoder
    kept: list[Tensor] = []
    lexical = decoder._lexical

    def watched(said: Tensor, memory: Any) -> tuple[Tensor, Tensor]:
        words, nothing = lexical(said, memory)
        kept.append(words.detach().requires_grad_())
        return kept[0], nothing

    decoder._lexical = watched
    network.likelihood(batch()).sum().backward()
    del decoder._lexical
    real = torch.arange(4) < torch.tensor([len(t) + 1 for t in TARGETS])[:, None]
    assert kept[0].grad is not None
    torch.testing.assert_close(
        kept[0].grad.float() * real[..., None], network.look(batch())[:, 0, 0], atol=1e-5, rtol=0
    )


def test_one_token_at_a_time_equals_the_recursion_for_several_hypotheses(transitions: str) -> None:
    network = model(transitions)
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
        torch.testing.assert_close(found, gained[:3], atol=1e-5, rtol=0)


def test_it_learns_which_word_says_which_and_that_order_is_kept_or_turned(transitions: str) -> None:
    """Words have one translation each; every pair of neighbours is turned. The places follow."""
    torch.manual_seed(1)
    part = recipe_of({"model": {"kind": "hidden-markov", "dim": 16, "reach": 3, "transitions": transitions}}).model
    network = encoder_decoder(part, 20, 20, shared=False, max_length=20)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    draw = torch.Generator().manual_seed(2)

    def pairs() -> tuple[Batch, Tensor]:
        ids = torch.stack([torch.randperm(16, generator=draw)[:6] + 4 for _ in range(32)])
        turned = ids.unflatten(1, (3, 2)).flip(2).flatten(1)
        end, begin = torch.full((32, 1), EOS), torch.full((32, 1), BOS)
        lengths = torch.full((32,), 7)
        said = torch.cat((begin, 23 - turned, end), dim=1)
        return Batch(torch.cat((ids, end), dim=1), lengths, said, lengths + 1, torch.arange(32)), torch.tensor(
            [1, 0, 3, 2, 5, 4, 6]
        )

    for _ in range(150):
        optimizer.zero_grad()
        (-network.likelihood(pairs()[0]).mean()).backward()
        optimizer.step()
    given, right = pairs()
    found = network.look(given)[:, 0, 0].argmax(-1)
    assert (found == right)[:, :6].float().mean() > 0.97
