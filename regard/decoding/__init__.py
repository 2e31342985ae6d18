"""Searches over any `regard.state.Decoder`: greedy, beam, by chance; with constraints."""

from regard.decoding.beam import beam_search
from regard.decoding.constraints import Constraints
from regard.decoding.greedy import greedy
from regard.decoding.hypothesis import Hypothesis
from regard.decoding.sampling import sample

__all__ = ["Constraints", "Hypothesis", "beam_search", "greedy", "sample"]
