"""What a figure is made of: meshes in their place, with the textures and colours of each.

Numpy only. Meshes and textures are made once; a picture moves points and sets numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse

from discreet.figures import textures
from discreet.figures.assets import Assets
from discreet.figures.body import Body, Floats, Part, Proxy, load_proxy
from discreet.figures.complexion import skin_colour, skin_path
from discreet.figures.face import fold_weights, shows_lower_teeth, teeth_drop, units_of
from discreet.figures.facemaps import FACE_BOX, face_map, fold_map, place_map
from discreet.figures.posture import (
    Matrix,
    blend,
    bone_matrices,
    move,
    place_matrix,
    proxy_weights,
    turn,
    turns_of,
)
from discreet.figures.surface import MASKS, Normals, Pixels, Rgb, Surface, Value, triple
from discreet.people import (
    CLOTHING,
    CLOTHING_COLOURS,
    HAIR,
    HAIR_COLOURS,
    PATTERNS,
    Figure,
    Garment,
    Person,
)

JEANS: Rgb = (72, 90, 122)
_MOUTH: dict[str, tuple[Rgb, float, float, float]] = {
    "cavity": ((110, 42, 40), 0.15, 0.5, 0.0),
    "tongue": ((160, 78, 74), 0.5, 0.55, 0.0),
    "lower_teeth": ((186, 176, 158), 0.4, 0.45, 1.0),
    "upper_teeth": ((240, 233, 218), 0.5, 0.9, 1.0),
}
"""Colour, wetness, depth at which it is dark (decimetres), and whether it is teeth."""
_EASE = np.float32(0.035)
"""How far a garment is held off the skin, in decimetres, so that arms do not come through."""
_TEETH_DOWN = np.array([0.0, -0.065, 0.02], np.float32)
"""Where upper teeth go in an open smile, in decimetres."""
_CAVITY_BACK = np.array([0.0, 0.0, -0.06], np.float32)
"""How far the inside of a mouth is held back, in decimetres, so that no smile lets it through."""
_CALM_SHARE = {"child": 0.6}
"""How much of a face's shading follows the face at rest; folds of the mesh are too deep."""
_KEPT = 6
"""People at rest that are kept; each of a scene's figures needs one, and the camera another."""
_LIPS_AT = (0.0, 6.62, 1.55)
"""Place of the lips in the base mesh."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calm:
    """A person at rest, before an expression and a pose."""

    vertices: Floats
    """(V, 3) in decimetres."""
    scale: float
    """Size of the face's morphs over those of the base mesh."""
    normals: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A figure whose body is in its place."""

    figure: Figure
    slot: int
    shape: Floats
    """(V, 3) with the expression, before bones turn."""
    vertices: Floats
    """(V, 3) as drawn."""
    normals: Floats
    moved: Matrix
    """(bones, 3, 4)."""


class Wardrobe:
    """Everything that a figure may be made of, read once."""

    def __init__(self, assets: Assets, add_texture: Callable[[str, Pixels], None]) -> None:
        self.body = Body(assets)
        self._folder = assets.folder
        self._add = add_texture
        self._pictures: dict[str, float] = {}
        self._parts: dict[tuple[str, str, float], Part] = {}
        self._rests: dict[str, Floats] = {}
        self._hung: dict[str, sparse.csr_array] = {}
        self._calm: dict[str, Calm] = {}
        self._upper_teeth = np.unique(self.body.part("upper_teeth").corners)
        self._cavity = np.unique(self.body.part("cavity").corners)
        self._normals_of = {"body": Normals(self.body.part("body"))}
        places = place_map(self.body)
        self._picture("face", lambda: face_map(places))
        self._picture("folds", lambda: fold_map(places))

    def calm(self, person: Person) -> Calm:
        """Return a person at rest, kept for their next pictures."""
        key = repr(person)
        if key not in self._calm:
            if len(self._calm) >= _KEPT:
                self._calm.pop(next(iter(self._calm)))
            vertices, scale = self.body.calm(person)
            normals = self._normals_of["body"](vertices)
            self._calm[key] = Calm(vertices=vertices, scale=scale, normals=normals)
        return self._calm[key]

    def stand(self, figure: Figure, slot: int) -> Standing:
        """Return a figure's body in its place, with its expression and pose."""
        calm, mix = self.calm(figure.person), figure.person.ethnicity_mix
        shape = self.body.express(calm.vertices, units_of(figure), mix, calm.scale)
        shape[self._cavity] += np.float32(calm.scale) * _CAVITY_BACK
        shape[self._upper_teeth] += np.float32(calm.scale * teeth_drop(figure)) * _TEETH_DOWN
        put = place_matrix(figure, floor=float(calm.vertices[:, 1].min()))
        bones = bone_matrices(self.body.rig, calm.vertices, turns_of(figure))
        moved = np.einsum("ij,bjk->bik", put[:, :3], bones)
        moved[..., 3] += put[:, 3]
        blended = blend(self.body.rig.weights, moved)
        vertices = move(blended, shape)
        calm_share = _CALM_SHARE.get(figure.person.age_band, 0.4)
        normals = (1 - calm_share) * self._normals_of["body"](vertices)
        normals += calm_share * turn(blended, calm.normals)
        return Standing(
            figure=figure,
            slot=slot,
            shape=shape,
            vertices=vertices,
            normals=normals,
            moved=moved,
        )

    def surfaces(self, body: Standing, lowest: float) -> list[Surface]:
        """Return what a figure is made of.

        Args:
            body: The figure in its place.
            lowest: Height in the base mesh below which nothing is drawn, in decimetres.
        """
        made = [self._skin(body, lowest)]
        made += [
            self._mouth(body, name)
            for name in _MOUTH
            if name != "lower_teeth" or shows_lower_teeth(body.figure)
        ]
        made += [self._garment(body, garment) for garment in body.figure.look.garments]
        made += [self._eyes(body), *self._brows(body)]
        if HAIR[body.figure.look.hair].asset:
            made.append(self._hair(body))
        return made

    def _skin(self, body: Standing, lowest: float) -> Surface:
        person, look = body.figure.person, body.figure.look
        worn = "+".join(garment.kind for garment in look.garments)
        part = self._part("body", worn, lowest)
        path = skin_path(self._folder, person)
        self._picture(str(path), lambda: textures.skin_map(path))
        power, tint, lips = skin_colour(path, person)
        covered = look.hair != "bald"
        thick = 0.48 if _is_grey(look.hair_colour) else 0.8
        return Surface(
            key=f"{body.slot} skin {worn} {lowest}",
            part=part,
            points=body.vertices[part.corners],
            normals=body.normals[part.corners],
            rest=self.body.vertices[part.corners],
            material="skin",
            textures={"skinMap": str(path), "faceMap": "face", "foldMap": "folds"},
            values={
                "tonePower": power, "toneTint": tint, "faceBox": FACE_BOX,
                "folds": fold_weights(body.figure),
                "hairColour": _unit(HAIR_COLOURS[look.hair_colour]),
                "scalp": 1.0 if covered else 0.12, "stubble": look.stubble * thick,
                "freckles": person.freckles, "flush": 0.8, "gloss": 0.75, "lipColour": lips,
            },
            mask=MASKS["skin"],
        )  # fmt: skip

    def _mouth(self, body: Standing, name: str) -> Surface:
        colour, wet, deep, teeth = _MOUTH[name]
        part = self._part(name, "", -np.inf)
        points = body.vertices[part.corners]
        return Surface(
            key=f"{body.slot} {name}",
            part=part,
            points=points,
            normals=self._own_normals(name, part, points),
            rest=self.body.vertices[part.corners],
            material="mouth",
            textures={},
            values={"colour": _unit(colour), "wet": wet, "deep": deep, "teeth": teeth,
                    "mouthAt": _LIPS_AT},
            mask=MASKS["mouth"],
        )  # fmt: skip

    def _garment(self, body: Standing, garment: Garment) -> Surface:
        name = CLOTHING[garment.kind]
        proxy = load_proxy(self._folder / "proxies" / "clothes" / name)
        self._picture(f"clothes {name}", lambda: textures.garment_map(proxy.texture))
        self._picture(f"weave {name}", lambda: textures.garment_normals(proxy.texture))
        return self._hang(
            body, "clothes", name, proxy,
            material="cloth",
            textures={"clothMap": f"clothes {name}", "weaveMap": f"weave {name}"},
            values={
                "colourA": _unit(CLOTHING_COLOURS[garment.colour]),
                "colourB": _unit(CLOTHING_COLOURS[garment.second_colour]),
                "pattern": PATTERNS.index(garment.pattern), "scale": 2.6,
                "hasWeave": int(f"weave {name}" in self._pictures),
                "legsColour": _unit(JEANS),
            },
        )  # fmt: skip

    def _eyes(self, body: Standing) -> Surface:
        colour = body.figure.person.eye_colour
        proxy = load_proxy(self._folder / "proxies" / "eyes" / "HighPolyEyes")
        self._picture(f"eyes {colour}", lambda: textures.eye_map(proxy.texture, colour))
        rig = self.body.rig
        bones = [rig.names.index(f"eye.{side}") for side in "LR"]
        left, right = (body.vertices[rig.joints[bone]].mean(0) for bone in bones)
        gaze = body.moved[bones[0]][:, 2] / np.linalg.norm(body.moved[bones[0]][:, 2])
        return self._hang(
            body, "eyes", "HighPolyEyes", proxy,
            material="eye",
            textures={"eyeMap": f"eyes {colour}"},
            values={"eyeLeft": tuple(left), "eyeRight": tuple(right), "gazeDir": tuple(gaze)},
        )  # fmt: skip

    def _brows(self, body: Standing) -> list[Surface]:
        person, look = body.figure.person, body.figure.look
        made = []
        dark = sum(HAIR_COLOURS[look.hair_colour]) < 260
        darker = 0.8 if dark or _is_grey(look.hair_colour) else 0.5
        brow = tuple(darker * v for v in _unit(HAIR_COLOURS[look.hair_colour]))
        child = person.age_band == "child"
        for kind, name, colour, density in (
            ("eyebrows", person.eyebrows, brow, 1.0 if child else 1.35),
            ("eyelashes", "eyelashes02", (0.07, 0.05, 0.045), 0.28 if child else 0.65),
        ):
            proxy = load_proxy(self._folder / "proxies" / kind / name)
            self._picture(f"{kind} {name}", partial(textures.cut_out_map, proxy.texture))
            made.append(
                self._hang(
                    body, kind, name, proxy,
                    material="brow",
                    textures={"hairMap": f"{kind} {name}"},
                    values={"hairColour": colour, "density": density},
                )
            )  # fmt: skip
        return made

    def _hair(self, body: Standing) -> Surface:
        look = body.figure.look
        cut = HAIR[look.hair]
        name = cut.asset
        proxy = load_proxy(self._folder / "proxies" / "hair" / name)
        mean = self._picture(f"hair {name}", lambda: textures.hair_map(proxy.texture))
        grey = _is_grey(look.hair_colour)
        return self._hang(
            body, "hair", name, proxy,
            material="hair",
            textures={"hairMap": f"hair {name}"},
            values={
                "hairColour": _unit(HAIR_COLOURS[look.hair_colour]), "meanGrey": mean or 0.43,
                "sheen": 0.35 if look.hair == "afro" else 0.9,
                "variety": 0.5 if grey else 0.3,
                "shortest": cut.shortest, "fringe": cut.fringe,
                "curl": 1.0 if look.hair == "afro" else 0.0,
            },
        )  # fmt: skip

    def _hang(
        self, body: Standing, kind: str, name: str, proxy: Proxy, *, material: str,
        textures: dict[str, str], values: dict[str, Value],
    ) -> Surface:  # fmt: skip
        key = f"{kind} {name}"
        if key not in self._hung:
            self._hung[key] = proxy_weights(self.body.rig, proxy)
            self._rests[key] = self.body.dress(proxy, self.body.vertices)
        blended = blend(self._hung[key], body.moved)
        fitted = self.body.dress(proxy, body.shape)
        if kind == "clothes":
            fitted = fitted + _EASE * self._proxy_normals(key, proxy.part, fitted)
        own = move(blended, fitted)
        part = proxy.part
        points = own[part.corners]
        return Surface(
            key=f"{body.slot} {key}",
            part=part,
            points=points,
            normals=self._proxy_normals(key, part, own)[part.corners],
            rest=self._rests[key][part.corners],
            material=material,
            textures={k: v for k, v in textures.items() if v in self._pictures},
            values=values,
            mask=MASKS[{"eyebrows": "brows", "eyelashes": "brows"}.get(kind, kind)],
        )

    def _part(self, name: str, worn: str, lowest: float) -> Part:
        key = (name, worn, lowest)
        if key not in self._parts:
            hidden = np.zeros(len(self.body.vertices), bool)
            for kind in filter(None, worn.split("+")):
                folder = self._folder / "proxies" / "clothes" / CLOTHING[kind]
                hides = load_proxy(folder).hides
                if len(hides):
                    hidden |= hides
            self._parts[key] = self.body.part(name, hidden, lowest)
        return self._parts[key]

    def _own_normals(self, name: str, part: Part, points: Floats) -> Floats:
        if name not in self._normals_of:
            self._normals_of[name] = Normals(part, of_corners=True)
        return self._normals_of[name](points)

    def _proxy_normals(self, key: str, part: Part, vertices: Floats) -> Floats:
        if key not in self._normals_of:
            self._normals_of[key] = Normals(part)
        return self._normals_of[key](vertices)

    def _picture(self, name: str, make: Callable[[], object]) -> float:
        """Give the stage an image once; return the number that came with it, if any."""
        if name not in self._pictures:
            made = make()
            pixels, number = made if isinstance(made, tuple) else (made, 0.0)
            if pixels is None:
                return 0.0
            self._add(name, pixels)
            self._pictures[name] = number
        return self._pictures[name]


def _is_grey(hair_colour: str) -> bool:
    return hair_colour in {"grey", "white", "salt_and_pepper"}


def _unit(rgb: tuple[float, ...]) -> Rgb:
    return triple(np.array(rgb, float) / 255)
