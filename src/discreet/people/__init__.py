"""Synthetic people: who is in a picture and how it is taken, as words and numbers.

A `Scene` is the exact truth of a picture; `discreet.studio` draws it, and needs the `people` extra
and the MakeHuman assets. Describing, sampling and labelling need neither, and the portraits that
ship with the package are read by `discreet.data.load_portraits`.

>>> scene = sample_scene(0, 7, 0)
>>> labels(scene)["age_band"], labels(scene)["expression"]
('older_adult', 'surprised')
"""

from discreet.people.codec import read_plain
from discreet.people.collection import (
    SPLITS,
    CollectionSpec,
    Entry,
    Pair,
    Portrait,
    Shard,
    read_scenes,
    read_spec,
    shards_of,
    spec_names,
)
from discreet.people.sampling import sample_person, sample_scene, split_of
from discreet.people.scene import (
    BACKDROPS,
    FRAMINGS,
    LIGHTS,
    Backdrop,
    BackdropKind,
    Camera,
    Face,
    Figure,
    Framing,
    Garment,
    Light,
    LightKind,
    Look,
    Person,
    Place,
    Pose,
    Scene,
    Sensor,
    labels,
)
from discreet.people.twins import TWIN_KINDS, TwinKind, Twins, differences, sample_twins
from discreet.people.wardrobe import (
    CLOTHING,
    CLOTHING_COLOURS,
    ETHNICITIES,
    HAIR,
    HAIR_COLOURS,
    PATTERNS,
    Ethnicity,
    GenderPresentation,
    HairCut,
)

__all__ = [
    "BACKDROPS",
    "CLOTHING",
    "CLOTHING_COLOURS",
    "ETHNICITIES",
    "FRAMINGS",
    "HAIR",
    "HAIR_COLOURS",
    "LIGHTS",
    "PATTERNS",
    "SPLITS",
    "TWIN_KINDS",
    "Backdrop",
    "BackdropKind",
    "Camera",
    "CollectionSpec",
    "Entry",
    "Ethnicity",
    "Face",
    "Figure",
    "Framing",
    "Garment",
    "GenderPresentation",
    "HairCut",
    "Light",
    "LightKind",
    "Look",
    "Pair",
    "Person",
    "Place",
    "Portrait",
    "Pose",
    "Scene",
    "Sensor",
    "Shard",
    "TwinKind",
    "Twins",
    "differences",
    "labels",
    "read_plain",
    "read_scenes",
    "read_spec",
    "sample_person",
    "sample_scene",
    "sample_twins",
    "shards_of",
    "spec_names",
    "split_of",
]
