"""Heads are fitted, certified and scored as textbooks say."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy

from discreet.data import Portrait
from discreet.model import image_processor, load_tower, picture_views
from discreet.perception import HEADS, Head
from discreet.recipes.crowds import Crowd, draw_crowds
from discreet.recipes.perceiver import (
    LEVELS,
    PICTURES,
    Album,
    _calibration_error,
    _fit_head,
    _fold,
    _score,
    _temperature,
    crowd_album,
    draw_crowds_of,
    features_of,
    fit_and_certify,
    fit_heads,
    lend,
    portrait_album,
)
from discreet.types import FACES, Split

CLASSES, WIDTH, COUNT = 3, 5, 400


def points(seed: int = 0, count: int = COUNT) -> tuple[torch.Tensor, torch.Tensor]:
    """Three overlapping clouds."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=draw)
    centres = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(9)) * 1.2
    return centres[labels] + torch.randn(count, WIDTH, generator=draw), labels


def head_with(threshold: float) -> Head:
    return Head(
        weight=torch.eye(2), bias=torch.zeros(2), temperature=1.0, thresholds=(threshold,) * 2
    )


def album(seed: int, persons: int, spread: float) -> Album:
    """Three pictures a person, who are of one of four clouds on a line, like ages."""
    draw = torch.Generator().manual_seed(seed)
    bands = torch.randint(4, (persons,), generator=draw).repeat_interleave(3)
    place = torch.stack([bands.float(), (bands - 1.5) ** 2], 1)
    x = place + spread * torch.randn(3 * persons, 2, generator=draw)
    return Album(
        features=x,
        targets={"age_band": bands},
        units=torch.arange(persons).repeat_interleave(3),
        groups={"skin_tone": [str(n % 2) for n in range(3 * persons)]},
    )


def albums(spread: float) -> dict[Split, Album]:
    return {
        "train": album(0, 200, spread),
        "validation": album(1, 120, spread),
        "test": album(2, 1000, spread),
    }


def test_the_fit_is_penalised_logistic_regression() -> None:
    """The penalty w * |W|^2 on the mean loss is C = 1 / (2 w n) for scikit-learn."""
    x, y = points()
    mine = _fit_head(x, y, CLASSES, 0.01)
    theirs = LogisticRegression(C=1 / (2 * 0.01 * COUNT), tol=1e-8, max_iter=1000)
    theirs.fit(x.numpy(), y.numpy())
    probabilities = mine.probabilities(x).numpy()
    assert np.allclose(probabilities, theirs.predict_proba(x.numpy()), atol=2e-3)


def test_folding_moves_the_standardisation_into_the_head() -> None:
    x, y = points()
    mean, std = x.mean(0), x.std(0) + 1e-3
    head = _fit_head((x - mean) / std, y, CLASSES, 0.01)
    expected = head.probabilities((x - mean) / std)
    torch.testing.assert_close(_fold(head, mean, std).probabilities(x), expected)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_wrong_one(sharpness: float) -> None:
    x, y = points()
    fitted = _fit_head(x, y, CLASSES, 1e-4)
    off = replace(fitted, weight=fitted.weight * sharpness, bias=fitted.bias * sharpness)
    held_out, labels = points(seed=1)
    logits = held_out @ off.weight.T + off.bias
    grid = torch.linspace(0.05, 10, 4000)
    best = float(min(grid, key=lambda t: float(cross_entropy(logits / t, labels))))
    found = _temperature(off, held_out, labels)
    assert math.isclose(found, best, rel_tol=0.04), "to the next point of its grid"


def test_without_an_error_there_is_nothing_to_sharpen() -> None:
    head = replace(head_with(0.0), weight=torch.eye(2) * 0.3)
    assert _temperature(head, torch.eye(2), torch.tensor([0, 1])) == 1
    assert _temperature(head, torch.eye(2), torch.tensor([0, 0])) > 1


@pytest.mark.parametrize("spread", [0.3, 0.45])
def test_what_a_head_says_of_new_people_errs_as_seldom_as_promised(spread: float) -> None:
    """Of everybody together, which is promised; 1000 new people."""
    given = albums(spread)
    scores = _score("age_band", fit_and_certify("age_band", given, 4, 1e-4), given["test"])
    whole = scores["test"]
    assert isinstance(whole, dict)
    assert whole["coverage"] > 0.3
    assert whole["error_when_answering"] <= LEVELS["age_band"]


def test_a_head_that_cannot_keep_a_promise_says_nothing() -> None:
    given = albums(3.0)
    head = fit_and_certify("age_band", given, 4, 1e-4)
    assert head.thresholds == (1.0,) * 4
    assert _score("age_band", head, given["test"])["test_coverage"] == 0


def test_test_people_and_audit_labels_decide_nothing() -> None:
    given = albums(0.45)
    other = {
        split: replace(part, groups={"skin_tone": ["x"] * len(part.units)})
        for split, part in {**given, "test": album(9, 50, 2.0)}.items()
    }
    first, second = (fit_and_certify("age_band", one, 4, 1e-4) for one in (given, other))
    assert torch.equal(first.weight, second.weight)
    assert (first.temperature, first.thresholds) == (second.temperature, second.thresholds)


def test_a_crowd_album_adds_each_members_portrait_to_the_unit_of_their_group(
    portraits: list[Portrait],
) -> None:
    alone = portrait_album(portraits, torch.arange(len(portraits)).float()[:, None])
    drawn = [
        Crowd(faces=faces, group=group, members=members)
        for group, members in [(0, (0, 1, 2, 3)), (1, (4, 5, 6, 7))]
        for faces in (0, 4)
    ]
    found = crowd_album(drawn, -torch.ones(4, 1), alone)
    assert found.targets["faces"].tolist() == [0, 3, 0, 3] + [1] * 8
    assert found.targets["face_present"].tolist() == [0, 1, 0, 1] + [1] * 8
    assert found.units.tolist() == [0, 0, 1, 1] + [0] * 4 + [1] * 4
    shown = [portraits[int(place)].identity_id for place in found.features[4:, 0]]
    persons = list(dict.fromkeys(p.identity_id for p in portraits))
    assert shown == persons[:8]


def test_pictures_are_read_one_after_another_and_what_is_true_of_them_is_kept(
    portraits: list[Portrait],
) -> None:
    """Two routes: the recipe's stream, and pictures drawn at once and read by hand."""
    drawn: list[Crowd] = []
    found = features_of(draw_crowds_of(portraits[:12], 0, drawn))
    own = [[p.image for p in portraits[n : n + 3]] for n in range(0, 12, 3)]
    expected = list(draw_crowds(own, pictures=PICTURES, seed=0))
    assert drawn == [crowd for _, crowd in expected]
    views = picture_views(load_tower(), image_processor(), [image for image, _ in expected])
    torch.testing.assert_close(found, views, atol=1e-3, rtol=1e-3)


def test_groups_that_are_lent_are_fitted_to_no_more_and_stay_whole() -> None:
    part = [small_albums(seed, 80)[1] for seed in range(3)]
    given: dict[Split, Album] = {"train": part[0], "validation": part[1], "test": part[2]}
    found = lend(given)
    train, held = found["train"], found["validation"]
    assert not (train.units % 4 == 1).any()
    assert len(train.units) + len(held.units) == 160
    assert found["test"] is part[2]
    assert sorted(held.units.bincount()[held.units.unique()].tolist()) == [2] * (10 + 40)
    for one in (train, held):
        rows = {tuple(row.tolist()) for row in one.features}
        assert len(rows) == len(one.features)
    assert torch.equal(held.features[-80:], part[1].features)
    assert torch.equal(held.targets["faces"][-80:], part[1].targets["faces"])


def small_albums(seed: int, count: int) -> tuple[Album, Album]:
    """Portraits and crowds of random features, far apart by class."""
    draw = torch.Generator().manual_seed(seed)
    targets = {name: torch.arange(count) % len(HEADS[name]) for name in HEADS}
    targets["face_present"] = (targets["faces"] > 0).long()
    shape = sum(torch.eye(5)[targets[name]].repeat(1, 2) for name in HEADS)
    x = shape + 0.05 * torch.randn(count, 10, generator=draw)
    places = [torch.eye(5)[targets[name]] for name in HEADS]
    x = torch.cat([*places, x], 1)
    audit = {label: [str(n % 2) for n in range(count)] for label in ("ethnicity", "skin_tone")}
    people = Album(
        features=x,
        targets={name: targets[name] for name in ("age_band", "expression")},
        units=torch.arange(count) // 2,
        groups=audit,
    )
    crowds = Album(
        features=x,
        targets={name: targets[name] for name in ("face_present", "faces")},
        units=torch.arange(count) // 2,
        groups={},
    )
    return people, crowds


def test_weights_and_card_hold_the_heads_that_were_scored(tmp_path: Path) -> None:
    people, crowds = {}, {}
    for seed, split in enumerate(("train", "validation", "test")):
        people[split], crowds[split] = small_albums(seed, 240)
    out = tmp_path / "heads.safetensors"
    card = fit_heads(out, people, crowds, weight_decay=1e-4, seed=0)  # type: ignore[arg-type]
    assert json.loads(out.with_suffix(".json").read_text()) == card
    tensors, heads = load_file(out), card["heads"]
    assert isinstance(heads, dict)
    for name, classes in HEADS.items():
        assert tensors[f"{name}.weight"].shape[0] == len(classes) == len(heads[name]["thresholds"])
        album = (people if name in ("age_band", "expression") else crowds)["test"]
        logits = album.features @ tensors[f"{name}.weight"].float().T + tensors[f"{name}.bias"]
        right = (logits.argmax(1) == album.targets[name]).float().mean()
        assert heads[name]["test_accuracy"] == pytest.approx(float(right))
    assert set(heads["faces"]["portraits_seen_as_one"]["by_group"]) == {
        "age_band",
        "ethnicity",
        "skin_tone",
    }
    assert FACES[1] == "one"


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [
        ([1.0, 1.0], [1.0, 1.0], 0.0),
        ([1.0, 1.0], [0.0, 0.0], 1.0),
        ([0.5, 0.5], [1.0, 0.0], 0.0),
        ([0.95, 0.95, 0.55, 0.55], [1.0, 1.0, 0.0, 0.0], (0.05 + 0.55) / 2),
        ([0.91, 0.99], [1.0, 0.0], 0.45),
    ],
)
def test_the_calibration_error_is_the_gap_by_bin(
    confidence: list[float], right: list[float], expected: float
) -> None:
    found = _calibration_error(torch.tensor(confidence), torch.tensor(right))
    assert math.isclose(found, expected, abs_tol=1e-6)


def test_scores_count_right_answers_and_silences() -> None:
    """Four pictures by hand: right and sure, wrong and sure, right and unsure, wrong and unsure."""
    x = torch.tensor([[4.0, 0.0], [0.0, 4.0], [0.1, 0.0], [0.0, 0.1]])
    pictures = Album(
        features=x,
        targets={"face_present": torch.tensor([0, 0, 0, 0])},
        units=torch.arange(4),
        groups={},
    )
    scores = _score("face_present", head_with(0.9), pictures)
    assert scores["test_accuracy"] == 0.5
    assert scores["test_accuracy_when_answering"] == 0.5
    assert scores["test_coverage"] == 0.5
    assert scores["chance"] == 0.5
    sure, unsure = 1 / (1 + math.exp(-4)), 1 / (1 + math.exp(-0.1))
    expected = (sure - 0.5) / 2 + (unsure - 0.5) / 2
    assert math.isclose(float(str(scores["test_calibration_error"])), expected, abs_tol=1e-6)
