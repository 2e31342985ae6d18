"""Whole recipes: train, predict, evaluate, demonstrate."""

from regard.run.aligning.alignments import Aligned, AlignmentReport, Alignments, given_pairs, gold_links
from regard.run.aligning.choosing import AlignmentChoice, Wanted
from regard.run.aligning.forcing import forced_attention
from regard.run.comparing.compare import compare
from regard.run.comparing.comparison import Comparison
from regard.run.comparing.measuring import GoldFile
from regard.run.demo import demonstrate
from regard.run.evaluating import Evaluation, diagnose, evaluate, evaluation_pairs
from regard.run.folder import RunFolder
from regard.run.training import train
from regard.run.translation.model import Model
from regard.run.translation.prediction import Prediction

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
