"""A surface: a mesh in the place where it is drawn, and what it is made of. Numpy only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import sparse

from discreet.figures.body import Floats, Ints, Part

Pixels = npt.NDArray[np.uint8]
Rgb = tuple[float, float, float]
Value = float | int | tuple[float, ...] | npt.NDArray[np.float64]
"""A number, a vector or a matrix (4, 4) that a shader reads."""

MASKS: dict[str, Rgb] = {
    "skin": (1.0, 0.0, 0.0), "hair": (0.0, 1.0, 0.0), "clothes": (0.0, 0.0, 1.0),
    "eyes": (1.0, 1.0, 0.0), "brows": (0.0, 1.0, 1.0), "mouth": (1.0, 0.0, 1.0),
}  # fmt: skip
"""Colour of each kind of surface in a mask picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """A mesh in the place where it is drawn, and what it is made of."""

    key: str
    """Names the mesh; surfaces of one key differ in points and material only."""
    part: Part
    points: Floats
    """(P, 3) in decimetres, one for each of the part's corners."""
    normals: Floats
    """(P, 3) unit vectors."""
    rest: Floats
    """(P, 3) where the points are on the base mesh; patterns and marks stick to it."""
    material: str
    """Name of a shader."""
    textures: Mapping[str, str]
    """Sampler -> name of an image that `Stage` has been given."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """Uniforms of the shader."""
    mask: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Colour in a mask picture."""


class Normals:
    """Unit normals of a mesh: at a vertex, the mean over the triangles around it."""

    def __init__(self, part: Part, *, of_corners: bool = False) -> None:
        self._triangles: Ints = part.triangles if of_corners else part.corners[part.triangles]
        count = int(self._triangles.max()) + 1
        places = np.arange(len(self._triangles)).repeat(3)
        ones = np.ones(len(places), np.float32)
        shape = (count, len(self._triangles))
        self._sum = sparse.coo_array((ones, (self._triangles.ravel(), places)), shape).tocsr()

    def __call__(self, vertices: Floats) -> Floats:
        """Return unit normals (V, 3) of vertices (V, 3)."""
        a, b, c = (vertices[self._triangles[:, i]] for i in range(3))
        total = np.zeros_like(vertices)
        total[: self._sum.shape[0]] = self._sum @ np.cross(b - a, c - a)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        unit: Floats = (total / np.maximum(length, 1e-12)).astype(np.float32)
        return unit


def triple(values: npt.NDArray[np.floating]) -> Rgb:
    """Return three numbers as plain ones."""
    red, green, blue = (float(v) for v in values)
    return red, green, blue
