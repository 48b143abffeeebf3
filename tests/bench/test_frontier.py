"""A frontier on the tiny base: plans of cells, going on where it stopped, and what must differ."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from discreet.artifacts import write_json
from discreet.audit import Counts
from discreet.bench import FRONTIER_PLAN, Frontier, few_people, grid, measure_cell, measure_frontier
from discreet.bench.frontier_cells import UNTRAINED, CellSetting, FrontierCell, Spec
from discreet.bench.frontier_measure import of_users, plan_of_cell
from discreet.errors import ArtifactError
from discreet.federated import AssistantTask
from discreet.privacy import PrivacyLedger

PLAN = replace(FRONTIER_PLAN, base="tiny", num_owners=2, expected_batch_size=12)
COUNTS = Counts(members=20, portraits=28, people=80, twins=3, written=1)
PRIVATE = CellSetting(kind="private", rule="ffa", unit="user", epsilon=2.0)


@pytest.fixture(scope="module")
def frontier(tmp_path_factory: pytest.TempPathFactory) -> Frontier:
    folder = tmp_path_factory.mktemp("frontier")
    data = few_people(folder, train=16, others=120, pictures=2)
    return Frontier(
        plan=PLAN,
        folder=folder / "cells",
        data=data,
        counts=COUNTS,
        held_out=4,
        trios=1,
        questions=1,
    )


def test_every_cell_draws_as_much_and_is_made_again_by_its_seed() -> None:
    plans = {
        spec.setting.kind: plan_of_cell(PLAN, spec)
        for spec in grid(epsilons=(2.0,), rules=("ffa",), units=("example",), seeds=(1,))
    }
    assert plans["central"].num_owners == 1
    assert plans["central"].expected_batch_size == 2 * PLAN.expected_batch_size
    assert plans["central"].canaries == 2 * PLAN.canaries
    assert plans["alone"].present == (1,)
    assert plans["private"].target_epsilon == 2
    assert all(one.seed == 1 for kind, one in plans.items() if kind not in ("base", "prompted"))
    assert all(one.reproducible for one in plans.values())
    assert all(one.steps_total == PLAN.steps_total for one in plans.values())


def test_people_are_drawn_where_people_are_hidden(frontier: Frontier) -> None:
    plan = plan_of_cell(PLAN, Spec(setting=PRIVATE, seed=0))
    assert (plan.unit, plan.sampled, plan.examples_per_user) == ("user", "user", 8)
    task = AssistantTask.build(plan, shared_data=frontier.data)
    people = [len(set(task.lessons_of(owner).users)) for owner in task.owned]
    assert of_users(plan, task).expected_batch_size == round(plan.sample_rate * min(people))


def test_a_private_cell_says_what_it_spent_and_an_open_one_that_nothing_is_promised(
    frontier: Frontier,
) -> None:
    cell = measure_cell(frontier, Spec(setting=PRIVATE, seed=0))
    assert cell.privacy is not None
    assert cell.privacy.epsilon <= 2
    assert cell.privacy.unit == "user"
    ledger = PrivacyLedger.open(frontier.folder / "private-ffa-user-2-seed0" / "ledger.jsonl")
    assert max(ledger.spent(o).epsilon for o in ledger.owners()) == cell.privacy.epsilon
    for name in ("loss", "fits", "rouge", "area", "shown", "identity", "gap", "twins", "flips"):
        assert name in cell.values
    assert "members" not in cell.values, "20 others cannot show 1 % of false alarms"
    assert cell.values["megabytes"] > 0
    assert cell.made["threads"] == 1
    assert cell.made["hardware"]["cores"]
    plain = measure_cell(frontier, Spec(setting=CellSetting(kind="plain", rule="ffa"), seed=0))
    assert plain.privacy is None
    assert plain.values["megabytes"] == pytest.approx(cell.values["megabytes"]), (
        "what would have been sent is what was counted where it was"
    )
    assert plain.values["loss"] != cell.values["loss"]


def test_what_is_there_is_not_measured_again_and_damaged_cells_are(frontier: Frontier) -> None:
    specs = [Spec(setting=CellSetting(kind="base"), seed=None)]
    specs += [Spec(setting=CellSetting(kind="prompted"), seed=None)]
    told: list[FrontierCell] = []
    first = measure_frontier(frontier, specs, jobs=2, on_cell=told.append)
    assert {one.setting.kind for one in told} == {"base", "prompted"}
    assert set(first[1].values) == {"fits", "recall", "rouge", "mentions"}
    told.clear()
    assert measure_frontier(frontier, specs, on_cell=told.append) == first
    assert told == []
    (frontier.folder / "prompted.json").write_text("{")
    again = measure_frontier(frontier, specs, on_cell=told.append)
    assert [one.setting.kind for one in told] == ["prompted"]
    assert again[1].values == first[1].values
    with pytest.raises(ArtifactError, match="--keep"):
        measure_frontier(replace(frontier, questions=2), specs)
    others = few_people(frontier.folder / "others", train=15, others=120, pictures=2)
    with pytest.raises(ArtifactError, match="--keep"):
        measure_frontier(replace(frontier, data=others), specs)


def test_a_cell_under_the_name_of_another_is_measured_again(frontier: Frontier) -> None:
    base, prompted = (Spec(setting=CellSetting(kind=one), seed=None) for one in UNTRAINED)
    first = measure_frontier(frontier, [base, prompted])
    cell = (frontier.folder / "prompted.json").read_text()
    (frontier.folder / "base.json").write_text(cell)
    assert measure_frontier(frontier, [base, prompted])[0].values == first[0].values


def test_a_cell_that_fails_takes_no_other_with_it(frontier: Frontier) -> None:
    """Data with nobody held out cannot be measured; the untrained base, asked, can."""
    alone = few_people(frontier.folder / "alone", train=16, others=0, pictures=2)
    apart = replace(frontier, folder=frontier.folder / "failing", data=alone)
    specs = [Spec(setting=CellSetting(kind=one), seed=None) for one in UNTRAINED]
    failed: dict[Spec, Exception] = {}
    found = measure_frontier(apart, specs, on_failure=failed.__setitem__)
    assert [one.setting.kind for one in found] == ["prompted"]
    assert [one.setting.kind for one in failed] == ["base"]
    assert (apart.folder / "prompted.json").exists()
    with pytest.raises(type(failed[specs[0]])):
        measure_frontier(apart, specs)


def test_time_that_a_cell_took_before_counts_when_going_on(frontier: Frontier) -> None:
    base, prompted = (Spec(setting=CellSetting(kind=one), seed=None) for one in UNTRAINED)
    folder = frontier.folder / "slow"
    cell = measure_frontier(replace(frontier, folder=folder), [prompted])[0]
    write_json(folder / "prompted.json", replace(cell, took=3600.0).to_dict())
    found = measure_frontier(replace(frontier, folder=folder), [prompted, base], minutes=30)
    assert [one.setting.kind for one in found] == ["prompted"], "an hour does not fit into half"


def test_cells_without_what_they_have_in_common_are_refused(
    frontier: Frontier, tmp_path: Path
) -> None:
    spec = Spec(setting=CellSetting(kind="base"), seed=None)
    (tmp_path / "base.json").write_text("{}")
    with pytest.raises(ArtifactError, match="cells of others"):
        measure_frontier(replace(frontier, folder=tmp_path), [spec])


def test_without_time_only_what_is_there_comes_back(frontier: Frontier) -> None:
    specs = grid(epsilons=(1.0,), rules=("ffa",), units=("example",), seeds=(7,))
    found = measure_frontier(frontier, specs, minutes=0)
    assert all(one.seed != 7 for one in found)
    assert json.loads((frontier.folder / "frontier_settings.json").read_text())["questions"] == 1


def test_few_people_have_so_many_pictures(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(few_people(tmp_path, train=5, others=6, pictures=3)).to_pylist()
    of_train = [row["identity_id"] for row in rows if row["split"] == "train"]
    assert len(set(of_train)) == 5
    assert max(map(of_train.count, of_train)) == 3


def test_runs_of_others_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "mine").write_text("kept")
    specs = grid(epsilons=(2.0,), rules=("ffa",), units=("example",), seeds=(0,))
    with pytest.raises(ArtifactError, match="runs and cells of others"):
        measure_frontier(Frontier(plan=PLAN, folder=tmp_path), specs)
    assert (tmp_path / "base" / "mine").read_text() == "kept"


def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    specs = grid(epsilons=(2.0,), rules=("ffa",), units=("owner",), seeds=(0,))
    with pytest.raises(ValueError, match="max_update_norm"):
        measure_frontier(Frontier(plan=PLAN, folder=tmp_path / "cells"), specs)
    assert not (tmp_path / "cells").exists()
