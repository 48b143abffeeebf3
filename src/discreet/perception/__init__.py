"""From pictures to coarse observations with confidence; identifies nobody."""

from discreet.perception.perceiver import (
    CLASSES,
    PERCEIVER_PATH,
    Head,
    Perceiver,
    head_features,
)

__all__ = ["CLASSES", "PERCEIVER_PATH", "Head", "Perceiver", "head_features"]
