"""Masks of a pair cancel, and belong to that pair alone."""

import numpy as np

from discreet.secagg.masks import channel_key, direction, shared_mask
from discreet.secagg.primitives import draw_secret, public_key
from secagg.rounds import group_of

GROUP = group_of(4, neighbours=3, threshold=2, size=50)
A, B, C, _ = GROUP.ids


def test_what_one_adds_the_other_takes_away() -> None:
    a, b = draw_secret(), draw_secret()
    one, other = (A, public_key(a)), (B, public_key(b))
    both = shared_mask(a, GROUP, one, other) + shared_mask(b, GROUP, other, one)
    assert not both.any()
    assert shared_mask(a, GROUP, one, other).any()
    assert channel_key(a, GROUP, one, other) == channel_key(b, GROUP, other, one)


def test_one_key_shown_by_two_makes_no_mask_twice() -> None:
    a, key = draw_secret(), public_key(draw_secret())
    masks = [shared_mask(a, GROUP, (A, public_key(a)), (i, key)) for i in (B, C)]
    assert not np.array_equal(*masks)


def test_a_message_cannot_be_turned_round() -> None:
    assert direction(A, B) != direction(B, A)
