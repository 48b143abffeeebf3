"""From a picture to coarse observations, each with a calibrated confidence, or to silence.

It knows age bands and what a face shows. It knows no names, compares no faces, and has no output
for race, ethnicity or gender. Confidence is temperature-scaled on held-out people (Guo et al.
2017, arXiv:1706.04599); below a threshold chosen there it abstains.

    >>> from PIL import Image
    >>> grey = Image.new("RGB", (128, 128), "grey")
    >>> [seen.source for seen in Perceiver.load().observe(grey)] in ([], ["estimated"],
    ...     ["estimated", "estimated"])
    True
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL.Image import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from discreet.errors import ArtifactCorrupt
from discreet.model import image_processor, load_tower, vision_tokens
from discreet.types import AGE_BANDS, EXPRESSIONS, Observation

PERCEIVER_PATH = Path(__file__).parent / "weights" / "small_perceiver.safetensors"
Attribute = Literal["age_band", "expression"]
CLASSES: dict[Attribute, tuple[str, ...]] = {"age_band": AGE_BANDS, "expression": EXPRESSIONS}
_CELL, _STROKES, _TOKENS = 1280, 448, 16
"""Widths of the parts of a visual token that the heads read, and how many tokens there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """A linear classifier over features of the vision tower."""

    weight: torch.Tensor
    """(classes, features)."""
    bias: torch.Tensor
    """(classes,)."""
    temperature: float
    """Divides the logits so that confidence is calibrated."""
    threshold: float
    """Confidence below which the perceiver says nothing."""

    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, classes) calibrated probabilities."""
        logits = features @ self.weight.T + self.bias
        return torch.softmax(logits / self.temperature, dim=1)


def head_features(tokens: torch.Tensor) -> torch.Tensor:
    """Return what the heads read of visual tokens: (N, 16, width) to (N, features).

    The mean of the last layer tells the age; the fine strokes, kept in place, tell the expression.
    """
    whole = tokens[:, :, :_CELL].mean(1)
    strokes = tokens[:, :, _CELL : _CELL + _STROKES].flatten(1)
    return torch.cat([whole, strokes], 1)


@dataclass(frozen=True, slots=True)
class Perceiver:
    """The vision tower with one head for each attribute."""

    tower: Any
    processor: Any
    heads: dict[Attribute, Head]

    @classmethod
    def load(cls, path: Path = PERCEIVER_PATH) -> "Perceiver":
        """Return the shipped perceiver, or one from another file of `discreet recipe perceive`.

        Raises:
            ArtifactCorrupt: if the file is damaged or incomplete.
        """
        try:
            tensors = load_file(path)
            scales = json.loads(path.with_suffix(".json").read_text())["heads"]
            heads = {name: _head(name, tensors, scales[name]) for name in CLASSES}
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ArtifactCorrupt(
                f"Expected the perceiver's heads in '{path.name}', could not read them. Install "
                "the package again, or make them with: discreet recipe perceive"
            ) from error
        return cls(load_tower(), image_processor(), heads)

    def observe(
        self, image: Image, attributes: Collection[str] = tuple(CLASSES)
    ) -> list[Observation]:
        """Return what is seen with enough confidence; nothing is kept of the picture.

        Args:
            image: One face.
            attributes: Which ones to look for; the others are not computed at all.
        """
        wanted = [(name, head) for name, head in self.heads.items() if name in attributes]
        if not wanted:
            return []
        features = head_features(vision_tokens(self.tower, self.processor, [image]))
        seen = [self._observe(name, head, features) for name, head in wanted]
        return [observation for observation in seen if observation is not None]

    def _observe(self, name: Attribute, head: Head, features: torch.Tensor) -> Observation | None:
        confidence, index = head.probabilities(features)[0].max(0)
        if not float(confidence) >= head.threshold:  # also when it is not a number
            return None
        return Observation(
            attribute=name,
            value=CLASSES[name][int(index)],
            source="estimated",
            confidence=float(confidence),
        )


def _head(name: Attribute, tensors: dict[str, torch.Tensor], scale: dict[str, float]) -> Head:
    """Return the head of one attribute; `ValueError` if a shape or a number cannot be right."""
    head = Head(
        weight=tensors[f"{name}.weight"].float(),
        bias=tensors[f"{name}.bias"].float(),
        temperature=float(scale["temperature"]),
        threshold=float(scale["threshold"]),
    )
    classes = len(CLASSES[name])
    fits = head.weight.shape == (classes, _CELL + _TOKENS * _STROKES)
    fits = fits and head.bias.shape == (classes,) and head.temperature > 0
    if not fits or not 0 <= head.threshold <= 1 or not head.weight.isfinite().all():
        raise ValueError(f"Expected {classes} classes over the tower's features, got another head.")
    return head
