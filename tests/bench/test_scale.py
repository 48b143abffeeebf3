"""Shares, sizes and totals of three owners are those that follow from the plan, or another way."""

from dataclasses import replace
from statistics import fmean

import pytest

from discreet.bench import Scale, as_scale_table, measure_scale, mib_per_owner
from discreet.bench.scale import DRAWN, _measure_here, plan_for, task_of
from discreet.federated import AssistantTask, make_codec
from discreet.federated.messages import pack, size_bytes_of
from discreet.privacy import CounterGenerator

PLAN = plan_for(3, per_round=2, rounds=3)


@pytest.fixture(scope="module")
def three() -> Scale:
    return _measure_here(PLAN)


def test_training_is_a_part_of_a_round_and_accounts_a_part_of_training(three: Scale) -> None:
    training = three.training_share * three.round_seconds
    assert 0 < three.ledger_seconds < training < three.round_seconds
    assert three.driver_share == pytest.approx(1 - three.training_share)


def test_bytes_are_those_of_the_adapter_for_each_owner_that_is_asked(three: Scale) -> None:
    state = AssistantTask.without_data(PLAN).initial_state()
    coins = CounterGenerator.from_os()
    size_bytes = size_bytes_of(pack(state, make_codec("float32"), coins))
    assert three.bytes_down == three.bytes_up == 2 * size_bytes


def test_files_and_memory_were_looked_at(three: Scale) -> None:
    assert three.owners == 3
    assert three.asked == 2
    assert three.rounds == 3
    for size in (three.ledger_bytes, three.metrics_bytes, three.checkpoint_bytes):
        assert size > 100
    assert three.peak_mib > 100


@pytest.mark.parametrize("owners", [3, 1000, 1500])
def test_a_step_draws_as_many_whatever_the_number_of_owners(owners: int) -> None:
    plan = plan_for(owners, per_round=2, rounds=1)
    owned = task_of(plan).owned
    assert len(owned) == owners
    assert plan.asked_per_round == 2
    examples = fmean(len(lessons) for lessons in owned.values())
    assert examples * plan.sample_rate == pytest.approx(DRAWN, rel=0.1)


def test_owners_beyond_people_take_turns_with_the_portraits() -> None:
    """Every portrait is somebody's before one is a second owner's."""
    owned = task_of(plan_for(1500, per_round=2, rounds=1)).owned
    users = [user for lessons in owned.values() for user in lessons.users]
    assert len(set(users[:7392])) == 1056


def test_growth_is_over_owners_and_not_over_rounds(three: Scale) -> None:
    many = replace(three, owners=103, peak_mib=three.peak_mib + 50)
    assert mib_per_owner([many, three]) == pytest.approx(0.5)
    assert mib_per_owner([three]) is None


def test_a_row_says_what_was_measured(three: Scale) -> None:
    row = as_scale_table([replace(three, training_share=0.75, peak_mib=1234.4)]).splitlines()[-1]
    assert "| 75.0% | 25.0% |" in row
    assert "| 1,234 |" in row


@pytest.mark.slow
def test_another_process_measures_the_same_sizes(three: Scale) -> None:
    other = measure_scale(3, per_round=2, rounds=3)
    assert (other.bytes_down, other.bytes_up) == (three.bytes_down, three.bytes_up)
