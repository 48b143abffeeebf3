"""A real face recogniser, in the hands of the attacker: 128 numbers for a face, by dlib.

No part of the product asks it; only audits do, and only where somebody installed it. It was taught
by its maker on photographs of 7,485 people, some of them scraped from the web, to put pictures of
one person within 0.6 of each other, and errs on 0.6 % of the pairs of LFW; of rendered people it is
as good as `discreet audit` measures. Its two files are read by dlib's own reader, which holds
numbers and no code, after their SHA-256 was compared; the package that brings them is never
imported.

>>> from discreet.data import load_portraits  # doctest: +SKIP
>>> pictures = [portrait.image for portrait in load_portraits("test")[:2]]  # doctest: +SKIP
>>> load_recogniser()(pictures).vectors.shape  # doctest: +SKIP
(2, 128)
"""

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from discreet.errors import ArtifactCorrupt, ExtraMissing
from discreet.leakage.shares import Numbers

PACKAGE = "face_recognition_models"
FILES = {
    "dlib_face_recognition_resnet_model_v1.dat": (
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
    ),
    "shape_predictor_5_face_landmarks.dat": (
        "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"
    ),
}
"""SHA-256 of each: the recogniser, and what finds eyes and nose to turn a face upright. Both are in
the public domain (CC0); the other files of the package are not read."""
WIDTH = 128
_LARGER = 1
"""How often pictures are doubled to look for faces: the detector wants them 80 px wide."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Faces:
    """What the recogniser says of pictures."""

    vectors: Numbers = field(repr=False)
    """(N, 128); the largest face of each, or the whole picture where none was found."""
    found: npt.NDArray[np.bool_] = field(repr=False)
    """(N,) whether a face was found."""


Recogniser = Callable[[Sequence[Image]], Faces]
"""Pictures to vectors; about 15 pictures a second on one core."""


def load_recogniser() -> Recogniser:
    """Return the recogniser of the optional packages.

    Raises:
        ExtraMissing: if a package is not installed.
        ArtifactCorrupt: if a file is not the one that is known.

    Source: King 2017, github.com/davisking/dlib-models (a ResNet of 29 layers, trained with a
        pairwise hinge loss); He et al. 2016 (arXiv:1512.03385).
    """
    try:
        import dlib
    except ImportError as error:
        raise ExtraMissing(_MISSING) from error
    network, points = (str(path) for path in _files())
    parts = (
        dlib.get_frontal_face_detector(),
        dlib.shape_predictor(points),
        dlib.face_recognition_model_v1(network),
    )
    return lambda pictures: _describe(dlib, parts, pictures)


_MISSING = (
    "Expected a face recogniser to attack with, found none. Install it, for audits only: "
    "pip install 'discreet[recogniser]'"
)


def _files() -> list[Path]:
    """Return where the files are, which are those that are known."""
    package = importlib.util.find_spec(PACKAGE)  # finds it and does not run it
    if package is None or not package.submodule_search_locations:
        raise ExtraMissing(_MISSING)
    paths = [Path(package.submodule_search_locations[0]) / "models" / name for name in FILES]
    for path, expected in zip(paths, FILES.values(), strict=True):
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise ArtifactCorrupt(
                f"Expected '{path.name}' of face-recognition-models 0.3.0, got another file or "
                "none. Install the package again."
            )
    return paths


def _describe(dlib: Any, parts: tuple[Any, Any, Any], pictures: Sequence[Image]) -> Faces:
    detector, points, network = parts
    vectors, found = np.zeros((len(pictures), WIDTH)), np.zeros(len(pictures), dtype=np.bool_)
    for place, picture in enumerate(pictures):
        pixels = np.asarray(picture.convert("RGB"))
        faces = detector(pixels, _LARGER)
        found[place] = bool(faces)
        whole = dlib.rectangle(0, 0, picture.width - 1, picture.height - 1)
        face = max(faces, key=lambda one: one.area(), default=whole)
        vectors[place] = network.compute_face_descriptor(pixels, points(pixels, face))
    return Faces(vectors=vectors, found=found)
