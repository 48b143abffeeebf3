"""What the people of a scene are made of: bodies, faces, hair, fabrics, as meshes and textures.

Numpy only, draws nothing; `discreet.studio` draws. The meshes are MakeHuman's, which `fetch_assets`
brings.

>>> from pathlib import Path
>>> fetch_assets(Path("cache")).folder.name  # doctest: +SKIP
'makehuman-0.0.2-1.3.2'
"""

from discreet.figures.assets import Assets, assets_folder, fetch_assets, open_assets
from discreet.figures.body import HEAD_BOTTOM, HEAD_TOP, Floats, refuse_unknown_morphs
from discreet.figures.materials import Standing, Wardrobe
from discreet.figures.surface import MASKS, Pixels, Surface, Value

__all__ = [
    "HEAD_BOTTOM",
    "HEAD_TOP",
    "MASKS",
    "Assets",
    "Floats",
    "Pixels",
    "Standing",
    "Surface",
    "Value",
    "Wardrobe",
    "assets_folder",
    "fetch_assets",
    "open_assets",
    "refuse_unknown_morphs",
]
