"""How a scene is drawn: bodies, faces, fabrics, light, backdrops, lens and sensor.

Drawing needs the `people` extra (VTK) and the MakeHuman assets. What is drawn is said in
`discreet.people`, what it is made of in `discreet.figures`.

>>> from pathlib import Path
>>> from discreet.figures import fetch_assets
>>> from discreet.people import sample_scene
>>> render(sample_scene(0, 7, 0), fetch_assets(Path("cache"))).size  # doctest: +SKIP
(128, 128)
"""

from discreet.studio.render import render, render_masks, studio_of
from discreet.studio.sensor import encode_jpeg
from discreet.studio.shards import Written, jpeg_of, render_collection, render_scenes

__all__ = [
    "Written",
    "encode_jpeg",
    "jpeg_of",
    "render",
    "render_collection",
    "render_masks",
    "render_scenes",
    "studio_of",
]
