"""What a plan may ask of an owner's machine."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from discreet.errors import PolicyError
from discreet.federated import PREFERENCES, LocalGrid, TrainConfig, client_app, messages
from discreet.federated.costs import CostLimits
from discreet.federated.site import OwnerSite
from federated.conftest import filled, packed
from federated.tiny import FROZEN, TinyTask

OWN_DATA = {"owner": "clinic-a", "ledger": "/l.jsonl", "data": "/d.parquet"}
USERS = {"unit": "user", "sampled": "user"}
PLANS: dict[str, dict[str, object]] = {
    "max_rounds": {"num_rounds": 1001, "local_steps": 1},
    "max_steps": {"num_rounds": 10, "local_steps": 1000, "spare_rounds": 1, "sample_rate": 0.001},
    "max_passes": {"num_rounds": 20, "local_steps": 6, "sample_rate": 0.9},
    "max_batch": {"max_physical_batch": 65},
    "max_tokens": {"max_tokens": 8193},
    "max_rank": {"lora_r": 65},
    "max_bands": {"bands": 65, "sampler": "cyclic", "local_steps": 130},
    "max_activations_mib": {"activations_mib": 4097},
    "min_epsilon": {"target_epsilon": 0.009},
}
"""A plan just beyond each limit, and beyond no other."""


def site(**limits: object) -> OwnerSite:
    node = {**OWN_DATA, **limits}
    return OwnerSite.of_node(
        Context(run_id=7, node_id=3, node_config=node, state=RecordDict(), run_config={})
    )


def test_every_limit_has_a_plan_beyond_it() -> None:
    assert set(PLANS) == {f.name for f in fields(CostLimits)}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_costs_more_is_refused_by_the_name_of_its_limit(name: str) -> None:
    plan = TrainConfig.from_mapping(PLANS[name])
    with pytest.raises(PolicyError, match=rf"{name} = .* change {name} in \[site\] of node\.toml"):
        site().check(plan)
    site(**{name: 0 if name == "min_epsilon" else 20_000}).check(plan)
    replace(site(), data=None).check(plan)


def test_the_limit_itself_is_within() -> None:
    CostLimits().check(TrainConfig(target_epsilon=0.01, max_physical_batch=64))


def test_a_user_is_held_whole_and_counts_as_a_batch() -> None:
    plan = TrainConfig.from_mapping({**USERS, "examples_per_user": 65})
    with pytest.raises(PolicyError, match="max_batch = 64, got 65"):
        CostLimits().check(plan)
    CostLimits().check(replace(plan, sampled="example"))


@pytest.mark.parametrize(
    "plan", [{}, PREFERENCES, {"spare_rounds": 3, "unit": "user", "examples_per_user": 7}]
)
def test_plans_of_the_kit_are_within_the_defaults(plan: dict[str, object]) -> None:
    CostLimits().check(TrainConfig.from_mapping(plan))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "64", True])
@pytest.mark.parametrize("name", ["max_steps", "max_passes"])
def test_a_limit_that_limits_nothing_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{name} >= 0.*\[site\] of node\.toml"):
        site(**{name: value})


def test_a_node_refuses_before_it_loads_anything(tmp_path: Path) -> None:
    made: list[TrainConfig] = []

    def make(config: TrainConfig, data: Path | None, root: Path | None) -> TinyTask:
        made.append(config)
        return TinyTask(config)

    node = {**OWN_DATA, "ledger": str(tmp_path / "ledger.jsonl"), "max_steps": 1}
    grid = LocalGrid(client_app(make), [node], run_config=TrainConfig().as_mapping())
    with grid.activated():
        ask = messages.ask(
            packed(filled(0.0)), server_round=1, frozen_hash=FROZEN, run="r", node_id=1000, ttl=60.0
        )
        (reply,) = grid.send_and_receive([ask])
    assert messages.refusal_of(reply) == "PolicyError"
    assert made == []
    assert list(tmp_path.iterdir()) == []
