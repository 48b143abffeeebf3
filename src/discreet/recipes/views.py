"""What the tower sees of the shipped portraits, kept on disk so that recipes look at them once.

The file lies in the user's cache, its name is a hash of the tower and of every portrait, and what
is read is float16 both times, so that it makes no difference whether it was there.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from discreet.artifacts import write_bytes
from discreet.data import Portrait, load_portraits
from discreet.model import CACHE_DIR, VISION_SHA256, image_processor, load_tower, picture_views
from discreet.types import Split

_AT_ONCE = 256


def portraits_and_views(
    split: Split, *, cache_dir: Path | None = None
) -> tuple[Sequence[Portrait], torch.Tensor]:
    """Return the portraits of a split and their views, (N, VIEWS) float32."""
    people = load_portraits(split)
    return people, views_of(people, cache_dir=cache_dir)


def views_of(people: Sequence[Portrait], *, cache_dir: Path | None = None) -> torch.Tensor:
    """Return the views of portraits, (N, VIEWS) float32, from the cache where they are in it."""
    digest = hashlib.sha256(VISION_SHA256.encode())
    for portrait in people:
        digest.update(hashlib.sha256(portrait.jpeg).digest())
    path = (cache_dir or CACHE_DIR) / f"views-{digest.hexdigest()[:16]}.safetensors"
    try:
        return load_file(path)["views"].float()
    except (OSError, KeyError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
    tower, processor = load_tower(eraser=None), image_processor()
    done = [
        picture_views(tower, processor, [p.image for p in people[start : start + _AT_ONCE]]).half()
        for start in range(0, len(people), _AT_ONCE)
    ]
    views = torch.cat(done)
    write_bytes(path, save({"views": views}))
    return views.float()
