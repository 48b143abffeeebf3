"""From a picture to coarse observations, each with a calibrated confidence, or to silence.

It counts faces, and of the one face it knows age bands and what the face shows. It knows no names,
compares no faces, and has no output for race, ethnicity or gender. Confidence is
temperature-scaled on held-out people (Guo et al. 2017, arXiv:1706.04599); where it does not exceed
the threshold of what it would say, it abstains. Of a picture that is not surely of exactly one face
it says nothing about a person.

    >>> from PIL import Image
    >>> grey = Image.new("RGB", (128, 128), "grey")
    >>> Perceiver.load().perceive(grey).observations
    ()
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from PIL.Image import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from discreet.errors import ArtifactCorrupt
from discreet.model import VIEWS, image_processor, load_tower, picture_views
from discreet.types import (
    AGE_BANDS,
    EXPRESSIONS,
    FACES,
    FaceCount,
    FacePresence,
    Observation,
    Percept,
)

PERCEIVER_PATH = Path(__file__).parent / "weights" / "small_perceiver.safetensors"
Attribute = Literal["age_band", "expression"]
HeadName = Literal["age_band", "expression", "face_present", "faces"]
CLASSES: dict[Attribute, tuple[str, ...]] = {"age_band": AGE_BANDS, "expression": EXPRESSIONS}
"""What is said of a person."""
PICTURE_CLASSES: dict[HeadName, tuple[str, ...]] = {
    "face_present": ("absent", "present"),
    "faces": FACES,
}
"""What is said of a picture."""
HEADS: dict[HeadName, tuple[str, ...]] = {
    "age_band": AGE_BANDS,
    "expression": EXPRESSIONS,
    **PICTURE_CLASSES,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """A linear classifier over the views of the vision tower."""

    weight: torch.Tensor
    """(classes, features)."""
    bias: torch.Tensor
    """(classes,)."""
    temperature: float
    """Divides the logits so that confidence is calibrated."""
    thresholds: tuple[float, ...]
    """For each class the confidence, in [0, 1], that has to be exceeded to say it; 1 is never."""

    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, classes) calibrated probabilities."""
        logits = features @ self.weight.T + self.bias
        return torch.softmax(logits / self.temperature, dim=1)

    def answer(self, features: torch.Tensor) -> tuple[int, float] | None:
        """Return the likeliest class of one picture, (1, features), and its confidence, or None."""
        confidence, index = self.probabilities(features)[0].max(0)
        if not float(confidence) > self.thresholds[int(index)]:  # also when it is not a number
            return None
        return int(index), float(confidence)


@dataclass(frozen=True, slots=True)
class Perceiver:
    """The vision tower with one head for each attribute, and two that count faces."""

    tower: Any
    processor: Any
    heads: dict[HeadName, Head]

    @classmethod
    def load(cls, path: Path = PERCEIVER_PATH) -> "Perceiver":
        """Return the shipped perceiver, or one from another file of `discreet recipe perceive`.

        Raises:
            ArtifactCorrupt: if the file is damaged or incomplete.
        """
        try:
            tensors = load_file(path)
            scales = json.loads(path.with_suffix(".json").read_text())["heads"]
            heads = {name: _head(name, tensors, scales[name]) for name in HEADS}
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ArtifactCorrupt(
                f"Expected the perceiver's heads in '{path.name}', could not read them. Install "
                "the package again, or make them with: discreet recipe perceive"
            ) from error
        return cls(load_tower(), image_processor(), heads)

    def perceive(self, image: Image, attributes: Collection[str] = tuple(CLASSES)) -> Percept:
        """Return how many faces there are, and what is seen of a single one.

        Nothing is kept of the picture. What lies outside its middle square is not looked at.

        Args:
            image: A picture of any kind.
            attributes: Which ones to look for; the others are not computed at all, and none is
                where more or less than one face is seen.
        """
        return self.perceive_views(picture_views(self.tower, self.processor, [image]), attributes)

    def perceive_views(
        self, features: torch.Tensor, attributes: Collection[str] = tuple(CLASSES)
    ) -> Percept:
        """Return what `perceive` says of the picture of which these are the views, (1, VIEWS)."""
        present = self.heads["face_present"].answer(features)
        faces = self.heads["faces"].answer(features)
        percept = Percept(
            present=None
            if present is None
            else FacePresence(value=bool(present[0]), confidence=present[1]),
            faces=None if faces is None else FaceCount(value=FACES[faces[0]], confidence=faces[1]),
        )
        if not percept.shows_one_face:
            return percept
        seen = [self._observe(name, features) for name in CLASSES if name in attributes]
        return replace(percept, observations=tuple(one for one in seen if one is not None))

    def observe(
        self, image: Image, attributes: Collection[str] = tuple(CLASSES)
    ) -> list[Observation]:
        """Return only what is seen of a single face, as `perceive` does."""
        if not set(attributes) & set(CLASSES):
            return []
        return list(self.perceive(image, attributes).observations)

    def _observe(self, name: Attribute, features: torch.Tensor) -> Observation | None:
        answer = self.heads[name].answer(features)
        if answer is None:
            return None
        index, confidence = answer
        return Observation(
            attribute=name, value=CLASSES[name][index], source="estimated", confidence=confidence
        )


def _head(name: HeadName, tensors: dict[str, torch.Tensor], scale: dict[str, Any]) -> Head:
    """Return the head of one name; `ValueError` if a shape or a number cannot be right."""
    head = Head(
        weight=tensors[f"{name}.weight"].float(),
        bias=tensors[f"{name}.bias"].float(),
        temperature=float(scale["temperature"]),
        thresholds=tuple(float(threshold) for threshold in scale["thresholds"]),
    )
    classes = len(HEADS[name])
    fits = head.weight.shape == (classes, VIEWS)
    fits = fits and head.bias.shape == (classes,) and head.temperature > 0
    fits = fits and len(head.thresholds) == classes and all(0 <= t <= 1 for t in head.thresholds)
    if not fits or not head.weight.isfinite().all():
        raise ValueError(f"Expected {classes} classes over the tower's features, got another head.")
    return head
