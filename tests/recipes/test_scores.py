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
    """Tone 3 is wrong whenever it is answered; the others by chance, counted in a loop."""
    draw = np.random.default_rng(1)
    said, wrong = (draw.random(60) < 0.5 for _ in range(2))
    units, tones = [n // 3 for n in range(60)], [str(n % 4) for n in range(60)]
    wrong |= np.array([tone == "3" for tone in tones])
    found = scores_by_group(
        torch.from_numpy(said),
        torch.from_numpy(wrong),
        torch.tensor(units),
        {"skin_tone": tones},
        level=0.5,
    )["skin_tone"]
    assert sorted(found) == ["0", "1", "2", "3"]
    for tone, scores in found.items():
        inside = [n for n in range(60) if tones[n] == tone]
        answered = [n for n in inside if said[n]]
        errors = [n for n in answered if wrong[n]]
        assert scores["units"] == len({units[n] for n in inside})
        assert scores["coverage"] == len(answered) / len(inside)
        assert np.isclose(scores["error_when_answering"], len(errors) / len(answered))
        assert scores["above_promise"] == (len(errors) / len(answered) > 0.5)
        assert scores["error_low"] <= scores["error_when_answering"] <= scores["error_high"]
    assert (found["3"]["error_low"], found["3"]["error_high"]) == (1, 1)
