"""Which weights Muon moves: maps from features to features, and nothing that belongs to a word or a class."""

from __future__ import annotations

import pytest

from regard.build import encoder_decoder, maps
from regard.config.recipe import RecurrentPart, TransformerPart

PARTS = {
    "transformer": TransformerPart(
        kind="transformer", dim=16, heads=2, feed_forward=24, encoder_layers=2, decoder_layers=1, tie_embeddings=False
    ),
    "tied": TransformerPart(
        kind="transformer", dim=16, heads=2, feed_forward=24, encoder_layers=2, decoder_layers=1, tie_embeddings=True
    ),
    "recurrent": RecurrentPart(kind="recurrent", cell="lstm", hidden=8, embedding=6),
}


@pytest.mark.parametrize("name", PARTS)
def test_every_matrix_but_embeddings_and_output_layers(name: str) -> None:
    network = encoder_decoder(PARTS[name], 31, 31, shared=True, max_length=20)
    moved = {id(each.weight) for each in maps(network)}
    for where, parameter in network.named_parameters():
        table = 31 in parameter.shape
        number = parameter.ndim < 2 or 1 in parameter.shape
        assert (id(parameter) in moved) == (not table and not number), where
    assert all(sum(each.rows) == len(each.weight) for each in maps(network))


def test_gates_and_projections_are_matrices_of_their_own() -> None:
    recurrent = encoder_decoder(PARTS["recurrent"], 31, 31, shared=True, max_length=20)
    rows = {name: each.rows for name, p in recurrent.named_parameters() for each in maps(recurrent) if each.weight is p}
    gates = [value for name, value in rows.items() if "weight_hh" in name]
    assert gates and all(len(value) == 4 and len(set(value)) == 1 for value in gates)
    transformer = encoder_decoder(PARTS["transformer"], 31, 31, shared=True, max_length=20)
    stacked = [each.rows for each in maps(transformer) if len(each.rows) == 3]
    assert len(stacked) == 2 + 2 * 1  # two encoder layers, one decoder layer with self- and cross-attention
    assert all(list(value) == [16, 16, 16] for value in stacked)
