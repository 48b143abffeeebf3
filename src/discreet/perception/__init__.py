"""From pictures to coarse observations with confidence; identifies nobody."""

from discreet.perception.estimators import ESTIMATORS, Estimator, Perceives, estimator
from discreet.perception.perceiver import (
    CLASSES,
    HEADS,
    PERCEIVER_PATH,
    PICTURE_CLASSES,
    Attribute,
    Head,
    HeadName,
    Perceiver,
)
from discreet.perception.photographs import PhotographAges

__all__ = [
    "CLASSES",
    "ESTIMATORS",
    "HEADS",
    "PERCEIVER_PATH",
    "PICTURE_CLASSES",
    "Attribute",
    "Estimator",
    "Head",
    "HeadName",
    "Perceiver",
    "Perceives",
    "PhotographAges",
    "estimator",
]
