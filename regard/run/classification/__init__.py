"""Classification: one class for each text, or for each picture."""

from regard.run.classification.ensemble import together
from regard.run.classification.kinds import begin, load
from regard.run.classification.model import ClassifierModel
from regard.run.classification.picture_job import PictureClassificationJob
from regard.run.classification.pictures import PictureClassifier
from regard.run.classification.text_job import ClassificationJob
from regard.run.classification.texts import TextClassifier

__all__ = [
    "ClassificationJob",
    "ClassifierModel",
    "PictureClassificationJob",
    "PictureClassifier",
    "TextClassifier",
    "begin",
    "load",
    "together",
]
