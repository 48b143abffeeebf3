"""The best attack counts, and what is meant to be handed on is what it is held against."""

import json

import numpy as np
import pytest

from discreet.leakage import (
    ATTACKS,
    Linkage,
    Representation,
    Truth,
    best_linkage,
    identify,
    label_representation,
    lead_of,
    linkage_records,
    measure_linkage,
)
from discreet.types import Split
from tests.leakage.test_matching import pictured
from tests.leakage.test_reidentification import Floats

SEEDS: dict[Split, int] = {"train": 0, "test": 1}
PEOPLE = {"train": 80, "test": 40}


def linked(*, signal: float = 1.0, recognises: bool = True) -> dict[str, Linkage]:
    drawn = {s: pictured(PEOPLE[s], seed, signal=signal) for s, seed in SEEDS.items()}
    draw = np.random.default_rng(5)
    recognised: dict[Split, Floats] = {
        split: own + 0.1 * draw.normal(size=own.shape) for split, (_, _, own) in drawn.items()
    }
    shown = Representation(features=lambda split: drawn[split][0])
    people = {split: np.array([f"{split} {n}" for n in drawn[split][1]]) for split in SEEDS}
    found = measure_linkage({"shown": shown}, people, recognised=recognised if recognises else None)
    return {one.attack: one for one in found}


def test_learned_attacks_find_what_plain_distances_do_not() -> None:
    found = linked()
    assert tuple(found) == (*ATTACKS, "face recogniser")
    share = {name: one.identification.first.share for name, one in found.items()}
    assert min(share["learned metric"], share["face recogniser"]) > 0.6
    assert max(share["cosine"], share["euclidean"]) < 0.3
    assert best_linkage(list(found.values())).identification.first.share == max(share.values())
    first = found["learned metric"].identification.first
    assert first.is_above_chance
    tail, rare = found["learned metric"].rates
    assert tail.tpr is not None
    assert tail.tpr > 0.3
    assert rare.tpr is None  # 40 people are fewer than 46


def test_where_nothing_tells_who_it_is_nobody_is_found() -> None:
    """Four attacks, one-sided at 1 in 40: one alarm has chance 0.1, two have 0.004."""
    found = linked(signal=0.0)
    assert sum(one.identification.first.is_above_chance for one in found.values()) < 2
    # the recogniser is asked of the gallery alone: of what is looked up it gets what was handed on
    assert found["face recogniser"].identification.first.share < 0.1
    assert tuple(linked(recognises=False)) == ATTACKS


def test_labels_that_are_handed_on_narrow_a_gallery_down() -> None:
    """People of two ages and two looks, ten each, are one of ten."""
    truth: dict[Split, Truth] = {}
    for split, count in (("train", 60), ("test", 40)):
        who = np.repeat(np.arange(count), 2)
        truth[split] = Truth(
            labels={
                "age_band": np.where(who % 2 == 0, "child", "older_adult"),
                "expression": np.where(who // 2 % 2 == 0, "sad", "happy"),
            },
            people=np.array([f"{split} {n}" for n in who]),
        )
    shown = label_representation(truth, ("age_band", "expression"))
    assert label_representation(truth).features("test").shape == (80, 2)
    assert shown.features("train").shape == (120, 4)
    assert shown.features("test").shape == (80, 4)
    found = measure_linkage({"labels": shown}, {s: one.people for s, one in truth.items()})
    assert best_linkage(found).identification.first.share == pytest.approx(1 / 10)


def link(signal: float, seed: int) -> Linkage:
    """Return how 40 people are found again by a plain distance, by a signal in noise of a seed."""
    own = signal * np.random.default_rng(0).normal(size=(40, 8))
    draw, who = np.random.default_rng(seed), np.arange(40)
    gallery, seen = (own + draw.normal(size=own.shape) for _ in range(2))
    found = identify(gallery, who, seen, who)
    return Linkage(representation="", attack="cosine", identification=found, rates=())


def test_a_better_attack_is_ahead_and_an_equal_one_seldom() -> None:
    """Two blind attacks: one-sided at 1 in 40; 6 or more of 60 have chance 0.003."""
    better = lead_of(link(5.0, 1), link(0.0, 2))
    assert better.is_ahead
    assert better.advantage > 0.5
    assert not lead_of(link(0.0, 2), link(5.0, 1)).is_ahead
    assert sum(lead_of(link(0.0, n), link(0.0, n + 500)).is_ahead for n in range(60)) < 6
    assert lead_of(link(0.5, 3), link(0.5, 3)).advantage == 0


def test_the_interval_of_a_lead_holds_the_mean_lead() -> None:
    """Of 100 pairs 12 or more misses have chance 0.004; signals stay, noise is drawn."""
    leads = [lead_of(link(1.0, n), link(0.5, n + 500)) for n in range(100)]
    truth = np.mean([one.advantage for one in leads])
    assert 0.1 < truth < 0.6
    assert sum(not one.low <= truth <= one.high for one in leads) < 12


def test_leads_of_other_people_are_refused() -> None:
    with pytest.raises(ValueError, match="same pictures"):
        lead_of(link(1.0, 0), linked()["cosine"])


def test_records_hold_no_single_person() -> None:
    found = list(linked(recognises=False).values())
    (record, *_) = json.loads(json.dumps(linkage_records(found)))
    assert record["gallery"] == 40
    assert len(record["cumulative"]) == 40
    assert record["ranks"][0]["share"] == found[0].identification.first.share
    assert "first_of_people" not in record


def test_features_of_other_pictures_are_refused() -> None:
    x, who, _ = pictured(20, 0)
    shown = Representation(features=lambda split: x[:5])
    with pytest.raises(ValueError, match="same portraits"):
        measure_linkage({"shown": shown}, {"train": who, "test": who})
