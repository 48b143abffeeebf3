"""The weights that ship are small, and say how they were made."""

import json

from discreet.model import PROJECTOR_PATH


def test_the_projector_is_small_and_says_how_it_was_made() -> None:
    assert PROJECTOR_PATH.stat().st_size <= 6_000_000
    card = json.loads(PROJECTOR_PATH.with_suffix(".json").read_text())
    assert card["settings"]["seed"] >= 0
    assert len(card["commit"].removesuffix("-dirty")) == 40
    assert len(card["curve"]) > 10
    for name in ("age_band", "expression"):
        assert card["held_out"][f"{name}_accuracy"] > 2 * card["held_out"][f"{name}_chance"]
