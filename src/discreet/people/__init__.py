"""Synthetic people: identities with exact truth, drawn as portraits, for training and audits.

Drawing needs the `people` extra (pyvista) and the MakeHuman assets (`fetch_assets`); the
portraits that ship with the package need neither (`discreet.data.load_portraits`).

>>> spec = sample_person(0, 7)
>>> spec.identity_id, spec.age_band
('p0008', 'older_adult')
>>> from pathlib import Path
>>> render(spec, fetch_assets(Path("cache"))).size  # doctest: +SKIP
(128, 128)
"""

from discreet.people.assets import Assets, fetch_assets, open_assets
from discreet.people.build import build_portraits, contact_sheet, rerender, save_contact_sheet
from discreet.people.render import render
from discreet.people.sampling import sample_person, sample_shot, split_of
from discreet.people.spec import PersonSpec, labels

__all__ = [
    "Assets",
    "PersonSpec",
    "build_portraits",
    "contact_sheet",
    "fetch_assets",
    "labels",
    "open_assets",
    "render",
    "rerender",
    "sample_person",
    "sample_shot",
    "save_contact_sheet",
    "split_of",
]
