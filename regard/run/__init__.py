"""Whole recipes: train, predict, evaluate, demonstrate."""

from regard.run.demo import demonstrate
from regard.run.evaluating import Evaluation, diagnose, evaluate, evaluation_pairs
from regard.run.folder import RunFolder
from regard.run.model import Model
from regard.run.prediction import Prediction
from regard.run.training import train

__all__ = [
    "Evaluation",
    "Model",
    "Prediction",
    "RunFolder",
    "demonstrate",
    "diagnose",
    "evaluate",
    "evaluation_pairs",
    "train",
]
