"""What is handed on, as it is handed on."""

import numpy as np
import torch

from discreet.data import load_portraits
from discreet.leakage import Representation, erase, one_hot, portrait_representations, truth_of
from discreet.leakage.probes import Features, Labels
from discreet.model import encode_images, image_processor, load, load_tower, picture_views
from discreet.types import Split

PEOPLE: dict[Split, int] = {"train": 42, "test": 14}


def test_representations_are_what_the_rooms_hand_on() -> None:
    portraits = {split: load_portraits(split)[:count] for split, count in PEOPLE.items()}
    vlm, told = load("tiny"), []
    shown = portrait_representations(portraits, vlm, on_done=told.append)
    assert sum(told) == sum(PEOPLE.values())

    pictures = [portrait.image for portrait in portraits["test"]]
    views = picture_views(load_tower(), image_processor(), pictures)
    tokens = encode_images(vlm, pictures)
    for name, expected in (
        ("the tower's views", views),
        ("all visual tokens", tokens.flatten(1)),
        ("the mean visual token", tokens.mean(1)),
    ):
        found = torch.from_numpy(shown[name].features("test"))
        assert torch.allclose(found, expected.float(), atol=1e-4), name
        assert shown[name].fitted_to is None

    erased, truth = shown["the tower's views, erased"], truth_of(portraits["train"])
    assert erased.fitted_to is not None
    assert set(erased.fitted_to) == set(np.unique(truth.people)[::2])
    assert erased.features("test").shape == views.shape
    inside = np.isin(truth.people, erased.fitted_to)
    left, before = (
        _covariance(shown[name].features("train")[inside], truth.labels["ethnicity"][inside])
        for name in ("the tower's views, erased", "the tower's views")
    )
    assert left < 1e-3 * before


def test_an_eraser_takes_what_it_is_asked_to() -> None:
    """Age stays in what was erased of ethnicity."""
    truth = truth_of(load_portraits("train")[:420])
    draw = np.random.default_rng(0)
    told = one_hot(truth.labels["ethnicity"].tolist(), truth.labels["age_band"].tolist())
    x = np.c_[told, draw.normal(size=(420, 5))] @ draw.normal(size=(told.shape[1] + 5, 20))
    whole = Representation(features=lambda split: x)
    erased = erase(whole, truth, labels=("ethnicity",))
    inside = np.isin(truth.people, erased.fitted_to)
    left = erased.features("train")[inside]
    assert _covariance(left, truth.labels["ethnicity"][inside]) < 1e-6
    assert _covariance(left, truth.labels["age_band"][inside]) > 0.1


def _covariance(x: Features, labels: Labels) -> float:
    z = one_hot(labels.tolist())
    return float(np.abs((x - x.mean(0)).T @ (z - z.mean(0)) / len(x)).max())
