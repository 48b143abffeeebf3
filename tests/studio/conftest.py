from pathlib import Path

import numpy as np

from discreet.figures import Assets
from discreet.figures.body import MORPH_NAMES
from discreet.people import sample_person
from tests.figures.conftest import assets

__all__ = ["assets", "named_assets"]
_FOLDERS = {"ear": "ears", "eye": "eyes"}


def named_assets(folder: Path) -> Assets:
    """Return assets that have the names of the morphs that sampled scenes use, and no shapes."""
    folder.mkdir(parents=True)
    names = [f"expression/units/{people}/mouth-open" for people in MORPH_NAMES]
    names += ["genitals/long", "cheek/l-cheek-trans-up"]
    for axis in sample_person(0, 0).face_shape:
        group = axis.split("-")[0]
        for side in ("l-", "r-") if group in ("cheek", "ear", "eye") else ("",):
            for way in ("incr", "decr", "concave", "convex"):
                names.append(f"{_FOLDERS.get(group, group)}/{side}{axis}-{way}")
    np.savez(folder / "targets.npz", **{f"targets/{name}.index": np.zeros(0) for name in names})
    return Assets(folder=folder)
