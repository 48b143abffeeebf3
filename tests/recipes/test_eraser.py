"""Bits keep what they are taught to keep, and little else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression

from discreet.data import Portrait
from discreet.model import CODE, VIEWS, as_bits, load_tower
from discreet.recipes import EraserSettings
from discreet.recipes.eraser import _reverse, fit_eraser
from discreet.types import AGE_BANDS, EXPRESSIONS

SETTINGS = EraserSettings(epochs=30, batch_size=32)
COUNT = 640


def seen(portraits: list[Portrait], seed: int) -> tuple[list[Portrait], torch.Tensor]:
    """Portraits of which age, expression and, as loudly, a third thing can be seen."""
    draw = torch.Generator().manual_seed(seed)
    ages = torch.randint(4, (COUNT,), generator=draw)
    faces = torch.randint(5, (COUNT,), generator=draw)
    other = torch.randint(2, (COUNT,), generator=draw)
    views = torch.randn(COUNT, VIEWS, generator=draw)
    for start, label in ((0, ages), (100, faces), (200, other)):
        for value in label.unique():
            places = start + 12 * int(value) + torch.arange(12)
            views[(label == value).nonzero(), places] += 3
    people = [
        replace(
            portraits[0],
            age_band=AGE_BANDS[int(ages[n])],
            expression=EXPRESSIONS[int(faces[n])],
            audit_labels={
                "gender_presentation": str(int(other[n])),
                "ethnicity": str(int(other[n])),
                "skin_tone": str(int(other[n])),
            },
        )
        for n in range(COUNT)
    ]
    return people, views


def readable(bits: torch.Tensor, people: list[Portrait]) -> float:
    """Return how often the third thing is read right from bits, by a linear probe."""
    third = [int(p.audit_labels["ethnicity"]) for p in people]
    half = COUNT // 2
    probe = LogisticRegression(max_iter=500).fit(bits[:half], third[:half])
    return float(probe.score(bits[half:], third[half:]))


def test_bits_keep_age_and_expression_and_lose_a_third_thing_that_is_as_loud(
    portraits: list[Portrait], tmp_path: Path
) -> None:
    path = tmp_path / "eraser.safetensors"
    train, test = seen(portraits, 0), seen(portraits, 1)
    steps: list[int] = []
    card = fit_eraser(
        path, train, test, settings=SETTINGS, on_step=lambda step, *_: steps.append(step)
    )
    assert len(steps) == steps[-1] == 30 * COUNT // 32
    assert card == json.loads(path.with_suffix(".json").read_text())
    assert card["held_out"]["age_band_accuracy"] > 0.75, "chance is 0.25"
    assert card["held_out"]["expression_accuracy"] > 0.75, "chance is 0.2"
    people, views = test
    assert readable(views[:, :300], people) > 0.95, "it can be read before"
    bits = load_tower(eraser=path).code(views)
    assert bits.shape == (COUNT, CODE)
    assert set(bits.unique().tolist()) == {-1.0, 1.0}
    assert readable(bits, people) < 0.6


def test_the_file_folds_the_standardisation_in(portraits: list[Portrait], tmp_path: Path) -> None:
    """Two routes: views moved and stretched give the same bits from an eraser taught on them."""
    people, views = seen(portraits, 0)
    moved = 3 * views + 5
    brief = replace(SETTINGS, epochs=2)
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    fit_eraser(first, (people, views), (people, views), settings=brief)
    fit_eraser(second, (people, moved), (people, moved), settings=brief)
    one, two = load_tower(eraser=first).code(views), load_tower(eraser=second).code(moved)
    assert (one == two).float().mean() > 0.99
    assert {value.dtype for value in load_file(first).values()} == {torch.float16}


def test_an_adversarys_gradient_is_turned_round() -> None:
    bits = torch.tensor([[1.0, -1.0]], requires_grad=True)
    turned = _reverse(bits, 0.5)
    assert torch.equal(turned, bits)
    (turned * torch.tensor([[2.0, 4.0]])).sum().backward()
    assert bits.grad is not None
    assert bits.grad.tolist() == [[-1.0, -2.0]]


def test_adversaries_read_audit_labels_only_where_they_are_switched_on(
    portraits: list[Portrait], tmp_path: Path
) -> None:
    people, views = seen(portraits, 0)
    blind = [replace(p, audit_labels={}) for p in people]
    brief = replace(SETTINGS, epochs=1)
    card = fit_eraser(tmp_path / "a", (blind, views), (blind, views), settings=brief)
    assert len(card["curve"][-1]) == 2
    against = replace(brief, reversal=0.1)
    card = fit_eraser(tmp_path / "b", (people, views), (people, views), settings=against)
    assert len(card["curve"][-1]) == 5
    with pytest.raises(KeyError):
        fit_eraser(tmp_path / "c", (blind, views), (blind, views), settings=against)


def test_no_number_is_a_bit_all_the_same() -> None:
    assert as_bits(torch.tensor([[float("nan"), 0.0, 1e-9, -1.0]])).tolist() == [[-1, -1, 1, -1]]
