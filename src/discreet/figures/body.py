"""From a person to a body: the MakeHuman base mesh, its morph targets, and what hangs on it.

Numpy only, draws nothing. Lengths are decimetres. The base mesh has 19,158 vertices; hair, eyes
and clothes ("proxies") hang on it by three vertices each, with barycentric weights and an offset
that grows with the body.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from discreet.figures.assets import Assets
from discreet.people import ETHNICITIES, Figure, Person

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

HEAD_TOP = 881
HEAD_BOTTOM = 791
"""Vertices at the crown and under the chin."""
_HEAD_AXES = ((5399, 11998), (HEAD_BOTTOM, HEAD_TOP), (962, 5320))
"""Pairs of vertices that measure the head's width, height and depth."""
_MATERIALS = {
    "body": "body", "cavity": "body", "tongue": "helper-tongue",
    "lower_teeth": "helper-lower-teeth", "upper_teeth": "helper-upper-teeth",
}  # fmt: skip
_CAVITY_UV, _CAVITY_Y = (0.755, 0.137), 4.2
"""The inside of the mouth is the texture island right of and below this point."""
_HEAD_AGE = ((4.0, 12.0, 25.0, 40.0, 65.0, 91.0), (-0.15, -0.2, -0.1, 0.12, 0.36, 0.55))
"""Years, and the weight of the morph that ages a head, on top of those for the body."""
_MIRRORED = ("cheek", "ear", "eye")
_FOLDERS = {"ear": "ears", "eye": "eyes"}
_LESS_MORE = {"nose-curve": ("concave", "convex")}
MORPH_NAMES = tuple({"european": "caucasian"}.get(name, name) for name in ETHNICITIES)
"""What the targets call the ethnicities, in the order of `Person.ethnicity_mix`."""
_OF_A_FACE = frozenset({
    "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose",
})  # fmt: skip
"""Folders of targets that a scene may name; those of the body follow from age and weight."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Rig:
    """The skeleton of the base mesh."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """Index of each bone's parent, -1 for the root; parents come first."""
    joints: tuple[Ints, ...]
    """Vertices whose mean is the place that each bone turns around."""
    weights: sparse.csr_array
    """(V, bones), how much each bone moves each vertex; rows sum to 1."""


class Body:
    """The base mesh, its skeleton and its morph targets, read once."""

    def __init__(self, assets: Assets) -> None:
        mesh = _read_json(assets.base_mesh)
        self.vertices: Floats = np.array(mesh["vertices"], np.float32).reshape(-1, 3)
        self.rig = _read_rig(mesh, len(self.vertices))
        faces = np.array(mesh["faces"]).reshape(-1, 10)
        self.texture_coordinates: Floats = np.array(mesh["uvs"][0], np.float32).reshape(-1, 2)
        numbers = {m["DbgName"]: m["DbgIndex"] for m in mesh["materials"]}
        spot = self.texture_coordinates[faces[:, 6:10]].mean(1)
        inside = (spot[:, 0] > _CAVITY_UV[0]) & (spot[:, 1] < _CAVITY_UV[1])
        inside &= self.vertices[faces[:, 1:5]][..., 1].mean(1) > _CAVITY_Y
        where = {"body": ~inside, "cavity": inside}
        self._faces = {
            name: faces[where.get(name, True) & (faces[:, 5] == numbers[material])]
            for name, material in _MATERIALS.items()
        }
        self._archive = np.load(assets.targets)
        self.target_names = _names_in(self._archive)
        self._targets: dict[str, tuple[Ints, Floats]] = {}

    def part(
        self, name: str, hidden: npt.NDArray[np.bool_] | None = None, lowest: float = -np.inf
    ) -> Part:
        """Return a part of the base mesh, without faces that are hidden or too low.

        Args:
            name: `body`, `cavity` (of the mouth), `tongue`, `lower_teeth` or `upper_teeth`.
            hidden: (V,) which vertices are hidden; a face with four of them is left out.
            lowest: Height in the base mesh below which nothing is kept, in decimetres.
        """
        faces = self._faces[name]
        if hidden is not None and len(hidden):
            faces = faces[~hidden[faces[:, 1:5]].all(1)]
        faces = faces[self.vertices[faces[:, 1:5]][..., 1].max(1) > lowest]
        return _part(faces, self.texture_coordinates)

    def calm(self, person: Person) -> tuple[Floats, float]:
        """Return the vertices (V, 3) of a person at rest, and the scale of their face morphs."""
        vertices = self.vertices.copy()
        for name, weight in macro_weights(person).items():
            self.add(vertices, name, weight)
        scale = float(head_scale(self.vertices, vertices)[1])
        for name, weight in _face_weights(person, self.target_names).items():
            self.add(vertices, name, weight * scale)
        return vertices, scale

    def express(
        self, calm: Floats, units: dict[str, float], mix: tuple[float, ...], scale: float
    ) -> Floats:
        """Return the vertices (V, 3) of a face with facial action morphs of the given weights.

        A name without a folder is one of the action morphs, which exist for each ethnicity.

        Raises:
            ValueError: if there is no such morph of a face.
        """
        posed = calm.copy()
        for name, weight in units.items():
            targets = _unit_targets(name, self.target_names)
            shares = (1.0,) if len(targets) == 1 else mix
            for target, share in zip(targets, shares, strict=True):
                self.add(posed, target, weight * scale * share)
        return posed

    def dress(self, proxy: Proxy, vertices: Floats) -> Floats:
        """Return the vertices (N, 3) of a proxy on a morphed body."""
        scale = head_scale(self.vertices, vertices)
        hung = (vertices[proxy.references] * proxy.weights[..., None]).sum(1)
        fitted: Floats = (hung + proxy.offsets * scale).astype(np.float32)
        return fitted

    def add(self, vertices: Floats, name: str, weight: float) -> None:
        """Move vertices along a target, in place; a target that does not exist moves nothing."""
        if name not in self.target_names or abs(weight) < 1e-4:
            return
        if name not in self._targets:
            index = self._archive[f"targets/{name}.index"].astype(np.int64)
            vector = self._archive[f"targets/{name}.vector"].astype(np.float32) * 1e-3
            self._targets[name] = index, vector
        index, vector = self._targets[name]
        vertices[index] += np.float32(weight) * vector


def refuse_unknown_morphs(figures: Iterable[Figure], assets: Assets) -> None:
    """Raise `ValueError` if a face shape or facial unit of a figure is not among the assets."""
    with np.load(assets.targets) as archive:
        names = _names_in(archive)
    for figure in figures:
        _face_weights(figure.person, names)
        for unit in figure.face.units:
            _unit_targets(unit, names)


@lru_cache(maxsize=64)
def load_proxy(folder: Path) -> Proxy:
    """Return the hair, garment, eyes, brows or lashes in an asset folder."""
    mesh = _read_json(folder / f"{folder.name}.json")
    about = mesh["metadata"]
    faces = np.array(mesh["faces"]).reshape(-1, 10)
    return Proxy(
        part=_part(faces, np.array(mesh["uvs"][0], np.float32).reshape(-1, 2)),
        references=np.array(about["ref_vIdxs"]),
        weights=np.array(about["weights"], np.float32),
        offsets=np.array(about["offsets"], np.float32),
        hides=np.array(about["deleteVerts"]).astype(bool),
        texture=folder / mesh["materials"][0]["mapDiffuse"],
    )


def macro_weights(person: Person) -> dict[str, float]:
    """Return the weights of the targets for age, gender, ethnicity and body weight."""
    weights: dict[str, float] = {}
    builds = {"minweight": max(0.0, 1 - 2 * person.body_weight),
              "averageweight": 1 - abs(2 * person.body_weight - 1),
              "maxweight": max(0.0, 2 * person.body_weight - 1)}  # fmt: skip
    genders = {"female": 1 - person.masculinity, "male": person.masculinity}
    for age, age_share in age_shares(person.age_years).items():
        for gender, gender_share in genders.items():
            for ethnicity, share in zip(MORPH_NAMES, person.ethnicity_mix, strict=True):
                name = f"macrodetails/{ethnicity}-{gender}-{age}"
                weights[name] = age_share * gender_share * share
            for build, build_share in builds.items():
                name = f"macrodetails/universal-{gender}-{age}-averagemuscle-{build}"
                weights[name] = age_share * gender_share * build_share
    return weights


def age_shares(years: float) -> dict[str, float]:
    """Return the shares of the baby (1), child (12), young (25) and old (90 years) morphs.

    A child leaves the baby's shape faster in the first years than in the later ones.
    """
    grown = 12 - 11 * (1 - (np.clip(years, 1, 12) - 1) / 11) ** 1.7 if years < 12 else years
    ages = {"baby": 1.0, "child": 12.0, "young": 25.0, "old": 90.0}
    points = list(ages.values())
    shares = {}
    for place, name in enumerate(ages):
        peak = np.zeros(len(points))
        peak[place] = 1
        shares[name] = float(np.interp(grown, points, peak))
    return shares


def head_scale(base: Floats, vertices: Floats) -> Floats:
    """Return how many times wider, higher and deeper the head is than that of the base mesh."""
    scale = [
        np.linalg.norm(vertices[a] - vertices[b]) / np.linalg.norm(base[a] - base[b])
        for a, b in _HEAD_AXES
    ]
    return np.array(scale, np.float32)


def _names_in(archive: Any) -> frozenset[str]:
    """Return the names of the targets in an archive, `nose/nose-hump-incr`."""
    return frozenset(name[8:-6] for name in archive.files if name.endswith(".index"))


def _unit_targets(name: str, names: frozenset[str]) -> tuple[str, ...]:
    """Return the target of a facial unit, or one for each ethnicity."""
    if "/" in name:
        targets: tuple[str, ...] = (name,) if name.split("/")[0] in _OF_A_FACE else ()
    else:
        targets = tuple(f"expression/units/{ethnicity}/{name}" for ethnicity in MORPH_NAMES)
    if not targets or not names.issuperset(targets):
        raise ValueError(
            f"Expected a known facial unit, got {name[:60]!r}. MakeHuman's names are taken, such "
            "as 'mouth-open' or 'cheek/l-cheek-trans-up'."
        )
    return targets


def _face_weights(person: Person, names: frozenset[str]) -> dict[str, float]:
    weights = {}
    for axis, value in person.face_shape.items():
        group = axis.split("-")[0]
        less, more = _LESS_MORE.get(axis, ("decr", "incr"))
        target = f"{_FOLDERS.get(group, group)}/{{}}{axis}-{more if value > 0 else less}"
        for side in ("l-", "r-") if group in _MIRRORED else ("",):
            name = target.format(side)
            if name not in names or name.split("/")[0] not in _OF_A_FACE:
                raise ValueError(
                    f"Expected a known face shape axis, got {axis[:60]!r}. MakeHuman's names are "
                    "taken, such as 'chin-width'."
                )
            weights[name] = abs(value)
    aged = float(np.interp(person.age_years, *_HEAD_AGE))
    weights[f"head/head-age-{'incr' if aged > 0 else 'decr'}"] = abs(aged)
    return weights


def _read_rig(mesh: Any, num_vertices: int) -> Rig:
    """Read the skeleton; the file lists each bone's head and tail in turn."""
    bones, joints = mesh["bones"], mesh["metadata"]["joint_pos_idxs"]
    names = [bone["name"].removesuffix("____head") for bone in bones[::2]]
    influences = mesh["influencesPerVertex"]
    columns = np.array(mesh["skinIndices"]) // 2
    rows = np.repeat(np.arange(num_vertices), influences)
    shares = np.array(mesh["skinWeights"], np.float32)
    weights = sparse.coo_array((shares, (rows, columns)), shape=(num_vertices, len(names))).tocsr()
    total = np.maximum(np.asarray(weights.sum(1)).ravel(), 1e-6)
    return Rig(
        names=tuple(names),
        parents=tuple(bone["parent"] // 2 for bone in bones[::2]),
        joints=tuple(np.array(joints[f"{name}____head"]) for name in names),
        weights=sparse.csr_array(sparse.diags_array(1 / total) @ weights).astype(np.float32),
    )


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
