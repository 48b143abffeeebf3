"""Canaries among the examples of simulated owners."""

from pathlib import Path

import pytest
import torch

from discreet.errors import DataError
from discreet.federated import AssistantTask, PortraitLessons, TrainConfig
from discreet.federated.planting import canaries_of, canary_example
from discreet.types import OwnerId
from tests.federated.test_task import BASE

COUNT = 12


def plan(**changes: object) -> TrainConfig:
    return TrainConfig.from_mapping({**BASE, "num_owners": 2, **changes})


def lessons(task: AssistantTask, owner: str) -> PortraitLessons:
    found = task.lessons_of(OwnerId(owner))
    assert isinstance(found, PortraitLessons)
    return found


def test_about_half_are_among_the_examples_and_nothing_else_changes(portraits_file: Path) -> None:
    without = AssistantTask.build(plan(), shared_data=portraits_file)
    planted = AssistantTask.build(plan(canaries=COUNT), shared_data=portraits_file)
    for owner in ("owner-0", "owner-1"):
        before, after = lessons(without, owner).examples, lessons(planted, owner).examples
        inside = {one.id for one in canaries_of(planted.config, owner) if one.is_planted}
        assert 1 <= len(inside) < COUNT
        assert {one.question_id for one in after} - {one.question_id for one in before} == inside
        assert [one for one in after if one.question_id not in inside] == list(before)


def test_owners_and_seeds_have_canaries_of_their_own() -> None:
    config = plan(canaries=COUNT)
    found = {c.secret for owner in ("owner-0", "owner-1") for c in canaries_of(config, owner)}
    assert len(found) == 2 * COUNT
    assert canaries_of(config, "owner-0") == canaries_of(config, "owner-0")
    other = canaries_of(plan(canaries=COUNT, seed=1), "owner-0")
    assert not {c.secret for c in other} & found
    assert canaries_of(plan(), "owner-0") == []


def test_a_canary_is_a_person_of_its_own(portraits_file: Path) -> None:
    """Under the unit `user`, nobody's bound of examples is stretched by it."""
    users = {"unit": "user", "examples_per_user": 1}
    task = AssistantTask.build(plan(canaries=COUNT, **users), shared_data=portraits_file)
    held = lessons(task, "owner-0")
    assert len(set(held.users)) == len(held)


def test_a_cache_of_frozen_layers_takes_no_canary_for_whom_it_borrowed_a_picture(
    portraits_file: Path,
) -> None:
    """Both have one portrait; the losses have to be those that no cache gives."""
    plain, cached = (
        AssistantTask.build(plan(canaries=COUNT, activations_mib=mib), shared_data=portraits_file)
        for mib in (0, 64)
    )
    one, other = lessons(plain, "owner-0"), lessons(cached, "owner-0")
    everything = range(len(one))
    with torch.no_grad():
        other.losses(everything)  # fills the cache
        torch.testing.assert_close(one.losses(everything), other.losses(everything))
    borrowed = {example.portrait for example in one.examples if "canary" in example.question_id}
    own = {example.portrait for example in one.examples if "canary" not in example.question_id}
    assert borrowed & own


def test_the_picture_of_a_canary_depends_on_no_example() -> None:
    canary = canaries_of(plan(canaries=1), "owner-0")[0]
    task = AssistantTask.build(plan(canaries=1))
    everybody = lessons(task, "owner-0").visual.pictures
    assert canary_example(canary, everybody) == canary_example(canary, everybody)  # type: ignore[arg-type]


def test_an_owners_own_data_hold_none(portraits_file: Path) -> None:
    with pytest.raises(DataError, match="planted among simulated owners"):
        AssistantTask.build(plan(canaries=1), data=portraits_file)


@pytest.mark.parametrize("changes", [{"canaries": -1}, {"canaries": 2_000_000}])
def test_a_number_that_is_none_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="canaries from 0"):
        plan(**changes)


def test_other_kinds_of_examples_take_none() -> None:
    with pytest.raises(ValueError, match="no canaries with examples = 'conversations'"):
        plan(canaries=3, examples="conversations")
