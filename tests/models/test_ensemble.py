"""Models that speak together, against the mean of what each says alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from regard.attention import capture
from regard.batch import BOS, EOS, Batch, rectangle
from regard.build import encoder_decoder
from regard.config import recipe_of
from regard.decoding import Constraints, beam_search
from regard.models import EncoderDecoder, Ensemble
from regard.tasks import translation

RECURRENT: dict[str, Any] = {"kind": "recurrent", "embedding": 6, "hidden": 8, "dropout": 0.0}
PARTS: dict[str, dict[str, Any]] = {
    "bahdanau": RECURRENT,
    "transformer": {"kind": "transformer", "dim": 12, "heads": 3, "feed_forward": 20}
    | {"encoder_layers": 1, "decoder_layers": 2},
    "exact-hard": RECURRENT | {"decoder": "exact-hard"},
    "fixed": RECURRENT | {"decoder": "fixed-initial"},
}
SOURCES = [[4, 5, 6, 7], [5, 5], [7]]
TARGETS = [[4, 6], [5, 7, 4, 8], [8]]


def network(name: str, seed: int = 3) -> EncoderDecoder:
    torch.manual_seed(seed)
    part = recipe_of({"model": PARTS[name]}).model
    made = encoder_decoder(part, 9, 11, shared=False, max_length=20).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
    return made


def batch() -> Batch:
    source, lengths = rectangle([[*s, EOS] for s in SOURCES])
    target, target_lengths = rectangle([[BOS, *t, EOS] for t in TARGETS])
    return Batch(source, lengths, target, target_lengths, torch.arange(len(SOURCES)))


@torch.no_grad()
def test_each_token_has_the_mean_of_its_probabilities() -> None:
    each = [network(name) for name in PARTS]
    together = Ensemble(each)
    alone = torch.stack([network(batch()).softmax(dim=-1) for network in each])
    torch.testing.assert_close(together(batch()).exp(), alone.mean(dim=0))
    said, real = batch().target[:, 1:], torch.tensor([[t < len(target) + 1 for t in range(5)] for target in TARGETS])
    chosen = alone.mean(dim=0).gather(-1, said[..., None])[..., 0][real]
    torch.testing.assert_close(together.likelihood(batch()).exp(), chosen)


@torch.no_grad()
def test_step_by_step_with_hypotheses_that_go_their_own_ways_equals_all_at_once() -> None:
    together, given = Ensemble([network(name) for name in PARTS]), batch()
    decoder: Any = together.decoder
    memory = together.encode(given.source, given.source_lengths)
    state, logits = decoder.start(memory), []
    for token in given.target[:, :-1].split(1, dim=1):
        step, state = decoder(token, state, memory)
        logits.append(step)
    torch.testing.assert_close(torch.cat(logits, dim=1), together(given))

    state = decoder.start(memory)
    _, state = decoder(torch.full((3, 1), BOS), state, memory)
    first = torch.tensor([4, 5, 6, 7, 8, 9])[:, None]  # two hypotheses a source
    _, state = decoder(first, state.select(torch.arange(3).repeat_interleave(2)), memory)
    order, second = torch.tensor([1, 0, 3, 3, 4, 5]), torch.tensor([9, 8, 7, 6, 5, 4])[:, None]
    found, _ = decoder(second, state.select(order), memory)
    for row in range(6):
        one = memory.select(torch.tensor([row // 2]))
        said = torch.tensor([[BOS, int(first[order[row], 0]), int(second[row, 0])]])
        forced, _ = decoder(said, decoder.start(one), one)
        torch.testing.assert_close(found[row, -1], forced[0, -1])


@torch.no_grad()
def test_a_beam_finds_the_best_of_all_that_could_be_said() -> None:
    together = Ensemble([network("bahdanau", seed=1), network("bahdanau", seed=2), network("transformer")])
    source, lengths = torch.tensor([[4, 6, EOS]]), torch.tensor([3])
    memory = together.encode(source, lengths)
    decoder: Any = together.decoder
    best = (-torch.inf, [0])
    for prefix in ([], *([a] for a in range(4, 11)), *([a, b] for a in range(4, 11) for b in range(4, 11))):
        logits = torch.stack([one(_forced([4, 6], prefix)) for one in together.networks])
        chances = logits.softmax(dim=-1).mean(dim=0)[0]
        score = sum(chances[t, token].log().item() for t, token in enumerate([*prefix, EOS]))
        best = max(best, (score, prefix))
    limits = Constraints(max_length=torch.tensor([2]))
    [[found]] = beam_search(decoder, memory, limits, beam=60, length_penalty=0.0)
    assert found.ids == best[1] and found.score == pytest.approx(best[0])


def _forced(source: list[int], target: list[int]) -> Batch:
    ids, lengths = rectangle([[*source, EOS]])
    said, target_lengths = rectangle([[BOS, *target, EOS]])
    return Batch(ids, lengths, said, target_lengths, torch.arange(1))


def test_a_model_together_with_itself_is_itself() -> None:
    one, how = network("transformer"), translation.Search(beam=3, count=2, max_length=20)
    alone = translation.search(one, SOURCES, how)
    together = translation.search(Ensemble([one, one]), SOURCES, how)
    for first, second in zip(alone, together, strict=True):
        assert [h.ids for h in first] == [h.ids for h in second]
        assert [h.score for h in first] == pytest.approx([h.score for h in second])


def test_what_is_seen_are_the_layers_of_each() -> None:
    """A model of three heads beside one of one: the mean of the three stands for them."""
    bahdanau, transformer, fixed = network("bahdanau"), network("transformer"), network("fixed")
    seen = Ensemble([bahdanau, fixed, transformer]).look(batch())
    torch.testing.assert_close(seen[:, :1], bahdanau.look(batch()))
    torch.testing.assert_close(seen[:, 1:], transformer.look(batch()).mean(dim=2, keepdim=True))
    both = Ensemble([transformer, transformer]).look(batch())
    torch.testing.assert_close(both, transformer.look(batch()).repeat(1, 2, 1, 1, 1))
    exact = Ensemble([network("exact-hard", 1), network("exact-hard", 2)])
    assert exact.says_which and exact.looks and not exact.lexical
    torch.testing.assert_close(exact.aligned(batch())[:, 1:], network("exact-hard", 2).aligned(batch()))
    assert not Ensemble([fixed, fixed]).looks


def test_the_observer_changes_nothing_and_each_parameter_counts_once() -> None:
    each = [network("bahdanau", 1), network("bahdanau", 2)]
    together = Ensemble(each)
    before = together(batch())
    with capture(together, together.sights()) as seen:
        assert torch.equal(together(batch()), before)
    first, second = (seen.steps(name) for name in together.sights())
    torch.testing.assert_close(first.float(), each[0].look(batch())[:, 0, 0])
    assert not torch.equal(first, second)
    assert sum(p.numel() for p in together.parameters()) == 2 * sum(p.numel() for p in each[0].parameters())


def test_an_ensemble_of_none() -> None:
    with pytest.raises(ValueError, match="one model at least"):
        Ensemble([])
