"""Coverage and errors of groups, by hand and by a loop."""

import numpy as np
import torch

from discreet.recipes.scores import scores_by_group, scores_of


def test_scores_of_four_pictures_by_hand() -> None:
    said = torch.tensor([True, True, True, False])
    wrong = torch.tensor([False, True, False, True])
    scores = scores_of(said, wrong, torch.tensor([0, 0, 1, 1]), level=0.3)
    assert scores["units"] == 2
    assert scores["coverage"] == 0.75
    assert np.isclose(scores["error_when_answering"], 1 / 3)
    assert scores["above_promise"] == 1
    assert scores_of(said, wrong, torch.tensor([0, 0, 1, 1]), level=0.4)["above_promise"] == 0


def test_nobody_who_is_answered_makes_no_error() -> None:
    nothing = torch.zeros(6, dtype=torch.bool)
    scores = scores_of(nothing, ~nothing, torch.arange(6), level=0.1)
    assert (scores["coverage"], scores["error_when_answering"]) == (0, 0)


def test_the_interval_covers_the_true_error_of_dependent_pictures() -> None:
    """All seven pictures of a person are right or wrong; 95 % of 200 intervals, at least 90 %."""
    draw, covered = np.random.default_rng(0), 0
    said, units = torch.ones(700, dtype=torch.bool), torch.arange(100).repeat_interleave(7)
    for _ in range(200):
        wrong = torch.from_numpy(np.repeat(draw.random(100) < 0.2, 7))
        scores = scores_of(said, wrong, units, level=0.2)
        covered += scores["error_low"] <= 0.2 <= scores["error_high"]
    assert covered >= 180


def test_groups_are_scored_alone() -> None:
    draw = np.random.default_rng(1)
    said, wrong = (torch.from_numpy(draw.random(60) < 0.5) for _ in range(2))
    units, tones = torch.arange(20).repeat_interleave(3), [str(n % 4) for n in range(60)]
    found = scores_by_group(said, wrong, units, {"skin_tone": tones}, level=0.1)
    for tone in "0123":
        inside = torch.tensor([t == tone for t in tones])
        assert found["skin_tone"][tone] == scores_of(
            said[inside], wrong[inside], units[inside], level=0.1
        )
