"""Portraits are looked at once, and a file in the cache changes nothing."""

from pathlib import Path

import torch

from discreet.data import Portrait
from discreet.model import image_processor, load_tower, picture_views
from discreet.recipes.views import views_of


def test_views_are_those_of_the_tower_before_and_after_they_were_kept(
    portraits: list[Portrait], tmp_path: Path
) -> None:
    few = portraits[:3]
    seen = picture_views(load_tower(eraser=None), image_processor(), [p.image for p in few])
    first = views_of(few, cache_dir=tmp_path)
    assert torch.equal(first, seen.half().float())
    assert torch.equal(views_of(few, cache_dir=tmp_path), first)
    (kept,) = tmp_path.iterdir()
    assert few[0].identity_id not in kept.name


def test_other_portraits_have_another_file_and_a_damaged_one_is_made_again(
    portraits: list[Portrait], tmp_path: Path
) -> None:
    first = views_of(portraits[:1], cache_dir=tmp_path)
    views_of(portraits[1:2], cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    for kept in tmp_path.iterdir():
        kept.write_bytes(b"damaged")
    assert torch.equal(views_of(portraits[:1], cache_dir=tmp_path), first)
