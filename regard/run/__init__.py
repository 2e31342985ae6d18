"""Whole recipes: train, predict, evaluate, demonstrate."""

from regard.run.aligning import Aligned, AlignmentReport, Alignments, given_pairs, gold_links
from regard.run.choosing import AlignmentChoice, Wanted
from regard.run.comparing import compare
from regard.run.comparison import Comparison
from regard.run.demo import demonstrate
from regard.run.evaluating import Evaluation, diagnose, evaluate, evaluation_pairs
from regard.run.folder import RunFolder
from regard.run.forcing import forced_attention
from regard.run.measuring import GoldFile
from regard.run.model import Model
from regard.run.prediction import Prediction
from regard.run.training import train

__all__ = [
    "Aligned",
    "AlignmentChoice",
    "AlignmentReport",
    "Alignments",
    "Comparison",
    "Evaluation",
    "GoldFile",
    "Model",
    "Prediction",
    "RunFolder",
    "Wanted",
    "compare",
    "demonstrate",
    "diagnose",
    "evaluate",
    "evaluation_pairs",
    "forced_attention",
    "given_pairs",
    "gold_links",
    "train",
]
