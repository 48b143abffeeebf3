"""From numbers to a body: the MakeHuman base mesh, its morph targets, and what it wears.

Pure numpy, draws nothing. The base mesh has 19,158 vertices; hair, eyes and clothes ("proxies")
hang on it by three vertices each, with barycentric weights and an offset that grows with the body.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from discreet.people.assets import Assets
from discreet.people.spec import ETHNICITIES, PersonSpec

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

CROP_Y = 4.2
"""Height in the base mesh (decimetres, head top at 8.49) below which nothing is drawn."""
HEAD_TOP, HEAD_BOTTOM = 881, 791
_HEAD_AXES = ((5399, 11998), (HEAD_BOTTOM, HEAD_TOP), (962, 5320))
"""Pairs of vertices that measure the head's width, height and depth."""
_MATERIALS = {"body": 0, "cavity": 0, "lower_teeth": 11, "upper_teeth": 9}
_CAVITY_UV = (0.755, 0.137)
"""The inside of the mouth is the texture island right of and below this point."""
_AGED_HEAD = {
    "child": {
        "head/head-age-decr": 0.5, "eyes/l-eye-scale-incr": 0.35, "eyes/r-eye-scale-incr": 0.35,
    },
    "older_adult": {"head/head-age-incr": 0.3},
}  # fmt: skip
"""Face morphs that make an age band easier to tell in a small picture."""
_MIRRORED = ("cheek", "ear", "eye")
_FOLDERS = {"ear": "ears", "eye": "eyes"}
_LESS_MORE = {"nose-curve": ("concave", "convex")}

EXPRESSION_UNITS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {
        "mouth-corner-puller": 1.35, "mouth-elevation": 0.5, "mouth-part-later": 0.5,
        "eye-left-slit": 0.35, "eye-right-slit": 0.35, "eyebrows-left-inner-up": 0.5,
        "eyebrows-right-inner-up": 0.5,
    },
    "sad": {
        "mouth-depression": 1.2, "eyebrows-left-inner-up": 1.5, "eyebrows-right-inner-up": 1.5,
        "eye-left-slit": 0.5, "eye-right-slit": 0.5, "mouth-protusion": 0.3,
    },
    "angry": {
        "eyebrows-left-down": 1.5, "eyebrows-right-down": 1.5, "mouth-compression": 1.0,
        "nose-left-elevation": 0.9, "nose-right-elevation": 0.9, "eye-left-slit": 0.5,
        "eye-right-slit": 0.5, "mouth-depression": 0.5,
    },
    "surprised": {
        "eyebrows-left-up": 0.7, "eyebrows-right-up": 0.7, "eyebrows-left-inner-up": 1.5,
        "eyebrows-right-inner-up": 1.5, "mouth-open": 0.75, "eye-left-opened-up": 1.2,
        "eye-right-opened-up": 1.2,
    },
}  # fmt: skip
"""Morph weights of each expression, larger than life so that they read in a small picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A piece of surface: which vertices it shows, and how its texture lies on it."""

    corners: Ints
    """(P,) vertex of each point; a vertex on a texture seam has several points."""
    texture_coordinates: Floats
    """(P, 2) in [0, 1]."""
    triangles: Ints
    """(T, 3) indices into the points."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """Something worn, hung on the base mesh."""

    part: Part
    references: Ints
    """(N, 3) vertices of the base mesh."""
    weights: Floats
    """(N, 3)."""
    offsets: Floats
    """(N, 3) in decimetres, for the base mesh."""
    hides: npt.NDArray[np.bool_]
    """(V,) vertices of the base mesh that are under it."""
    texture: Path


class Body:
    """The base mesh and its morph targets, read once."""

    def __init__(self, assets: Assets) -> None:
        mesh = _read_json(assets.base_mesh)
        self.vertices: Floats = np.array(mesh["vertices"], np.float32).reshape(-1, 3)
        faces = np.array(mesh["faces"]).reshape(-1, 10)
        self._coordinates: Floats = np.array(mesh["uvs"][0], np.float32).reshape(-1, 2)
        height = self.vertices[faces[:, 1:5]][..., 1].mean(1)
        spot = self._coordinates[faces[:, 6:10]].mean(1)
        inside = (spot[:, 0] > _CAVITY_UV[0]) & (spot[:, 1] < _CAVITY_UV[1])
        inside &= height > CROP_Y
        where = {"body": ~inside & (height > CROP_Y), "cavity": inside}
        self._faces = {
            name: faces[where.get(name, True) & (faces[:, 5] == material)]
            for name, material in _MATERIALS.items()
        }
        self._archive = np.load(assets.targets)
        self.target_names = {name[8:-6] for name in self._archive.files if name.endswith(".index")}
        self._targets: dict[str, tuple[Ints, Floats]] = {}

    def part(self, name: str, hidden: npt.NDArray[np.bool_] | None = None) -> Part:
        """Return a part of the base mesh, without faces whose four vertices are hidden.

        Args:
            name: `body`, `cavity` (of the mouth), `lower_teeth` or `upper_teeth`.
            hidden: (V,) which vertices are hidden.
        """
        faces = self._faces[name]
        if hidden is not None and len(hidden):
            faces = faces[~hidden[faces[:, 1:5]].all(1)]
        return _part(faces, self._coordinates)

    def morph(self, spec: PersonSpec) -> tuple[Floats, Floats]:
        """Return the vertices (V, 3) with and without the expression, in decimetres."""
        vertices = self.vertices.copy()
        for name, weight in macro_weights(spec).items():
            self._add(vertices, name, weight)
        scale = float(_head_scale(self.vertices, vertices)[1])
        for name, weight in _face_weights(spec, self.target_names).items():
            self._add(vertices, name, weight * scale)
        posed = vertices.copy()
        strength = spec.expression_strength * scale * (0.82 if spec.age_band == "child" else 1.0)
        for name, weight in EXPRESSION_UNITS[spec.expression].items():
            for ethnicity, share in zip(_morph_names(), spec.ethnicity_mix, strict=True):
                self._add(posed, f"expression/units/{ethnicity}/{name}", weight * strength * share)
        return posed, vertices

    def dress(self, proxy: Proxy, vertices: Floats) -> Floats:
        """Return the vertices (N, 3) of a proxy on a morphed body."""
        scale = _head_scale(self.vertices, vertices)
        hung = (vertices[proxy.references] * proxy.weights[..., None]).sum(1)
        fitted: Floats = (hung + proxy.offsets * scale).astype(np.float32)
        return fitted

    def _add(self, vertices: Floats, name: str, weight: float) -> None:
        if name not in self.target_names or abs(weight) < 1e-4:
            return
        if name not in self._targets:
            index = self._archive[f"targets/{name}.index"].astype(np.int64)
            vector = self._archive[f"targets/{name}.vector"].astype(np.float32) * 1e-3
            self._targets[name] = index, vector
        index, vector = self._targets[name]
        vertices[index] += np.float32(weight) * vector


@lru_cache(maxsize=64)
def load_proxy(folder: Path) -> Proxy:
    """Return the hair, garment, eyes, brows or lashes in an asset folder."""
    mesh = _read_json(folder / f"{folder.name}.json")
    about = mesh["metadata"]
    faces = np.array(mesh["faces"]).reshape(-1, 10)
    references = np.array(about["ref_vIdxs"])
    weights = np.array(about["weights"], np.float32)
    offsets = np.array(about["offsets"], np.float32)
    return Proxy(
        part=_part(faces, np.array(mesh["uvs"][0], np.float32).reshape(-1, 2)),
        references=references,
        weights=weights,
        offsets=offsets,
        hides=np.array(about["deleteVerts"]).astype(bool),
        texture=folder / mesh["materials"][0]["mapDiffuse"],
    )


def macro_weights(spec: PersonSpec) -> dict[str, float]:
    """Return the weights of the targets for age, gender, ethnicity and body weight."""
    weights: dict[str, float] = {}
    builds = {"minweight": max(0.0, 1 - 2 * spec.body_weight),
              "averageweight": 1 - abs(2 * spec.body_weight - 1),
              "maxweight": max(0.0, 2 * spec.body_weight - 1)}  # fmt: skip
    genders = {"female": 1 - spec.masculinity, "male": spec.masculinity}
    for age, age_share in age_shares(spec.age_years).items():
        for gender, gender_share in genders.items():
            for ethnicity, share in zip(_morph_names(), spec.ethnicity_mix, strict=True):
                name = f"macrodetails/{ethnicity}-{gender}-{age}"
                weights[name] = age_share * gender_share * share
            for build, build_share in builds.items():
                name = f"macrodetails/universal-{gender}-{age}-averagemuscle-{build}"
                weights[name] = age_share * gender_share * build_share
    return weights


def age_shares(years: float) -> dict[str, float]:
    """Return the shares of the baby (1), child (12), young (25) and old (90 years) morphs."""
    ages = {"baby": 1.0, "child": 12.0, "young": 25.0, "old": 90.0}
    points = list(ages.values())
    shares = {}
    for place, name in enumerate(ages):
        peak = np.zeros(len(points))
        peak[place] = 1
        shares[name] = float(np.interp(years, points, peak))
    return shares


def compute_normals(vertices: Floats, triangles: Ints) -> Floats:
    """Return unit normals (V, 3), each the mean over the triangles around a vertex."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    faces = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for axis in range(3):
        for corner in range(3):
            total[:, axis] += np.bincount(
                triangles[:, corner], weights=faces[:, axis], minlength=len(vertices)
            )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit: Floats = (total / np.maximum(length, 1e-12)).astype(np.float32)
    return unit


def _morph_names() -> tuple[str, ...]:
    return tuple({"european": "caucasian"}.get(name, name) for name in ETHNICITIES)


def _face_weights(spec: PersonSpec, names: set[str]) -> dict[str, float]:
    weights = {}
    for axis, value in spec.face_shape.items():
        group = axis.split("-")[0]
        less, more = _LESS_MORE.get(axis, ("decr", "incr"))
        target = f"{_FOLDERS.get(group, group)}/{{}}{axis}-{more if value > 0 else less}"
        for side in ("l-", "r-") if group in _MIRRORED else ("",):
            name = target.format(side)
            if name not in names:
                raise ValueError(f"Expected a known face shape axis, got {axis!r}.")
            weights[name] = abs(value)
    weights.update(_AGED_HEAD.get(spec.age_band, {}))
    return weights


def _head_scale(base: Floats, vertices: Floats) -> Floats:
    scale = [
        np.linalg.norm(vertices[a] - vertices[b]) / np.linalg.norm(base[a] - base[b])
        for a, b in _HEAD_AXES
    ]
    return np.array(scale, np.float32)


def _part(faces: Ints, coordinates: Floats) -> Part:
    pairs = np.stack([faces[:, 1:5].ravel(), faces[:, 6:10].ravel()], 1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    quads = inverse.reshape(-1, 4)
    return Part(
        corners=unique[:, 0],
        texture_coordinates=coordinates[unique[:, 1]],
        triangles=np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]),
    )


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
