"""Searches over any `regard.state.Decoder`: greedy, beam, by chance; with constraints; observed while they search."""

from regard.decoding.beam import beam_search, beam_steps
from regard.decoding.bounds import (
    check_beam,
    check_count,
    check_drawing,
    check_length_penalty,
    check_number,
    check_sampling,
)
from regard.decoding.constraints import Constraints
from regard.decoding.greedy import greedy, greedy_steps
from regard.decoding.hypothesis import Hypothesis
from regard.decoding.observing import Observer, Step, Steps, drain
from regard.decoding.sampling import sample, sample_steps
from regard.decoding.tree import BeamTree, Growing, Node, Trees

__all__ = [
    "BeamTree",
    "Constraints",
    "Growing",
    "Hypothesis",
    "Node",
    "Observer",
    "Step",
    "Steps",
    "Trees",
    "beam_search",
    "beam_steps",
    "check_beam",
    "check_count",
    "check_drawing",
    "check_length_penalty",
    "check_number",
    "check_sampling",
    "drain",
    "greedy",
    "greedy_steps",
    "sample",
    "sample_steps",
]
